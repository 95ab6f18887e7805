#ifndef HYPERSTART_STREAMS_H
#define HYPERSTART_STREAMS_H

#include "loop.h"
#include "messages.h"

enum stream_kind { STREAM_STDIN = 0, STREAM_STDOUT = 1, STREAM_STDERR = 2, STREAM_COUNT = 3 };

/* Bytes by offset: held is [start, end), the buffer grows up to STREAM_WINDOW bytes. */
struct ring {
    uint8_t *data;
    size_t capacity, head; /* head: index of the byte at `start` */
    uint64_t start, end;
};

struct stream {
    uint32_t id; /* process_id * 4 + kind; 0: this process has no such stream */
    struct watch watch;
    struct ring ring;  /* output: not acknowledged; input: not written into the process */
    uint64_t sent;     /* output: handed to the connection */
    uint64_t reported; /* input: acknowledged to the host */
    bool eof;          /* the source has ended */
    bool eof_sent;
    bool held;     /* a reconnected host has not said where it is */
    bool queued;   /* in the queue of streams with something to send */
    bool draining; /* the process has ended: what is readable now is all there will be */
    bool terminal; /* stdin is a terminal: its end is not passed on */
    struct stream *next;
    void (*progress)(struct stream *stream); /* output: called when it may have become finished */
    void *owner;
};

/* Begin with an open, non-blocking fd, which the stream then owns. */
int stream_open(struct stream *stream, uint32_t id, int fd, struct error *err);
void stream_close(struct stream *stream);

/* Output: the process has ended, do not wait for others that hold the other end. */
void stream_drain(struct stream *stream);

/* Output: nothing more will be sent. */
bool stream_finished(const struct stream *stream);

/* A new session of the host: stay silent until it says where it is. */
void stream_hold(struct stream *stream);

/* Move data of waiting streams, in turn, to the connection. */
void streams_pump(void);

#endif
