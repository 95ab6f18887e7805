#ifndef HYPERSTART_LOOP_H
#define HYPERSTART_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "error.h"

/* The one epoll loop. A watch belongs to its owner, who removes it before freeing it. */
struct watch {
    int fd;
    void (*ready)(struct watch *watch, uint32_t events);
    bool added;
};

/* A timer fires once. */
struct timer {
    void (*fire)(struct timer *timer);
    uint64_t at_ms;
    struct timer *previous, *next;
    bool armed;
};

int loop_create(struct error *err);
int loop_add(struct watch *watch, uint32_t events, struct error *err);
void loop_remove(struct watch *watch); /* harmless when not added */
void loop_timer_arm(struct timer *timer, uint64_t delay_ms);
void loop_timer_cancel(struct timer *timer);

/* Run; `after_batch` is called after each round of events. Returns -1 when epoll fails, or when
 * loop_stop was called: 0. */
int loop_run(void (*after_batch)(void), struct error *err);
void loop_stop(void);

uint64_t clock_ms(void);
uint64_t clock_ns(int clock_id);

#endif
