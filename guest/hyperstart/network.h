#ifndef HYPERSTART_NETWORK_H
#define HYPERSTART_NETWORK_H

#include <stdbool.h>

#include "error.h"
#include "messages.h"

/* Make the interfaces as listed; addresses, routes and macvlans not listed any more go. */
int network_setup(const struct interface_list *interfaces, struct error *err);

/* Whether an interface was asked for, and is not one the kernel made by itself. */
bool network_is_ours(const char *name);

#endif
