#ifndef HYPERSTART_CLOCK_H
#define HYPERSTART_CLOCK_H

#include <stdint.h>

#include "error.h"

/* Set CLOCK_REALTIME; 0 leaves it. */
int clock_set(uint64_t wall_ns, struct error *err);

#endif
