/* Owns the command that lists what a container changed of its image.
 *
 * The rules are Docker's (moby pkg/archive/changes.go, statDifferent and addChanges): a file counts as
 * changed when its owner, mode, size or time did, a directory when its owner or mode did or when
 * something in it was changed, added or deleted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "job.h"
#include "upper.h"
#include "walk.h"


enum { DEPTH_MAX = 4200 }; /* more than a walk goes down */

struct changes {
    FILE *out;
    /* Of what was last visited in each depth: whether it was listed. */
    bool listed[DEPTH_MAX];
};

static size_t depth_of(const char *path)
{
    size_t depth = 0;

    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

static int put(struct changes *changes, char kind, const char *path, size_t length,
               struct error *err)
{
    fprintf(changes->out, "%c/%.*s", kind, (int)length, path);
    putc(0, changes->out);
    return ferror(changes->out) ? error_errno(err, "write", "changes") : 0;
}

/* List a change; the directories on the way to it are changed too. */
static int put_change(struct changes *changes, char kind, const char *path, struct error *err)
{
    const char *slash = strchr(path, '/');

    for (size_t depth = 0; slash; depth++, slash = strchr(slash + 1, '/')) {
        if (!changes->listed[depth] && put(changes, 'C', path, (size_t)(slash - path), err) < 0)
            return -1;
        changes->listed[depth] = true;
    }
    return put(changes, kind, path, strlen(path), err);
}

static bool same_time(const struct timespec *left, const struct timespec *right)
{
    /* squashfs has no fractions of seconds. */
    return left->tv_sec == right->tv_sec &&
           (left->tv_nsec == right->tv_nsec || left->tv_nsec == 0 || right->tv_nsec == 0);
}

static bool same(const struct stat *left, const struct stat *right)
{
    if (left->st_mode != right->st_mode || left->st_uid != right->st_uid ||
        left->st_gid != right->st_gid || left->st_rdev != right->st_rdev)
        return false;
    return S_ISDIR(left->st_mode) || (left->st_size == right->st_size &&
                                      same_time(&left->st_mtim, &right->st_mtim));
}

/* --- what a replaced directory had in it ------------------------------------------------------ */

struct hidden {
    struct changes *changes;
    int upper; /* what is there instead of the directory, -1 when it is none */
};

static int visit_hidden(void *owner, const struct walk_item *item, struct error *err)
{
    const struct hidden *hidden = owner;
    struct stat status;

    if (hidden->upper >= 0 &&
        fstatat(hidden->upper, item->name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return 1; /* there is a new one of that name */
    return put_change(hidden->changes, 'D', item->path, err) < 0 ? -1 : 1;
}

static int put_hidden(struct changes *changes, const struct walk_item *item, struct error *err)
{
    struct hidden hidden = { .changes = changes };
    cleanup_close int lower = lower_open(item->path);
    cleanup_close int upper =
        openat(item->dir, item->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (lower < 0)
        return error_errno(err, "open", "%s", item->path);
    hidden.upper = upper;
    return walk(lower, item->path, visit_hidden, &hidden, err);
}

/* --- the walk --------------------------------------------------------------------------------- */

static int visit_present(struct changes *changes, const struct walk_item *item,
                         const struct stat *lower, struct error *err)
{
    bool directory = S_ISDIR(item->status.st_mode);

    if (!same(&item->status, lower)) {
        if (put_change(changes, 'C', item->path, err) < 0)
            return -1;
        changes->listed[depth_of(item->path)] = true;
    }
    if (!S_ISDIR(lower->st_mode) || (directory && !upper_is_opaque(item->dir, item->name)))
        return 0;
    return put_hidden(changes, item, err);
}

static int visit(void *owner, const struct walk_item *item, struct error *err)
{
    struct changes *changes = owner;
    bool below;
    struct stat lower;

    if (upper_is_mount_point(item))
        return 1;
    changes->listed[depth_of(item->path)] = false;
    below = lower_stat(item->path, &lower);
    if (upper_is_whiteout(&item->status))
        return below ? put_change(changes, 'D', item->path, err) : 0;
    if (below)
        return visit_present(changes, item, &lower, err);
    changes->listed[depth_of(item->path)] = true;
    return put_change(changes, 'A', item->path, err);
}

static int run_changes(struct job *job, struct error *err)
{
    struct changes *changes = calloc(1, sizeof *changes);
    int upper;

    if (!changes)
        return error_set(err, ENOMEM, "changes", "%s", job->container->name);
    changes->out = stdout;
    if (view_enter_changes(job->container, &upper, err) < 0)
        return -1;
    job_ready(job);
    if (walk(upper, "", visit, changes, err) < 0)
        return -1;
    return fflush(stdout) == EOF ? error_errno(err, "write", "changes") : 0;
}

COMMAND(changes_read)
{
    const struct message_changes_read *asked = message;

    return job_start(request, asked->container, asked->process_id, message, false, run_changes,
                     err);
}
