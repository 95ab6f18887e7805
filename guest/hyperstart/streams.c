/* Owns the streams of processes: reading output, writing input, acknowledgement, back-pressure. */
#include "streams.h"

#include <errno.h>
#include <unistd.h>

#include "commands.h"
#include "log.h"
#include "process.h"
#include "ring.h"

enum { READ_AT_ONCE = 65536, ACK_EVERY = STREAM_WINDOW / 4 };

/* Streams with something to send, served in turn. */
static struct stream *queue_first, *queue_last;

static enum stream_kind kind_of(const struct stream *stream)
{
    return (enum stream_kind)(stream->id & 3);
}

static bool has_something_to_send(const struct stream *stream)
{
    return !stream->held && (stream->sent < stream->ring.end || (stream->eof && !stream->eof_sent));
}

static void enqueue(struct stream *stream)
{
    if (stream->queued || !has_something_to_send(stream))
        return;
    stream->queued = true;
    stream->next = NULL;
    *(queue_last ? &queue_last->next : &queue_first) = stream;
    queue_last = stream;
}

static void unqueue(struct stream *stream)
{
    struct stream *before = NULL, *at = queue_first;

    if (!stream->queued)
        return;
    for (; at != stream; at = at->next)
        before = at;
    *(before ? &before->next : &queue_first) = stream->next;
    if (queue_last == stream)
        queue_last = before;
    stream->queued = false;
}

static void close_fd(struct stream *stream)
{
    loop_remove(&stream->watch);
    if (stream->watch.fd >= 0)
        close(stream->watch.fd);
    stream->watch.fd = -1;
}

static void output_ended(struct stream *stream)
{
    close_fd(stream);
    stream->eof = true;
    enqueue(stream);
}

/* Read once; return whether there may be more. */
static bool read_some(struct stream *stream)
{
    struct iovec parts[2];
    ssize_t size;

    if (ring_free_parts(&stream->ring, READ_AT_ONCE, parts) < 0)
        return false;
    size = readv(stream->watch.fd, parts, parts[1].iov_len > 0 ? 2 : 1);
    if (size > 0) {
        stream->ring.end += (uint64_t)size;
        return true;
    }
    if (size < 0 && errno == EINTR)
        return true;
    /* A terminal whose last user has gone gives EIO. */
    if (size == 0 || errno != EAGAIN || stream->draining)
        output_ended(stream);
    return false;
}

static void watch_output(struct stream *stream)
{
    struct error err;

    /* Without room, not even HUP may wake us: the watch goes. */
    if (stream->watch.fd < 0)
        return;
    if (ring_room(&stream->ring) == 0)
        loop_remove(&stream->watch);
    else if (!stream->watch.added && loop_add(&stream->watch, EPOLLIN, &err) < 0)
        output_ended(stream);
}

static void output_ready(struct watch *watch, uint32_t events)
{
    struct stream *stream =
        (struct stream *)(void *)((char *)watch - offsetof(struct stream, watch));

    (void)events;
    if (ring_room(&stream->ring) > 0)
        read_some(stream);
    watch_output(stream);
    enqueue(stream);
}

void stream_drain(struct stream *stream)
{
    if (stream->id == 0 || stream->eof)
        return;
    stream->draining = true;
    while (stream->watch.fd >= 0 && ring_room(&stream->ring) > 0 && read_some(stream))
        continue;
    watch_output(stream);
    enqueue(stream);
}

bool stream_finished(const struct stream *stream)
{
    return stream->id == 0 || (stream->eof_sent && stream->sent == stream->ring.end);
}

void stream_hold(struct stream *stream)
{
    if (stream->id == 0)
        return;
    if (kind_of(stream) == STREAM_STDIN) {
        stream->reported = stream->ring.start;
        agent_send_window(stream->id, stream->reported);
        return;
    }
    unqueue(stream);
    stream->held = true;
    stream->sent = stream->ring.start;
    stream->eof_sent = false;
}

void streams_pump(void)
{
    while (queue_first && agent_has_room()) {
        struct stream *stream = queue_first;
        struct wire_bytes parts[2];
        bool last;

        queue_first = stream->next;
        if (!queue_first)
            queue_last = NULL;
        stream->queued = false;
        ring_parts(&stream->ring, stream->sent, DATA_MAX, parts);
        last = stream->eof && stream->sent + parts[0].length + parts[1].length == stream->ring.end;
        if (frame_append_data(agent_output(), stream->id, stream->sent, last, parts) < 0)
            return;
        stream->sent += parts[0].length + parts[1].length;
        stream->eof_sent = last;
        enqueue(stream);
        if (last)
            stream->progress(stream);
    }
}

/* --- input ------------------------------------------------------------------------------------ */

static void input_ended(struct stream *stream)
{
    /* Nobody reads any more: swallow what comes, so that the host is not kept waiting. */
    close_fd(stream);
    stream->eof = true;
    ring_release(&stream->ring);
}

