/* Owns the mount of an NFS export without mount.nfs: the options the kernel wants as text
 * (linux/fs/nfs/fs_context.c), and the versions tried one after another, as mount.nfs does. */
#include "nfs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>

/* A server that is about to start (of another pod) is waited for. */
enum { REFUSED_TRIES = 40, REFUSED_WAIT_MS = 250 };

static const char *const versions[] = { "vers=4.2", "vers=4.1", "vers=4.0" };

/* The address before ":/", without the brackets of IPv6. */
static int find_address(const char *source, char *address, size_t size, struct error *err)
{
    const char *end = strstr(source, *source == '[' ? "]:/" : ":/");

    if (*source == '[')
        source++;
    if (!end || end == source || (size_t)(end - source) >= size)
        return error_set(err, EINVAL, "mount", "%s: ADDRESS:/EXPORT is needed", source);
    memcpy(address, source, (size_t)(end - source));
    address[end - source] = 0;
    return 0;
}

static int mount_version(const char *source, const char *path, unsigned long flags,
                         const char *options)
{
    struct timespec pause = { .tv_nsec = REFUSED_WAIT_MS * 1000000L };

    for (int tries = 1;; tries++) {
        if (mount(source, path, "nfs", flags, options) == 0)
            return 0;
        if (errno != ECONNREFUSED || tries == REFUSED_TRIES)
            return -1;
        nanosleep(&pause, NULL);
    }
}

int nfs_mount(const char *source, const char *path, unsigned long flags, const char *options,
              struct error *err)
{
    bool chosen = strstr(options, "vers=") != NULL;
    char address[64], text[2048];

    if (find_address(source, address, sizeof address, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        int size = snprintf(text, sizeof text, "%s%s%s%saddr=%s", chosen ? "" : versions[i],
                            chosen ? "" : ",", options, *options ? "," : "", address);

        if (size >= (int)sizeof text)
            return error_set(err, E2BIG, "mount", "%s: its options", source);
        if (mount_version(source, path, flags, text) == 0)
            return 0;
        if (chosen || (errno != EPROTONOSUPPORT && errno != EINVAL))
            break;
    }
    return error_errno(err, "mount", "%s", source);
}
