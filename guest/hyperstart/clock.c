/* Owns the VM's clock: the host says what time it is, when the VM begins and then and again. */
#include "clock.h"

#include <errno.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

#include "commands.h"
#include "runtime.h"

enum { NS_PER_S = 1000000000, NS_PER_US = 1000, US_PER_S = 1000000 };

/* What ntpd(8) steps over, too; the kernel makes up 0.5 ms in a second. */
static const int64_t slew_most_ns = 128000000;

int clock_set(uint64_t wall_ns, struct error *err)
{
    struct timespec now = {
        .tv_sec = (time_t)(wall_ns / NS_PER_S),
        .tv_nsec = (long)(wall_ns % NS_PER_S),
    };

    if (wall_ns == 0 || !runtime.vm)
        return 0;
    return clock_settime(CLOCK_REALTIME, &now) < 0 ? error_errno(err, "clock", "set") : 0;
}

static int slew(int64_t delta_ns, struct error *err)
{
    struct timeval delta = { .tv_usec = (suseconds_t)(delta_ns / NS_PER_US) };

    return adjtime(&delta, NULL) < 0 ? error_errno(err, "clock", "slow change") : 0;
}

/* In microseconds: ADJ_NANO would stay in force for everybody who asks what time it is. */
static int step(int64_t delta_ns, struct error *err)
{
    struct timex change = { .modes = ADJ_SETOFFSET };

    /* The kernel wants the part below a second to be positive. */
    change.time.tv_sec = (time_t)(delta_ns / NS_PER_S);
    change.time.tv_usec = (suseconds_t)(delta_ns % NS_PER_S / NS_PER_US);
    if (change.time.tv_usec < 0) {
        change.time.tv_sec--;
        change.time.tv_usec += US_PER_S;
    }
    return clock_adjtime(CLOCK_REALTIME, &change) < 0 ? error_errno(err, "clock", "change") : 0;
}

COMMAND(clock_adjust)
{
    const struct message_clock_adjust *asked = message;
    int64_t delta = asked->delta_ns;
    bool small = delta > -slew_most_ns && delta < slew_most_ns;
    struct message_clock answer;
    struct timespec now;

    if (runtime.vm && delta != 0 && (small ? slew(delta, err) : step(delta, err)) < 0)
        return -1;
    clock_gettime(CLOCK_REALTIME, &now);
    answer.wall_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    agent_reply(request, MESSAGE_CLOCK, &answer);
    return OUTCOME_ANSWERED;
}
