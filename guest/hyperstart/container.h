#ifndef HYPERSTART_CONTAINER_H
#define HYPERSTART_CONTAINER_H

#include <stdbool.h>

#include "agent.h"
#include "loop.h"
#include "messages.h"
#include "rootfs.h"

struct process;

struct container {
    char *name;
    unsigned number; /* its directory: <runtime dir>/c/<number> */
    /* The message that created it, decoded again from our own copy. */
    uint8_t *payload;
    struct arena arena;
    const struct message_container_create *spec;
    struct rootfs rootfs;
    int cgroup_fd;              /* its directory, -1 without cgroups */
    struct watch memory_events; /* memory.events */
    struct watch cgroup_events; /* cgroup.events, while it is being removed */
    uint64_t oom_kills_reported;
    uint64_t limit_hits_reported;
    struct process *main; /* NULL: not running */
    int devpts_fd;        /* the main process's devpts instance */
    unsigned processes;   /* children of ours not reaped yet */
    bool started;         /* its main process ran, now or earlier */
    bool removing;
    bool retiring; /* what it wrote is the answer */
    bool sized;
    struct message_container_size size;
    struct request remover;
    struct timer retry;
    struct timer overdue; /* runs from when it was killed until it has ended */
    struct container *next;
};

struct container *container_find(const char *name);
struct container *container_first(void);

/* Where a container's files are, below the runtime directory. */
void container_path(const struct container *container, const char *below, char *path, size_t size);

/* How often the kernel killed one of its processes for memory. */
uint64_t container_oom_kills(struct container *container);

/* One of its processes was reaped, or never came to be. */
void container_process_ended(struct container *container, struct process *process);

/* All of it was killed. What it waits for is given up if it has not ended after a while. */
void container_killed(struct container *container);

/* Whether one of them mounts this volume. */
bool containers_use_volume(const char *volume);

/* Unmount all at power-off, when no process is left. */
void containers_destroy(void);

/* Shared by the commands on a container: NULL and an error when it does not exist. */
struct container *container_required(const char *name, struct error *err);

#endif
