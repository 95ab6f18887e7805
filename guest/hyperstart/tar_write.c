/* Owns the writing of archives: pax headers where ustar's fields are too small, contents, hard links.
 *
 * POSIX.1-2017 pax, "pax Interchange Format"; extended attributes as SCHILY.xattr records. */
#include "tar_write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"
#include "tar_format.h"

enum { READ_BYTES = 65536, XATTR_BYTES_MAX = 65536 };

/* A file with several names: where it is in the archive. */
struct tar_link {
    struct tar_link *next;
    dev_t device;
    ino_t inode;
    char path[];
};

/* One member. */
struct member {
    const char *path, *link;
    char type;
    uint64_t size;
    const struct stat *status;
};

static int flush(struct tar_writer *tar, struct error *err)
{
    for (size_t done = 0; done < tar->used;) {
        ssize_t size = write(tar->fd, tar->block + done, tar->used - done);

        if (size < 0 && errno != EINTR)
            return error_errno(err, "write", "archive");
        done += size > 0 ? (size_t)size : 0;
    }
    tar->used = 0;
    return 0;
}

static int put(struct tar_writer *tar, const void *data, size_t size, struct error *err)
{
    const uint8_t *bytes = data;

    while (size > 0) {
        size_t part = sizeof tar->block - tar->used < size ? sizeof tar->block - tar->used : size;

        if (bytes) {
            memcpy(tar->block + tar->used, bytes, part);
            bytes += part;
        } else {
            memset(tar->block + tar->used, 0, part);
        }
        tar->used += part;
        size -= part;
        if (tar->used == sizeof tar->block && flush(tar, err) < 0)
            return -1;
    }
    return 0;
}

static int put_zeros(struct tar_writer *tar, uint64_t size, struct error *err)
{
    for (; size > READ_BYTES; size -= READ_BYTES)
        if (put(tar, NULL, READ_BYTES, err) < 0)
            return -1;
    return put(tar, NULL, (size_t)size, err);
}

static int put_padding(struct tar_writer *tar, uint64_t size, struct error *err)
{
    return put(tar, NULL, (size_t)(-size % TAR_BLOCK), err);
}

/* --- headers ---------------------------------------------------------------------------------- */

/* Append one record, the length of which counts its own digits. */
static int add_record(struct buffer *records, const char *key, const void *value, size_t size)
{
    size_t rest = strlen(key) + size + 3, length = rest + 1;
    char text[32];

    while (length != rest + (size_t)snprintf(text, sizeof text, "%zu", length))
        length = rest + strlen(text);
    if (buffer_append(records, text, strlen(text)) < 0 || buffer_append(records, " ", 1) < 0 ||
        buffer_append(records, key, strlen(key)) < 0 || buffer_append(records, "=", 1) < 0 ||
        buffer_append(records, value, size) < 0)
        return -1;
    return buffer_append(records, "\n", 1);
}

static int add_number(struct buffer *records, const char *key, int64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)value);
    return add_record(records, key, text, strlen(text));
}

/* What Docker archives, and what users set; nothing of overlayfs's or a security module's own. */
static bool xattr_wanted(const char *name)
{
    return strcmp(name, "security.capability") == 0 ||
           (strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0);
}

/* A file system without extended attributes has none. */
static int add_xattrs(struct buffer *records, int fd)
{
    ssize_t length = flistxattr(fd, NULL, 0);
    cleanup_free char *names = length > 0 ? malloc((size_t)length) : NULL;
    cleanup_free char *value = NULL;

    if (!names || (length = flistxattr(fd, names, (size_t)length)) <= 0)
        return 0;
    value = malloc(XATTR_BYTES_MAX);
    if (!value)
        return -1;
    for (char *name = names; name < names + length; name += strlen(name) + 1) {
        char key[300];
        ssize_t size = xattr_wanted(name) ? fgetxattr(fd, name, value, XATTR_BYTES_MAX) : -1;

        snprintf(key, sizeof key, "SCHILY.xattr.%s", name);
        if (size >= 0 && add_record(records, key, value, (size_t)size) < 0)
            return -1;
    }
    return 0;
}

static int add_records(struct buffer *records, const struct member *member, int fd)
{
    const struct stat *status = member->status;

    if (strlen(member->path) > TAR_NAME_BYTES &&
        add_record(records, "path", member->path, strlen(member->path)) < 0)
        return -1;
    if (strlen(member->link) > TAR_NAME_BYTES &&
        add_record(records, "linkpath", member->link, strlen(member->link)) < 0)
        return -1;
    if (member->size > TAR_OCTAL_11 && add_number(records, "size", (int64_t)member->size) < 0)
        return -1;
    if (status->st_uid > TAR_OCTAL_7 && add_number(records, "uid", status->st_uid) < 0)
        return -1;
    if (status->st_gid > TAR_OCTAL_7 && add_number(records, "gid", status->st_gid) < 0)
        return -1;
    if ((status->st_mtime < 0 || (uint64_t)status->st_mtime > TAR_OCTAL_11) &&
        add_number(records, "mtime", status->st_mtime) < 0)
        return -1;
    return fd < 0 ? 0 : add_xattrs(records, fd);
}

