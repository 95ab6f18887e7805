// Descriptors: what a child must not share with the process it was forked from.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmfork.h"

#define MAX_DESCRIPTORS 512
#define SHARE "/share"

enum kind { PLAIN, EVENT, POLL };

struct descriptor {
    int fd;
    enum kind kind;
    int flags;
    struct stat info;
};

static struct descriptor descriptors[MAX_DESCRIPTORS];
static int count;

static const struct descriptor *find(int fd)
{
    for (int i = 0; i < count; i++)
        if (descriptors[i].fd == fd)
            return &descriptors[i];
    return NULL;
}

// Tell whether an epoll descriptor watches anything (proc(5), fdinfo: a line "tfd:" each).
static bool watches(int fd)
{
    char path[64], text[1024];
    int info;
    ssize_t size;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    info = open(path, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return true;
    size = read(info, text, sizeof text - 1);
    close(info);
    text[size > 0 ? size : 0] = '\0';
    return size <= 0 || strstr(text, "tfd:") != NULL;
}

static bool is_given(const struct request *request, const int *given, int fd)
{
    for (uint32_t i = 0; i <= request->target_count; i++)
        if (given[i] == fd)
            return true;
    return false;
}

static bool is_target(const struct request *request, const struct stat *info, int fd)
{
    for (uint32_t i = 0; i < request->target_count; i++) {
        const struct descriptor *target = find(request->targets[i]);
        if (fd == request->targets[i])
            return true;
        // All TAPs have one inode, so only the very descriptor is meant; of others, all copies.
        if (target && request->targets[i] != request->tap && target->info.st_ino == info->st_ino
            && target->info.st_dev == info->st_dev)
            return true;
    }
    return false;
}

// Return 0, or an error if a descriptor can neither be shared nor replaced.
static int classify(struct descriptor *entry)
{
    char path[64], link[64];
    ssize_t size;
    entry->kind = PLAIN;
    entry->flags = fcntl(entry->fd, F_GETFL);
    if (entry->flags < 0 || fstat(entry->fd, &entry->info))
        return errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", entry->fd);
    size = readlink(path, link, sizeof link - 1);
    if (size < 0)
        return errno;
    link[size] = '\0';
    if (strncmp(link, "anon_inode:", 11) != 0)
        return 0;
    if (strcmp(link + 11, "[eventfd]") == 0)
        entry->kind = EVENT;
    else if (strcmp(link + 11, "[eventpoll]") == 0 && !watches(entry->fd))
        entry->kind = POLL;
    else if (strcmp(link + 11, "[signalfd]") != 0) // a signalfd reads its reader's signals
        return EBUSY;
    return 0;
}

// Note what is open. EBUSY while there is a connection, or anything else that a child would share.
int descriptors_scan(const struct request *request, const int *given, int control, struct failure *failure)
{
    char buffer[4096];
    int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *failure = (struct failure){ "cannot list the descriptors", errno };
    count = 0;
    if (directory < 0)
        return -1;
    failure->error = 0;
    for (;;) {
        long size = syscall(SYS_getdents64, directory, buffer, sizeof buffer);
        if (size <= 0) {
            failure->error = size < 0 ? errno : 0;
            break;
        }
        for (long at = 0; at < size && failure->error == 0;) {
            unsigned short length;
            const char *name = buffer + at + 19;
            memcpy(&length, buffer + at + 16, sizeof length);
            at += length;
            if (name[0] == '.' || atoi(name) == directory)
                continue;
            if (count == MAX_DESCRIPTORS) {
                failure->error = EMFILE;
                break;
            }
            descriptors[count].fd = atoi(name);
            failure->error = classify(&descriptors[count++]);
        }
        if (failure->error)
            break;
    }
    close(directory);
    for (int i = 0; i < count && failure->error == 0; i++) {
        mode_t mode = descriptors[i].info.st_mode;
        int fd = descriptors[i].fd;
        if ((S_ISSOCK(mode) || S_ISFIFO(mode)) && fd != control && !is_given(request, given, fd)
            && !is_target(request, &descriptors[i].info, fd))
            *failure = (struct failure){ "the VM has a connection", EBUSY };
    }
    return failure->error ? -1 : 0;
}

static int put(int from, int to)
{
    return from < 0 || dup3(from, to, O_CLOEXEC) < 0 ? -1 : 0;
}

// The status flags go with what is put there, not with the number: non-blocking stays so.
static int put_alike(int from, const struct descriptor *entry)
{
    int flags = fcntl(from, F_GETFL);
    if (flags < 0 || fcntl(from, F_SETFL, (flags & ~O_NONBLOCK) | (entry->flags & O_NONBLOCK)))
        return -1;
    return put(from, entry->fd);
}

static int renew(const struct descriptor *entry)
{
    int fd = entry->kind == EVENT ? eventfd(1, EFD_CLOEXEC | (entry->flags & O_NONBLOCK)) : epoll_create1(EPOLL_CLOEXEC);
    if (put(fd, entry->fd))
        return -1;
    return close(fd);
}

// In the child: put what was given (after the channel) in the places of the targets and of their copies;
// renew the rest.
int descriptors_replace(const struct request *request, const int *given, struct failure *failure)
{
    const struct descriptor *share = find(request->share);
    int folder = open(SHARE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *failure = (struct failure){ "cannot replace a descriptor", 0 };
    if (folder < 0 || share == NULL)
        goto failed;
    if (request->tap >= 0)
        for (uint32_t i = 0; i < request->target_count; i++)
            if (request->targets[i] == request->tap && tap_copy_settings(request->tap, given[1 + i])) {
                failure->what = "cannot set up the TAP";
                goto failed;
            }
    for (int i = 0; i < count; i++) {
        const struct descriptor *entry = &descriptors[i];
        if (entry->kind != PLAIN && renew(entry))
            goto failed;
        if (entry->info.st_ino == share->info.st_ino && entry->info.st_dev == share->info.st_dev
            && put(folder, entry->fd))
            goto failed;
        for (uint32_t t = 0; t < request->target_count; t++) {
            const struct descriptor *target = find(request->targets[t]);
            bool same = target && request->targets[t] != request->tap && entry->info.st_ino == target->info.st_ino
                && entry->info.st_dev == target->info.st_dev;
            if ((same || entry->fd == request->targets[t]) && put_alike(given[1 + t], entry))
                goto failed;
        }
    }
    return close(folder);
failed:
    failure->error = errno;
    return -1;
}
