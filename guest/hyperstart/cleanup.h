#ifndef HYPERSTART_CLEANUP_H
#define HYPERSTART_CLEANUP_H

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

/* Attributes that release a local variable when its scope ends, whatever the path out. */
#define cleanup_close __attribute__((cleanup(cleanup_close_fd)))
#define cleanup_free  __attribute__((cleanup(cleanup_free_pointer)))
#define cleanup_dir   __attribute__((cleanup(cleanup_close_dir)))

static inline void cleanup_close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* Hand an fd over: the caller's variable no longer closes it. */
static inline int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

#endif
