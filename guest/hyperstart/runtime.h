#ifndef HYPERSTART_RUNTIME_H
#define HYPERSTART_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "messages.h"

/* How this hyperstart runs, set once by main. */
struct runtime {
    bool vm;         /* PID 1 of a VM; otherwise a test process on a host */
    const char *dir; /* /run/hyper, or the test's directory */
    int self_fd;     /* our own program, to become a container's init */
    int cgroup_root; /* the cgroup2 hierarchy, -1 without one (tests) */
    struct wire_phase phases[8];
    uint32_t phase_count;
};

extern struct runtime runtime;

/* Remember that a phase of the start ended now. */
void runtime_phase(const char *name);

/* Report what made going on impossible, then power off; a test process exits. */
void fatal(const struct error *err) __attribute__((noreturn));

#endif
