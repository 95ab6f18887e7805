#ifndef HYPERSTART_BOOT_H
#define HYPERSTART_BOOT_H

#include "error.h"

/* As PID 1: make the few mounts that are needed and leave the initramfs for a tmpfs. */
int boot_vm(struct error *err);

/* Open the virtio port hyper.agent; returns its fd, or -1. */
int boot_open_port(struct error *err);

/* As a test process: a mount namespace of our own, and the directories below `dir`. */
int boot_test(const char *dir, struct error *err);

#endif