static void report_input(struct stream *stream)
{
    uint64_t done = stream->ring.start - stream->reported;

    if (done == 0 || (done < ACK_EVERY && stream->ring.start != stream->ring.end))
        return;
    stream->reported = stream->ring.start;
    agent_send_window(stream->id, stream->reported);
}

static void write_input(struct stream *stream)
{
    struct error err;

    while (stream->watch.fd >= 0 && stream->ring.start < stream->ring.end) {
        struct wire_bytes parts[2];
        ssize_t size;

        ring_parts(&stream->ring, stream->ring.start, STREAM_WINDOW, parts);
        size = write(stream->watch.fd, parts[0].data, parts[0].length);
        if (size > 0)
            ring_drop(&stream->ring, stream->ring.start + (uint64_t)size);
        else if (size < 0 && errno == EAGAIN)
            break;
        else if (size == 0 || errno != EINTR)
            input_ended(stream);
    }
    report_input(stream);
    if (stream->watch.fd < 0)
        return;
    if (stream->ring.start == stream->ring.end) {
        loop_remove(&stream->watch);
        /* The end of the host's input does not close a terminal: Docker does not either. */
        if (stream->eof && !stream->terminal)
            close_fd(stream);
    } else if (!stream->watch.added && loop_add(&stream->watch, EPOLLOUT, &err) < 0) {
        input_ended(stream);
    }
}

static void input_ready(struct watch *watch, uint32_t events)
{
    struct stream *stream =
        (struct stream *)(void *)((char *)watch - offsetof(struct stream, watch));

    if (events & EPOLLERR && !(events & EPOLLOUT))
        input_ended(stream);
    write_input(stream);
}

/* --- both ------------------------------------------------------------------------------------- */

int stream_open(struct stream *stream, uint32_t id, int fd, struct error *err)
{
    stream->id = id;
    stream->watch = (struct watch){ .fd = fd };
    stream->watch.ready = kind_of(stream) == STREAM_STDIN ? input_ready : output_ready;
    if (kind_of(stream) == STREAM_STDIN)
        return 0;
    return loop_add(&stream->watch, EPOLLIN, err);
}

void stream_close(struct stream *stream)
{
    if (stream->id == 0)
        return;
    unqueue(stream);
    close_fd(stream);
    ring_release(&stream->ring);
    stream->id = 0;
}

/* NULL when it is gone: frames that cross the acknowledgement of an exit are no error. */
static struct stream *find_stream(const struct request *request, bool input)
{
    struct process *process = process_find(request->stream_id / 4);
    unsigned kind = request->stream_id & 3;

    if (!process || kind >= STREAM_COUNT || process->streams[kind].id == 0 ||
        (kind == STREAM_STDIN) != input)
        return NULL;
    return &process->streams[kind];
}

COMMAND(data)
{
    const struct message_data *data = message;
    struct stream *stream = find_stream(request, true);
    struct wire_bytes content = data->content;
    uint64_t skip;

    if (!stream)
        return OUTCOME_ANSWERED;
    if (data->offset > stream->ring.end)
        return error_set(err, EPROTO, "stream", "%u: bytes are missing", stream->id);
    skip = stream->ring.end - data->offset;
    if (skip > content.length)
        skip = content.length;
    content.data += skip;
    content.length -= (uint32_t)skip;
    if (stream->watch.fd < 0) {
        /* Closed or unread: these bytes have nowhere to go. */
        stream->ring.end += content.length;
        ring_release(&stream->ring);
    } else if (ring_append(&stream->ring, content.data, content.length) < 0) {
        return error_set(err, ENOBUFS, "stream", "%u: more than its window", stream->id);
    }
    stream->eof = stream->eof || request->flags & FLAG_EOF;
    write_input(stream);
    return OUTCOME_ANSWERED;
}

static int acknowledge(struct stream *stream, uint64_t acked, struct error *err)
{
    if (acked > stream->ring.end)
        return error_set(err, EPROTO, "stream", "%u: beyond its end", stream->id);
    if (acked > stream->ring.start)
        ring_drop(&stream->ring, acked);
    if (stream->sent < stream->ring.start)
        stream->sent = stream->ring.start;
    if (stream->draining)
        stream_drain(stream);
    watch_output(stream);
    return OUTCOME_ANSWERED;
}

COMMAND(window)
{
    const struct message_window *window = message;
    struct stream *stream = find_stream(request, false);

    return stream ? acknowledge(stream, window->acked, err) : OUTCOME_ANSWERED;
}

COMMAND(stream_resume)
{
    const struct message_stream_resume *resume = message;
    struct stream *stream = find_stream(request, false);
    int outcome;

    if (!stream)
        return OUTCOME_ANSWERED;
    outcome = acknowledge(stream, resume->offset, err);
    if (outcome < 0)
        return outcome;
    stream->held = false;
    stream->sent = stream->ring.start;
    stream->eof_sent = false;
    enqueue(stream);
    return OUTCOME_ANSWERED;
}
