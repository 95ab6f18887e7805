/* Owns walks through trees that may change meanwhile and hold anything, and where paths lead. */
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "files.h"

enum { DEPTH_MAX = 4096, LINKS_MAX = 255 };

/* The names in a directory, NUL after NUL. */
struct names {
    char *text;
    size_t used, capacity, count;
    char **sorted;
};

static void names_free(struct names *names)
{
    free(names->text);
    free(names->sorted);
}

static int names_add(struct names *names, const char *name)
{
    size_t size = strlen(name) + 1;

    if (names->used + size > names->capacity) {
        size_t capacity = names->capacity ? names->capacity * 2 : 4096;
        char *text = realloc(names->text, capacity);

        if (!text)
            return -1;
        names->text = text;
        names->capacity = capacity;
    }
    memcpy(names->text + names->used, name, size);
    names->used += size;
    names->count++;
    return 0;
}

static int compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Read a directory at once: what is read in between cannot be counted twice or missed. */
static int names_read(struct names *names, int dir)
{
    int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *stream = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;
    char *at;

    if (!stream)
        return -1;
    while ((errno = 0, entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            names_add(names, entry->d_name) < 0)
            return -1;
    if (errno)
        return -1;
    names->sorted = calloc(names->count + 1, sizeof *names->sorted);
    if (!names->sorted)
        return -1;
    at = names->text;
    for (size_t i = 0; i < names->count; i++, at += strlen(at) + 1)
        names->sorted[i] = at;
    qsort(names->sorted, names->count, sizeof *names->sorted, compare);
    return 0;
}

/* --- the walk --------------------------------------------------------------------------------- */

struct walking {
    walk_visit visit;
    void *owner;
    struct error *err;
};

static bool vanished(void)
{
    return errno == ENOENT || errno == ESTALE;
}

static int walk_directory(const struct walking *walking, int dir, const char *prefix, int depth);

static const char *separator(const char *prefix)
{
    return *prefix && prefix[strlen(prefix) - 1] != '/' ? "/" : "";
}

static int walk_entry(const struct walking *walking, int dir, const char *prefix, const char *name,
                      int depth)
{
    struct walk_item item = { .dir = dir, .name = name };
    cleanup_free char *path = NULL;
    cleanup_close int below = -1;
    int result;

    if (fstatat(dir, name, &item.status, AT_SYMLINK_NOFOLLOW) < 0)
        return vanished() ? 0 : error_errno(walking->err, "stat", "%s/%s", prefix, name);
    if (asprintf(&path, "%s%s%s", prefix, separator(prefix), name) < 0)
        return error_set(walking->err, ENOMEM, "walk", "%s", name);
    item.path = path;
    result = walking->visit(walking->owner, &item, walking->err);
    if (result != 0 || !S_ISDIR(item.status.st_mode))
        return result < 0 ? -1 : 0;
    below = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0)
        /* It vanished, or became something else. */
        return vanished() || errno == ENOTDIR || errno == ELOOP
                   ? 0
                   : error_errno(walking->err, "open", "%s", path);
    return walk_directory(walking, below, path, depth + 1);
}

static int walk_directory(const struct walking *walking, int dir, const char *prefix, int depth)
{
    struct names names = { 0 };
    int result = 0;

    if (depth > DEPTH_MAX)
        return error_set(walking->err, ELOOP, "walk", "more than %d directories deep", DEPTH_MAX);
    if (names_read(&names, dir) < 0)
        result = error_errno(walking->err, "read", "%s", *prefix ? prefix : "/");
    for (size_t i = 0; result == 0 && i < names.count; i++)
        result = walk_entry(walking, dir, prefix, names.sorted[i], depth);
    names_free(&names);
    return result;
}

int walk(int dir, const char *prefix, walk_visit visit, void *owner, struct error *err)
{
    struct walking walking = { visit, owner, err };

    return walk_directory(&walking, dir, prefix, 0);
}

int remove_tree(int dir, const char *name)
{
    struct names names = { 0 };
    cleanup_close int below = -1;
    int result;

    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    below = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0)
        return -1;
    result = names_read(&names, below);
    for (size_t i = 0; result == 0 && i < names.count; i++)
        result = remove_tree(below, names.sorted[i]);
    names_free(&names);
    return result < 0 ? -1 : unlinkat(dir, name, AT_REMOVEDIR);
}

/* --- places ----------------------------------------------------------------------------------- */

int place_find(const char *path, struct place *place, struct error *err)
{
    cleanup_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *slash = strrchr(path, '/');
    cleanup_free char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
    const char *name = slash ? slash + 1 : "";

    if (root < 0 || !parent)
        return error_set(err, EINVAL, "path", "%s", path);
    if (strlen(name) >= sizeof place->name)
        return error_set(err, ENAMETOOLONG, "path", "%s", path);
    snprintf(place->name, sizeof place->name, "%s", *name ? name : ".");
    place->dir = root_open(root, parent, O_RDONLY | O_DIRECTORY);
    return place->dir < 0 ? error_errno(err, "path", "%s", path) : 0;
}

/* Put a link's target in front of what is left of a path. */
static int put_before(char *left, size_t size, const char *target, const char *rest)
{
    cleanup_free char *whole = NULL;
    int length = asprintf(&whole, "%s/%s", target, rest);

    if (length < 0)
        return -1;
    if ((size_t)length >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(left, whole, (size_t)length + 1);
    return 0;
}

/* Take the first component off a path; NULL at its end. */
static char *next_component(char **left)
{
    char *begin = *left + strspn(*left, "/");

    *left = begin + strcspn(begin, "/");
    if (*left == begin)
        return NULL;
    if (**left)
        *(*left)++ = 0;
    return begin;
}

int link_resolve(const char *path, char *resolved, size_t size, struct error *err)
{
    char text[2 * PATH_MAX], target[PATH_MAX], *left = text, *name;
    size_t used = 0;
    int links = 0;

    if (snprintf(text, sizeof text, "%s", path) >= (int)sizeof text)
        return error_set(err, ENAMETOOLONG, "link", "%s", path);
    resolved[0] = 0;
    while ((name = next_component(&left))) {
        ssize_t length;

        if (strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            char *slash = strrchr(resolved, '/');

            used = slash ? (size_t)(slash - resolved) : 0;
            resolved[used] = 0;
            continue;
        }
        if (used + strlen(name) + 2 > size)
            return error_set(err, ENAMETOOLONG, "link", "%s", path);
        used += (size_t)snprintf(resolved + used, size - used, "/%s", name);
        length = readlink(resolved, target, sizeof target - 1);
        if (length < 0)
            continue;
        target[length] = 0;
        if (++links > LINKS_MAX)
            return error_set(err, ELOOP, "link", "%s", path);
        used = *target == '/' ? 0 : used - strlen(name) - 1;
        resolved[used] = 0;
        /* `left` points into text: what follows moves to its beginning. */
        if (put_before(text, sizeof text, target, left) < 0)
            return error_errno(err, "link", "%s", path);
        left = text;
    }
    if (used == 0)
        snprintf(resolved, size, "/");
    return 0;
}
