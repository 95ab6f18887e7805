#ifndef HYPERSTART_JOB_H
#define HYPERSTART_JOB_H

#include "agent.h"
#include "container.h"

/* Work on a container's files in a child of ours: "a container's files" in protocol/agent.toml. */
struct job;
typedef int (*job_function)(struct job *job, struct error *err);

struct job {
    const struct container *container;
    const void *message;
    job_function run; /* in the child, with stdin and stdout connected */
    int error_fd;     /* open until job_ready */
};

/* Start a job; its command answers when it is ready or has failed. */
int job_start(const struct request *request, const char *container, uint32_t process_id,
              const void *message, bool input, job_function run, struct error *err);

/* In the child: what was asked for is there. From here on failures go to stderr. */
void job_ready(struct job *job);

/* In the child: make the container's root file system our root, with its volumes or without, as
 * the container sees them but without devices. */
int view_enter(const struct container *container, bool volumes, struct error *err);

/* In the child: make the layers below the container's changes our root, read-only, and give an fd
 * of the directory with the changes. */
int view_enter_changes(const struct container *container, int *upper, struct error *err);

#endif
