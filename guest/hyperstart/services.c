/* Owns services inside the pod: an address and port balanced over backends by IPVS, which is asked
 * by generic netlink (linux/ip_vs.h, linux/genetlink.h). */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "netlink.h"

enum { LOOPBACK_INDEX = 1 };

struct target {
    const struct wire_bytes *address;
    uint16_t port;
    uint8_t protocol;
};

static void take_family(const struct nlmsghdr *header, void *data)
{
    const struct rtattr *id = netlink_find(header, sizeof(struct genlmsghdr), CTRL_ATTR_FAMILY_ID);

    if (id)
        memcpy(data, RTA_DATA(id), sizeof(uint16_t));
}

/* The number of the IPVS family; it never changes while the kernel runs. */
static int ipvs_family(int fd, struct error *err)
{
    static uint16_t family;
    struct netlink_request request;
    struct genlmsghdr *genl;

    if (family)
        return family;
    genl = netlink_begin(&request, GENL_ID_CTRL, 0, sizeof *genl);
    genl->cmd = CTRL_CMD_GETFAMILY;
    genl->version = 1;
    netlink_add(&request, CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME, sizeof IPVS_GENL_NAME);
    if (netlink_ask(fd, &request, take_family, &family) < 0 || !family)
        return error_set(err, family ? errno : ENOENT, "service", "the kernel has no IPVS");
    return family;
}

static int begin(int fd, struct netlink_request *request, uint8_t command, struct error *err)
{
    int family = ipvs_family(fd, err);
    struct genlmsghdr *genl;

    if (family < 0)
        return -1;
    genl = netlink_begin(request, (uint16_t)family, 0, sizeof *genl);
    genl->cmd = command;
    genl->version = IPVS_GENL_VERSION;
    return 0;
}

static void add_u16(struct netlink_request *request, uint16_t type, uint16_t value)
{
    netlink_add(request, type, &value, sizeof value);
}

/* The kernel takes an address of either family in 16 bytes. */
static void add_address(struct netlink_request *request, uint16_t type,
                        const struct wire_bytes *address)
{
    uint8_t bytes[16] = { 0 };

    memcpy(bytes, address->data, address->length);
    netlink_add(request, type, bytes, sizeof bytes);
}

static void add_service(struct netlink_request *request, const struct target *target,
                        const char *scheduler)
{
    bool old = target->address->length == sizeof(struct in_addr);
    struct ip_vs_flags flags = { .flags = 0, .mask = ~0u };
    struct rtattr *nest = netlink_nest(request, IPVS_CMD_ATTR_SERVICE | NLA_F_NESTED);

    add_u16(request, IPVS_SVC_ATTR_AF, old ? AF_INET : AF_INET6);
    add_u16(request, IPVS_SVC_ATTR_PROTOCOL, target->protocol);
    add_address(request, IPVS_SVC_ATTR_ADDR, target->address);
    add_u16(request, IPVS_SVC_ATTR_PORT, htons(target->port));
    if (scheduler) {
        netlink_add(request, IPVS_SVC_ATTR_SCHED_NAME, scheduler, strlen(scheduler) + 1);
        netlink_add(request, IPVS_SVC_ATTR_FLAGS, &flags, sizeof flags);
        netlink_add_u32(request, IPVS_SVC_ATTR_TIMEOUT, 0);
        netlink_add_u32(request, IPVS_SVC_ATTR_NETMASK, old ? ~0u : 128);
    }
    netlink_nest_end(request, nest);
}

static int add_backend(int fd, const struct target *target, const struct wire_backend *backend,
                       struct error *err)
{
    struct netlink_request request;
    struct rtattr *nest;

    if (backend->address.length != target->address->length)
        return error_set(err, EINVAL, "service", "a backend of another address family");
    if (begin(fd, &request, IPVS_CMD_NEW_DEST, err) < 0)
        return -1;
    add_service(&request, target, NULL);
    nest = netlink_nest(&request, IPVS_CMD_ATTR_DEST | NLA_F_NESTED);
    add_address(&request, IPVS_DEST_ATTR_ADDR, &backend->address);
    add_u16(&request, IPVS_DEST_ATTR_PORT, htons(backend->port));
    netlink_add_u32(&request, IPVS_DEST_ATTR_FWD_METHOD, IP_VS_CONN_F_MASQ);
    netlink_add_u32(&request, IPVS_DEST_ATTR_WEIGHT, backend->weight);
    netlink_add_u32(&request, IPVS_DEST_ATTR_U_THRESH, 0);
    netlink_add_u32(&request, IPVS_DEST_ATTR_L_THRESH, 0);
    netlink_nest_end(&request, nest);
    if (netlink_send(fd, &request) < 0)
        return error_errno(err, "service", "backend port %u", backend->port);
    return 0;
}

