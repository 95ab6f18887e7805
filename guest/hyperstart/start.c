/* Owns the making of a process: its pipes or terminal, its namespaces and cgroup, the clone. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "child.h"
#include "cleanup.h"
#include "commands.h"
#include "process.h"
#include "runtime.h"
#include "sys.h"
#include "tty.h"

/* Make one end ours (not blocking) and give the other to the child. */
static int open_pipe(struct process *process, enum stream_kind kind, int *theirs, struct error *err)
{
    bool input = kind == STREAM_STDIN;
    int ends[2], ours;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, "pipe", "process %u", process->id);
    ours = input ? ends[1] : ends[0];
    *theirs = input ? ends[0] : ends[1];
    fcntl(ours, F_SETFL, O_NONBLOCK);
    return stream_open(&process->streams[kind], process->id * 4 + kind, ours, err);
}

static int open_terminal(struct process *process, const struct message_process_start *start,
                         int stdio[3], struct error *err)
{
    int master, slave, input;

    if (tty_open(process->container->devpts_fd, start->rows, start->columns, &master, &slave, err) <
        0)
        return -1;
    process->terminal = true;
    stdio[0] = slave;
    stdio[1] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
    stdio[2] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
    if (stream_open(&process->streams[STREAM_STDOUT], process->id * 4 + STREAM_STDOUT, master,
                    err) < 0)
        return -1;
    input = fcntl(master, F_DUPFD_CLOEXEC, 3);
    if (stdio[1] < 0 || stdio[2] < 0 || input < 0)
        return error_errno(err, "dup", "terminal");
    process->streams[STREAM_STDIN].terminal = true;
    return stream_open(&process->streams[STREAM_STDIN], process->id * 4 + STREAM_STDIN, input, err);
}

static int open_stdio(struct process *process, const struct message_process_start *start,
                      int stdio[3], struct error *err)
{
    if (start->tty)
        return open_terminal(process, start, stdio, err);
    if (start->stdin) {
        if (open_pipe(process, STREAM_STDIN, &stdio[0], err) < 0)
            return -1;
    } else {
        stdio[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (stdio[0] < 0)
            return error_errno(err, "open", "/dev/null");
    }
    if (open_pipe(process, STREAM_STDOUT, &stdio[1], err) < 0)
        return -1;
    return open_pipe(process, STREAM_STDERR, &stdio[2], err);
}

static uint64_t clone_flags(const struct child *child)
{
    const struct message_container_create *spec = child->container->spec;
    uint64_t flags = CLONE_PIDFD;

    if (child->container->cgroup_fd >= 0)
        flags |= CLONE_INTO_CGROUP;
    if (!child->start->main)
        return flags;
    flags |= CLONE_NEWNS;
    if (!spec->share_pid)
        flags |= CLONE_NEWPID;
    if (*spec->hostname || *spec->domainname)
        flags |= CLONE_NEWUTS;
    return flags;
}

/* Clone the child into its pid namespace and cgroup; returns its pid and pidfd. */
static pid_t clone_child(struct child *child, int *pidfd, struct error *err)
{
    struct sys_clone_args args = {
        .flags = clone_flags(child),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)(child->container->cgroup_fd < 0 ? 0 : child->container->cgroup_fd),
    };
    /* Only children enter a pid namespace: switch ours for them, and back. */
    bool join = !child->start->main && !child->container->spec->share_pid;
    cleanup_close int own = join ? open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC) : -1;
    pid_t pid;

    if (join && (own < 0 || setns(child->main_pidfd, CLONE_NEWPID) < 0))
        return error_errno(err, "setns", "pid namespace");
    pid = sys_clone3(&args);
    if (pid == 0)
        child_run(child);
    if (pid < 0)
        error_errno(err, "clone", "%s", child->start->args.items[0]);
    if (join && setns(own, CLONE_NEWPID) < 0) {
        struct error worse;

        /* Every later child would be in the wrong namespace. */
        error_errno(&worse, "setns", "own pid namespace");
        fatal(&worse);
    }
    return pid;
}

static void close_all(int fds[3])
{
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int start_process(struct process *process, const struct message_process_start *start,
                         struct error *err)
{
    struct child child = {
        .start = start,
        .container = process->container,
        .stdio = { -1, -1, -1 },
        .main_pidfd = start->main ? -1 : process->container->main->pidfd,
    };
    int report[2] = { -1, -1 };
    pid_t pid = -1;

    if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_errno(err, "pipe", "process %u", process->id);
    child.error_fd = report[1];
    process->oom_kills_before = container_oom_kills(process->container);
    if (open_stdio(process, start, child.stdio, err) == 0)
        pid = clone_child(&child, &process->pidfd, err);
    close_all(child.stdio);
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return -1;
    }
    return process_watch(process, pid, report[0], err);
}

static int check(const struct message_process_start *start, const struct container *container,
                 struct error *err)
{
    if (process_find(start->process_id) || start->process_id == 0)
        return error_set(err, EEXIST, "process", "%u", start->process_id);
    if (start->args.count == 0)
        return error_set(err, EINVAL, "exec", "no command");
    if (start->main && container->main)
        return error_set(err, EBUSY, "container", "%s is running", container->name);
    if (!start->main && (!container->main || container->main->phase != PROCESS_RUNNING))
        return error_set(err, ESRCH, "container", "%s is not running", container->name);
    return 0;
}

COMMAND(process_start)
{
    const struct message_process_start *start = message;
    struct container *container = container_required(start->container, err);
    struct process *process;

    if (!container || check(start, container, err) < 0)
        return -1;
    if (start->main) {
        container->devpts_fd = tty_devpts(err);
        if (container->devpts_fd < 0)
            return -1;
    }
    process = process_new(start->process_id, container, err);
    if (process) {
        process->main = start->main;
        process->starter = *request;
        if (start_process(process, start, err) == 0) {
            container->processes++;
            if (start->main) {
                container->main = process;
                container->started = true;
            }
            return OUTCOME_ANSWERED;
        }
        process_forget(process);
    }
    if (start->main) {
        close(container->devpts_fd);
        container->devpts_fd = -1;
    }
    return -1;
}
