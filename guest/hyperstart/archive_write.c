/* Owns the command that unpacks an archive into a directory of a container.
 *
 * The rules are Docker's (moby pkg/archive, Unpack): what is there is replaced, but directories are
 * merged; missing directories are root's; times of directories are set last. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "files.h"
#include "job.h"
#include "sys.h"
#include "tar_format.h"
#include "tar_read.h"
#include "users.h"
#include "walk.h"

enum { COPY_BYTES = 65536 };

/* A directory whose time is set when all is in it. */
struct dated {
    struct dated *next;
    int64_t mtime_s;
    char path[];
};

struct unpacking {
    int top;
    bool keep_kinds, owned;
    uid_t uid; /* of everything, when owned */
    gid_t gid;
    struct tar_reader tar;
    struct dated *dated;
    char parent_path[PATH_MAX]; /* of the last member, which the next one often shares */
    int parent;
};

/* --- places ----------------------------------------------------------------------------------- */

/* No name from outside leads up, whatever the host made of it. */
static bool path_clean(const char *path)
{
    if (!*path || *path == '/' || strlen(path) >= PATH_MAX)
        return false;
    while (*path) {
        size_t length = strcspn(path, "/");

        if (length == 0 || length > NAME_MAX || (length == 2 && strncmp(path, "..", 2) == 0))
            return false;
        path += length + (path[length] == '/' && path[length + 1]);
        if (*path == '/')
            return false;
    }
    return true;
}

/* Links are followed: our root is the container's. */
static int open_below(int top, const char *path)
{
    struct sys_open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = SYS_RESOLVE_NO_MAGICLINKS,
    };

    return sys_openat2(top, path, &how);
}

static int make_parents(int top, const char *path, struct error *err)
{
    char part[PATH_MAX];

    for (const char *slash = path; slash; slash = strchr(slash + 1, '/')) {
        size_t length = (size_t)(slash - path);

        memcpy(part, path, length);
        part[length] = 0;
        if (length > 0 && mkdirat(top, part, 0755) < 0 && errno != EEXIST)
            return error_errno(err, "mkdir", "%s", part);
    }
    if (mkdirat(top, path, 0755) < 0 && errno != EEXIST)
        return error_errno(err, "mkdir", "%s", path);
    return 0;
}

/* The directory a member goes into, and its name there. */
static int open_parent(struct unpacking *unpacking, const char *path, const char **name,
                       struct error *err)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 1;
    char parent[PATH_MAX] = ".";

    *name = slash ? slash + 1 : path;
    if (slash)
        memcpy(parent, path, length);
    parent[length] = 0;
    if (unpacking->parent >= 0 && strcmp(parent, unpacking->parent_path) == 0)
        return unpacking->parent;
    if (unpacking->parent >= 0)
        close(unpacking->parent);
    unpacking->parent = open_below(unpacking->top, parent);
    if (unpacking->parent < 0 && errno == ENOENT) {
        if (make_parents(unpacking->top, parent, err) < 0)
            return -1;
        unpacking->parent = open_below(unpacking->top, parent);
    }
    if (unpacking->parent < 0)
        return error_errno(err, "open", "%s", parent);
    memcpy(unpacking->parent_path, parent, length + 1);
    return unpacking->parent;
}

/* Make room for a member: 1 when a directory stays that is to be one, 0 when the name is free. */
static int make_room(struct unpacking *unpacking, const struct tar_member *member, int dir,
                     const char *name, struct error *err)
{
    bool directory = member->type == TAR_DIRECTORY;
    struct stat status;

    if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : error_errno(err, "stat", "%s", member->path);
    if (S_ISDIR(status.st_mode) && directory)
        return 1;
    if (unpacking->keep_kinds && S_ISDIR(status.st_mode))
        return error_set(err, EEXIST, "directory", "%s", member->path);
    if (unpacking->keep_kinds && directory)
        return error_set(err, EEXIST, "non-directory", "%s", member->path);
    /* What is open may be below it, or it. */
    if (remove_tree(dir, name) < 0)
        return error_errno(err, "remove", "%s", member->path);
    return 0;
}

/* --- attributes ------------------------------------------------------------------------------- */

static uid_t owner_of(const struct unpacking *unpacking, const struct tar_member *member)
{
    return unpacking->owned ? unpacking->uid : member->uid;
}

static gid_t group_of(const struct unpacking *unpacking, const struct tar_member *member)
{
    return unpacking->owned ? unpacking->gid : member->gid;
}

static struct timespec mtime_of(const struct tar_member *member)
{
    return (struct timespec){ .tv_sec = (time_t)member->mtime_s };
}

