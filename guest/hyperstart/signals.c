/* Owns signals: reaping our children, and the commands that signal processes. */
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "commands.h"
#include "container.h"
#include "loop.h"
#include "process.h"

static struct watch child_signals;

static void reap_children(struct watch *watch, uint32_t events)
{
    struct signalfd_siginfo info[16];
    int status;

    (void)events;
    while (read(watch->fd, info, sizeof info) > 0)
        continue;
    /* One signal may stand for many children. */
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        process_reaped(pid, status);
}

int signals_start(struct error *err)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return error_errno(err, "sigprocmask", "SIGCHLD");
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    child_signals.ready = reap_children;
    child_signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (child_signals.fd < 0)
        return error_errno(err, "signalfd", "SIGCHLD");
    return loop_add(&child_signals, EPOLLIN, err);
}

static int signal_process(const struct process *process, int signal, struct error *err)
{
    if (process_kill(process, signal) < 0)
        return error_errno(err, "kill", "process %u", process->id);
    if (signal == SIGKILL && process->main && process->container)
        container_killed(process->container);
    return OUTCOME_OK;
}

/* Every process of the container: from its cgroup, or those we know of (tests without cgroups). */
static int signal_container(struct container *container, int signal, struct error *err)
{
    char *text;
    char *at, *end;
    ssize_t length;

    if (container->cgroup_fd >= 0 && signal == SIGKILL)
        return cgroup_kill(container->cgroup_fd, err);
    if (container->cgroup_fd < 0) {
        for (struct process *process = process_first(); process; process = process->next)
            if (process->container == container && !process->job && process_alive(process))
                process_kill(process, signal);
        return OUTCOME_OK;
    }
    length = cgroup_processes(container->cgroup_fd, &text);
    if (length < 0)
        return error_errno(err, "read", "cgroup.procs");
    for (at = text; at < text + length; at = end + 1) {
        pid_t pid = (pid_t)strtol(at, &end, 10);

        if (pid > 0)
            kill(pid, signal);
    }
    free(text);
    return OUTCOME_OK;
}

COMMAND(process_signal)
{
    const struct message_process_signal *order = message;
    struct container *container;
    struct process *process;

    (void)request;
    if (order->signal > (uint32_t)SIGRTMAX)
        return error_set(err, EINVAL, "kill", "signal %u", order->signal);
    if (order->process_id == 0) {
        container = container_required(order->container, err);
        return container ? signal_container(container, (int)order->signal, err) : -1;
    }
    process = process_find(order->process_id);
    if (!process || !process_alive(process))
        return error_set(err, ESRCH, "kill", "process %u", order->process_id);
    return signal_process(process, (int)order->signal, err);
}

COMMAND(pod_processes_signal)
{
    const struct message_pod_processes_signal *order = message;

    (void)request;
    if (order->signal > (uint32_t)SIGRTMAX)
        return error_set(err, EINVAL, "kill", "signal %u", order->signal);
    for (struct container *container = container_first(); container; container = container->next)
        if (container->main && process_alive(container->main)) {
            process_kill(container->main, (int)order->signal);
            if (order->signal == SIGKILL)
                container_killed(container);
        }
    return OUTCOME_OK;
}
