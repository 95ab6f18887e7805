/* Owns what a job has as its root: a container's files, whether the container runs or not.
 *
 * It is made of the same parts as the container's own root, in a mount namespace of the job: what a
 * container mounted or hid for itself is not in it, as with docker cp. No device in it works. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "files.h"
#include "job.h"
#include "mounts.h"
#include "rootfs.h"
#include "sys.h"

static int pivot(int root, unsigned long flags, struct error *err)
{
    if (fchdir(root) < 0 || sys_pivot_root(".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return error_errno(err, "pivot_root", "root file system");
    if (chdir("/") < 0)
        return error_errno(err, "chdir", "/");
    if (mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_NODEV | MS_NOSUID | flags, NULL) < 0)
        return error_errno(err, "mount", "/");
    return 0;
}

static int open_root(const struct container *container, struct error *err)
{
    char path[160];
    int root;

    container_path(container, "/root", path, sizeof path);
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? error_errno(err, "open", "%s", path) : root;
}

int view_enter(const struct container *container, bool volumes, struct error *err)
{
    const struct mount_list *mounts = &container->spec->mounts;
    cleanup_close int root = open_root(container, err);

    if (root < 0)
        return -1;
    for (uint32_t i = 0; volumes && i < mounts->count; i++) {
        int result = 0;

        if (mounts->items[i].kind == MOUNT_VOLUME)
            result = mount_volume(container, root, i, MS_NODEV | MS_NOSUID, err);
        else if (mounts->items[i].kind == MOUNT_FILE)
            result = mount_kept_file(container, root, i, err);
        if (result < 0)
            return -1;
    }
    return pivot(root, container->spec->read_only_root ? MS_RDONLY : 0, err);
}

int view_enter_changes(const struct container *container, int *upper, struct error *err)
{
    cleanup_close int root = -1;
    char path[160];

    container_path(container, "/rw/upper", path, sizeof path);
    *upper = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*upper < 0)
        return error_errno(err, "open", "%s", path);
    container_path(container, "/root", path, sizeof path);
    if (rootfs_mount_lower(&container->rootfs, path, err) < 0)
        return -1;
    root = open_root(container, err);
    return root < 0 ? -1 : pivot(root, MS_RDONLY, err);
}
