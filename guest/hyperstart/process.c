/* Owns the table of processes: from a child that sets itself up to an acknowledged exit. */
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "container.h"
#include "log.h"
#include "sys.h"

/* How long output may go on after its process has ended when others hold the pipe: Docker's
 * (moby daemon/monitor.go, handleContainerExit and exec's exit). */
enum { DRAIN_MS = 2000, BUCKETS = 1024 };

static struct process *by_id[BUCKETS], *by_pid[BUCKETS];
static struct process *all;

struct process *process_first(void)
{
    return all;
}

struct process *process_find(uint32_t id)
{
    struct process *process = by_id[id % BUCKETS];

    while (process && process->id != id)
        process = process->next_by_id;
    return process;
}

struct process *process_find_pid(pid_t pid)
{
    struct process *process = by_pid[(unsigned)pid % BUCKETS];

    while (process && process->pid != pid)
        process = process->next_by_pid;
    return process;
}

bool process_alive(const struct process *process)
{
    return process->phase == PROCESS_STARTING || process->phase == PROCESS_RUNNING;
}

int process_kill(const struct process *process, int signal)
{
    return sys_pidfd_send_signal(process->pidfd, signal);
}

static void try_report_exit(struct process *process)
{
    struct message_process_exited message = {
        .process_id = process->id,
        .container = process->container_name,
        .oom_killed = process->oom_killed,
        .exited_ns = process->exited_ns,
    };

    if (process->phase != PROCESS_ENDED || process->exit_reported || !agent_greeted())
        return;
    if (!stream_finished(&process->streams[STREAM_STDOUT]) ||
        !stream_finished(&process->streams[STREAM_STDERR]))
        return;
    loop_timer_cancel(&process->drain);
    if (WIFSIGNALED(process->wait_status))
        message.signal = (uint32_t)WTERMSIG(process->wait_status);
    else
        message.exit_code = (uint32_t)WEXITSTATUS(process->wait_status);
    process->exit_reported = true;
    agent_event(MESSAGE_PROCESS_EXITED, &message);
}

static void stream_progressed(struct stream *stream)
{
    try_report_exit(stream->owner);
}

static void drain_now(struct timer *timer)
{
    struct process *process =
        (struct process *)(void *)((char *)timer - offsetof(struct process, drain));

    stream_drain(&process->streams[STREAM_STDOUT]);
    stream_drain(&process->streams[STREAM_STDERR]);
}

struct process *process_new(uint32_t id, struct container *container, struct error *err)
{
    struct process *process = calloc(1, sizeof *process);

    if (process)
        process->container_name = strdup(container->name);
    if (!process || !process->container_name) {
        free(process);
        error_set(err, ENOMEM, "process", "%u", id);
        return NULL;
    }
    process->id = id;
    process->container = container;
    process->pidfd = -1;
    process->setup.fd = -1;
    process->drain.fire = drain_now;
    for (int i = 0; i < STREAM_COUNT; i++) {
        process->streams[i].watch.fd = -1;
        process->streams[i].progress = stream_progressed;
        process->streams[i].owner = process;
    }
    process->next_by_id = by_id[id % BUCKETS];
    by_id[id % BUCKETS] = process;
    process->next = all;
    if (all)
        all->previous = process;
    all = process;
    return process;
}

static void unlink_pid(struct process *process)
{
    struct process **link = &by_pid[(unsigned)process->pid % BUCKETS];

    while (*link && *link != process)
        link = &(*link)->next_by_pid;
    if (*link)
        *link = process->next_by_pid;
}

void process_forget(struct process *process)
{
    struct process **link = &by_id[process->id % BUCKETS];

    while (*link != process)
        link = &(*link)->next_by_id;
    *link = process->next_by_id;
    *(process->previous ? &process->previous->next : &all) = process->next;
    if (process->next)
        process->next->previous = process->previous;
    unlink_pid(process);
    loop_timer_cancel(&process->drain);
    loop_remove(&process->setup);
    if (process->setup.fd >= 0)
        close(process->setup.fd);
    if (process->pidfd >= 0)
        close(process->pidfd);
    for (int i = 0; i < STREAM_COUNT; i++)
        stream_close(&process->streams[i]);
    free(process->container_name);
    free(process);
}

/* --- start ------------------------------------------------------------------------------------ */

/* The child has reached its exec, or failed before; that is answered when it is reaped, so that the
 * host finds nothing of it left. */
static void setup_finished(struct process *process, const struct error *failure)
{
    struct message_process_started started = { .pid = (uint32_t)process->pid };

    loop_remove(&process->setup);
    close(process->setup.fd);
    process->setup.fd = -1;
    process->phase = failure ? PROCESS_FAILED : PROCESS_RUNNING;
    if (failure)
        process->failure = *failure;
    else
        agent_reply(&process->starter, MESSAGE_PROCESS_STARTED, &started);
}

