/* Owns the connection to the host: its fd, both byte queues, sessions. Commands are in commands.c.
 *
 * A virtio port (drivers/char/virtio_console.c) without a host reads 0, refuses writes with EAGAIN
 * and polls HUP|IN for ever; it wakes its waiters when the host comes back. Hence edge-triggered.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "log.h"
#include "loop.h"

enum {
    READ_BYTES = 65536,
    OUTPUT_DATA_BYTES = 262144,  /* no more data frames beyond this */
    OUTPUT_STOP_BYTES = 4194304, /* no more requests beyond this: the host does not read */
};

static enum agent_transport transport;
static struct watch connection = { .fd = -1 };
static struct watch listener = { .fd = -1 };
static struct frame_decoder decoder;
static struct buffer output;
static uint32_t session;
static bool greeted;
static bool answered; /* the host has read something of this session */
static bool reading_stopped;

static void drop_session(void)
{
    greeted = false;
    buffer_free(&output);
}

static void disconnected(void)
{
    struct error err;

    /* The port's news of the host leaving and coming travel beside the bytes and may come after
     * them, and do in a clone: before the first answer, "no host" is old news. A host that leaves
     * then costs nothing: the next `hello` drops the session. */
    if (transport == TRANSPORT_PORT && greeted && !answered)
        return;
    drop_session();
    if (transport == TRANSPORT_PORT)
        return;
    loop_remove(&connection);
    close(connection.fd);
    connection.fd = -1;
    if (transport == TRANSPORT_SOCKET)
        loop_stop();
    else if (loop_add(&listener, EPOLLIN, &err) < 0)
        log_error(LOG_LEVEL_ERROR, &err);
}

static void dispatch_frames(void)
{
    struct frame frame;
    uint64_t dropped = decoder.dropped_bytes;

    while (frame_decoder_next(&decoder, &frame) == 1)
        command_dispatch(&frame);
    if (decoder.dropped_bytes != dropped)
        log_line(LOG_LEVEL_WARNING, "dropped %llu bytes that are no frame",
                 (unsigned long long)(decoder.dropped_bytes - dropped));
}

static void read_frames(void)
{
    while (connection.fd >= 0) {
        ssize_t size;

        reading_stopped = buffer_used(&output) > OUTPUT_STOP_BYTES;
        if (reading_stopped || buffer_reserve(&decoder.buffer, READ_BYTES) < 0)
            return;
        size = read(connection.fd, decoder.buffer.data + decoder.buffer.end, READ_BYTES);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN)
            return;
        if (size <= 0) {
            disconnected();
            return;
        }
        decoder.buffer.end += (size_t)size;
        dispatch_frames();
    }
}

static void connection_ready(struct watch *watch, uint32_t events)
{
    (void)watch;
    if (events & EPOLLIN)
        read_frames();
    if (events & (EPOLLHUP | EPOLLERR) && connection.fd >= 0)
        disconnected();
}

static int watch_connection(int fd, struct error *err)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_errno(err, "fcntl", "agent connection");
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    connection = (struct watch){ .fd = fd, .ready = connection_ready };
    return loop_add(&connection, EPOLLIN | EPOLLOUT | EPOLLET, err);
}

static void accept_connection(struct watch *watch, uint32_t events)
{
    struct error err;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    loop_remove(&listener);
    buffer_free(&decoder.buffer);
    if (watch_connection(fd, &err) < 0)
        log_error(LOG_LEVEL_ERROR, &err);
}

static void send_log(enum log_level level, const char *line)
{
    struct message_log message = { .level = (uint8_t)level, .text = line };

    if (agent_has_room())
        agent_event(MESSAGE_LOG, &message);
}

int agent_start(int fd, enum agent_transport kind, struct error *err)
{
    transport = kind;
    log_to(send_log);
    if (kind != TRANSPORT_LISTENER)
        return watch_connection(fd, err);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    listener = (struct watch){ .fd = fd, .ready = accept_connection };
    return loop_add(&listener, EPOLLIN, err);
}

void agent_greet(void)
{
    drop_session();
    session++;
    greeted = true;
    answered = false;
}

bool agent_greeted(void)
{
    return greeted;
}

uint32_t agent_session(void)
{
    return session;
}

static void send_message(const struct frame *head, const void *message)
{
    if (frame_append(&output, head, message) < 0)
        log_line(LOG_LEVEL_ERROR, "cannot send %s", message_types[head->type].name);
}

void agent_reply(const struct request *request, enum message_id type, const void *message)
{
    struct frame head = { .type = (uint16_t)type, .flags = FLAG_REPLY, .request_id = request->id };

    if (request->id == 0 || request->session != session)
        return;
    if (type == MESSAGE_ERROR)
        head.flags |= FLAG_ERROR;
    send_message(&head, message);
}

void agent_reply_ok(const struct request *request)
{
    struct message_ok ok = { 0 };

    agent_reply(request, MESSAGE_OK, &ok);
}

void agent_reply_error(const struct request *request, const struct error *err)
{
    struct message_error message = {
        .error_number = (uint32_t)err->number,
        .step = err->step,
        .object = err->object,
    };

    agent_reply(request, MESSAGE_ERROR, &message);
}

void agent_event(enum message_id type, const void *message)
{
    struct frame head = { .type = (uint16_t)type };

    if (greeted)
        send_message(&head, message);
}

void agent_send_window(uint32_t stream_id, uint64_t acked)
{
    struct frame head = { .type = MESSAGE_WINDOW, .stream_id = stream_id };
    struct message_window window = { .acked = acked };

    if (greeted)
        send_message(&head, &window);
}

struct buffer *agent_output(void)
{
    return &output;
}

bool agent_has_room(void)
{
    return greeted && buffer_used(&output) < OUTPUT_DATA_BYTES;
}

void agent_flush(void)
{
    while (connection.fd >= 0 && buffer_used(&output) > 0) {
        ssize_t size = write(connection.fd, output.data + output.start, buffer_used(&output));

        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN)
            break;
        if (size < 0) {
            disconnected();
            return;
        }
        buffer_consume(&output, (size_t)size);
        answered = size > 0 || answered;
    }
    if (reading_stopped && buffer_used(&output) <= OUTPUT_STOP_BYTES)
        read_frames();
}

void agent_flush_blocking(void)
{
    struct pollfd state = { .fd = connection.fd, .events = POLLOUT };

    /* A blocking write to a virtio port returns when the host has taken the bytes; without a host
     * it would never return. */
    if (connection.fd < 0 || poll(&state, 1, 0) < 0 || state.revents & (POLLHUP | POLLERR))
        return;
    fcntl(connection.fd, F_SETFL, fcntl(connection.fd, F_GETFL) & ~O_NONBLOCK);
    agent_flush();
}
