/* Owns volumes that are disks: their mount, their growth, and the freeze while they are copied. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "disks.h"
#include "errand.h"
#include "files.h"
#include "log.h"
#include "runtime.h"
#include "volume.h"
#include "volumes.h"

enum { FREEZE_MS = 30000, FROZEN_MS = 120000, GROW_MS = 120000 };

#define EXT4_RESIZE_FS _IOW('f', 16, uint64_t) /* linux/fs/ext4/ext4.h: EXT4_IOC_RESIZE_FS */

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

/* How large the disk below a file system is, as the hypervisor says now. */
static int disk_size(dev_t device, uint64_t *bytes, struct error *err)
{
    char path[80], text[32];

    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/device/rescan", major(device), minor(device));
    if (faccessat(AT_FDCWD, path, F_OK, 0) == 0 && file_write(AT_FDCWD, path, "1", err) < 0)
        return -1;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/size", major(device), minor(device));
    if (file_read(AT_FDCWD, path, text, sizeof text) <= 0)
        return error_errno(err, "read", "%s", path);
    *bytes = strtoull(text, NULL, 10) * 512;
    return 0;
}

/* Let ext4 have all of a disk that was enlarged; harmless when it has. */
static int grow(const void *what, struct error *err)
{
    const struct volume *volume = what;
    cleanup_close int root = -1;
    struct statfs status;
    struct stat info;
    uint64_t bytes = 0, blocks;
    char path[160];

    volume_path(volume, path, sizeof path);
    root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || fstat(root, &info) < 0 || fstatfs(root, &status) < 0)
        return error_errno(err, "grow", "volume %s", volume->name);
    if (disk_size(info.st_dev, &bytes, err) < 0)
        return -1;
    blocks = bytes / (uint64_t)status.f_bsize;
    if (ioctl(root, EXT4_RESIZE_FS, &blocks) < 0)
        return error_errno(err, "grow", "volume %s", volume->name);
    return 0;
}

static int finish_disk(const struct volume *volume, const struct message_volume_add *add,
                       const char *path, struct error *err)
{
    if (*volume->path && claim_root(volume, path, err) < 0)
        return -1;
    return add->grow ? grow(volume, err) : 0;
}

int disk_mount(struct volume *volume, const struct message_volume_add *add,
                      struct error *err)
{
    unsigned long flags = volume->flags | MS_NOATIME;
    struct error ignored;
    char node[160], path[160];
    int outcome = disk_claim(&volume->device, node, sizeof node, err);

    if (outcome != OUTCOME_OK)
        return outcome;
    volume_path(volume, path, sizeof path);
    if (make_directory(path, 0755, err) == 0) {
        if (mount(node, path, *add->fstype ? add->fstype : "ext4", flags, NULL) < 0) {
            error_errno(err, "mount", "volume %s", volume->name);
        } else {
            if (finish_disk(volume, add, path, err) == 0)
                return OUTCOME_OK;
            umount2(path, MNT_DETACH);
        }
        rmdir(path);
    }
    disk_release(&volume->device, &ignored);
    return -1;
}

/* --- freezing --------------------------------------------------------------------------------- */

static int freeze(const void *what, struct error *err)
{
    const struct volume *volume = what;
    cleanup_close int root = -1;
    char path[160];

    volume_path(volume, path, sizeof path);
    root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || ioctl(root, FIFREEZE, 0) < 0)
        return error_errno(err, "freeze", "volume %s", volume->name);
    return 0;
}

static int thaw(struct volume *volume, struct error *err)
{
    cleanup_close int root = -1;
    char path[160];

    loop_timer_cancel(&volume->thaw);
    volume_path(volume, path, sizeof path);
    root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || ioctl(root, FITHAW, 0) < 0)
        return error_errno(err, "thaw", "volume %s", volume->name);
    return 0;
}

void disks_thaw(void)
{
    struct error ignored;

    for (struct volume *volume = volume_first(); volume; volume = volume->next)
        if (volume->thaw.armed)
            thaw(volume, &ignored);
}

/* The host has not come back: who writes to the volume waits no longer. */
static void thaw_unasked(struct timer *timer)
{
    struct volume *volume =
        (struct volume *)(void *)((char *)timer - offsetof(struct volume, thaw));
    struct error err;

    if (thaw(volume, &err) < 0)
        log_error(LOG_LEVEL_WARNING, &err);
}

static void frozen(void *what, const struct error *failure)
{
    struct volume *volume = what;
    struct request asked = volume->asked;

    volume->waits = false;
    if (failure) {
        agent_reply_error(&asked, failure);
        return;
    }
    volume->thaw.fire = thaw_unasked;
    loop_timer_arm(&volume->thaw, FROZEN_MS);
    agent_reply_ok(&asked);
}

/* A volume that is a disk, and with which nothing is being done. */
static struct volume *find_disk(const char *name, struct error *err)
{
    struct volume *volume = volume_find(name);

    if (!volume)
        error_set(err, ENOENT, "volume", "%s", name);
    else if (volume->kind != VOLUME_DISK)
        error_set(err, EOPNOTSUPP, "volume", "%s", name);
    else if (volume->waits)
        error_set(err, EBUSY, "volume", "%s", name);
    else
        return volume;
    return NULL;
}

static int start(struct volume *volume, const struct request *request, errand_function run,
                 errand_ended ended, uint32_t deadline_ms, struct error *err)
{
    volume->asked = *request;
    volume->waits = true;
    if (errand_start(run, ended, volume, deadline_ms, err) == 0)
        return OUTCOME_ANSWERED;
    volume->waits = false;
    return -1;
}

COMMAND(volume_freeze)
{
    const struct message_volume_freeze *order = message;
    struct volume *volume = find_disk(order->volume, err);

    if (!volume)
        return -1;
    if (!order->frozen)
        return thaw(volume, err);
    return start(volume, request, freeze, frozen, FREEZE_MS, err);
}

/* --- growth ----------------------------------------------------------------------------------- */

static void grown(void *what, const struct error *failure)
{
    struct volume *volume = what;
    struct request asked = volume->asked;

    volume->waits = false;
    if (failure)
        agent_reply_error(&asked, failure);
    else
        agent_reply_ok(&asked);
}

COMMAND(volume_grow)
{
    const struct message_volume_grow *order = message;
    struct volume *volume = find_disk(order->volume, err);

    return volume ? start(volume, request, grow, grown, GROW_MS, err) : -1;
}
