#ifndef HYPERSTART_ROOTFS_H
#define HYPERSTART_ROOTFS_H

#include "error.h"
#include "messages.h"

struct layer;

/* A container's root file system and what it is made of. */
struct rootfs {
    struct layer **layers; /* lowest first */
    uint32_t layer_count;
    bool writable_mounted;
    bool root_mounted;
    struct wire_device writable; /* its partition goes when it is unmounted */
    bool writable_claimed;
};

/* Mount it below `dir` (root, rw). Returns an enum outcome or -1; on anything but OUTCOME_OK
 * nothing is left mounted. */
int rootfs_mount(struct rootfs *rootfs, const char *dir,
                 const struct message_container_create *spec, struct error *err);

/* Mount its layers alone, read-only, on a path; for a mount namespace of its own. */
int rootfs_mount_lower(const struct rootfs *rootfs, const char *path, struct error *err);

/* Unmount it; -1 with EBUSY when something still uses a device of it. May be repeated. */
int rootfs_unmount(struct rootfs *rootfs, const char *dir, struct error *err);

#endif
