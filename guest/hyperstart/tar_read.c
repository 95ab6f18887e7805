/* Owns the reading of archives as the host sends them: ustar, with pax headers and nothing else. */
#include "tar_read.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tar_format.h"

enum { RECORDS_MAX = 1 << 20 };

static int malformed(struct error *err, const char *what)
{
    return error_set(err, EBADMSG, "archive", "%s", what);
}

/* Read exactly `size` bytes; 0 when the stream ends before the first, -1 when it ends later. */
static int read_exactly(int fd, void *data, size_t size, struct error *err)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = read(fd, (uint8_t *)data + done, size - done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, "read", "archive");
        if (got == 0)
            return done == 0 ? 0 : malformed(err, "it ends in a header");
        done += (size_t)got;
    }
    return 1;
}

static int read_octal(const char *field, size_t size, uint64_t *value, struct error *err)
{
    *value = 0;
    for (size_t i = 0; i < size && field[i] && field[i] != ' '; i++) {
        if (field[i] < '0' || field[i] > '7')
            return malformed(err, "a number in a header");
        *value = *value << 3 | (uint64_t)(field[i] - '0');
    }
    return 0;
}

static int check_sum(const struct tar_header *header, struct error *err)
{
    const uint8_t *bytes = (const uint8_t *)header;
    unsigned sum = 8 * ' ';
    uint64_t expected;

    for (size_t i = 0; i < sizeof *header; i++)
        sum += bytes[i];
    for (size_t i = 0; i < sizeof header->checksum; i++)
        sum -= (uint8_t)header->checksum[i];
    if (read_octal(header->checksum, sizeof header->checksum, &expected, err) < 0)
        return -1;
    return sum == expected ? 0 : malformed(err, "a checksum");
}

/* --- pax records ------------------------------------------------------------------------------ */

struct record {
    const char *key; /* not ended by NUL */
    size_t key_length;
    const uint8_t *value;
    size_t size;
};

/* 1: a record; 0: the end; -1: malformed. */
static int next_record(const uint8_t *records, size_t length, size_t *at, struct record *record)
{
    size_t total = 0, digits = 0;
    const uint8_t *begin = records + *at, *equals;

    if (*at == length)
        return 0;
    while (*at + digits < length && begin[digits] >= '0' && begin[digits] <= '9' && digits < 8)
        total = total * 10 + (size_t)(begin[digits++] - '0');
    if (digits == 0 || total > length - *at || total < digits + 3 || begin[digits] != ' ' ||
        begin[total - 1] != '\n')
        return -1;
    record->key = (const char *)begin + digits + 1;
    equals = memchr(record->key, '=', total - digits - 2);
    if (!equals)
        return -1;
    record->key_length = (size_t)(equals - (const uint8_t *)record->key);
    record->value = equals + 1;
    record->size = (size_t)(begin + total - 1 - record->value);
    *at += total;
    return 1;
}

static bool is_key(const struct record *record, const char *key)
{
    return record->key_length == strlen(key) && memcmp(record->key, key, record->key_length) == 0;
}

static int take_text(const struct record *record, char *text, size_t size)
{
    if (record->size >= size || memchr(record->value, 0, record->size))
        return -1;
    memcpy(text, record->value, record->size);
    text[record->size] = 0;
    return 0;
}

static int take_number(const struct record *record, int64_t *value)
{
    char text[24], *end;

    if (take_text(record, text, sizeof text) < 0)
        return -1;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno || end == text || (*end && *end != '.') ? -1 : 0;
}

static int take_record(struct tar_reader *tar, struct tar_member *member,
                       const struct record *record)
{
    int64_t number = 0;

    if (is_key(record, "path"))
        return take_text(record, tar->path, sizeof tar->path);
    if (is_key(record, "linkpath"))
        return take_text(record, tar->link, sizeof tar->link);
    if (is_key(record, "mtime"))
        return take_number(record, &member->mtime_s);
    if (!is_key(record, "size") && !is_key(record, "uid") && !is_key(record, "gid"))
        return 0;
    if (take_number(record, &number) < 0 || number < 0)
        return -1;
    if (is_key(record, "size"))
        member->size = (uint64_t)number;
    else if (number > UINT32_MAX)
        return -1;
    else if (is_key(record, "uid"))
        member->uid = (uid_t)number;
    else
        member->gid = (gid_t)number;
    return 0;
}

static int take_records(struct tar_reader *tar, struct tar_member *member, struct error *err)
{
    struct record record;
    size_t at = 0;
    int more;

    while ((more = next_record(member->records, member->records_length, &at, &record)) > 0)
        if (take_record(tar, member, &record) < 0)
            return malformed(err, "a record of a pax header");
    return more < 0 ? malformed(err, "a pax header") : 0;
}

