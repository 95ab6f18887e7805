/* hyperstart: PID 1 of every VM. Owns nothing but the order of the start. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "boot.h"
#include "child.h"
#include "loop.h"
#include "runtime.h"
#include "signals.h"
#include "streams.h"

struct runtime runtime = { .dir = "/run/hyper", .self_fd = -1, .cgroup_root = -1 };

void runtime_phase(const char *name)
{
    enum { MAX = sizeof runtime.phases / sizeof *runtime.phases };

    if (runtime.phase_count < MAX)
        runtime.phases[runtime.phase_count++] =
            (struct wire_phase){ .name = name, .at_ns = clock_ns(CLOCK_BOOTTIME) };
}

static void after_batch(void)
{
    streams_pump();
    agent_flush();
}

static int serve(int fd, enum agent_transport transport, struct error *err)
{
    if (loop_create(err) < 0 || signals_start(err) < 0 || agent_start(fd, transport, err) < 0)
        return -1;
    runtime_phase("ready");
    return loop_run(after_batch, err);
}

static int run_vm(struct error *err)
{
    int port;

    runtime.vm = true;
    runtime_phase("kernel");
    if (boot_vm(err) < 0)
        return -1;
    runtime_phase("mounts");
    port = boot_open_port(err);
    if (port < 0)
        return -1;
    runtime_phase("port");
    if (serve(port, TRANSPORT_PORT, err) < 0)
        return -1;
    return error_set(err, EINVAL, "loop", "it ended");
}

/* hyperstart --test-fd FD DIRECTORY: speak the protocol as an ordinary process. */
static int run_test(char **arguments, struct error *err)
{
    int fd = atoi(arguments[0]), listening = 0;
    socklen_t size = sizeof listening;

    if (boot_test(arguments[1], err) < 0)
        return -1;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
        return error_errno(err, "getsockopt", "fd %d", fd);
    return serve(fd, listening ? TRANSPORT_LISTENER : TRANSPORT_SOCKET, err);
}

/* 0, 1 and 2 must be open, or a pipe of ours would become one of them. */
static void ensure_stdio(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd < 3);
    if (fd >= 3)
        close(fd);
}

int main(int argc, char **argv, char **environment)
{
    struct error err;

    if (argc > 2 && strcmp(argv[0], "/sbin/docker-init") == 0)
        return init_main(argv + 2, environment);
    ensure_stdio();
    if (getpid() == 1 && argc < 3) {
        run_vm(&err);
        fatal(&err);
    }
    if (argc != 4 || strcmp(argv[1], "--test-fd") != 0) {
        fprintf(stderr, "usage: hyperstart --test-fd FD DIRECTORY\n");
        return 64;
    }
    if (run_test(argv + 2, &err) < 0)
        fatal(&err);
    return 0;
}
