/* Owns errands: system calls that may take long (a mount over the network), made in a child, so
 * that the loop goes on. */
#include "errand.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"

struct errand {
    struct watch watch;
    struct timer deadline;
    pid_t pid;
    errand_ended ended;
    void *what;
};

static void finish(struct errand *errand, const struct error *failure)
{
    errand_ended ended = errand->ended;
    void *what = errand->what;

    loop_timer_cancel(&errand->deadline);
    loop_remove(&errand->watch);
    close(errand->watch.fd);
    free(errand);
    ended(what, failure);
}

/* The child writes what failed, or an error of number 0. */
static void reported(struct watch *watch, uint32_t events)
{
    struct errand *errand =
        (struct errand *)(void *)((char *)watch - offsetof(struct errand, watch));
    struct error failure;
    ssize_t size;

    (void)events;
    do {
        size = read(watch->fd, &failure, sizeof failure);
    } while (size < 0 && errno == EINTR);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size != (ssize_t)sizeof failure)
        error_set(&failure, EIO, "errand", "its process was killed");
    finish(errand, failure.number ? &failure : NULL);
}

static void too_late(struct timer *timer)
{
    struct errand *errand =
        (struct errand *)(void *)((char *)timer - offsetof(struct errand, deadline));
    struct error failure;

    /* Not reaped yet, so the number is still its own. */
    kill(errand->pid, SIGKILL);
    error_set(&failure, ETIMEDOUT, "errand", "no answer in time");
    finish(errand, &failure);
}

static void run_in_child(errand_function run, const void *what, int report)
{
    struct error err;

    memset(&err, 0, sizeof err);
    if (run(what, &err) == 0)
        err.number = 0;
    _exit(write(report, &err, sizeof err) == (ssize_t)sizeof err ? 0 : 1);
}

int errand_start(errand_function run, errand_ended ended, void *what, uint32_t deadline_ms,
                 struct error *err)
{
    struct errand *errand = calloc(1, sizeof *errand);
    int ends[2];

    if (!errand || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        free(errand);
        return error_errno(err, "pipe", "errand");
    }
    *errand = (struct errand){
        .watch = { .fd = ends[0], .ready = reported },
        .deadline = { .fire = too_late },
        .ended = ended,
        .what = what,
    };
    if (loop_add(&errand->watch, EPOLLIN, err) < 0) {
        close(ends[0]);
        close(ends[1]);
        free(errand);
        return -1;
    }
    errand->pid = fork();
    if (errand->pid == 0)
        run_in_child(run, what, ends[1]);
    close(ends[1]);
    if (errand->pid < 0) {
        error_errno(err, "fork", "errand");
        loop_remove(&errand->watch);
        close(ends[0]);
        free(errand);
        return -1;
    }
    loop_timer_arm(&errand->deadline, deadline_ms);
    return 0;
}
