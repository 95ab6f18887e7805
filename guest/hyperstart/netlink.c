/* Owns netlink messages (rtnetlink(7), genetlink): their bytes, sending, answers. */
#include "netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint32_t sequence;

int netlink_open(int family, struct error *err)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);

    return fd < 0 ? error_errno(err, "socket", "netlink %d", family) : fd;
}

void *netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, size_t size)
{
    memset(request, 0, sizeof *request);
    request->header.nlmsg_type = type;
    request->header.nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST);
    request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
    return request->bytes + NLMSG_HDRLEN;
}

void netlink_add(struct netlink_request *request, uint16_t type, const void *data, size_t size)
{
    size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
    struct rtattr head = { .rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = type };

    /* Our longest request is far shorter; an attribute that does not fit is refused by the kernel.
     */
    if (at + RTA_SPACE(size) > sizeof request->bytes)
        return;
    memcpy(request->bytes + at, &head, sizeof head);
    if (size > 0)
        memcpy(request->bytes + at + RTA_LENGTH(0), data, size);
    request->header.nlmsg_len = (uint32_t)(at + RTA_LENGTH(size));
}

void netlink_add_u32(struct netlink_request *request, uint16_t type, uint32_t value)
{
    netlink_add(request, type, &value, sizeof value);
}

struct rtattr *netlink_nest(struct netlink_request *request, uint16_t type)
{
    size_t at = NLMSG_ALIGN(request->header.nlmsg_len);

    netlink_add(request, type, NULL, 0);
    return (struct rtattr *)(void *)(request->bytes + at);
}

void netlink_nest_end(struct netlink_request *request, struct rtattr *nest)
{
    /* The padding of the last attribute inside belongs to the nest, and so to the message. */
    request->header.nlmsg_len = (uint32_t)NLMSG_ALIGN(request->header.nlmsg_len);
    nest->rta_len = (uint16_t)(request->bytes + request->header.nlmsg_len - (uint8_t *)nest);
}

static int post(int fd, struct netlink_request *request)
{
    request->header.nlmsg_seq = ++sequence;
    return send(fd, request->bytes, request->header.nlmsg_len, 0) < 0 ? -1 : 0;
}

/* Read answers until the last: an acknowledgement, an error, the end of a dump. */
static int collect(int fd, void (*each)(const struct nlmsghdr *, void *), void *data)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[16384];

    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        unsigned left = (unsigned)got;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)bytes; NLMSG_OK(h, left);
             h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_seq != sequence)
                continue;
            if (h->nlmsg_type == NLMSG_DONE)
                return 0;
            if (h->nlmsg_type == NLMSG_ERROR) {
                const struct nlmsgerr *answer = NLMSG_DATA(h);

                errno = -answer->error;
                return answer->error ? -1 : 0;
            }
            if (each)
                each(h, data);
        }
    }
}

int netlink_send(int fd, struct netlink_request *request)
{
    request->header.nlmsg_flags |= NLM_F_ACK;
    return post(fd, request) < 0 ? -1 : collect(fd, NULL, NULL);
}

int netlink_ask(int fd, struct netlink_request *request,
                void (*each)(const struct nlmsghdr *header, void *data), void *data)
{
    request->header.nlmsg_flags |= NLM_F_ACK;
    return post(fd, request) < 0 ? -1 : collect(fd, each, data);
}

int netlink_dump(int fd, struct netlink_request *request,
                 void (*each)(const struct nlmsghdr *header, void *data), void *data)
{
    request->header.nlmsg_flags |= NLM_F_DUMP;
    return post(fd, request) < 0 ? -1 : collect(fd, each, data);
}

const struct rtattr *netlink_find(const struct nlmsghdr *header, size_t size, uint16_t type)
{
    const uint8_t *start = (const uint8_t *)header + NLMSG_HDRLEN + NLMSG_ALIGN(size);
    int left = (int)(header->nlmsg_len - NLMSG_HDRLEN - NLMSG_ALIGN(size));

    for (const struct rtattr *a = (const void *)start; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) == type)
            return a;
    return NULL;
}
