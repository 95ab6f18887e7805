/* Owns the mounts every container has, as Docker's (moby oci/defaults.go), and the pivot. */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "files.h"
#include "runtime.h"
#include "sys.h"

static const struct {
    const char *destination, *type, *options;
    unsigned long flags;
} default_mounts[] = {
    { "/proc", "proc", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV },
    { "/dev", "tmpfs", "mode=755,size=65536k", MS_NOSUID | MS_STRICTATIME },
    { "/sys", "sysfs", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY },
    { "/sys/fs/cgroup", "cgroup2", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY },
    { "/dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV },
};

static const struct {
    const char *name;
    unsigned major, minor;
} devices[] = {
    { "null", 1, 3 },   { "zero", 1, 5 },    { "full", 1, 7 },
    { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct {
    const char *name, *target;
} links[] = {
    { "ptmx", "pts/ptmx" },          { "fd", "/proc/self/fd" },
    { "stdin", "/proc/self/fd/0" },  { "stdout", "/proc/self/fd/1" },
    { "stderr", "/proc/self/fd/2" }, { "core", "/proc/kcore" },
};

int mount_on(int target, const char *source, const char *type, unsigned long flags,
             const char *options)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", target);
    return mount(source, path, type, flags, options);
}

/* A container's own mount at the same place replaces a default one. */
static bool overridden(const struct container *container, const char *destination)
{
    const struct mount_list *mounts = &container->spec->mounts;

    for (uint32_t i = 0; i < mounts->count; i++)
        if (strcmp(mounts->items[i].destination, destination) == 0)
            return true;
    return false;
}

static int mount_default(const struct container *container, int root, size_t i, struct error *err)
{
    const char *destination = default_mounts[i].destination;
    cleanup_close int target = -1;

    if (overridden(container, destination))
        return 0;
    if (container->cgroup_fd < 0 && strcmp(default_mounts[i].type, "cgroup2") == 0)
        return 0;
    target = root_make(root, destination, true, err);
    if (target < 0)
        return -1;
    if (mount_on(target, default_mounts[i].type, default_mounts[i].type, default_mounts[i].flags,
                 default_mounts[i].options) < 0)
        return error_errno(err, "mount", "%s", destination);
    return 0;
}

static int make_devices(int root, struct error *err)
{
    cleanup_close int dev = root_open(root, "/dev", O_PATH | O_DIRECTORY);

    if (dev < 0)
        return error_errno(err, "open", "/dev");
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (mknodat(dev, devices[i].name, S_IFCHR | 0666,
                    makedev(devices[i].major, devices[i].minor)) < 0)
            return error_errno(err, "mknod", "/dev/%s", devices[i].name);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlinkat(links[i].target, dev, links[i].name) < 0)
            return error_errno(err, "symlink", "/dev/%s", links[i].name);
    return 0;
}

static int mount_terminals(const struct container *container, int root, int terminal,
                           struct error *err)
{
    cleanup_close int pts = root_make(root, "/dev/pts", true, err);
    cleanup_close int console = -1;
    char source[40];

    if (pts < 0)
        return -1;
    if (sys_move_mount_fd(container->devpts_fd, pts) < 0)
        return error_errno(err, "mount", "/dev/pts");
    if (terminal < 0)
        return 0;
    console = root_make(root, "/dev/console", false, err);
    if (console < 0)
        return -1;
    snprintf(source, sizeof source, "/proc/self/fd/%d", terminal);
    if (mount_on(console, source, NULL, MS_BIND, NULL) < 0)
        return error_errno(err, "mount", "/dev/console");
    return 0;
}

static int mount_shm(const struct container *container, int root, struct error *err)
{
    cleanup_close int target = -1;
    char source[160];

    if (overridden(container, "/dev/shm"))
        return 0;
    target = root_make(root, "/dev/shm", true, err);
    snprintf(source, sizeof source, "%s/shm", runtime.dir);
    if (target < 0)
        return -1;
    if (mount_on(target, source, NULL, MS_BIND, NULL) < 0)
        return error_errno(err, "mount", "/dev/shm");
    return 0;
}

static int mount_defaults(const struct container *container, int root, int terminal,
                          struct error *err)
{
    for (size_t i = 0; i < sizeof default_mounts / sizeof *default_mounts; i++)
        if (mount_default(container, root, i, err) < 0)
            return -1;
    if (!overridden(container, "/dev") && make_devices(root, err) < 0)
        return -1;
    if (!overridden(container, "/dev/pts") && mount_terminals(container, root, terminal, err) < 0)
        return -1;
    return mount_shm(container, root, err);
}

/* Hide a file behind /dev/null, a directory behind an empty one, as runc does. */
static int mask(int root, const char *path, struct error *err)
{
    cleanup_close int target = root_open(root, path, O_PATH);
    struct stat status;
    int result;

    if (target < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (target < 0 || fstat(target, &status) < 0)
        return error_errno(err, "mask", "%s", path);
    if (S_ISDIR(status.st_mode))
        result = mount_on(target, "tmpfs", "tmpfs", MS_RDONLY, "size=0k");
    else
        result = mount_on(target, "/dev/null", NULL, MS_BIND, NULL);
    return result < 0 ? error_errno(err, "mask", "%s", path) : 0;
}

static int make_read_only(int root, const char *path, struct error *err)
{
    cleanup_close int target = root_open(root, path, O_PATH);
    cleanup_close int mounted = -1;
    unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY;
    struct statvfs status;
    char source[40];

    if (target < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (target < 0 || fstatvfs(target, &status) < 0)
        return error_errno(err, "read-only", "%s", path);
    snprintf(source, sizeof source, "/proc/self/fd/%d", target);
    if (mount_on(target, source, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_errno(err, "read-only", "%s", path);
    /* What the mount below has stays; statvfs(3) numbers these as mount(2) does. */
    flags |= status.f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC);
    /* Opened again, the path leads to the new mount. */
    mounted = root_open(root, path, O_PATH);
    if (mounted < 0 || mount_on(mounted, NULL, NULL, flags, NULL) < 0)
        return error_errno(err, "read-only", "%s", path);
    return 0;
}

static int pivot(int root, bool read_only, struct error *err)
{
    /* pivot_root(2), "pivot_root(".", ".")": the old root ends up above the new one. */
    if (fchdir(root) < 0 || sys_pivot_root(".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return error_errno(err, "pivot_root", "root file system");
    if (chdir("/") < 0)
        return error_errno(err, "chdir", "/");
    if (read_only && mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
        return error_errno(err, "read-only", "/");
    return 0;
}

int mounts_enter(const struct container *container, int terminal, struct error *err)
{
    const struct message_container_create *spec = container->spec;
    char path[160];
    cleanup_close int root = -1;

    container_path(container, "/root", path, sizeof path);
    /* Opened here: an fd of our parent's would lead to its mount namespace. */
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_errno(err, "open", "%s", path);
    if (mount_defaults(container, root, terminal, err) < 0)
        return -1;
    for (uint32_t i = 0; i < spec->mounts.count; i++)
        if (mount_custom(container, root, i, err) < 0)
            return -1;
    for (uint32_t i = 0; i < spec->masked_paths.count; i++)
        if (mask(root, spec->masked_paths.items[i], err) < 0)
            return -1;
    for (uint32_t i = 0; i < spec->read_only_paths.count; i++)
        if (make_read_only(root, spec->read_only_paths.items[i], err) < 0)
            return -1;
    return pivot(root, spec->read_only_root, err);
}