int tar_next_xattr(const struct tar_member *member, size_t *at, struct tar_xattr *xattr)
{
    static const char prefix[] = "SCHILY.xattr.";
    struct record record;

    while (member->records &&
           next_record(member->records, member->records_length, at, &record) > 0) {
        size_t begin = sizeof prefix - 1, length = record.key_length - begin;

        if (record.key_length <= begin || memcmp(record.key, prefix, begin) != 0 ||
            length >= sizeof xattr->name)
            continue;
        memcpy(xattr->name, record.key + begin, length);
        xattr->name[length] = 0;
        xattr->value = record.value;
        xattr->size = record.size;
        return 1;
    }
    return 0;
}

/* --- members ---------------------------------------------------------------------------------- */

static int skip(struct tar_reader *tar, struct error *err)
{
    char data[4096];

    while (tar->left > 0) {
        int got = read_exactly(tar->fd, data,
                               tar->left < sizeof data ? (size_t)tar->left : sizeof data, err);

        if (got <= 0)
            return got < 0 ? -1 : malformed(err, "it ends in a file");
        tar->left -= tar->left < sizeof data ? tar->left : sizeof data;
    }
    tar->content_left = 0;
    return 0;
}

static uint64_t padded(uint64_t size)
{
    return (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

/* Read the body of a pax header. */
static int read_records(struct tar_reader *tar, struct tar_member *member, uint64_t size,
                        struct error *err)
{
    size_t length = (size_t)padded(size);

    if (size > RECORDS_MAX)
        return malformed(err, "a pax header is too large");
    free(tar->records);
    tar->records = malloc(length + 1);
    if (!tar->records)
        return error_set(err, ENOMEM, "archive", "pax header");
    if (length > 0 && read_exactly(tar->fd, tar->records, length, err) <= 0)
        return malformed(err, "it ends in a pax header");
    member->records = tar->records;
    member->records_length = (size_t)size;
    return 0;
}

static int take_header(struct tar_reader *tar, struct tar_member *member,
                       const struct tar_header *header, struct error *err)
{
    uint64_t mode, uid, gid, mtime, major = 0, minor = 0;

    if (read_octal(header->mode, sizeof header->mode, &mode, err) < 0 ||
        read_octal(header->uid, sizeof header->uid, &uid, err) < 0 ||
        read_octal(header->gid, sizeof header->gid, &gid, err) < 0 ||
        read_octal(header->size, sizeof header->size, &member->size, err) < 0 ||
        read_octal(header->mtime, sizeof header->mtime, &mtime, err) < 0 ||
        read_octal(header->major, sizeof header->major, &major, err) < 0 ||
        read_octal(header->minor, sizeof header->minor, &minor, err) < 0)
        return -1;
    member->type = header->type;
    member->mode = (mode_t)(mode & 07777);
    member->uid = (uid_t)uid;
    member->gid = (gid_t)gid;
    member->mtime_s = (int64_t)mtime;
    member->major = (unsigned)major;
    member->minor = (unsigned)minor;
    memcpy(tar->path, header->name, sizeof header->name);
    tar->path[sizeof header->name] = 0;
    memcpy(tar->link, header->link, sizeof header->link);
    tar->link[sizeof header->link] = 0;
    member->path = tar->path;
    member->link = tar->link;
    return 0;
}

static bool is_end(const struct tar_header *header)
{
    static const struct tar_header zeros;

    return memcmp(header, &zeros, sizeof zeros) == 0;
}

int tar_read_member(struct tar_reader *tar, struct tar_member *member, struct error *err)
{
    struct tar_header header;
    uint64_t size;
    int got;

    memset(member, 0, sizeof *member);
    if (skip(tar, err) < 0)
        return -1;
    while ((got = read_exactly(tar->fd, &header, sizeof header, err)) > 0 && !is_end(&header)) {
        if (check_sum(&header, err) < 0)
            return -1;
        if (header.type != TAR_PAX) {
            if (take_header(tar, member, &header, err) < 0 || take_records(tar, member, err) < 0)
                return -1;
            tar->content_left = member->type == TAR_FILE ? member->size : 0;
            tar->left = padded(tar->content_left);
            return 1;
        }
        if (read_octal(header.size, sizeof header.size, &size, err) < 0 ||
            read_records(tar, member, size, err) < 0)
            return -1;
    }
    /* Without its end mark it was cut off. */
    return got == 0 ? malformed(err, "its end is missing") : got < 0 ? -1 : 0;
}

ssize_t tar_read_content(struct tar_reader *tar, void *data, size_t size, struct error *err)
{
    ssize_t got;

    if (size > tar->content_left)
        size = (size_t)tar->content_left;
    if (size == 0)
        return 0;
    do {
        got = read(tar->fd, data, size);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return error_errno(err, "read", "archive");
    if (got == 0)
        return malformed(err, "it ends in a file");
    tar->content_left -= (uint64_t)got;
    tar->left -= (uint64_t)got;
    return got;
}
