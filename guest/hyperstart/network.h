#ifndef HYPERSTART_NETWORK_H
#define HYPERSTART_NETWORK_H

#include "error.h"
#include "messages.h"

/* Make the interfaces as listed; addresses, routes and macvlans not listed any more go. */
int network_setup(const struct interface_list *interfaces, struct error *err);

#endif
