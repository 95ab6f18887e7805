/* Owns volumes that are NFS exports: mounted, and given up, by a child, because the server may not
 * answer. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "errand.h"
#include "files.h"
#include "log.h"
#include "nfs.h"
#include "volume.h"

enum { MOUNT_MS = 30000, UNMOUNT_MS = 10000, SILENT_UNMOUNT_MS = 2000, GIVE_UP_MS = 10000 };

static int mount_export(const void *what, struct error *err)
{
    const struct volume *volume = what;
    char path[160];

    volume_path(volume, path, sizeof path);
    return nfs_mount(volume->path, path, volume->flags, volume->options, err);
}

static void export_mounted(void *what, const struct error *failure)
{
    struct volume *volume = what;
    struct request asked = volume->asked;
    char path[160];
    struct error err;

    volume->waits = false;
    if (!failure) {
        agent_reply_ok(&asked);
        return;
    }
    error_set(&err, failure->number, "mount", "volume %s: NFS export %s", volume->name,
              volume->path);
    volume_path(volume, path, sizeof path);
    rmdir(path);
    volume_forget(volume);
    agent_reply_error(&asked, &err);
}

int export_mount(struct volume *volume, const struct request *request, struct error *err)
{
    char path[160];

    volume_path(volume, path, sizeof path);
    if (make_directory(path, 0755, err) < 0)
        return -1;
    volume->asked = *request;
    volume->waits = true;
    if (errand_start(mount_export, export_mounted, volume, MOUNT_MS, err) == 0)
        return OUTCOME_ANSWERED;
    rmdir(path);
    return -1;
}

static int unmount_export(const void *what, struct error *err)
{
    const struct volume *volume = what;
    char path[160];

    volume_path(volume, path, sizeof path);
    if (umount2(path, 0) < 0 && errno != EINVAL)
        return error_errno(err, "umount", "volume %s", volume->name);
    return 0;
}

/* A server that does not answer does not keep a container from ending. */
static void export_unmounted(void *what, const struct error *failure)
{
    struct volume *volume = what;
    struct request asked = volume->asked;
    char path[160];

    volume->waits = false;
    if (failure && failure->number != ETIMEDOUT) {
        agent_reply_error(&asked, failure);
        return;
    }
    if (failure)
        log_line(LOG_LEVEL_WARNING, "volume %s: %s does not answer: what it was not sent is lost",
                 volume->name, volume->path);
    volume_path(volume, path, sizeof path);
    rmdir(path);
    volume_forget(volume);
    agent_reply_ok(&asked);
}

int export_unmount(struct volume *volume, const struct request *request, struct error *err)
{
    volume->asked = *request;
    volume->waits = true;
    if (errand_start(unmount_export, export_unmounted, volume,
                     volume->silent ? SILENT_UNMOUNT_MS : UNMOUNT_MS, err) == 0)
        return OUTCOME_ANSWERED;
    volume->waits = false;
    return -1;
}

/*
 * MNT_FORCE ends the requests that are under way (linux/fs/nfs/super.c, nfs_umount_begin); so end
 * even waits that SIGKILL does not, those for pages to be written. It unmounts as well what nobody
 * uses, therefore in a mount namespace of its own.
 */
static int abort_requests(const void *what, struct error *err)
{
    const char *path = what;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_errno(err, "unshare", "%s", path);
    if (umount2(path, MNT_FORCE) < 0 && errno != EBUSY)
        return error_errno(err, "umount", "%s", path);
    return 0;
}

static void requests_aborted(void *what, const struct error *failure)
{
    if (failure)
        log_error(LOG_LEVEL_WARNING, failure);
    free(what);
}

void export_give_up(struct volume *volume)
{
    struct error err;
    char path[160];
    char *copy;

    if (!volume->silent)
        log_line(LOG_LEVEL_WARNING, "volume %s: %s does not answer: requests to it are given up",
                 volume->name, volume->path);
    volume->silent = true;
    volume_path(volume, path, sizeof path);
    copy = strdup(path);
    if (copy && errand_start(abort_requests, requests_aborted, copy, GIVE_UP_MS, &err) == 0)
        return;
    log_error(LOG_LEVEL_WARNING, &err);
    free(copy);
}