/* Those a file system does not have are left out, as by Docker. */
static int set_xattrs(const struct tar_member *member, int fd, struct error *err)
{
    struct tar_xattr xattr;
    size_t at = 0;

    while (tar_next_xattr(member, &at, &xattr))
        if (fsetxattr(fd, xattr.name, xattr.value, xattr.size, 0) < 0 && errno != EOPNOTSUPP &&
            errno != EPERM)
            return error_errno(err, "setxattr", "%s: %s", member->path, xattr.name);
    return 0;
}

static int set_attributes(const struct unpacking *unpacking, const struct tar_member *member,
                          int fd, struct error *err)
{
    struct timespec times[2] = { mtime_of(member), mtime_of(member) };

    if (fchown(fd, owner_of(unpacking, member), group_of(unpacking, member)) < 0)
        return error_errno(err, "chown", "%s", member->path);
    /* After chown, which clears both. */
    if (set_xattrs(member, fd, err) < 0)
        return -1;
    if (fchmod(fd, member->mode) < 0)
        return error_errno(err, "chmod", "%s", member->path);
    return futimens(fd, times) < 0 ? error_errno(err, "utimes", "%s", member->path) : 0;
}

static int set_attributes_at(const struct unpacking *unpacking, const struct tar_member *member,
                             int dir, const char *name, struct error *err)
{
    struct timespec times[2] = { mtime_of(member), mtime_of(member) };

    if (fchownat(dir, name, owner_of(unpacking, member), group_of(unpacking, member),
                 AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, "chown", "%s", member->path);
    if (member->type != TAR_SYMLINK && fchmodat(dir, name, member->mode, 0) < 0)
        return error_errno(err, "chmod", "%s", member->path);
    if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, "utimes", "%s", member->path);
    return 0;
}

/* --- members ---------------------------------------------------------------------------------- */

static bool all_zero(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);

        if (done < 0 && errno != EINTR)
            return -1;
        data += done > 0 ? done : 0;
        size -= done > 0 ? (size_t)done : 0;
    }
    return 0;
}

/* Write the content; zeros become holes. */
static int copy_content(struct unpacking *unpacking, const struct tar_member *member, int fd,
                        struct error *err)
{
    static uint8_t data[COPY_BYTES];
    size_t used = 0;
    ssize_t got;

    do {
        got = tar_read_content(&unpacking->tar, data + used, sizeof data - used, err);
        if (got < 0)
            return -1;
        used += (size_t)got;
        if (used < sizeof data && got > 0)
            continue;
        if (all_zero(data, used) ? lseek(fd, (off_t)used, SEEK_CUR) < 0
                                 : write_all(fd, data, used) < 0)
            return error_errno(err, "write", "%s", member->path);
        used = 0;
    } while (got > 0);
    /* The last bytes may be a hole. */
    if (ftruncate(fd, (off_t)member->size) < 0)
        return error_errno(err, "write", "%s", member->path);
    return 0;
}

static int unpack_file(struct unpacking *unpacking, const struct tar_member *member, int dir,
                       const char *name, struct error *err)
{
    cleanup_close int fd =
        openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return error_errno(err, "create", "%s", member->path);
    if (copy_content(unpacking, member, fd, err) < 0)
        return -1;
    return set_attributes(unpacking, member, fd, err);
}

static int unpack_directory(struct unpacking *unpacking, const struct tar_member *member, int dir,
                            const char *name, bool exists, struct error *err)
{
    size_t size = strlen(member->path) + 1;
    struct dated *dated = malloc(sizeof *dated + size);
    cleanup_close int fd = -1;

    if (!dated)
        return error_set(err, ENOMEM, "mkdir", "%s", member->path);
    dated->mtime_s = member->mtime_s;
    memcpy(dated->path, member->path, size);
    dated->next = unpacking->dated;
    unpacking->dated = dated;
    if (!exists && mkdirat(dir, name, 0700) < 0)
        return error_errno(err, "mkdir", "%s", member->path);
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? error_errno(err, "open", "%s", member->path)
                  : set_attributes(unpacking, member, fd, err);
}

static int unpack_hard_link(struct unpacking *unpacking, const struct tar_member *member, int dir,
                            const char *name, struct error *err)
{
    const char *slash = strrchr(member->link, '/');
    cleanup_free char *parent = slash ? strndup(member->link, (size_t)(slash - member->link)) : NULL;
    cleanup_close int from = -1;

    if (!path_clean(member->link))
        return error_set(err, EBADMSG, "archive", "link to %s", member->link);
    from = open_below(unpacking->top, slash ? parent : ".");
    if (from < 0 || linkat(from, slash ? slash + 1 : member->link, dir, name, 0) < 0)
        return error_errno(err, "link", "%s", member->link);
    return 0;
}

