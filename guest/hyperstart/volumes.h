#ifndef HYPERSTART_VOLUMES_H
#define HYPERSTART_VOLUMES_H

#include "error.h"

/* Open (O_PATH) a volume, or something inside it. */
int volume_open(const char *volume, const char *subpath, struct error *err);

/* Unmount all at power-off. */
void volumes_unmount(void);

#endif
