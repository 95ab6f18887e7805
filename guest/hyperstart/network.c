/* Owns the VM's interfaces: the one virtio-net device, macvlans over it, addresses, routes. */
#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "netlink.h"

enum { LINKS_MAX = 64, ADDRESSES_MAX = 256, ROUTES_MAX = 256 };

struct link {
    int index;
    char name[IFNAMSIZ];
    bool device;  /* a real one: ours is the only one */
    bool macvlan; /* only we make these */
    bool loopback;
    bool up;
    bool wanted;
    uint8_t mac[6];
};

struct links {
    struct link items[LINKS_MAX];
    size_t count;
};

/* Where the device is while the pod has no network: a namespace nobody is in. */
static struct {
    int own, other; /* namespaces */
    int socket;     /* in the other one */
} parking = { -1, -1, -1 };

/* The interfaces of the last set-up. */
static char our_names[LINKS_MAX][IFNAMSIZ];
static size_t our_count;

/* The routes of the last set-up: those are ours to delete, a container's own are not. */
struct our_route {
    char interface[IFNAMSIZ];
    uint8_t destination[16], gateway[16];
    struct wire_route route; /* what it points to are the arrays above */
};
static struct our_route our_routes[ROUTES_MAX];
static size_t our_routes_count;

static void collect_link(const struct nlmsghdr *header, void *data)
{
    struct links *links = data;
    const struct ifinfomsg *info = NLMSG_DATA(header);
    const struct rtattr *name = netlink_find(header, sizeof *info, IFLA_IFNAME);
    const struct rtattr *mac = netlink_find(header, sizeof *info, IFLA_ADDRESS);
    const struct rtattr *kind;
    struct link *link;

    if (header->nlmsg_type != RTM_NEWLINK || !name || links->count == LINKS_MAX)
        return;
    link = &links->items[links->count++];
    link->index = info->ifi_index;
    memcpy(link->name, RTA_DATA(name),
           RTA_PAYLOAD(name) < IFNAMSIZ ? RTA_PAYLOAD(name) : IFNAMSIZ - 1);
    link->loopback = info->ifi_flags & IFF_LOOPBACK;
    link->up = info->ifi_flags & IFF_UP;
    if (mac && RTA_PAYLOAD(mac) == sizeof link->mac)
        memcpy(link->mac, RTA_DATA(mac), sizeof link->mac);
    /* What a driver made has no kind; macvlan, tunnels and the like have. */
    kind = netlink_find(header, sizeof *info, IFLA_LINKINFO);
    link->device = info->ifi_type == ARPHRD_ETHER && !kind;
    link->macvlan = kind && memmem(RTA_DATA(kind), RTA_PAYLOAD(kind), "macvlan", 7);
}

