#ifndef HYPERSTART_TAR_READ_H
#define HYPERSTART_TAR_READ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

/* One member of an archive; strings and attributes live until the next one is read. */
struct tar_member {
    const char *path, *link;
    char type; /* tar_format.h */
    uint64_t size;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    int64_t mtime_s;
    unsigned major, minor;
    const uint8_t *records; /* of its pax header, or NULL */
    size_t records_length;
};

/* An archive on its way in. Zeroed but for `fd` it is ready. */
struct tar_reader {
    int fd;
    uint64_t left; /* content and padding of the last member not read yet */
    uint64_t content_left;
    uint8_t *records;
    char path[4352], link[4352];
};

/* 1: there is a member; 0: the end; -1: this is no archive. */
int tar_read_member(struct tar_reader *tar, struct tar_member *member, struct error *err);

/* Read content of the member; returns the bytes read, 0 at its end, or -1. */
ssize_t tar_read_content(struct tar_reader *tar, void *data, size_t size, struct error *err);

/* The next extended attribute of a member: its name with NUL, its value; false: there is none.
 * *at begins with 0. */
struct tar_xattr {
    char name[256];
    const uint8_t *value;
    size_t size;
};
int tar_next_xattr(const struct tar_member *member, size_t *at, struct tar_xattr *xattr);

#endif