static void octal(char *field, size_t size, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%0*llo", (int)size - 1, (unsigned long long)value);
    memcpy(field, text + strlen(text) - (size - 1), size - 1);
}

static int put_block(struct tar_writer *tar, const struct member *member, struct error *err)
{
    const struct stat *status = member->status;
    struct tar_header header = { 0 };
    unsigned sum = 0;

    memcpy(header.name, member->path, strnlen(member->path, sizeof header.name));
    memcpy(header.link, member->link, strnlen(member->link, sizeof header.link));
    octal(header.mode, sizeof header.mode, status->st_mode & 07777);
    octal(header.uid, sizeof header.uid, status->st_uid & TAR_OCTAL_7);
    octal(header.gid, sizeof header.gid, status->st_gid & TAR_OCTAL_7);
    octal(header.size, sizeof header.size, member->size & TAR_OCTAL_11);
    octal(header.mtime, sizeof header.mtime,
          status->st_mtime < 0 ? 0 : (uint64_t)status->st_mtime & TAR_OCTAL_11);
    header.type = member->type;
    memcpy(header.magic, "ustar\0" "00", 8);
    if (member->type == TAR_CHAR || member->type == TAR_BLOCK_DEVICE) {
        octal(header.major, sizeof header.major, major(status->st_rdev));
        octal(header.minor, sizeof header.minor, minor(status->st_rdev));
    }
    memset(header.checksum, ' ', sizeof header.checksum);
    for (size_t i = 0; i < sizeof header; i++)
        sum += ((const uint8_t *)&header)[i];
    snprintf(header.checksum, sizeof header.checksum, "%06o", sum);
    return put(tar, &header, sizeof header, err);
}

static int put_header(struct tar_writer *tar, const struct member *member, int fd,
                      struct error *err)
{
    static const struct stat plain = { .st_mode = S_IFREG | 0644 };
    struct buffer records = { 0 };
    int result = 0;

    if (add_records(&records, member, fd) < 0)
        result = error_set(err, ENOMEM, "archive", "%s", member->path);
    if (result == 0 && records.end > 0) {
        struct member extra = { "pax_header", "", TAR_PAX, records.end, &plain };

        result = put_block(tar, &extra, err);
        if (result == 0)
            result = put(tar, records.data, records.end, err);
        if (result == 0)
            result = put_padding(tar, records.end, err);
    }
    buffer_free(&records);
    return result < 0 ? -1 : put_block(tar, member, err);
}

/* --- contents --------------------------------------------------------------------------------- */

/* Append `size` bytes from `offset`; zeros where the file has become shorter. */
static int put_data(struct tar_writer *tar, int fd, uint64_t offset, uint64_t size,
                    const char *path, struct error *err)
{
    char data[READ_BYTES];

    while (size > 0) {
        ssize_t got = pread(fd, data, size < sizeof data ? (size_t)size : sizeof data, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, "read", "%s", path);
        if (got == 0)
            return put_zeros(tar, size, err);
        if (put(tar, data, (size_t)got, err) < 0)
            return -1;
        offset += (uint64_t)got;
        size -= (uint64_t)got;
    }
    return 0;
}

/* Append exactly `size` bytes; holes are not read. */
static int put_content(struct tar_writer *tar, int fd, uint64_t size, const char *path,
                       struct error *err)
{
    uint64_t at = 0;

    while (at < size) {
        off_t data = lseek(fd, (off_t)at, SEEK_DATA);
        off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

        if (data < 0 && errno == ENXIO)
            break;
        /* A file system that knows no holes. */
        if (data < (off_t)at || hole <= data)
            return put_data(tar, fd, at, size - at, path, err);
        if ((uint64_t)data >= size)
            break;
        if ((uint64_t)hole > size)
            hole = (off_t)size;
        if (put_zeros(tar, (uint64_t)data - at, err) < 0 ||
            put_data(tar, fd, (uint64_t)data, (uint64_t)(hole - data), path, err) < 0)
            return -1;
        at = (uint64_t)hole;
    }
    return put_zeros(tar, size - at, err);
}

/* --- hard links ------------------------------------------------------------------------------- */

static struct tar_link **slot(const struct tar_writer *tar, const struct stat *status)
{
    return &tar->links[(status->st_ino * 31 + status->st_dev) % tar->link_room];
}

