#ifndef HYPERSTART_SIZES_H
#define HYPERSTART_SIZES_H

#include "container.h"
#include "messages.h"

/* Add up what a container wrote, unless that are more than a few files. Never fails. */
void sizes_of_few(const struct container *container, struct message_container_size *size);

#endif
