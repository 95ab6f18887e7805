/* Owns disks and their byte ranges: from bus and index to a device node.
 *
 * A range becomes a partition by BLKPG (block/ioctl.c); devtmpfs has made its node when the ioctl
 * returns. Hot-plugged disks are awaited by the kernel's own events (NETLINK_KOBJECT_UEVENT). */
#include "disks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "files.h"
#include "log.h"
#include "loop.h"
#include "runtime.h"

enum { PARTITIONS_MAX = 255, SECTOR_BYTES = 512 };

struct partition {
    struct partition *next;
    struct wire_device device;
    int number;
};

static struct partition *partitions;
static struct watch uevents = { .fd = -1 };

bool device_equal(const struct wire_device *left, const struct wire_device *right)
{
    return left->bus == right->bus && left->index == right->index &&
           left->offset_bytes == right->offset_bytes && left->length_bytes == right->length_bytes;
}

static void uevents_ready(struct watch *watch, uint32_t events)
{
    char text[8192];
    bool block = false;
    ssize_t size;

    (void)events;
    while ((size = recv(watch->fd, text, sizeof text, MSG_DONTWAIT)) > 0)
        block = block || memmem(text, (size_t)size, "SUBSYSTEM=block", 15);
    if (block)
        command_retry_waiting();
}

int disks_listen(struct error *err)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };

    if (uevents.fd >= 0)
        return 0;
    uevents.fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    if (uevents.fd < 0)
        return error_errno(err, "socket", "uevents");
    uevents.ready = uevents_ready;
    if (bind(uevents.fd, (struct sockaddr *)&address, sizeof address) < 0)
        return error_errno(err, "bind", "uevents");
    return loop_add(&uevents, EPOLLIN, err);
}

/* The node of a new disk is there before the disk can be opened (linux/block/genhd.c,
 * device_add_disk: device_add, then bdev_add, then the uevent). */
static int opens(const char *node)
{
    cleanup_close int fd = open(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    return fd < 0 ? -1 : 0;
}

/* The kernel looks for nothing by itself (scsi_mod.scan=manual), neither at boot nor when LUN 0 is
 * plugged in (linux/virtio_scsi.c). Asking for a LUN it knows does no harm. */
static void scan_lun(uint32_t lun)
{
    char text[32];
    struct error ignored;

    snprintf(text, sizeof text, "0 0 %u", lun);
    file_write(AT_FDCWD, "/sys/class/scsi_host/host0/scan", text, &ignored);
}

/* The disk of a LUN is the one entry of /sys/bus/scsi/devices/0:0:0:<LUN>/block. */
static int find_scsi(uint32_t lun, char *name, size_t size)
{
    char path[64];
    cleanup_dir DIR *dir = NULL;
    struct dirent *entry;

    snprintf(path, sizeof path, "/sys/bus/scsi/devices/0:0:0:%u/block", lun);
    dir = opendir(path);
    if (!dir) {
        scan_lun(lun);
        dir = opendir(path);
    }
    if (!dir)
        return -1;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, size, "/dev/%.24s", entry->d_name);
        return opens(name);
    }
    return -1;
}

static int find_disk(const struct wire_device *device, char *node, size_t size, struct error *err)
{
    int found = -1;

    if (device->bus == BUS_TEST_DIRECTORY && !runtime.vm) {
        snprintf(node, size, "%s/test-layers/%u", runtime.dir, device->index);
        return OUTCOME_OK;
    }
    if (device->bus == BUS_VIRTIO_BLK && device->index < 26) {
        snprintf(node, size, "/dev/vd%c", 'a' + (char)device->index);
        found = access(node, F_OK);
    } else if (device->bus == BUS_SCSI) {
        /* Listen first: what comes up after the look below is then heard. */
        if (disks_listen(err) < 0)
            return -1;
        found = find_scsi(device->index, node, size);
    } else {
        return error_set(err, EINVAL, "device", "bus %u index %u", device->bus, device->index);
    }
    if (found == 0)
        return OUTCOME_OK;
    return disks_listen(err) < 0 ? -1 : OUTCOME_WAIT_DEVICE;
}

static int change_partition(const char *disk, int operation, const struct partition *partition)
{
    cleanup_close int fd = open(disk, O_RDONLY | O_CLOEXEC);
    struct blkpg_partition range = {
        .start = (long long)partition->device.offset_bytes,
        .length = (long long)partition->device.length_bytes,
        .pno = partition->number,
    };
    struct blkpg_ioctl_arg argument = { .op = operation, .datalen = sizeof range, .data = &range };

    return fd < 0 ? -1 : ioctl(fd, BLKPG, &argument);
}

static bool number_used(const struct wire_device *device, int number)
{
    for (struct partition *p = partitions; p; p = p->next)
        if (p->device.bus == device->bus && p->device.index == device->index && p->number == number)
            return true;
    return false;
}

static int claim_range(const struct wire_device *device, char *node, size_t size, struct error *err)
{
    struct partition *partition = calloc(1, sizeof *partition);
    char disk[40];

    if (!partition)
        return error_set(err, ENOMEM, "partition", "%s", node);
    snprintf(disk, sizeof disk, "%.39s", node);
    partition->device = *device;
    partition->number = 1;
    while (number_used(device, partition->number))
        partition->number++;
    if (partition->number > PARTITIONS_MAX ||
        change_partition(disk, BLKPG_ADD_PARTITION, partition) < 0) {
        error_errno(err, "partition", "%s at %llu", disk, (unsigned long long)device->offset_bytes);
        free(partition);
        return -1;
    }
    partition->next = partitions;
    partitions = partition;
    snprintf(node, size, "%s%d", disk, partition->number);
    return OUTCOME_OK;
}

int disk_claim(const struct wire_device *device, char *node, size_t size, struct error *err)
{
    int outcome = find_disk(device, node, size, err);

    if (outcome != OUTCOME_OK || device->length_bytes == 0)
        return outcome;
    if (device->offset_bytes % SECTOR_BYTES || device->length_bytes % SECTOR_BYTES)
        return error_set(err, EINVAL, "partition", "%s: not in sectors", node);
    return claim_range(device, node, size, err);
}

int disk_release(const struct wire_device *device, struct error *err)
{
    struct partition **link = &partitions, *partition;
    char disk[40];

    while (*link && !device_equal(&(*link)->device, device))
        link = &(*link)->next;
    partition = *link;
    if (!partition)
        return 0;
    if (find_disk(device, disk, sizeof disk, err) == OUTCOME_OK &&
        change_partition(disk, BLKPG_DEL_PARTITION, partition) < 0 && errno == EBUSY)
        return error_errno(err, "partition", "%s%d", disk, partition->number);
    *link = partition->next;
    free(partition);
    return 0;
}
