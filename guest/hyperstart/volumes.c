/* Owns volumes: directories below the 9p share, disks with a file system, tmpfs. */
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
#include "commands.h"
#include "container.h"
#include "disks.h"
#include "files.h"
#include "runtime.h"

enum { VOLUME_SHARE = 0, VOLUME_DISK = 1, VOLUME_TMPFS = 2 };

struct volume {
    struct volume *next;
    char *name;
    char *path; /* below the share; options of a tmpfs, of a fresh disk's root */
    uint8_t kind;
    bool read_only;
    unsigned number; /* a mount of its own is at <runtime dir>/v/<number> */
    struct wire_device device;
};

static struct volume *volumes;
static unsigned last_number;
static bool share_mounted;

static struct volume *find(const char *name)
{
    struct volume *volume = volumes;

    while (volume && strcmp(volume->name, name) != 0)
        volume = volume->next;
    return volume;
}

static void volume_free(struct volume *volume)
{
    free(volume->name);
    free(volume->path);
    free(volume);
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

/* Give the root of a fresh file system, one that still has its lost+found, the mode and group it
 * is to have: options are mode=OCTAL,gid=NUMBER, each optional. */
static int claim_root(const struct volume *volume, const char *path, struct error *err)
{
    cleanup_close int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *mode = strstr(volume->path, "mode=");
    const char *group = strstr(volume->path, "gid=");

    if (root < 0)
        return error_errno(err, "open", "volume %s", volume->name);
    if (unlinkat(root, "lost+found", AT_REMOVEDIR) < 0)
        return 0;
    if (group && fchown(root, 0, (gid_t)strtoul(group + strlen("gid="), NULL, 10)) < 0)
        return error_errno(err, "chown", "volume %s", volume->name);
    if (mode && fchmod(root, (mode_t)(strtoul(mode + strlen("mode="), NULL, 8) & 07777)) < 0)
        return error_errno(err, "chmod", "volume %s", volume->name);
    return 0;
}

static int mount_disk(struct volume *volume, const char *fstype, struct error *err)
{
    unsigned long flags = MS_NODEV | MS_NOATIME | (volume->read_only ? MS_RDONLY : 0);
    struct error ignored;
    char node[160], path[160];
    int outcome = disk_claim(&volume->device, node, sizeof node, err);

    if (outcome != OUTCOME_OK)
        return outcome;
    snprintf(path, sizeof path, "%s/v/%u", runtime.dir, volume->number);
    if (make_directory(path, 0755, err) == 0) {
        if (mount(node, path, *fstype ? fstype : "ext4", flags, NULL) < 0) {
            error_errno(err, "mount", "volume %s", volume->name);
        } else {
            if (!*volume->path || claim_root(volume, path, err) == 0)
                return OUTCOME_OK;
            umount2(path, MNT_DETACH);
        }
        rmdir(path);
    }
    disk_release(&volume->device, &ignored);
    return -1;
}

static int mount_tmpfs(const struct volume *volume, struct error *err)
{
    char path[160];

    snprintf(path, sizeof path, "%s/v/%u", runtime.dir, volume->number);
    if (make_directory(path, 0755, err) < 0)
        return -1;
    if (mount("tmpfs", path, "tmpfs", MS_NODEV | MS_NOATIME, volume->path) == 0)
        return 0;
    error_errno(err, "mount", "volume %s: tmpfs %s", volume->name, volume->path);
    rmdir(path);
    return -1;
}

static int mount_volume(struct volume *volume, const char *fstype, struct error *err)
{
    switch (volume->kind) {
    case VOLUME_SHARE:
        return mount_share(err);
    case VOLUME_DISK:
        return mount_disk(volume, fstype, err);
    case VOLUME_TMPFS:
        return mount_tmpfs(volume, err);
    default:
        return error_set(err, EINVAL, "volume", "kind %u", volume->kind);
    }
}

COMMAND(volume_add)
{
    const struct message_volume_add *add = message;
    struct volume *volume;
    int outcome;

    (void)request;
    if (find(add->volume))
        return error_set(err, EEXIST, "volume", "%s", add->volume);
    volume = calloc(1, sizeof *volume);
    if (!volume)
        return error_set(err, ENOMEM, "volume", "%s", add->volume);
    volume->name = strdup(add->volume);
    volume->path = strdup(add->path);
    volume->kind = add->kind;
    volume->device = add->device;
    volume->read_only = add->read_only;
    volume->number = ++last_number;
    if (!volume->name || !volume->path)
        outcome = error_set(err, ENOMEM, "volume", "%s", add->volume);
    else
        outcome = mount_volume(volume, add->fstype, err);
    if (outcome != OUTCOME_OK) {
        volume_free(volume);
        return outcome;
    }
    volume->next = volumes;
    volumes = volume;
    return OUTCOME_OK;
}

static int unmount(const struct volume *volume, struct error *err)
{
    char path[160];

    if (volume->kind == VOLUME_SHARE)
        return 0;
    snprintf(path, sizeof path, "%s/v/%u", runtime.dir, volume->number);
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
    struct volume *volume = find(remove->volume), **link = &volumes;

    (void)request;
    if (!volume)
        return error_set(err, ENOENT, "volume", "%s", remove->volume);
    if (containers_use_volume(remove->volume))
        return error_set(err, EBUSY, "volume", "%s", remove->volume);
    if (unmount(volume, err) < 0)
        return -1;
    while (*link != volume)
        link = &(*link)->next;
    *link = volume->next;
    volume_free(volume);
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

int volume_open(const char *name, const char *subpath, uint32_t mode, struct error *err)
{
    const struct volume *volume = find(name);
    cleanup_close int base = -1;
    cleanup_close int inside = -1;
    char path[160];
    int fd;

    if (!volume)
        return error_set(err, ENOENT, "volume", "%s", name);
    if (volume->kind == VOLUME_SHARE)
        snprintf(path, sizeof path, "%s/share", runtime.dir);
    else
        snprintf(path, sizeof path, "%s/v/%u", runtime.dir, volume->number);
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

void volumes_unmount(void)
{
    struct error ignored;
    char path[160];

    for (struct volume *volume = volumes; volume; volume = volume->next)
        unmount(volume, &ignored);
    snprintf(path, sizeof path, "%s/share", runtime.dir);
    if (share_mounted)
        umount2(path, MNT_DETACH);
}
