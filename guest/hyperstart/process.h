#ifndef HYPERSTART_PROCESS_H
#define HYPERSTART_PROCESS_H

#include <sys/types.h>

#include "agent.h"
#include "loop.h"
#include "streams.h"

struct container;

enum process_phase {
    PROCESS_STARTING, /* the child sets itself up */
    PROCESS_RUNNING,
    PROCESS_FAILED, /* it never was the user's program; forgotten when reaped */
    PROCESS_ENDED,  /* kept until the host has acknowledged its exit */
};

struct process {
    uint32_t id;
    struct container *container; /* NULL once it was removed */
    char *container_name;
    bool main;
    bool job; /* ours, not the container's */
    bool terminal;
    enum process_phase phase;
    pid_t pid;
    int pidfd;
    struct request starter;
    struct watch setup;   /* the pipe on which a child reports why it failed */
    struct error failure; /* what it reported */
    struct stream streams[STREAM_COUNT];
    struct timer drain;
    uint64_t oom_kills_before;
    bool oom_killed;
    int wait_status;
    uint64_t exited_ns;
    bool exit_reported;
    struct process *next; /* in the list of all */
    struct process *previous;
    struct process *next_by_id;
    struct process *next_by_pid;
};

struct process *process_new(uint32_t id, struct container *container, struct error *err);
void process_forget(struct process *process);
struct process *process_find(uint32_t id);
struct process *process_find_pid(pid_t pid);
struct process *process_first(void); /* of the list of all */

/* The child exists: remember its pid and wait for what it reports. */
int process_watch(struct process *process, pid_t pid, int setup_fd, struct error *err);

bool process_alive(const struct process *process);
int process_kill(const struct process *process, int signal);

/* A child ended; called for every pid that is reaped. */
void process_reaped(pid_t pid, int wait_status);

/* A host said hello: repeat what it may have missed. */
void processes_greet(void);

/* Fill the array of welcome; the caller frees items. */
int processes_states(struct wire_process_state **items, uint32_t *count);

#endif
