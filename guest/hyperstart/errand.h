#ifndef HYPERSTART_ERRAND_H
#define HYPERSTART_ERRAND_H

#include <stdint.h>

#include "error.h"

/* What the child does; `what` is as it was when errand_start was called. */
typedef int (*errand_function)(const void *what, struct error *err);

/* How it went, told to PID 1: failure is NULL, or what the child reported; ETIMEDOUT when it had to
 * be killed. */
typedef void (*errand_ended)(void *what, const struct error *failure);

/* Run a function in a child in our own mount namespace, for at most deadline_ms; `ended` is called
 * exactly once, later, unless this returns -1. */
int errand_start(errand_function run, errand_ended ended, void *what, uint32_t deadline_ms,
                 struct error *err);

#endif
