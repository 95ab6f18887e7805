/* Owns the end of the VM: kill, unmount, answer, power off; and fatal errors, which end it too. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "commands.h"
#include "container.h"
#include "log.h"
#include "loop.h"
#include "process.h"
#include "runtime.h"
#include "volumes.h"

enum { REAP_MS = 5000 };

static void power_off(void) __attribute__((noreturn));

static void power_off(void)
{
    if (!runtime.vm)
        exit(0);
    /* A reset: microvm has no power button, and -no-reboot makes it the VMM's end. */
    reboot(RB_AUTOBOOT);
    for (;;)
        pause();
}

void fatal(const struct error *err)
{
    log_error(LOG_LEVEL_CRITICAL, err);
    agent_flush_blocking();
    if (!runtime.vm)
        exit(70);
    sync();
    power_off();
}

static void kill_everything(void)
{
    struct error ignored;

    for (struct container *container = container_first(); container; container = container->next)
        if (container->cgroup_fd >= 0) {
            /* SIGKILL reaches frozen processes in cgroup v2. */
            cgroup_kill(container->cgroup_fd, &ignored);
        }
    for (struct process *process = process_first(); process; process = process->next)
        if (process_alive(process))
            process_kill(process, SIGKILL);
    if (runtime.vm)
        kill(-1, SIGKILL);
}

/* Wait until no child is left, but not for one that cannot be killed (stuck in a device). */
static void reap_everything(void)
{
    uint64_t deadline = clock_ms() + REAP_MS;
    struct timespec slice = { .tv_nsec = 100000000 };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    while (clock_ms() < deadline) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);

        if (pid < 0 && errno == ECHILD)
            return;
        if (pid == 0)
            sigtimedwait(&set, NULL, &slice);
    }
    log_line(LOG_LEVEL_WARNING, "processes are left after SIGKILL");
}

COMMAND(pod_shutdown)
{
    (void)message;
    (void)err;
    disks_thaw();
    kill_everything();
    reap_everything();
    containers_destroy();
    volumes_unmount();
    sync();
    agent_reply_ok(request);
    agent_flush_blocking();
    power_off();
}
