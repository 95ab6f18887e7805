/* Owns volumes: below the 9p share, disks with a file system or as they are, tmpfs, NFS. */
#include "volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "container.h"
#include "disks.h"
#include "files.h"
#include "runtime.h"
#include "volume.h"

static struct volume *volumes;
static unsigned last_number;
static bool share_mounted;

struct volume *volume_first(void)
{
    return volumes;
}

struct volume *volume_find(const char *name)
{
    struct volume *volume = volumes;

    while (volume && strcmp(volume->name, name) != 0)
        volume = volume->next;
    return volume;
}

static void volume_free(struct volume *volume)
{
    loop_timer_cancel(&volume->thaw);
    free(volume->name);
    free(volume->path);
    free(volume->options);
    free(volume);
}

void volume_forget(struct volume *volume)
{
    struct volume **link = &volumes;

    while (*link != volume)
        link = &(*link)->next;
    *link = volume->next;
    volume_free(volume);
}

void volume_path(const struct volume *volume, char *path, size_t size)
{
    snprintf(path, size, "%s/v/%u", runtime.dir, volume->number);
}

/* The first volume of this kind mounts the share: a template of a VM must not have done so. */
static int mount_share(struct error *err)
{
    char path[160];

    snprintf(path, sizeof path, "%s/share", runtime.dir);
    if (share_mounted)
        return 0;
    if (make_directory(path, 0755, err) < 0)
        return -1;
    /* cache=mmap: shared writable mappings work, nothing else is cached
     * (Documentation/filesystems/9p.rst). */
    if (runtime.vm && mount("hyper", path, "9p", MS_NOATIME,
                            "trans=virtio,version=9p2000.L,msize=262144,cache=mmap") < 0)
        return error_errno(err, "mount", "share");
    share_mounted = true;
    return 0;
}

static int find_device(struct volume *volume, struct error *err)
{
    struct stat status;
    char node[160];
    int outcome = disk_claim(&volume->device, node, sizeof node, err);

    if (outcome != OUTCOME_OK)
        return outcome;
    if (stat(node, &status) < 0)
        return error_errno(err, "stat", "volume %s", volume->name);
    volume->node = status.st_rdev;
    return OUTCOME_OK;
}

static int mount_tmpfs(const struct volume *volume, struct error *err)
{
    char path[160];

    volume_path(volume, path, sizeof path);
    if (make_directory(path, 0755, err) < 0)
        return -1;
    if (mount("tmpfs", path, "tmpfs", volume->flags | MS_NOATIME, volume->path) == 0)
        return 0;
    error_errno(err, "mount", "volume %s: tmpfs %s", volume->name, volume->path);
    rmdir(path);
    return -1;
}

/* --- commands --------------------------------------------------------------------------------- */

static int mount_volume_of(struct volume *volume, const struct request *request,
                           const struct message_volume_add *add, struct error *err)
{
    switch (volume->kind) {
    case VOLUME_SHARE:
        return mount_share(err);
    case VOLUME_DISK:
        return disk_mount(volume, add, err);
    case VOLUME_TMPFS:
        return mount_tmpfs(volume, err);
    case VOLUME_NFS:
        return export_mount(volume, request, err);
    case VOLUME_DEVICE:
        return find_device(volume, err);
    default:
        return error_set(err, EINVAL, "volume", "kind %u", volume->kind);
    }
}

static struct volume *volume_new(const struct message_volume_add *add, struct error *err)
{
    struct volume *volume = calloc(1, sizeof *volume);

    if (!volume) {
        error_set(err, ENOMEM, "volume", "%s", add->volume);
        return NULL;
    }
    volume->name = strdup(add->volume);
    volume->path = strdup(add->path);
    volume->options = strdup(add->kind == VOLUME_NFS ? add->fstype : "");
    volume->kind = add->kind;
    volume->device = add->device;
    volume->read_only = add->read_only;
    volume->flags =
        (unsigned long)add->flags | MS_NODEV | (add->read_only ? (unsigned long)MS_RDONLY : 0);
    volume->number = ++last_number;
    if (volume->name && volume->path && volume->options)
        return volume;
    error_set(err, ENOMEM, "volume", "%s", add->volume);
    volume_free(volume);
    return NULL;
}

