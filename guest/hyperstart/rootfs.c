/* Owns root file systems: layers (shared between containers), the writable disk, the overlay. */
#include "rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "disks.h"
#include "files.h"
#include "runtime.h"

/* A mounted layer at <runtime dir>/l/<number>. */
struct layer {
    struct layer *next;
    struct wire_device device;
    unsigned number;
    unsigned users;
};

static struct layer *layers;
static unsigned last_number;

static void layer_path(const struct layer *layer, char *path, size_t size)
{
    snprintf(path, size, "%s/l/%u", runtime.dir, layer->number);
}

static int mount_layer(const struct wire_device *device, const char *path, struct error *err)
{
    char node[160];
    bool directory = device->bus == BUS_TEST_DIRECTORY;
    int outcome = disk_claim(device, node, sizeof node, err);

    if (outcome != OUTCOME_OK)
        return outcome;
    if (make_directory(path, 0755, err) < 0)
        return -1;
    /* Not nosuid: an image's setuid programs work, as under Docker. */
    if (mount(node, path, directory ? NULL : "squashfs",
              directory ? MS_BIND : MS_RDONLY | MS_NODEV | MS_NOATIME, NULL) == 0)
        return OUTCOME_OK;
    error_errno(err, "mount", "layer %s", node);
    rmdir(path);
    return -1;
}

static int layer_get(const struct wire_device *device, struct layer **result, struct error *err)
{
    struct error ignored;
    struct layer *layer;
    char path[128];
    int outcome;

    for (layer = layers; layer; layer = layer->next)
        if (device_equal(&layer->device, device)) {
            layer->users++;
            *result = layer;
            return OUTCOME_OK;
        }
    layer = calloc(1, sizeof *layer);
    if (!layer)
        return error_set(err, ENOMEM, "layer", "index %u", device->index);
    *layer = (struct layer){ .device = *device, .users = 1, .next = layers };
    layer->number = ++last_number;
    layer_path(layer, path, sizeof path);
    outcome = mount_layer(device, path, err);
    if (outcome != OUTCOME_OK) {
        disk_release(device, &ignored);
        free(layer);
        return outcome;
    }
    layers = *result = layer;
    return OUTCOME_OK;
}

/* Drop one use. -1 when the device stays busy: the use is then kept for another try. */
static int layer_put(struct layer *layer, struct error *err)
{
    struct layer **link = &layers;
    char path[128];

    if (layer->users > 1) {
        layer->users--;
        return 0;
    }
    layer_path(layer, path, sizeof path);
    if (umount2(path, 0) < 0 && errno != EINVAL)
        return error_errno(err, "umount", "%s", path);
    if (disk_release(&layer->device, err) < 0)
        return -1;
    rmdir(path);
    while (*link != layer)
        link = &(*link)->next;
    *link = layer->next;
    free(layer);
    return 0;
}

static int get_layers(struct rootfs *rootfs, const struct message_container_create *spec,
                      struct error *err)
{
    rootfs->layers = calloc((size_t)spec->layers.count + 1, sizeof *rootfs->layers);
    if (!rootfs->layers)
        return error_set(err, ENOMEM, "layer", "%u layers", spec->layers.count);
    for (uint32_t i = 0; i < spec->layers.count; i++) {
        int outcome = layer_get(&spec->layers.items[i], &rootfs->layers[i], err);

        if (outcome != OUTCOME_OK)
            return outcome;
        rootfs->layer_count++;
    }
    return OUTCOME_OK;
}

static int mount_writable(struct rootfs *rootfs, const char *path,
                          const struct message_container_create *spec, struct error *err)
{
    char node[160] = "tmpfs", below[160];
    const char *type = "tmpfs", *options = "mode=755";
    int outcome;

    if (spec->writable_kind == 1) {
        outcome = disk_claim(&spec->writable, node, sizeof node, err);
        if (outcome != OUTCOME_OK)
            return outcome;
        rootfs->writable = spec->writable;
        rootfs->writable_claimed = true;
        type = "ext4";
        /* The host's file is sparse, so its inode tables read as zeros already. */
        options = "noinit_itable";
    }
    if (mount(node, path, type, MS_NODEV | MS_NOATIME, options) < 0)
        return error_errno(err, "mount", "writable %s", node);
    rootfs->writable_mounted = true;
    snprintf(below, sizeof below, "%s/upper", path);
    if (make_directory(below, 0755, err) < 0)
        return -1;
    snprintf(below, sizeof below, "%s/work", path);
    return make_directory(below, 0755, err);
}

/* Mount an overlay of the layers, highest first, and of `last` below them ("" for none). The options
 * may take one page, so paths are short and relative to the runtime directory. */
