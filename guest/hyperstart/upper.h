#ifndef HYPERSTART_UPPER_H
#define HYPERSTART_UPPER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "walk.h"

/* What overlayfs keeps of a container's changes (Documentation/filesystems/overlayfs.rst), read without
 * an overlay over it. */

bool upper_is_whiteout(const struct stat *status);

/* Whether a directory hides what the layers below have in it. */
bool upper_is_opaque(int dir, const char *name);

/* What is at a path in the layers below, which are our root. */
bool lower_stat(const char *path, struct stat *status);

/* Open a directory there; -1 with errno. */
int lower_open(const char *path);

/* Whether it is the table of mounts as rootfs.c makes it. */
bool upper_is_mounts_link(const struct walk_item *item);

/* Whether it is there only because we mounted something over it: every container has these, and Docker
 * counts them as the image's (moby daemon/initlayer). */
bool upper_is_mount_point(const struct walk_item *item);

#endif
