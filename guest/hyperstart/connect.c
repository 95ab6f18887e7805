/* Owns connections made from inside the pod to see whether something answers: the host's probes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "loop.h"

static const char http2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* RFC 9113, section 3.4 */

enum { ANSWER_BYTES_MAX = 1024, CONTENT_BYTES_MAX = 16384 };

struct attempt {
    struct watch watch;
    struct timer deadline;
    struct request request;
    uint8_t *content; /* what is still to be sent */
    uint32_t sent, length;
    uint32_t received;
    bool connected, http2;
    uint8_t answer[ANSWER_BYTES_MAX];
};

static void end(struct attempt *attempt)
{
    loop_timer_cancel(&attempt->deadline);
    loop_remove(&attempt->watch);
    close(attempt->watch.fd);
    free(attempt->content);
    free(attempt);
}

static void fail(struct attempt *attempt, int number)
{
    struct error err;

    error_set(&err, number, attempt->connected ? "receive" : "connect", "port");
    agent_reply_error(&attempt->request, &err);
    end(attempt);
}

static void succeed(struct attempt *attempt)
{
    struct message_connected connected = {
        .content = { .data = attempt->answer, .length = attempt->received },
    };

    agent_reply(&attempt->request, MESSAGE_CONNECTED, &connected);
    end(attempt);
}

/* Returns false when the attempt has ended. */
static bool finish_connecting(struct attempt *attempt)
{
    int failure = 0;
    socklen_t size = sizeof failure;

    if (attempt->connected)
        return true;
    if (getsockopt(attempt->watch.fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
        failure = errno;
    if (failure) {
        fail(attempt, failure);
        return false;
    }
    attempt->connected = true;
    if (attempt->length > 0)
        return true;
    succeed(attempt);
    return false;
}

static bool send_content(struct attempt *attempt)
{
    while (attempt->sent < attempt->length) {
        ssize_t size = send(attempt->watch.fd, attempt->content + attempt->sent,
                            attempt->length - attempt->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (size < 0 && errno == EAGAIN)
            return true;
        if (size < 0) {
            fail(attempt, errno);
            return false;
        }
        attempt->sent += (uint32_t)size;
    }
    return true;
}

/* Whether an HTTP/2 server's frames end the first stream, or the connection. RFC 9113, section 4.1: a
 * frame is its length (24 bits), type, flags and stream (31 bits), then what it carries. */
static bool stream_has_ended(const uint8_t *frames, uint32_t length)
{
    enum { HEADER = 9, DATA = 0, HEADERS = 1, RESET = 3, GOAWAY = 7, END_STREAM = 1 };
    uint32_t at = 0;

    while (length - at >= HEADER) {
        const uint8_t *frame = frames + at;
        uint32_t size = (uint32_t)frame[0] << 16 | (uint32_t)frame[1] << 8 | frame[2];
        bool first = !(frame[5] & 0x7f) && !frame[6] && !frame[7] && frame[8] == 1;

        if (size > length - at - HEADER)
            return false;
        if (frame[3] == GOAWAY || (first && frame[3] == RESET))
            return true;
        if (first && (frame[3] == DATA || frame[3] == HEADERS) && frame[4] & END_STREAM)
            return true;
        at += HEADER + size;
    }
    return false;
}

static bool answer_is_whole(const struct attempt *attempt)
{
    if (attempt->received == sizeof attempt->answer)
        return true;
    if (attempt->http2)
        return stream_has_ended(attempt->answer, attempt->received);
    return memchr(attempt->answer, '\n', attempt->received) != NULL;
}

/* A line is enough to judge an answer by; more than that is not waited for. */
static void receive_answer(struct attempt *attempt)
{
    ssize_t size = recv(attempt->watch.fd, attempt->answer + attempt->received,
                        sizeof attempt->answer - attempt->received, MSG_DONTWAIT);

    if (size < 0 && errno == EAGAIN)
        return;
    if (size < 0) {
        fail(attempt, errno);
        return;
    }
    attempt->received += (uint32_t)size;
    if (size == 0 || answer_is_whole(attempt))
        succeed(attempt);
}

static void ready(struct watch *watch, uint32_t events)
{
    struct attempt *attempt =
        (struct attempt *)(void *)((char *)watch - offsetof(struct attempt, watch));
    struct error err;

    if (!finish_connecting(attempt) || !send_content(attempt))
        return;
    if (attempt->sent == attempt->length && events & EPOLLOUT) {
        loop_remove(watch);
        if (loop_add(watch, EPOLLIN, &err) < 0)
            fail(attempt, err.number);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive_answer(attempt);
}

static void too_late(struct timer *timer)
{
    fail((struct attempt *)(void *)((char *)timer - offsetof(struct attempt, deadline)), ETIMEDOUT);
}

static int begin_connecting(const struct message_connect *asked, struct error *err)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(asked->port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(asked->port) };
    bool old = asked->address.length == sizeof v4.sin_addr;
    int fd;

    if (!old && asked->address.length != sizeof v6.sin6_addr)
        return error_set(err, EINVAL, "connect", "an address of %u bytes", asked->address.length);
    memcpy(old ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr, asked->address.data,
           asked->address.length);
    fd = socket(old ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, "socket", "connect");
    if (connect(fd, old ? (const void *)&v4 : (const void *)&v6, old ? sizeof v4 : sizeof v6) < 0 &&
        errno != EINPROGRESS) {
        error_errno(err, "connect", "port %u", asked->port);
        close(fd);
        return -1;
    }
    return fd;
}

COMMAND(connect)
{
    const struct message_connect *asked = message;
    struct attempt *attempt;

    if (asked->content.length > CONTENT_BYTES_MAX)
        return error_set(err, E2BIG, "connect", "%u bytes to send", asked->content.length);
    attempt = calloc(1, sizeof *attempt);
    if (!attempt)
        return error_set(err, ENOMEM, "connect", "port %u", asked->port);
    *attempt = (struct attempt){
        .watch = { .fd = begin_connecting(asked, err), .ready = ready },
        .deadline = { .fire = too_late },
        .request = *request,
        .content = malloc(asked->content.length + 1),
        .length = asked->content.length,
    };
    if (attempt->watch.fd < 0 || !attempt->content) {
        int outcome = attempt->content ? -1 : error_set(err, ENOMEM, "connect", "content");

        if (attempt->watch.fd >= 0)
            close(attempt->watch.fd);
        free(attempt->content);
        free(attempt);
        return outcome;
    }
    if (asked->content.length > 0)
        memcpy(attempt->content, asked->content.data, asked->content.length);
    attempt->http2 = asked->content.length >= sizeof http2_preface - 1 &&
                     !memcmp(asked->content.data, http2_preface, sizeof http2_preface - 1);
    if (loop_add(&attempt->watch, EPOLLOUT, err) < 0) {
        close(attempt->watch.fd);
        free(attempt->content);
        free(attempt);
        return -1;
    }
    loop_timer_arm(&attempt->deadline, asked->timeout_ms);
    return OUTCOME_ANSWERED;
}
