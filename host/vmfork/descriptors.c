// Descriptors: what a child must not share with the process it was forked from.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
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

static bool is_same(const struct descriptor *one, const struct descriptor *other)
{
    return one->info.st_ino == other->info.st_ino && one->info.st_dev == other->info.st_dev;
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

// Return the target that a descriptor is, or is a copy of; -1 if none.
static int target_of(const struct request *request, const struct descriptor *entry)
{
    for (uint32_t i = 0; i < request->target_count; i++) {
        const struct descriptor *target = find(request->targets[i]);
        if (entry->fd == request->targets[i])
            return (int)i;
        // All TAPs have one inode, so only the very descriptor is meant.
        if (target && target->fd != request->tap && is_same(target, entry))
            return (int)i;
    }
    return -1;
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
    int numbers[MAX_DESCRIPTORS];
    int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int found = directory < 0 ? -1 : numbers_in(directory, numbers, MAX_DESCRIPTORS);
    *failure = (struct failure){ "cannot list the descriptors", found < 0 ? errno : 0 };
    count = 0;
    for (int i = 0; i < found && failure->error == 0; i++) {
        if (numbers[i] == directory)
            continue;
        descriptors[count].fd = numbers[i];
        failure->error = classify(&descriptors[count++]);
    }
    if (directory >= 0)
        close(directory);
    for (int i = 0; i < count && failure->error == 0; i++) {
        mode_t mode = descriptors[i].info.st_mode;
        int fd = descriptors[i].fd;
        if ((S_ISSOCK(mode) || S_ISFIFO(mode)) && fd != control && !is_given(request, given, fd)
            && target_of(request, &descriptors[i]) < 0)
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
    for (int i = 0; i < count; i++) {
        const struct descriptor *entry = &descriptors[i];
        int target = target_of(request, entry);
        if (entry->kind != PLAIN && renew(entry))
            goto failed;
        if (is_same(entry, share) && put(folder, entry->fd))
            goto failed;
        if (target >= 0 && entry->fd == request->tap && tap_copy_settings(entry->fd, given[1 + target])) {
            failure->what = "cannot set up the TAP";
            goto failed;
        }
        if (target >= 0 && put_alike(given[1 + target], entry))
            goto failed;
    }
    return close(folder);
failed:
    failure->error = errno;
    return -1;
}
