#ifndef HYPERSTART_AGENT_H
#define HYPERSTART_AGENT_H

#include <stdbool.h>

#include "error.h"
#include "frames.h"

/* Who asked, and where its answer goes: an answer to an earlier session of the host is dropped. */
struct request {
    uint32_t id;
    uint32_t session;
    uint32_t stream_id;
    uint8_t flags;
};

/* What a command did. A negative result is an error reply. */
enum outcome {
    OUTCOME_OK = 0,          /* reply `ok` */
    OUTCOME_ANSWERED = 1,    /* it replied, or will */
    OUTCOME_WAIT_DEVICE = 2, /* call it again when a device has appeared */
};

/* How the connection is made. */
enum agent_transport {
    TRANSPORT_PORT,     /* a virtio port: its host side comes and goes */
    TRANSPORT_LISTENER, /* tests: a listening socket, one connection at a time */
    TRANSPORT_SOCKET,   /* tests: one connection, the end of which ends us */
};

int agent_start(int fd, enum agent_transport transport, struct error *err);

/* Begin a session: forget what an earlier one was still to be sent. */
void agent_greet(void);
bool agent_greeted(void);
uint32_t agent_session(void);

void agent_reply(const struct request *request, enum message_id type, const void *message);
void agent_reply_ok(const struct request *request);
void agent_reply_error(const struct request *request, const struct error *err);
void agent_event(enum message_id type, const void *message);
void agent_send_window(uint32_t stream_id, uint64_t acked);

/* Where output streams put their data frames; whether there is room for another. */
struct buffer *agent_output(void);
bool agent_has_room(void);

/* Write what can be written; called after each round of the loop. */
void agent_flush(void);

/* Write everything, waiting for the host (the last reply before power-off). */
void agent_flush_blocking(void);

#endif