static int grow_links(struct tar_writer *tar)
{
    struct tar_writer larger = { .link_room = tar->link_room ? tar->link_room * 4 : 256 };

    larger.links = calloc(larger.link_room, sizeof(struct tar_link *));
    if (!larger.links)
        return -1;
    for (size_t i = 0; i < tar->link_room; i++)
        for (struct tar_link *link = tar->links[i], *next; link; link = next) {
            struct stat status = { .st_ino = link->inode, .st_dev = link->device };
            struct tar_link **place = slot(&larger, &status);

            next = link->next;
            link->next = *place;
            *place = link;
        }
    free(tar->links);
    tar->links = larger.links;
    tar->link_room = larger.link_room;
    return 0;
}

/* The path under which a file is in the archive already, or NULL; it is then remembered. */
static const char *linked_to(struct tar_writer *tar, const char *path, const struct stat *status)
{
    size_t size = strlen(path) + 1;
    struct tar_link *link;

    if (status->st_nlink < 2 || (tar->link_count >= tar->link_room && grow_links(tar) < 0))
        return NULL;
    for (link = *slot(tar, status); link; link = link->next)
        if (link->inode == status->st_ino && link->device == status->st_dev)
            return link->path;
    link = malloc(sizeof *link + size);
    if (!link)
        return NULL;
    link->inode = status->st_ino;
    link->device = status->st_dev;
    memcpy(link->path, path, size);
    link->next = *slot(tar, status);
    *slot(tar, status) = link;
    tar->link_count++;
    return NULL;
}

/* --- members ---------------------------------------------------------------------------------- */

static int write_file(struct tar_writer *tar, int dir, const char *name, struct member *member,
                      struct error *err)
{
    cleanup_close int fd =
        openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 && (errno == ENOENT || errno == ELOOP))
        return 0; /* it vanished, or became a link */
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(err, "open", "%s", member->path);
    if (!S_ISREG(status.st_mode))
        return 0;
    member->status = &status;
    member->size = (uint64_t)status.st_size;
    if (put_header(tar, member, fd, err) < 0 ||
        put_content(tar, fd, member->size, member->path, err) < 0)
        return -1;
    return put_padding(tar, member->size, err);
}

static int write_directory(struct tar_writer *tar, int dir, const char *name,
                           struct member *member, struct error *err)
{
    cleanup_close int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    size_t length = strlen(member->path);
    bool ends = length > 0 && member->path[length - 1] == '/';
    cleanup_free char *path = NULL;

    if (asprintf(&path, "%s%s", member->path, ends ? "" : "/") < 0)
        return error_set(err, ENOMEM, "archive", "%s", member->path);
    member->path = path;
    return put_header(tar, member, fd, err);
}

static int write_link(struct tar_writer *tar, int dir, const char *name, struct member *member,
                      struct error *err)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(dir, name, target, sizeof target - 1);

    if (length < 0)
        return errno == ENOENT || errno == EINVAL ? 0 : error_errno(err, "readlink", "%s", name);
    target[length] = 0;
    member->link = target;
    return put_header(tar, member, -1, err);
}

int tar_write_item(struct tar_writer *tar, int dir, const char *name, const char *path,
                   const struct stat *status, struct error *err)
{
    struct member member = { .path = path, .link = "", .status = status };
    const char *first = S_ISDIR(status->st_mode) ? NULL : linked_to(tar, path, status);

    if (S_ISSOCK(status->st_mode))
        return 0;
    if (first) {
        member.type = TAR_HARD_LINK;
        member.link = first;
        return put_header(tar, &member, -1, err);
    }
    switch (status->st_mode & S_IFMT) {
    case S_IFREG:
        member.type = TAR_FILE;
        return write_file(tar, dir, name, &member, err);
    case S_IFDIR:
        member.type = TAR_DIRECTORY;
        return write_directory(tar, dir, name, &member, err);
    case S_IFLNK:
        member.type = TAR_SYMLINK;
        return write_link(tar, dir, name, &member, err);
    case S_IFCHR:
        member.type = TAR_CHAR;
        return put_header(tar, &member, -1, err);
    case S_IFBLK:
        member.type = TAR_BLOCK_DEVICE;
        return put_header(tar, &member, -1, err);
    default:
        member.type = TAR_FIFO;
        return put_header(tar, &member, -1, err);
    }
}

int tar_write_marker(struct tar_writer *tar, const char *path, struct error *err)
{
    static const struct stat empty = { .st_mode = S_IFREG | 0600 };
    struct member member = { path, "", TAR_FILE, 0, &empty };

    return put_header(tar, &member, -1, err);
}

int tar_write_end(struct tar_writer *tar, struct error *err)
{
    if (put(tar, NULL, (size_t)2 * TAR_BLOCK, err) < 0)
        return -1;
    return flush(tar, err);
}
