/* Owns epoll and timers. Knows no command and no process. */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <time.h>

enum { BATCH = 64 };

static int epoll_fd = -1;
static bool stopped;
/* The round being handled: a watch removed meanwhile must not be called. */
static struct epoll_event batch[BATCH];
static int batch_count;
static struct timer *first_timer, *last_timer;

uint64_t clock_ns(int clock_id)
{
    struct timespec now;

    clock_gettime(clock_id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000000u;
}

int loop_create(struct error *err)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? error_errno(err, "epoll_create", "loop") : 0;
}

int loop_add(struct watch *watch, uint32_t events, struct error *err)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    if (epoll_ctl(epoll_fd, watch->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) < 0)
        return error_errno(err, "epoll_ctl", "fd %d", watch->fd);
    watch->added = true;
    return 0;
}

void loop_remove(struct watch *watch)
{
    if (!watch->added)
        return;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->added = false;
    for (int i = 0; i < batch_count; i++)
        if (batch[i].data.ptr == watch)
            batch[i].data.ptr = NULL;
}

void loop_timer_arm(struct timer *timer, uint64_t delay_ms)
{
    struct timer *before;

    loop_timer_cancel(timer);
    timer->at_ms = clock_ms() + delay_ms;
    timer->armed = true;
    /* From the end: delays are mostly alike, so this is one step. */
    for (before = last_timer; before && before->at_ms > timer->at_ms; before = before->previous)
        continue;
    timer->previous = before;
    timer->next = before ? before->next : first_timer;
    *(before ? &before->next : &first_timer) = timer;
    *(timer->next ? &timer->next->previous : &last_timer) = timer;
}

void loop_timer_cancel(struct timer *timer)
{
    if (!timer->armed)
        return;
    *(timer->previous ? &timer->previous->next : &first_timer) = timer->next;
    *(timer->next ? &timer->next->previous : &last_timer) = timer->previous;
    timer->armed = false;
}

static void fire_timers(void)
{
    uint64_t now = first_timer ? clock_ms() : 0;

    while (first_timer && first_timer->at_ms <= now) {
        struct timer *timer = first_timer;

        loop_timer_cancel(timer);
        timer->fire(timer);
    }
}

static int wait_ms(void)
{
    uint64_t now;

    if (!first_timer)
        return -1;
    now = clock_ms();
    if (first_timer->at_ms <= now)
        return 0;
    return first_timer->at_ms - now > INT_MAX ? INT_MAX : (int)(first_timer->at_ms - now);
}

int loop_run(void (*after_batch)(void), struct error *err)
{
    while (!stopped) {
        batch_count = epoll_wait(epoll_fd, batch, BATCH, wait_ms());
        if (batch_count < 0 && errno != EINTR)
            return error_errno(err, "epoll_wait", "loop");
        for (int i = 0; i < batch_count; i++) {
            struct watch *watch = batch[i].data.ptr;

            if (watch)
                watch->ready(watch, batch[i].events);
        }
        batch_count = 0;
        fire_timers();
        after_batch();
    }
    return 0;
}

void loop_stop(void)
{
    stopped = true;
}