/* Read what the child reported: nothing at its exec, an error when a step failed. */
static void read_setup(struct process *process)
{
    struct error err;
    ssize_t size;

    do {
        size = read(process->setup.fd, &err, sizeof err);
    } while (size < 0 && errno == EINTR);
    if (size < 0 && errno == EAGAIN)
        return;
    setup_finished(process, size == (ssize_t)sizeof err ? &err : NULL);
}

static void setup_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    read_setup((struct process *)(void *)((char *)watch - offsetof(struct process, setup)));
}

int process_watch(struct process *process, pid_t pid, int setup_fd, struct error *err)
{
    process->pid = pid;
    process->next_by_pid = by_pid[(unsigned)pid % BUCKETS];
    by_pid[(unsigned)pid % BUCKETS] = process;
    process->setup = (struct watch){ .fd = setup_fd, .ready = setup_ready };
    return loop_add(&process->setup, EPOLLIN, err);
}

/* --- end -------------------------------------------------------------------------------------- */

static void process_ended(struct process *process)
{
    struct container *container = process->container;

    process->phase = PROCESS_ENDED;
    process->exited_ns = clock_ns(CLOCK_REALTIME);
    if (container)
        process->oom_killed = container_oom_kills(container) > process->oom_kills_before &&
                              (process->main || WIFSIGNALED(process->wait_status));
    loop_timer_arm(&process->drain, DRAIN_MS);
    try_report_exit(process);
}

void process_reaped(pid_t pid, int wait_status)
{
    struct process *process = process_find_pid(pid);
    struct container *container;

    if (!process)
        return; /* an orphan of some container */
    if (process->phase == PROCESS_STARTING)
        read_setup(process);
    if (process->phase == PROCESS_STARTING)
        setup_finished(process, NULL);
    process->wait_status = wait_status;
    unlink_pid(process);
    container = process->container;
    stream_close(&process->streams[STREAM_STDIN]);
    /* A host that missed the refusal learns of it as an exit. */
    if (process->phase == PROCESS_FAILED && process->starter.session == agent_session()) {
        struct request starter = process->starter;
        struct error failure = process->failure;

        if (container)
            container_process_ended(container, process);
        process_forget(process);
        agent_reply_error(&starter, &failure);
        return;
    }
    process_ended(process);
    if (container)
        container_process_ended(container, process);
}

COMMAND(process_exit_ack)
{
    const struct message_process_exit_ack *ack = message;
    struct process *process = process_find(ack->process_id);

    (void)request;
    (void)err;
    if (process && process->phase == PROCESS_ENDED)
        process_forget(process);
    return OUTCOME_ANSWERED;
}

/* --- sessions --------------------------------------------------------------------------------- */

void processes_greet(void)
{
    for (struct process *process = all; process; process = process->next) {
        /* Who waited for a job has gone with the earlier session. */
        if (process->job && process_alive(process))
            process_kill(process, SIGKILL);
        for (int i = 0; i < STREAM_COUNT; i++)
            stream_hold(&process->streams[i]);
        process->exit_reported = false;
        try_report_exit(process);
    }
}

static struct wire_process_state state_of(const struct process *process)
{
    const struct stream *streams = process->streams;
    struct wire_process_state state = {
        .process_id = process->id,
        .container = process->container_name,
        .running = process->phase != PROCESS_ENDED,
        .oom_killed = process->oom_killed,
        .exited_ns = process->exited_ns,
        .stdout_acked = streams[STREAM_STDOUT].ring.start,
        .stderr_acked = streams[STREAM_STDERR].ring.start,
        .stdin_received = streams[STREAM_STDIN].ring.end,
    };

    if (process->phase == PROCESS_ENDED && WIFSIGNALED(process->wait_status))
        state.signal = (uint32_t)WTERMSIG(process->wait_status);
    else if (process->phase == PROCESS_ENDED)
        state.exit_code = (uint32_t)WEXITSTATUS(process->wait_status);
    return state;
}

int processes_states(struct wire_process_state **items, uint32_t *count)
{
    uint32_t total = 0;

    for (struct process *process = all; process; process = process->next)
        total += process->phase != PROCESS_FAILED;
    *items = calloc((size_t)total + 1, sizeof **items);
    if (!*items)
        return -1;
    *count = 0;
    for (struct process *process = all; process; process = process->next)
        if (process->phase != PROCESS_FAILED)
            (*items)[(*count)++] = state_of(process);
    return 0;
}
