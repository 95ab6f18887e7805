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

enum { FREEZE_MS = 30000, FROZEN_MS = 120000 };

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

/* Let ext4 have all of a disk that was enlarged; harmless when it has. */
static int grow(const struct volume *volume, const char *node, const char *path, struct error *err)
{
    cleanup_close int disk = open(node, O_RDONLY | O_CLOEXEC);
    cleanup_close int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t bytes = 0, blocks;
    struct statfs status;

    if (disk < 0 || root < 0 || ioctl(disk, BLKGETSIZE64, &bytes) < 0 || fstatfs(root, &status) < 0)
        return error_errno(err, "grow", "volume %s", volume->name);
    blocks = bytes / (uint64_t)status.f_bsize;
    if (ioctl(root, EXT4_RESIZE_FS, &blocks) < 0)
        return error_errno(err, "grow", "volume %s", volume->name);
    return 0;
}

static int finish_disk(const struct volume *volume, const struct message_volume_add *add,
                       const char *node, const char *path, struct error *err)
{
    if (*volume->path && claim_root(volume, path, err) < 0)
        return -1;
    return add->grow ? grow(volume, node, path, err) : 0;
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
            if (finish_disk(volume, add, node, path, err) == 0)
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

COMMAND(volume_freeze)
{
    const struct message_volume_freeze *order = message;
    struct volume *volume = volume_find(order->volume);

    if (!volume)
        return error_set(err, ENOENT, "volume", "%s", order->volume);
    if (volume->kind != VOLUME_DISK)
        return error_set(err, EOPNOTSUPP, "freeze", "volume %s", order->volume);
    if (volume->waits)
        return error_set(err, EBUSY, "volume", "%s", order->volume);
    if (!order->frozen)
        return thaw(volume, err);
    volume->asked = *request;
    volume->waits = true;
    if (errand_start(freeze, frozen, volume, FREEZE_MS, err) == 0)
        return OUTCOME_ANSWERED;
    volume->waits = false;
    return -1;
}