static int remove_service(int fd, const struct target *target, struct error *err)
{
    struct netlink_request request;

    if (begin(fd, &request, IPVS_CMD_DEL_SERVICE, err) < 0)
        return -1;
    add_service(&request, target, NULL);
    if (netlink_send(fd, &request) < 0 && errno != ESRCH)
        return error_errno(err, "service", "port %u", target->port);
    return 0;
}

/* Make an address local, or no more; either may have been done already. A local route and not an
 * address of the loopback: so clients get a source that backends in other pods can answer, and
 * IPVS can send them to backends in this one (linux/ip_vs_xmit.c, __ip_vs_get_out_rt). */
static int set_local(const struct wire_bytes *address, const struct wire_bytes *source, bool added,
                     struct error *err)
{
    cleanup_close int fd = netlink_open(NETLINK_ROUTE, err);
    bool old = address->length == sizeof(struct in_addr);
    struct netlink_request request;
    struct rtmsg *message;

    if (fd < 0)
        return -1;
    message = netlink_begin(&request, added ? RTM_NEWROUTE : RTM_DELROUTE,
                            added ? NLM_F_CREATE | NLM_F_REPLACE : 0, sizeof *message);
    message->rtm_family = old ? AF_INET : AF_INET6;
    message->rtm_dst_len = old ? 32 : 128;
    message->rtm_table = RT_TABLE_LOCAL;
    message->rtm_protocol = RTPROT_STATIC;
    message->rtm_scope = old ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
    message->rtm_type = RTN_LOCAL;
    netlink_add(&request, RTA_DST, address->data, address->length);
    netlink_add_u32(&request, RTA_OIF, LOOPBACK_INDEX);
    if (source && source->length == address->length)
        netlink_add(&request, RTA_PREFSRC, source->data, source->length);
    if (netlink_send(fd, &request) < 0 && errno != ESRCH && errno != EEXIST)
        return error_errno(err, "route", "to a service");
    return 0;
}

static int check(const struct target *target, struct error *err)
{
    size_t length = target->address->length;

    if (length != sizeof(struct in_addr) && length != sizeof(struct in6_addr))
        return error_set(err, EINVAL, "service", "an address of %zu bytes", length);
    return 0;
}

COMMAND(service_set)
{
    const struct message_service_set *set = message;
    struct target target = { &set->address, set->port, set->protocol };
    cleanup_close int fd = -1;
    struct netlink_request asked;

    (void)request;
    if (check(&target, err) < 0)
        return -1;
    fd = netlink_open(NETLINK_GENERIC, err);
    if (fd < 0 || remove_service(fd, &target, err) < 0)
        return -1;
    if (set_local(&set->address, &set->source, true, err) < 0)
        return -1;
    if (begin(fd, &asked, IPVS_CMD_NEW_SERVICE, err) < 0)
        return -1;
    add_service(&asked, &target, set->scheduler);
    if (netlink_send(fd, &asked) < 0)
        return error_errno(err, "service", "port %u, scheduler %s", set->port, set->scheduler);
    for (uint32_t i = 0; i < set->backends.count; i++)
        if (add_backend(fd, &target, &set->backends.items[i], err) < 0) {
            struct error ignored;

            remove_service(fd, &target, &ignored);
            return -1;
        }
    return OUTCOME_OK;
}

COMMAND(service_remove)
{
    const struct message_service_remove *remove = message;
    struct target target = { &remove->address, remove->port, remove->protocol };
    cleanup_close int fd = -1;

    (void)request;
    if (check(&target, err) < 0)
        return -1;
    fd = netlink_open(NETLINK_GENERIC, err);
    if (fd < 0 || remove_service(fd, &target, err) < 0)
        return -1;
    if (remove->withdraw && set_local(&remove->address, NULL, false, err) < 0)
        return -1;
    return OUTCOME_OK;
}