static int mount_layers(const struct rootfs *rootfs, const char *path, const char *begin,
                        const char *last, struct error *err)
{
    char options[4096];
    size_t used = (size_t)snprintf(options, sizeof options, "%slowerdir=", begin);
    int mounted;

    for (uint32_t i = rootfs->layer_count; i-- > 0 && used < sizeof options;)
        used += (size_t)snprintf(options + used, sizeof options - used, "l/%u%s",
                                 rootfs->layers[i]->number, i || *last ? ":" : "");
    if (used < sizeof options)
        used += (size_t)snprintf(options + used, sizeof options - used, "%s", last);
    if (used >= sizeof options)
        return error_set(err, E2BIG, "mount", "overlay of %u layers", rootfs->layer_count);
    if (chdir(runtime.dir) < 0)
        return error_errno(err, "chdir", "%s", runtime.dir);
    mounted = mount("overlay", path, "overlay", 0, options);
    if (mounted < 0)
        error_errno(err, "mount", "overlay of %u layers", rootfs->layer_count);
    return chdir("/") < 0 ? -1 : mounted;
}

static int mount_overlay(struct rootfs *rootfs, const char *dir, struct error *err)
{
    const char *below = dir + strlen(runtime.dir) + 1;
    char begin[400], root[160];
    int mounted;

    snprintf(begin, sizeof begin, "index=off,upperdir=%s/rw/upper,workdir=%s/rw/work,", below,
             below);
    snprintf(root, sizeof root, "%s/root", below);
    mounted = mount_layers(rootfs, root, begin, rootfs->layer_count ? "" : "empty", err);
    rootfs->root_mounted = mounted == 0;
    return mounted;
}

/* What Docker puts into a root file system that has it not: the file by which programs see that they
 * are in a container, and the table of mounts they read (getmntent). What cannot be made is none. */
static void mark_root(const char *root)
{
    cleanup_close int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), etc = -1, mark = -1;

    if (dir < 0)
        return;
    mark = openat(dir, ".dockerenv", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
    etc = openat(dir, "etc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (etc < 0 || symlinkat("/proc/mounts", etc, "mtab") < 0)
        errno = 0;
}

int rootfs_mount_lower(const struct rootfs *rootfs, const char *path, struct error *err)
{
    char directory[160];

    /* Without an upper directory an overlay needs two lower ones; one more that is empty changes
     * nothing. */
    snprintf(directory, sizeof directory, "%s/empty", runtime.dir);
    if (rootfs->layer_count == 0)
        return mount(directory, path, NULL, MS_BIND, NULL) < 0 ? error_errno(err, "mount", "empty")
                                                               : 0;
    return mount_layers(rootfs, path, "", "empty", err);
}

static int mount_all(struct rootfs *rootfs, const char *dir,
                     const struct message_container_create *spec, struct error *err)
{
    char path[160];
    int outcome = get_layers(rootfs, spec, err);

    if (outcome != OUTCOME_OK)
        return outcome;
    snprintf(path, sizeof path, "%s/rw", dir);
    if (make_directory(path, 0755, err) < 0)
        return -1;
    outcome = mount_writable(rootfs, path, spec, err);
    if (outcome != OUTCOME_OK)
        return outcome;
    snprintf(path, sizeof path, "%s/root", dir);
    if (make_directory(path, 0755, err) < 0 || mount_overlay(rootfs, dir, err) < 0)
        return -1;
    mark_root(path);
    return OUTCOME_OK;
}

int rootfs_mount(struct rootfs *rootfs, const char *dir,
                 const struct message_container_create *spec, struct error *err)
{
    struct error ignored;
    int outcome;

    *rootfs = (struct rootfs){ 0 };
    outcome = mount_all(rootfs, dir, spec, err);
    if (outcome != OUTCOME_OK)
        rootfs_unmount(rootfs, dir, &ignored);
    return outcome;
}

static int unmount_one(bool *mounted, const char *dir, const char *name, struct error *err)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (*mounted && umount2(path, 0) < 0 && errno != EINVAL)
        return error_errno(err, "umount", "%s", path);
    *mounted = false;
    rmdir(path);
    return 0;
}

int rootfs_unmount(struct rootfs *rootfs, const char *dir, struct error *err)
{
    if (unmount_one(&rootfs->root_mounted, dir, "root", err) < 0)
        return -1;
    if (unmount_one(&rootfs->writable_mounted, dir, "rw", err) < 0)
        return -1;
    if (rootfs->writable_claimed && disk_release(&rootfs->writable, err) < 0)
        return -1;
    rootfs->writable_claimed = false;
    while (rootfs->layer_count > 0) {
        if (layer_put(rootfs->layers[rootfs->layer_count - 1], err) < 0)
            return -1;
        rootfs->layer_count--;
    }
    free(rootfs->layers);
    rootfs->layers = NULL;
    return 0;
}
