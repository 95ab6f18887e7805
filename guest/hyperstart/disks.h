#ifndef HYPERSTART_DISKS_H
#define HYPERSTART_DISKS_H

#include <stddef.h>

#include "error.h"
#include "messages.h"

enum { BUS_VIRTIO_BLK = 0, BUS_SCSI = 1, BUS_TEST_DIRECTORY = 255 };

/* Find the device node of a disk or of a byte range of it, which becomes a partition. Returns an
 * enum outcome, or -1. A range is claimed once; release it with disk_release. */
int disk_claim(const struct wire_device *device, char *node, size_t size, struct error *err);

/* Delete the partition of a range; -1 with EBUSY while it is in use. */
int disk_release(const struct wire_device *device, struct error *err);

bool device_equal(const struct wire_device *left, const struct wire_device *right);

/* Listen for devices that appear, once. */
int disks_listen(struct error *err);

#endif
