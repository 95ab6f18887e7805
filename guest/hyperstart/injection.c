/* Owns files that the host writes into a container's root, or a volume, before anything runs, and those
 * it gave a container as mounts at any time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "container.h"
#include "files.h"
#include "mounts.h"
#include "users.h"
#include "volumes.h"

/* Open the root the path is below; -1 and an error when there is none, or it may be in use. */
static int open_root(const struct message_file_write *write, struct error *err)
{
    struct container *container;
    char path[160];
    int fd;

    if (!*write->container)
        return volume_open(write->volume, "", 0, err);
    container = container_required(write->container, err);
    if (!container)
        return -1;
    container_path(container, "/root", path, sizeof path);
    fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_errno(err, "open", "%s", path) : fd;
}

/* An image may have anything at the path: only a regular file is written to. */
static int open_target(int root, const struct message_file_write *message, struct error *err)
{
    cleanup_close int found = root_make(root, message->path, false, err);
    struct stat status;
    char path[40];
    int fd;

    if (found < 0)
        return -1;
    if (fstat(found, &status) < 0)
        return error_errno(err, "stat", "%s", message->path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, S_ISDIR(status.st_mode) ? EISDIR : EINVAL, "write", "%s",
                         message->path);
    snprintf(path, sizeof path, "/proc/self/fd/%d", found);
    fd = open(path, O_WRONLY | O_CLOEXEC | (message->offset == 0 ? O_TRUNC : 0));
    return fd < 0 ? error_errno(err, "open", "%s", message->path) : fd;
}

static int write_all(int fd, const struct message_file_write *message, struct error *err)
{
    uint32_t done = 0;

    while (done < message->content.length) {
        ssize_t size = pwrite(fd, message->content.data + done, message->content.length - done,
                              (off_t)(message->offset + done));

        if (size < 0)
            return error_errno(err, "write", "%s", message->path);
        done += (uint32_t)size;
    }
    return 0;
}

/* A file that was given to the container as a mount lies beside its root, where it has no path. */
static int open_given(const struct container *container, const struct message_file_write *write,
                      struct error *err)
{
    const struct mount_list *mounts = &container->spec->mounts;
    char below[32], path[176];

    for (uint32_t i = 0; i < mounts->count; i++) {
        int fd;

        if (mounts->items[i].kind != MOUNT_FILE ||
            strcmp(mounts->items[i].destination, write->path) != 0)
            continue;
        snprintf(below, sizeof below, "/file%u", i);
        container_path(container, below, path, sizeof path);
        fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | (write->offset == 0 ? O_TRUNC : 0));
        return fd < 0 ? error_errno(err, "open", "%s", write->path) : fd;
    }
    return error_set(err, EBUSY, "container", "%s is running", container->name);
}

static int write_given(const struct container *container, const struct message_file_write *write,
                       struct error *err)
{
    cleanup_close int fd = open_given(container, write, err);

    return fd < 0 || write_all(fd, write, err) < 0 ? -1 : OUTCOME_OK;
}

COMMAND(file_write)
{
    const struct message_file_write *write = message;
    const struct str_list no_groups = { 0 };
    const struct container *container = container_find(write->container);
    cleanup_close int root = -1, fd = -1;
    struct user user;

    (void)request;
    if (container && container->main)
        return write_given(container, write, err);
    root = open_root(write, err);
    if (root < 0 || user_resolve(root, write->owner, &no_groups, &user, err) < 0)
        return -1;
    fd = open_target(root, write, err);
    if (fd < 0 || write_all(fd, write, err) < 0)
        return -1;
    /* The owner first: changing it clears setuid. */
    if (fchown(fd, user.uid, user.gid) < 0)
        return error_errno(err, "chown", "%s", write->path);
    if (fchmod(fd, write->mode & 07777) < 0)
        return error_errno(err, "chmod", "%s", write->path);
    return OUTCOME_OK;
}
