#ifndef HYPERSTART_MOUNTS_H
#define HYPERSTART_MOUNTS_H

#include "container.h"

/* In the child, in its new mount namespace: make every mount of the container and pivot into it.
 * `terminal` is the slave that becomes /dev/console, or -1. */
int mounts_enter(const struct container *container, int terminal, struct error *err);

/* Mount on what an O_PATH fd names. */
int mount_on(int target, const char *source, const char *type, unsigned long flags,
             const char *options);

/* Mount a container's i-th own mount (mounts_custom.c). */
int mount_custom(const struct container *container, int root, uint32_t i, struct error *err);

enum { MOUNT_VOLUME = 1, MOUNT_FILE = 2 }; /* struct mount's kind */

/* Two kinds of them alone, for views of a container (view.c): a volume with more MS_* flags, and a
 * file, of which what the container has made of it is kept. */
int mount_volume(const struct container *container, int root, uint32_t i, unsigned long flags,
                 struct error *err);
int mount_kept_file(const struct container *container, int root, uint32_t i, struct error *err);

/* Write sysctls with dotted names (or slashes) into /proc/sys. */
int sysctls_apply(const struct key_value_list *sysctls, struct error *err);

#endif
