#ifndef HYPERSTART_NETLINK_H
#define HYPERSTART_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

enum { NETLINK_BYTES = 1024 };

/* One request being put together: header, a fixed part, attributes. */
struct netlink_request {
    union {
        struct nlmsghdr header;
        uint8_t bytes[NETLINK_BYTES];
    };
};

/* `family` is NETLINK_ROUTE or NETLINK_GENERIC. */
int netlink_open(int family, struct error *err);

/* Begin a request; returns its fixed part, zeroed. */
void *netlink_begin(struct netlink_request *request, uint16_t type, uint16_t flags, size_t size);
void netlink_add(struct netlink_request *request, uint16_t type, const void *data, size_t size);
void netlink_add_u32(struct netlink_request *request, uint16_t type, uint32_t value);
struct rtattr *netlink_nest(struct netlink_request *request, uint16_t type);
void netlink_nest_end(struct netlink_request *request, struct rtattr *nest);

/* Send and wait for the kernel's verdict; returns 0, or -1 with errno. */
int netlink_send(int fd, struct netlink_request *request);

/* Send and hand every answer before the verdict to `each`. */
int netlink_ask(int fd, struct netlink_request *request,
                void (*each)(const struct nlmsghdr *header, void *data), void *data);

/* Send a dump request and hand every answer to `each`, which must not use fd. */
int netlink_dump(int fd, struct netlink_request *request,
                 void (*each)(const struct nlmsghdr *header, void *data), void *data);

/* The attribute of a message, or NULL. `size` is that of its fixed part. */
const struct rtattr *netlink_find(const struct nlmsghdr *header, size_t size, uint16_t type);

#endif
