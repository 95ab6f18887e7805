/* Owns the safe opening of paths in images, and small reads and writes. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"

enum { LINKS_MAX = 16 };

int file_write(int dir, const char *path, const char *text, struct error *err)
{
    cleanup_close int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
    size_t length = strlen(text);

    if (fd < 0)
        return error_errno(err, "open", "%s", path);
    if (write(fd, text, length) != (ssize_t)length)
        return error_errno(err, "write", "%s: %s", path, text);
    return 0;
}

ssize_t file_read(int dir, const char *path, char *text, size_t size)
{
    cleanup_close int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;

    if (fd < 0)
        return -1;
    while (used < size - 1) {
        ssize_t got = read(fd, text + used, size - 1 - used);

        if (got < 0)
            return -1;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    text[used] = 0;
    return (ssize_t)used;
}

int root_open(int root, const char *path, int flags)
{
    struct sys_open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .resolve = SYS_RESOLVE_IN_ROOT | SYS_RESOLVE_NO_MAGICLINKS,
    };
    int fd;

    /* EAGAIN: something was renamed meanwhile, openat2(2). */
    do {
        fd = sys_openat2(root, *path ? path : ".", &how);
    } while (fd < 0 && errno == EAGAIN);
    return fd;
}

static int make_last(int parent, const char *name, bool directory)
{
    int fd;

    if (directory)
        return mkdirat(parent, name, 0755);
    fd = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int make_path(int root, const char *path, bool directory, int depth, struct error *err);

/* `prefix` is a symbolic link to nothing: make what it names, within the root, as runc's securejoin
 * does. `begin` is where its last component begins, `rest` what follows it. */
static int make_target(int root, char *prefix, size_t begin, const char *rest, bool directory,
                       int depth, struct error *err)
{
    char target[PATH_MAX], path[PATH_MAX];
    cleanup_close int link = -1;
    ssize_t length;

    link = root_open(root, prefix, O_PATH | O_NOFOLLOW);
    length = link < 0 ? -1 : readlinkat(link, "", target, sizeof target - 1);
    if (length < 0 || depth > LINKS_MAX)
        return error_set(err, length < 0 ? errno : ELOOP, "mkdir", "%s", prefix);
    target[length] = 0;
    prefix[*target == '/' ? 0 : begin] = 0;
    if (snprintf(path, sizeof path, "%s%s%s", prefix, target, rest) >= (int)sizeof path)
        return error_set(err, ENAMETOOLONG, "mkdir", "%s", target);
    return make_path(root, path, directory, depth + 1, err);
}

static int make_path(int root, const char *path, bool directory, int depth, struct error *err)
{
    char prefix[PATH_MAX];
    size_t length = strlen(path), at = 0;
    cleanup_close int parent = root_open(root, ".", O_PATH | O_DIRECTORY);

    if (length == 0 || length >= sizeof prefix)
        return error_set(err, ENAMETOOLONG, "mkdir", "%s", path);
    while (at < length) {
        size_t begin = at + strspn(path + at, "/");
        bool last;
        int fd;

        at = begin + strcspn(path + begin, "/");
        if (at == begin)
            break;
        last = path[at + strspn(path + at, "/")] == 0;
        memcpy(prefix, path, at);
        prefix[at] = 0;
        fd = root_open(root, prefix, O_PATH);
        if (fd < 0 && errno == ENOENT) {
            if (make_last(parent, prefix + begin, directory || !last) < 0) {
                if (errno == EEXIST)
                    return make_target(root, prefix, begin, path + at, directory, depth, err);
                return error_errno(err, "mkdir", "%s", prefix);
            }
            fd = root_open(root, prefix, O_PATH);
        }
        if (fd < 0)
            return error_errno(err, "mkdir", "%s", prefix);
        close(parent);
        parent = fd;
    }
    return take_fd(&parent);
}

int root_make(int root, const char *path, bool directory, struct error *err)
{
    int fd = root_open(root, path, O_PATH);

    if (fd >= 0)
        return fd;
    if (errno != ENOENT)
        return error_errno(err, "mkdir", "%s", path);
    return make_path(root, path, directory, 0, err);
}

int root_open_regular(int root, const char *path)
{
    cleanup_close int fd = root_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -1;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    return take_fd(&fd);
}

int make_directory(const char *path, mode_t mode, struct error *err)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return error_errno(err, "mkdir", "%s", path);
    return 0;
}
