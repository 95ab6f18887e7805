#ifndef HYPERSTART_FILES_H
#define HYPERSTART_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "error.h"

/* Small files of kernel interfaces and of images. */

int file_write(int dir, const char *path, const char *text, struct error *err);

/* Read up to size - 1 bytes and end them with NUL; returns the length, or -1 with errno. */
ssize_t file_read(int dir, const char *path, char *text, size_t size);

/* Paths below a root that may hold anything: symbolic links stay inside it, /proc's magic links are
 * refused. Return an fd, or -1 with errno. */
int root_open(int root, const char *path, int flags);

/* Open as O_PATH what is at path, making missing directories (root's, 0755) and the last component:
 * a directory, or an empty file. */
int root_make(int root, const char *path, bool directory, struct error *err);

/* Open a regular file of an image for reading: no device, no FIFO. Returns -1 with errno. */
int root_open_regular(int root, const char *path);

int make_directory(const char *path, mode_t mode, struct error *err); /* may exist */

#endif