static int unpack_other(struct unpacking *unpacking, const struct tar_member *member, int dir,
                        const char *name, struct error *err)
{
    dev_t device = makedev(member->major, member->minor);
    int result;

    if (member->type == TAR_SYMLINK)
        result = symlinkat(member->link, dir, name);
    else if (member->type == TAR_FIFO)
        result = mkfifoat(dir, name, 0600);
    else if (member->type == TAR_CHAR || member->type == TAR_BLOCK_DEVICE)
        result = mknodat(dir, name, (member->type == TAR_CHAR ? S_IFCHR : S_IFBLK) | 0600, device);
    else
        return error_set(err, EBADMSG, "archive", "%s: type %c", member->path, member->type);
    if (result < 0)
        return error_errno(err, "create", "%s", member->path);
    return set_attributes_at(unpacking, member, dir, name, err);
}

static int unpack_member(struct unpacking *unpacking, struct tar_member *member, struct error *err)
{
    size_t length = strlen(unpacking->tar.path);
    const char *name;
    int dir, exists;

    /* "." is the directory we unpack into: it stays as it is. */
    if (strcmp(member->path, ".") == 0 && member->type == TAR_DIRECTORY)
        return 0;
    if (length > 1 && unpacking->tar.path[length - 1] == '/')
        unpacking->tar.path[length - 1] = 0;
    if (!path_clean(member->path))
        return error_set(err, EBADMSG, "archive", "name %s", member->path);
    dir = open_parent(unpacking, member->path, &name, err);
    if (dir < 0)
        return -1;
    exists = make_room(unpacking, member, dir, name, err);
    if (exists < 0)
        return -1;
    switch (member->type) {
    case TAR_FILE:
        return unpack_file(unpacking, member, dir, name, err);
    case TAR_DIRECTORY:
        return unpack_directory(unpacking, member, dir, name, exists, err);
    case TAR_HARD_LINK:
        return unpack_hard_link(unpacking, member, dir, name, err);
    default:
        return unpack_other(unpacking, member, dir, name, err);
    }
}

static void set_times(const struct unpacking *unpacking)
{
    /* The last ones first: what is in a directory comes after it. */
    for (const struct dated *dated = unpacking->dated; dated; dated = dated->next) {
        struct timespec times[2] = { { .tv_sec = (time_t)dated->mtime_s },
                                     { .tv_sec = (time_t)dated->mtime_s } };

        utimensat(unpacking->top, dated->path, times, AT_SYMLINK_NOFOLLOW);
    }
}

/* --- the job ---------------------------------------------------------------------------------- */

static int check_writable(int top, const char *path, struct error *err)
{
    struct statvfs mounted;
    struct stat here, root;

    if (fstatvfs(top, &mounted) < 0 || fstat(top, &here) < 0 || stat("/", &root) < 0)
        return error_errno(err, "stat", "%s", path);
    if (!(mounted.f_flag & ST_RDONLY))
        return 0;
    return error_set(err, EROFS, here.st_dev == root.st_dev ? "rootfs" : "volume", "%s", path);
}

static int open_top(const char *path, struct error *err)
{
    cleanup_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int top = root < 0 ? -1 : root_open(root, path, O_RDONLY | O_DIRECTORY);

    if (top < 0)
        return error_errno(err, "path", "%s", path);
    if (check_writable(top, path, err) < 0) {
        close(top);
        return -1;
    }
    return top;
}

static int find_owner(struct unpacking *unpacking, const char *owner, struct error *err)
{
    static const struct str_list none;
    cleanup_close int root = -1;
    struct user user;

    if (!*owner)
        return 0;
    root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || user_resolve(root, owner, &none, &user, err) < 0)
        return -1;
    unpacking->owned = true;
    unpacking->uid = user.uid;
    unpacking->gid = user.gid;
    return 0;
}

static int run_write(struct job *job, struct error *err)
{
    const struct message_archive_write *asked = job->message;
    struct unpacking *unpacking = calloc(1, sizeof *unpacking);
    struct tar_member member;
    int more;

    if (!unpacking)
        return error_set(err, ENOMEM, "archive", "%s", asked->path);
    if (view_enter(job->container, true, err) < 0)
        return -1;
    unpacking->top = open_top(asked->path, err);
    if (unpacking->top < 0 || find_owner(unpacking, asked->owner, err) < 0)
        return -1;
    unpacking->keep_kinds = asked->keep_kinds;
    unpacking->parent = -1;
    unpacking->tar.fd = STDIN_FILENO;
    job_ready(job);
    while ((more = tar_read_member(&unpacking->tar, &member, err)) > 0)
        if (unpack_member(unpacking, &member, err) < 0)
            return -1;
    if (more < 0)
        return -1;
    set_times(unpacking);
    /* Who is told that it is done may end the VM at once. */
    if (!job->container->main && syncfs(unpacking->top) < 0)
        return error_errno(err, "sync", "%s", asked->path);
    return 0;
}

COMMAND(archive_write)
{
    const struct message_archive_write *asked = message;

    return job_start(request, asked->container, asked->process_id, message, true, run_write, err);
}
