#ifndef HYPERSTART_VOLUMES_H
#define HYPERSTART_VOLUMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

/* Open (O_PATH) a volume, or something inside it; with a mode, a missing subpath becomes a
 * directory that has it. */
int volume_open(const char *volume, const char *subpath, uint32_t mode, struct error *err);

/* Find the block device that a volume is which is handed on as it is. */
int volume_device(const char *volume, dev_t *device, struct error *err);

/* Have nobody wait any longer for what a volume keeps over the network; false: it does not. */
bool volume_give_up(const char *volume);

/* Let everybody go on who waits for a frozen volume. */
void disks_thaw(void);

/* Unmount all at power-off. */
void volumes_unmount(void);

#endif
