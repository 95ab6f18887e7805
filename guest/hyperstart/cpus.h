#ifndef HYPERSTART_CPUS_H
#define HYPERSTART_CPUS_H

#include <stdint.h>

/* How many CPUs the VM has, whether they are in use or asleep. */
uint32_t cpus_present(void);

#endif
