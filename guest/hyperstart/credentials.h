#ifndef HYPERSTART_CREDENTIALS_H
#define HYPERSTART_CREDENTIALS_H

#include "messages.h"
#include "users.h"

/* Give up what the process may not have: limits, capabilities, ids, new privileges, system calls.
 */
int credentials_apply(const struct message_process_start *start, const struct user *user,
                      struct error *err);

#endif
