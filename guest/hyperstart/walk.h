#ifndef HYPERSTART_WALK_H
#define HYPERSTART_WALK_H

#include <stddef.h>
#include <sys/stat.h>

#include "error.h"

/* Something a walk has come to. */
struct walk_item {
    int dir; /* the directory it is in, and its name there */
    const char *name;
    const char *path; /* from where the walk began, without a slash in front */
    struct stat status;
};

/* 1: leave out what is below it; -1: end the walk with an error. */
typedef int (*walk_visit)(void *owner, const struct walk_item *item, struct error *err);

/* Visit everything below a directory, a directory before what is in it, names in byte order. Never
 * follows a symbolic link. What vanishes meanwhile is left out. `prefix` begins every path. */
int walk(int dir, const char *prefix, walk_visit visit, void *owner, struct error *err);

/* Remove a tree. Returns -1 with errno. */
int remove_tree(int dir, const char *name);

/* Where a path leads: the directory that holds its last component, and the component's name; "." when
 * the path ends in / or /. , which must then be a directory. Links before it are followed within
 * our root. */
struct place {
    int dir;
    char name[256];
};
int place_find(const char *path, struct place *place, struct error *err);

/* Where a path leads when every link is followed within our root, also to what does not exist. */
int link_resolve(const char *path, char *resolved, size_t size, struct error *err);

#endif