COMMAND(volume_add)
{
    const struct message_volume_add *add = message;
    struct volume *volume;
    int outcome;

    if (volume_find(add->volume))
        return error_set(err, EEXIST, "volume", "%s", add->volume);
    volume = volume_new(add, err);
    if (!volume)
        return -1;
    outcome = mount_volume_of(volume, request, add, err);
    if (outcome < 0 || outcome == OUTCOME_WAIT_DEVICE) {
        volume_free(volume);
        return outcome;
    }
    volume->next = volumes;
    volumes = volume;
    return outcome;
}

static int unmount(const struct volume *volume, struct error *err)
{
    char path[160];

    if (volume->kind == VOLUME_SHARE || volume->kind == VOLUME_DEVICE)
        return 0;
    volume_path(volume, path, sizeof path);
    if (umount2(path, 0) < 0 && errno != EINVAL)
        return error_errno(err, "umount", "volume %s", volume->name);
    if (volume->kind == VOLUME_DISK && disk_release(&volume->device, err) < 0)
        return -1;
    rmdir(path);
    return 0;
}

COMMAND(volume_remove)
{
    const struct message_volume_remove *remove = message;
    struct volume *volume = volume_find(remove->volume);

    if (!volume)
        return error_set(err, ENOENT, "volume", "%s", remove->volume);
    if (volume->waits || containers_use_volume(remove->volume))
        return error_set(err, EBUSY, "volume", "%s", remove->volume);
    if (volume->kind == VOLUME_NFS)
        return export_unmount(volume, request, err);
    if (unmount(volume, err) < 0)
        return -1;
    volume_forget(volume);
    return OUTCOME_OK;
}

/* Make a directory in a volume, with the mode it asks for if it was not there. */
static int make_subpath(int volume, const char *subpath, uint32_t mode, struct error *err)
{
    cleanup_close int made = root_make(volume, subpath, true, err);
    char path[40];

    if (made < 0)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", made);
    if (chmod(path, mode & 07777) < 0)
        return error_errno(err, "chmod", "%s", subpath);
    return take_fd(&made);
}

int volume_device(const char *name, dev_t *device, struct error *err)
{
    const struct volume *volume = volume_find(name);

    if (!volume || volume->kind != VOLUME_DEVICE)
        return error_set(err, ENOENT, "device", "volume %s", name);
    *device = volume->node;
    return 0;
}

int volume_open(const char *name, const char *subpath, uint32_t mode, struct error *err)
{
    const struct volume *volume = volume_find(name);
    cleanup_close int base = -1;
    cleanup_close int inside = -1;
    char path[160];
    int fd;

    if (!volume)
        return error_set(err, ENOENT, "volume", "%s", name);
    if (volume->kind == VOLUME_SHARE)
        snprintf(path, sizeof path, "%s/share", runtime.dir);
    else
        volume_path(volume, path, sizeof path);
    base = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    inside = base < 0 ? -1
                      : root_open(base, volume->kind == VOLUME_SHARE ? volume->path : ".", O_PATH);
    if (inside < 0)
        return error_errno(err, "open", "volume %s", name);
    if (!*subpath)
        return take_fd(&inside);
    fd = root_open(inside, subpath, O_PATH);
    if (fd < 0 && errno == ENOENT && mode)
        return make_subpath(inside, subpath, mode, err);
    return fd < 0 ? error_errno(err, "open", "volume %s: %s", name, subpath) : fd;
}

bool volume_give_up(const char *name)
{
    struct volume *volume = volume_find(name);

    if (!volume || volume->kind != VOLUME_NFS)
        return false;
    export_give_up(volume);
    return true;
}

void volumes_unmount(void)
{
    struct error ignored;
    char path[160];

    /* A server that does not answer holds us up: what has none comes first. */
    for (struct volume *volume = volumes; volume; volume = volume->next)
        if (volume->kind != VOLUME_NFS)
            unmount(volume, &ignored);
    for (struct volume *volume = volumes; volume; volume = volume->next)
        if (volume->kind == VOLUME_NFS)
            unmount(volume, &ignored);
    snprintf(path, sizeof path, "%s/share", runtime.dir);
    if (share_mounted)
        umount2(path, MNT_DETACH);
}
