/* Owns the mounts a container asks for: one function for each kind of struct mount. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "files.h"
#include "mounts.h"
#include "populate.h"
#include "runtime.h"
#include "volumes.h"

/* The flags a bind mount has of its own. */
#define BIND_FLAGS                                                                                 \
    (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME)

/* Bind an fd over a destination, then give the mount its flags. */
static int bind_fd(int root, const struct wire_mount *mount, int source, int target,
                   unsigned long more_flags, struct error *err)
{
    unsigned long flags = (mount->flags & BIND_FLAGS) | more_flags;
    cleanup_close int mounted = -1;
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", source);
    if (mount_on(target, path, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_errno(err, "mount", "%s", mount->destination);
    if (flags == 0)
        return 0;
    mounted = root_open(root, mount->destination, O_PATH);
    if (mounted < 0 || mount_on(mounted, NULL, NULL, MS_BIND | MS_REMOUNT | flags, NULL) < 0)
        return error_errno(err, "mount", "%s", mount->destination);
    return 0;
}

int mount_volume(const struct container *container, int root, uint32_t i, unsigned long flags,
                 struct error *err)
{
    const struct wire_mount *mount = &container->spec->mounts.items[i];
    cleanup_close int source = volume_open(mount->source, mount->subpath, mount->mode, err);
    cleanup_close int target = -1;
    struct stat status;

    if (source < 0)
        return -1;
    if (fstat(source, &status) < 0)
        return error_errno(err, "stat", "volume %s", mount->source);
    /* What a container emptied once it ran stays empty. */
    if (mount->populate && !container->started && S_ISDIR(status.st_mode) &&
        populate_volume(root, mount->destination, source, err) < 0)
        return -1;
    target = root_make(root, mount->destination, S_ISDIR(status.st_mode), err);
    return target < 0 ? -1 : bind_fd(root, mount, source, target, flags, err);
}

static int mount_own_volume(const struct container *container, int root, uint32_t i,
                            struct error *err)
{
    return mount_volume(container, root, i, 0, err);
}

/* A file with the content given, kept beside the root file system. */
static int mount_file(const struct container *container, int root, uint32_t i, struct error *err)
{
    const struct wire_mount *mount = &container->spec->mounts.items[i];
    cleanup_close int source = -1, target = -1;
    char below[32], path[176];
    size_t done = 0;

    snprintf(below, sizeof below, "/file%u", i);
    container_path(container, below, path, sizeof path);
    source = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (source < 0)
        return error_errno(err, "open", "%s", path);
    while (done < mount->data.length) {
        ssize_t size = write(source, mount->data.data + done, mount->data.length - done);

        if (size < 0)
            return error_errno(err, "write", "%s", mount->destination);
        done += (size_t)size;
    }
    if (fchown(source, mount->uid, mount->gid) < 0 ||
        fchmod(source, mount->mode ? mount->mode : 0644) < 0)
        return error_errno(err, "chown", "%s", mount->destination);
    target = root_make(root, mount->destination, false, err);
    return target < 0 ? -1 : bind_fd(root, mount, source, target, 0, err);
}

int mount_kept_file(const struct container *container, int root, uint32_t i, struct error *err)
{
    const struct wire_mount *mount = &container->spec->mounts.items[i];
    cleanup_close int source = -1, target = -1;
    char below[32], path[176];

    snprintf(below, sizeof below, "/file%u", i);
    container_path(container, below, path, sizeof path);
    source = open(path, O_PATH | O_CLOEXEC);
    if (source < 0)
        return mount_file(container, root, i, err); /* it never ran here */
    target = root_make(root, mount->destination, false, err);
    return target < 0 ? -1 : bind_fd(root, mount, source, target, 0, err);
}

static int mount_type(int root, const struct wire_mount *mount, const char *type,
                      const char *options, struct error *err)
{
    cleanup_close int target = root_make(root, mount->destination, true, err);

    if (target < 0)
        return -1;
    if (mount_on(target, type, type, mount->flags, options) < 0)
        return error_errno(err, "mount", "%s at %s", type, mount->destination);
    return 0;
}

/* Docker: a tmpfs over a directory of the image begins with a copy of it only with tmpcopyup, but
 * has the directory's mode where it is given none (runc: rootfs_linux.go). The last one counts. */
static int mount_tmpfs(const struct container *container, int root, uint32_t i, struct error *err)
{
    const struct wire_mount *mount = &container->spec->mounts.items[i];
    cleanup_close int covered = root_open(root, mount->destination, O_PATH | O_DIRECTORY);
    cleanup_free char *options = NULL;
    struct stat status;

    if (covered < 0 || fstat(covered, &status) < 0)
        return mount_type(root, mount, "tmpfs", mount->options, err);
    if (asprintf(&options, "mode=%o,%s", status.st_mode & 07777, mount->options) < 0)
        return error_errno(err, "mount", "%s", mount->destination);
    return mount_type(root, mount, "tmpfs", options, err);
}

#define SIMPLE_MOUNT(name, type)                                                                   \
    static int mount_##name(const struct container *container, int root, uint32_t i,               \
                            struct error *err)                                                     \
    {                                                                                              \
        const struct wire_mount *mount = &container->spec->mounts.items[i];                        \
                                                                                                   \
        return mount_type(root, mount, type, *mount->options ? mount->options : NULL, err);        \
    }

SIMPLE_MOUNT(proc, "proc")
SIMPLE_MOUNT(sysfs, "sysfs")
SIMPLE_MOUNT(cgroup2, "cgroup2")
SIMPLE_MOUNT(mqueue, "mqueue")
SIMPLE_MOUNT(devpts, "devpts")

/* "major:minor" of a character device, "bmajor:minor" of a block device. */
static bool parse_device(const char *text, mode_t *type, dev_t *device)
{
    unsigned long major, minor;
    char *end;

    *type = *text == 'b' ? S_IFBLK : S_IFCHR;
    major = strtoul(text + (*text == 'b'), &end, 10);
    if (*end != ':')
        return false;
    minor = strtoul(end + 1, &end, 10);
    *device = makedev((unsigned)major, (unsigned)minor);
    return *end == 0;
}

static int mount_device(const struct container *container, int root, uint32_t i, struct error *err)
{
    const struct wire_mount *mount = &container->spec->mounts.items[i];
    const char *slash = strrchr(mount->destination, '/');
    cleanup_free char *parent =
        slash ? strndup(mount->destination, (size_t)(slash - mount->destination)) : NULL;
    cleanup_close int dir = -1;
    mode_t type;
    dev_t device;

    if (*mount->source) {
        type = S_IFBLK;
        if (volume_device(mount->source, &device, err) < 0)
            return -1;
    } else if (!parse_device(mount->options, &type, &device)) {
        return error_set(err, EINVAL, "device", "%s: %s", mount->destination, mount->options);
    }
    if (!parent)
        return error_set(err, EINVAL, "device", "%s: %s", mount->destination, mount->options);
    dir = root_make(root, *parent ? parent : "/", true, err);
    if (dir < 0)
        return -1;
    if (mknodat(dir, slash + 1, type | (mount->mode ? mount->mode : 0666), device) < 0 &&
        errno != EEXIST)
        return error_errno(err, "mknod", "%s", mount->destination);
    if (fchownat(dir, slash + 1, mount->uid, mount->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, "chown", "%s", mount->destination);
    return 0;
}

static int mount_pod_shm(const struct container *container, int root, uint32_t i, struct error *err)
{
    const struct wire_mount *mount = &container->spec->mounts.items[i];
    cleanup_close int source = -1, target = root_make(root, mount->destination, true, err);
    char path[160];

    if (target < 0)
        return -1;
    snprintf(path, sizeof path, "%s/shm", runtime.dir);
    source = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (source < 0)
        return error_errno(err, "open", "%s", path);
    return bind_fd(root, mount, source, target, 0, err);
}

/* Indexed by struct mount's kind. */
static int (*const mount_kinds[])(const struct container *, int, uint32_t, struct error *) = {
    mount_tmpfs,   mount_own_volume, mount_file,   mount_proc,   mount_sysfs,
    mount_cgroup2, mount_mqueue,     mount_devpts, mount_device, mount_pod_shm,
};

int mount_custom(const struct container *container, int root, uint32_t i, struct error *err)
{
    const struct wire_mount *mount = &container->spec->mounts.items[i];

    if (mount->kind >= sizeof mount_kinds / sizeof *mount_kinds)
        return error_set(err, EINVAL, "mount", "kind %u", mount->kind);
    return mount_kinds[mount->kind](container, root, i, err);
}
