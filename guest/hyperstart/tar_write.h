#ifndef HYPERSTART_TAR_WRITE_H
#define HYPERSTART_TAR_WRITE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "error.h"
#include "wire.h"

struct tar_link;

/* An archive on its way out (POSIX.1-2017 pax). Zeroed but for `fd` it is ready. */
struct tar_writer {
    int fd;
    uint8_t block[65536];
    size_t used;
    struct tar_link **links; /* files with several names, by inode */
    size_t link_count, link_room;
};

/* Append what `name` in `dir` is, called `path` in the archive; sockets are left out. */
int tar_write_item(struct tar_writer *tar, int dir, const char *name, const char *path,
                   const struct stat *status, struct error *err);

/* Append an empty file. */
int tar_write_marker(struct tar_writer *tar, const char *path, struct error *err);

/* Append the end and write out what is left. */
int tar_write_end(struct tar_writer *tar, struct error *err);

#endif
