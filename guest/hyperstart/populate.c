/* Owns the copy of image content into an empty volume, as Docker does before mounting it.
 *
 * Works on directory fds and never follows a symbolic link, so that neither side can lead it out.
 */
#include "populate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "files.h"

enum { DEPTH_MAX = 200, XATTR_BYTES_MAX = 65536 };

static DIR *open_directory(int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return again < 0 ? NULL : fdopendir(again);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* 1: empty, 0: not, -1: errno. ext4's lost+found does not count. */
static int is_empty(int fd)
{
    cleanup_dir DIR *dir = open_directory(fd);
    struct dirent *entry;

    if (!dir)
        return -1;
    while ((entry = readdir(dir)))
        if (!is_dots(entry->d_name) && strcmp(entry->d_name, "lost+found") != 0)
            return 0;
    return 1;
}

/* A file system without extended attributes gets none. */
static void copy_xattrs(int from, int to)
{
    char names[4096];
    cleanup_free char *value = malloc(XATTR_BYTES_MAX);
    ssize_t length = flistxattr(from, names, sizeof names);

    for (char *name = names; value && length > 0 && name < names + length;
         name += strlen(name) + 1) {
        ssize_t size = fgetxattr(from, name, value, XATTR_BYTES_MAX);

        if (size >= 0 && strncmp(name, "trusted.overlay.", 16) != 0)
            fsetxattr(to, name, value, (size_t)size, 0);
    }
}

static int copy_metadata(int from, int to, const struct stat *status)
{
    struct timespec times[2] = { status->st_atim, status->st_mtim };

    if (fchown(to, status->st_uid, status->st_gid) < 0)
        return -1;
    copy_xattrs(from, to);
    /* After chown, which clears setuid. */
    if (fchmod(to, status->st_mode & 07777) < 0)
        return -1;
    return futimens(to, times);
}

static int copy_file(int from, int to_dir, const char *name, const struct stat *status)
{
    cleanup_close int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    cleanup_close int out =
        openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    ssize_t size;

    if (in < 0 || out < 0)
        return -1;
    do {
        size = sendfile(out, in, NULL, 1 << 20);
    } while (size > 0 || (size < 0 && errno == EINTR));
    return size < 0 ? -1 : copy_metadata(in, out, status);
}

static int copy_link(int from, int to, const char *name, const struct stat *status)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);

    if (length < 0)
        return -1;
    target[length] = 0;
    if (symlinkat(target, to, name) < 0)
        return -1;
    return fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW);
}

static int copy_special(int to, const char *name, const struct stat *status)
{
    if (mknodat(to, name, status->st_mode, status->st_rdev) < 0)
        return -1;
    if (fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    return fchmodat(to, name, status->st_mode & 07777, 0);
}

static int copy_tree(int from, int to, int depth);

static int copy_directory(int from, int to, const char *name, const struct stat *status, int depth)
{
    cleanup_close int source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_close int target = -1;

    if (source < 0 || mkdirat(to, name, 0700) < 0)
        return -1;
    target = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0 || copy_tree(source, target, depth + 1) < 0)
        return -1;
    return copy_metadata(source, target, status);
}

static int copy_entry(int from, int to, const char *name, int depth)
{
    struct stat status;

    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (S_ISDIR(status.st_mode))
        return copy_directory(from, to, name, &status, depth);
    if (S_ISREG(status.st_mode))
        return copy_file(from, to, name, &status);
    if (S_ISLNK(status.st_mode))
        return copy_link(from, to, name, &status);
    return copy_special(to, name, &status);
}

static int copy_tree(int from, int to, int depth)
{
    cleanup_dir DIR *dir = open_directory(from);
    struct dirent *entry;

    if (!dir)
        return -1;
    if (depth > DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    while ((entry = readdir(dir)))
        if (!is_dots(entry->d_name) && copy_entry(from, to, entry->d_name, depth) < 0)
            return -1;
    return 0;
}

int populate_volume(int root, const char *destination, int volume, struct error *err)
{
    cleanup_close int source = root_open(root, destination, O_RDONLY | O_DIRECTORY);
    cleanup_close int target = openat(volume, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status;
    int empty;

    if (source < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (source < 0 || target < 0 || fstat(source, &status) < 0)
        return error_errno(err, "populate", "%s", destination);
    empty = is_empty(target);
    if (empty == 0)
        return 0;
    if (empty < 0 || copy_tree(source, target, 0) < 0 || copy_metadata(source, target, &status) < 0)
        /* The host lets nobody write any more: it was filled, with nothing, before. */
        return errno == EROFS ? 0 : error_errno(err, "populate", "%s", destination);
    return 0;
}