static int find_links(int fd, struct links *links, struct error *err)
{
    struct netlink_request request;

    *links = (struct links){ 0 };
    netlink_begin(&request, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    if (netlink_dump(fd, &request, collect_link, links) < 0)
        return error_errno(err, "network", "list of interfaces");
    return 0;
}

static struct link *find_named(struct links *links, const char *name)
{
    for (size_t i = 0; i < links->count; i++)
        if (strcmp(links->items[i].name, name) == 0)
            return &links->items[i];
    return NULL;
}

bool network_is_ours(const char *name)
{
    for (size_t i = 0; i < our_count; i++)
        if (strcmp(our_names[i], name) == 0)
            return true;
    return false;
}

static struct link *find_device(struct links *links)
{
    for (size_t i = 0; i < links->count; i++)
        if (links->items[i].device)
            return &links->items[i];
    return NULL;
}

/* Set flags, and where given a name, address and MTU, in one request. */
static int change_link(int fd, int index, bool up, const char *name,
                       const struct wire_interface *interface)
{
    struct netlink_request request;
    struct ifinfomsg *info = netlink_begin(&request, RTM_NEWLINK, 0, sizeof *info);

    info->ifi_index = index;
    info->ifi_change = IFF_UP;
    info->ifi_flags = up ? IFF_UP : 0;
    if (name)
        netlink_add(&request, IFLA_IFNAME, name, strlen(name) + 1);
    if (interface && interface->mac.length == 6)
        netlink_add(&request, IFLA_ADDRESS, interface->mac.data, 6);
    if (interface && interface->mtu)
        netlink_add_u32(&request, IFLA_MTU, interface->mtu);
    return netlink_send(fd, &request);
}

static int make_macvlan(int fd, const struct wire_interface *interface, int parent)
{
    struct netlink_request request;
    struct rtattr *info, *data;

    netlink_begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    netlink_add(&request, IFLA_IFNAME, interface->name, strlen(interface->name) + 1);
    netlink_add_u32(&request, IFLA_LINK, (uint32_t)parent);
    if (interface->mac.length == 6)
        netlink_add(&request, IFLA_ADDRESS, interface->mac.data, 6);
    if (interface->mtu)
        netlink_add_u32(&request, IFLA_MTU, interface->mtu);
    info = netlink_nest(&request, IFLA_LINKINFO);
    netlink_add(&request, IFLA_INFO_KIND, "macvlan", 7);
    data = netlink_nest(&request, IFLA_INFO_DATA);
    netlink_add_u32(&request, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
    netlink_nest_end(&request, data);
    netlink_nest_end(&request, info);
    return netlink_send(fd, &request);
}

static int delete_link(int fd, int index)
{
    struct netlink_request request;
    struct ifinfomsg *info = netlink_begin(&request, RTM_DELLINK, 0, sizeof *info);

    info->ifi_index = index;
    return netlink_send(fd, &request);
}

static bool changes_identity(const struct link *link, const struct wire_interface *interface)
{
    return strcmp(link->name, interface->name) != 0 ||
           (interface->mac.length == sizeof link->mac &&
            memcmp(link->mac, interface->mac.data, sizeof link->mac) != 0);
}

/* Bring the interface into being, up and named; returns its index, or -1. */
static int make_link(int fd, struct links *links, const struct wire_interface *interface,
                     struct error *err)
{
    struct link *link =
        *interface->parent ? find_named(links, interface->name) : find_device(links);
    const struct link *parent;

    if (!link && !*interface->parent)
        return error_set(err, ENODEV, "network", "%s: no network device", interface->name);
    if (!link) {
        parent = find_named(links, interface->parent);
        if (!parent || make_macvlan(fd, interface, parent->index) < 0)
            return error_set(err, parent ? errno : ENODEV, "network", "%s over %s", interface->name,
                             interface->parent);
        if (find_links(fd, links, err) < 0)
            return -1;
        link = find_named(links, interface->name);
        if (!link)
            return error_set(err, ENODEV, "network", "%s", interface->name);
    }
    link->wanted = true;
    /* An interface that is up keeps its name, and the IPv6 address made of its old MAC. */
    if (link->up && changes_identity(link, interface) &&
        change_link(fd, link->index, false, NULL, NULL) < 0)
        return error_errno(err, "network", "%s down", link->name);
    if (change_link(fd, link->index, true,
                    strcmp(link->name, interface->name) ? interface->name : NULL, interface) < 0)
        return error_errno(err, "network", "%s up", interface->name);
    strncpy(link->name, interface->name, IFNAMSIZ - 1);
    link->up = true;
    return link->index;
}

static int family_of(const struct wire_bytes *address)
{
    return address->length == 4 ? AF_INET : address->length == 16 ? AF_INET6 : -1;
}

static int change_address(int fd, int index, uint16_t type, const struct wire_address *address)
{
    struct netlink_request request;
    struct ifaddrmsg *info;
    int family = family_of(&address->address);

    if (family < 0 || address->prefix_length > address->address.length * 8) {
        errno = EINVAL;
        return -1;
    }
    info = netlink_begin(&request, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0,
                         sizeof *info);
    info->ifa_family = (uint8_t)family;
    info->ifa_prefixlen = address->prefix_length;
    info->ifa_index = (uint32_t)index;
    /* The host knows its addresses are free: do not wait for duplicate detection. And it routes
     * each of them: there is no neighbour to be asked for but the gateway. */
    if (family == AF_INET6)
        netlink_add_u32(&request, IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
    netlink_add(&request, IFA_LOCAL, address->address.data, address->address.length);
    netlink_add(&request, IFA_ADDRESS, address->address.data, address->address.length);
    if (family == AF_INET && address->prefix_length < 31) {
        uint8_t broadcast[4];

        for (unsigned i = 0; i < 4; i++) {
            unsigned before = 8 * i, prefix = address->prefix_length;
            unsigned bits = prefix <= before ? 0 : prefix - before < 8 ? prefix - before : 8;

            broadcast[i] = (uint8_t)(address->address.data[i] | 0xFFu >> bits);
        }
        netlink_add(&request, IFA_BROADCAST, broadcast, sizeof broadcast);
    }
    return netlink_send(fd, &request);
}

/* Addresses an interface has and should not have. */
struct stale {
    const struct wire_interface *interface;
    uint32_t index;
    size_t count;
    struct {
        uint8_t data[16];
        struct wire_address address;
    } items[ADDRESSES_MAX];
};

static void collect_stale(const struct nlmsghdr *header, void *data)
{
    struct stale *stale = data;
    const struct ifaddrmsg *info = NLMSG_DATA(header);
    const struct rtattr *address = netlink_find(header, sizeof *info, IFA_ADDRESS);
    const struct address_list *wanted = &stale->interface->addresses;
    size_t size = info->ifa_family == AF_INET ? 4 : 16;

    if (header->nlmsg_type != RTM_NEWADDR || info->ifa_index != stale->index || !address ||
        info->ifa_scope == RT_SCOPE_LINK || RTA_PAYLOAD(address) != size ||
        stale->count == ADDRESSES_MAX)
        return;
    for (uint32_t i = 0; i < wanted->count; i++)
        if (wanted->items[i].address.length == size &&
            wanted->items[i].prefix_length == info->ifa_prefixlen &&
            memcmp(wanted->items[i].address.data, RTA_DATA(address), size) == 0)
            return;
    memcpy(stale->items[stale->count].data, RTA_DATA(address), size);
    stale->items[stale->count].address = (struct wire_address){
        .address = { stale->items[stale->count].data, (uint32_t)size },
        .prefix_length = info->ifa_prefixlen,
    };
    stale->count++;
}

static int set_addresses(int fd, int index, const struct wire_interface *interface,
                         struct error *err)
{
    cleanup_free struct stale *stale = calloc(1, sizeof *stale);
    struct netlink_request request;

    if (!stale)
        return error_set(err, ENOMEM, "network", "%s", interface->name);
    stale->interface = interface;
    stale->index = (uint32_t)index;
    netlink_begin(&request, RTM_GETADDR, 0, sizeof(struct ifaddrmsg));
    if (netlink_dump(fd, &request, collect_stale, stale) < 0)
        return error_errno(err, "network", "addresses of %s", interface->name);
    for (size_t i = 0; i < stale->count; i++)
        change_address(fd, index, RTM_DELADDR, &stale->items[i].address);
    for (uint32_t i = 0; i < interface->addresses.count; i++)
        if (change_address(fd, index, RTM_NEWADDR, &interface->addresses.items[i]) < 0)
            return error_errno(err, "network", "address %u of %s", i, interface->name);
    return 0;
}

static int change_route(int fd, int index, uint16_t type, const struct wire_route *route)
{
    struct netlink_request request;
    struct rtmsg *info;
    const struct wire_bytes *sample = route->gateway.length ? &route->gateway : &route->destination;
    int family = family_of(sample);

    if (family < 0 || (route->prefix_length && route->destination.length != sample->length) ||
        route->prefix_length > sample->length * 8) {
        errno = EINVAL;
        return -1;
    }
    info = netlink_begin(&request, type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_REPLACE : 0,
                         sizeof *info);
    info->rtm_family = (uint8_t)family;
    info->rtm_dst_len = route->prefix_length;
    info->rtm_table = RT_TABLE_MAIN;
    info->rtm_protocol = RTPROT_BOOT;
    info->rtm_type = RTN_UNICAST;
    info->rtm_scope = route->gateway.length ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    if (route->prefix_length)
        netlink_add(&request, RTA_DST, route->destination.data, route->destination.length);
    if (route->gateway.length) {
        /* The gateway may be outside our own prefix: links are point to point. */
        info->rtm_flags = RTNH_F_ONLINK;
        netlink_add(&request, RTA_GATEWAY, route->gateway.data, route->gateway.length);
    }
    netlink_add_u32(&request, RTA_OIF, (uint32_t)index);
    return netlink_send(fd, &request);
}

static int set_routes(int fd, int index, const struct wire_interface *interface, struct error *err)
{
    for (uint32_t i = 0; i < interface->routes.count; i++)
        if (change_route(fd, index, RTM_NEWROUTE, &interface->routes.items[i]) < 0)
            return error_errno(err, "network", "route %u of %s", i, interface->name);
    return 0;
}

static bool same_bytes(const struct wire_bytes *one, const struct wire_bytes *other)
{
    return one->length == other->length &&
           (one->length == 0 || memcmp(one->data, other->data, one->length) == 0);
}

static bool route_is_wanted(const struct our_route *ours, const struct interface_list *interfaces)
{
    for (uint32_t i = 0; i < interfaces->count; i++) {
        const struct wire_interface *interface = &interfaces->items[i];

        for (uint32_t j = 0; j < interface->routes.count; j++) {
            const struct wire_route *route = &interface->routes.items[j];

            if (strcmp(ours->interface, interface->name) == 0 &&
                ours->route.prefix_length == route->prefix_length &&
                same_bytes(&ours->route.destination, &route->destination) &&
                same_bytes(&ours->route.gateway, &route->gateway))
                return true;
        }
    }
    return false;
}

static void copy_bytes(struct wire_bytes *to, uint8_t data[16], const struct wire_bytes *from)
{
    uint32_t length = from->length < 16 ? from->length : 16;

    if (length)
        memcpy(data, from->data, length);
    *to = (struct wire_bytes){ data, length };
}

/* Delete what the set-up before added and this one does not want, and note what this one added. */
static void renew_routes(int fd, struct links *links, const struct interface_list *interfaces)
{
    for (size_t i = 0; i < our_routes_count; i++) {
        const struct link *link = find_named(links, our_routes[i].interface);

        /* It may have gone with its address or its interface: then there is nothing to delete. */
        if (link && !route_is_wanted(&our_routes[i], interfaces))
            change_route(fd, link->index, RTM_DELROUTE, &our_routes[i].route);
    }
    our_routes_count = 0;
    for (uint32_t i = 0; i < interfaces->count; i++) {
        const struct wire_interface *interface = &interfaces->items[i];

        for (uint32_t j = 0; j < interface->routes.count && our_routes_count < ROUTES_MAX; j++) {
            struct our_route *ours = &our_routes[our_routes_count++];

            snprintf(ours->interface, IFNAMSIZ, "%s", interface->name);
            ours->route.prefix_length = interface->routes.items[j].prefix_length;
            copy_bytes(&ours->route.destination, ours->destination,
                       &interface->routes.items[j].destination);
            copy_bytes(&ours->route.gateway, ours->gateway, &interface->routes.items[j].gateway);
        }
    }
}

static int open_parking(struct error *err)
{
    if (parking.socket >= 0)
        return 0;
    parking.own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (parking.own < 0 || unshare(CLONE_NEWNET) < 0)
        return error_errno(err, "network", "namespace");
    parking.other = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    parking.socket = parking.other < 0 ? -1 : netlink_open(NETLINK_ROUTE, err);
    if (setns(parking.own, CLONE_NEWNET) < 0)
        return error_errno(err, "network", "back from the namespace");
    return parking.socket < 0 ? error_errno(err, "network", "namespace") : 0;
}

static int move_link(int fd, int index, int to)
{
    struct netlink_request request;
    struct ifinfomsg *info = netlink_begin(&request, RTM_NEWLINK, 0, sizeof *info);

    info->ifi_index = index;
    netlink_add_u32(&request, IFLA_NET_NS_FD, (uint32_t)to);
    return netlink_send(fd, &request);
}

/* Take the device out of the pod: without a network Docker shows the loopback alone. */
static int park_device(int fd, struct links *links, struct error *err)
{
    const struct link *device = find_device(links);

    if (!device)
        return 0;
    if (open_parking(err) < 0)
        return -1;
    if (move_link(fd, device->index, parking.other) < 0)
        return error_errno(err, "network", "%s out of the pod", device->name);
    return 0;
}

/* Bring it back, if it was taken out. */
static int fetch_device(int fd, struct links *links, struct error *err)
{
    struct links parked;
    const struct link *device;

    if (parking.socket < 0 || find_device(links))
        return 0;
    if (find_links(parking.socket, &parked, err) < 0)
        return -1;
    device = find_device(&parked);
    if (device && move_link(parking.socket, device->index, parking.own) < 0)
        return error_errno(err, "network", "%s into the pod", device->name);
    return find_links(fd, links, err);
}

static int delete_unwanted(int fd, const struct links *links, struct error *err)
{
    for (size_t i = 0; i < links->count; i++)
        if (!links->items[i].wanted && links->items[i].macvlan &&
            delete_link(fd, links->items[i].index) < 0)
            return error_errno(err, "network", "delete %s", links->items[i].name);
    return 0;
}

int network_setup(const struct interface_list *interfaces, struct error *err)
{
    cleanup_close int fd = netlink_open(NETLINK_ROUTE, err);
    struct links links;

    if (fd < 0 || find_links(fd, &links, err) < 0)
        return -1;
    for (size_t i = 0; i < links.count; i++)
        if (links.items[i].loopback && !links.items[i].up &&
            change_link(fd, links.items[i].index, true, NULL, NULL) < 0)
            return error_errno(err, "network", "loopback");
    if (interfaces->count == 0) {
        our_count = our_routes_count = 0;
        return delete_unwanted(fd, &links, err) < 0 ? -1 : park_device(fd, &links, err);
    }
    if (interfaces->count > LINKS_MAX)
        return error_set(err, E2BIG, "network", "%u interfaces", interfaces->count);
    if (fetch_device(fd, &links, err) < 0)
        return -1;
    for (uint32_t i = 0; i < interfaces->count; i++) {
        const struct wire_interface *interface = &interfaces->items[i];
        int index = make_link(fd, &links, interface, err);

        if (index < 0 || set_addresses(fd, index, interface, err) < 0 ||
            set_routes(fd, index, interface, err) < 0)
            return -1;
        snprintf(our_names[i], IFNAMSIZ, "%s", interface->name);
        our_count = i + 1;
    }
    renew_routes(fd, &links, interfaces);
    return delete_unwanted(fd, &links, err);
}
