/* Owns what is known of overlayfs's upper directories. */
#include "upper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"

static const char *const mount_points[] = {
    "dev", "proc", "sys", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf",
};
static const char marker[] = ".dockerenv"; /* rootfs.c makes these two, this one with mode 0755 */
static const char mounts_link[] = "etc/mtab", mounts[] = "/proc/mounts";

bool upper_is_whiteout(const struct stat *status)
{
    return S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0);
}

bool upper_is_opaque(int dir, const char *name)
{
    cleanup_close int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char value;

    return fd >= 0 && fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

/* Component by component: a link in the layers is no directory of the container's changes. Leaves the
 * last one in `name`. */
static int lower_parent(const char *path, char name[256])
{
    int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    while (dir >= 0) {
        size_t length = strcspn(path, "/");
        int below;

        if (length > NAME_MAX)
            break;
        memcpy(name, path, length);
        name[length] = 0;
        if (!path[length])
            return dir;
        below = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(dir);
        dir = below;
        path += length + 1;
    }
    return -1;
}

bool lower_stat(const char *path, struct stat *status)
{
    char name[256];
    cleanup_close int dir = lower_parent(path, name);

    return dir >= 0 && fstatat(dir, name, status, AT_SYMLINK_NOFOLLOW) == 0;
}

int lower_open(const char *path)
{
    char name[256];
    cleanup_close int dir = lower_parent(path, name);

    return dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whether a directory has nothing in it but mount points. */
static bool only_mount_points(const struct walk_item *item)
{
    int fd = openat(item->dir, item->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir)
        return false;
    while ((entry = readdir(dir))) {
        struct walk_item below = { .dir = fd, .name = entry->d_name };
        char path[300];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", item->path, entry->d_name);
        below.path = path;
        if (fstatat(fd, entry->d_name, &below.status, AT_SYMLINK_NOFOLLOW) < 0 ||
            !upper_is_mount_point(&below))
            return false;
    }
    return true;
}

static bool same_owner_and_mode(const struct stat *left, const struct stat *right)
{
    return left->st_mode == right->st_mode && left->st_uid == right->st_uid &&
           left->st_gid == right->st_gid;
}

bool upper_is_mounts_link(const struct walk_item *item)
{
    char target[sizeof mounts];

    return strcmp(item->path, mounts_link) == 0 && S_ISLNK(item->status.st_mode) &&
           readlinkat(item->dir, item->name, target, sizeof target) == sizeof mounts - 1 &&
           memcmp(target, mounts, sizeof mounts - 1) == 0;
}

bool upper_is_mount_point(const struct walk_item *item)
{
    struct stat made = { .st_mode = S_IFREG | 0644 }, below;
    bool is_marker = strcmp(item->path, marker) == 0, listed = is_marker;

    for (size_t i = 0; i < sizeof mount_points / sizeof *mount_points; i++)
        listed = listed || strcmp(item->path, mount_points[i]) == 0;
    if (!listed)
        return upper_is_mounts_link(item) && !lower_stat(item->path, &below);
    if (is_marker)
        made.st_mode = S_IFREG | 0755;
    if (S_ISREG(item->status.st_mode))
        return item->status.st_size == 0 && same_owner_and_mode(&item->status, &made) &&
               !lower_stat(item->path, &below);
    if (!S_ISDIR(item->status.st_mode))
        return false;
    /* The layers' own directory, of which only the time has changed, or one of ours. */
    made.st_mode = S_IFDIR | 0755;
    if (!lower_stat(item->path, &below))
        below = made;
    return same_owner_and_mode(&item->status, &below) && !upper_is_opaque(item->dir, item->name) &&
           only_mount_points(item);
}
