#ifndef HYPERSTART_VOLUME_H
#define HYPERSTART_VOLUME_H

#include "commands.h"
#include "loop.h"

enum { VOLUME_SHARE = 0, VOLUME_DISK = 1, VOLUME_TMPFS = 2, VOLUME_NFS = 3, VOLUME_DEVICE = 4 };

/* A volume waits while a child works on it: `asked` is then answered. */
struct volume {
    struct volume *next;
    char *name;
    char *path;    /* below the share; options of a tmpfs, of a fresh disk's root; an export */
    char *options; /* of NFS */
    uint8_t kind;
    bool read_only, waits;
    bool silent; /* an NFS server that did not answer in time */
    unsigned long flags;
    struct request asked;
    struct timer thaw;
    unsigned number; /* a mount of its own is at <runtime dir>/v/<number> */
    struct wire_device device;
    dev_t node; /* of a VOLUME_DEVICE */
};

struct volume *volume_find(const char *name);

/* Take a volume out of the list and free it. */
void volume_forget(struct volume *volume);

/* Where a volume that has a mount of its own is mounted. */
void volume_path(const struct volume *volume, char *path, size_t size);

struct volume *volume_first(void);

/* Mount a disk's file system, as volume_add says. */
int disk_mount(struct volume *volume, const struct message_volume_add *add, struct error *err);

/* Mount and unmount an export by a child that answers `request`. */
int export_mount(struct volume *volume, const struct request *request, struct error *err);
int export_unmount(struct volume *volume, const struct request *request, struct error *err);

/* Have what waits for an export's server fail with EIO: killed processes, and others. */
void export_give_up(struct volume *volume);

#endif
