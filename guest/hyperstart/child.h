#ifndef HYPERSTART_CHILD_H
#define HYPERSTART_CHILD_H

#include "container.h"
#include "messages.h"

/* What a new process needs to become the user's program. */
struct child {
    const struct message_process_start *start;
    struct container *container;
    int stdio[3];
    int error_fd;   /* close-on-exec: its end means exec succeeded */
    int main_pidfd; /* of the container's main process, for an exec */
    char **environment;
};

/* In the new process: set everything up and exec, or report on error_fd and exit. */
void child_run(struct child *child) __attribute__((noreturn));

/* The file descriptor on which a container's init reports why its program cannot be executed. */
enum { INIT_ERROR_FD = 3 };

/* exec by the PATH of the environment, as runc does; returns only on failure. */
int exec_program(char *const argv[], char *const environment[], struct error *err);

/* Be the init of a container: run argv, forward signals, reap, end as it ends. */
int init_main(char **argv, char **environment);

#endif
