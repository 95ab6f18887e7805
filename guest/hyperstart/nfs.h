#ifndef HYPERSTART_NFS_H
#define HYPERSTART_NFS_H

#include "error.h"

/* Mount ADDRESS:/EXPORT (an IPv6 address in brackets) at a path, with the kernel's own options;
 * blocks until the server answers, so it is for an errand. */
int nfs_mount(const char *source, const char *path, unsigned long flags, const char *options,
              struct error *err);

#endif
