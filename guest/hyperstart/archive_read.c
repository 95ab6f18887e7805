/* Owns the command that archives what is at a path of a container. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "job.h"
#include "tar_write.h"
#include "walk.h"

static int visit(void *owner, const struct walk_item *item, struct error *err)
{
    return tar_write_item(owner, item->dir, item->name, item->path, &item->status, err);
}

static int write_tree(struct tar_writer *tar, const struct message_archive_read *asked,
                      const struct place *place, const struct stat *status, struct error *err)
{
    cleanup_close int top = -1;

    if (*asked->name &&
        tar_write_item(tar, place->dir, place->name, asked->name, status, err) < 0)
        return -1;
    if (S_ISDIR(status->st_mode)) {
        top = openat(place->dir, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (top < 0)
            return error_errno(err, "open", "%s", asked->path);
        /* The root is called /, and what is in it /NAME. */
        if (walk(top, asked->name[0] == '/' ? "/" : asked->name, visit, tar, err) < 0)
            return -1;
    }
    return tar_write_end(tar, err);
}

static int run_read(struct job *job, struct error *err)
{
    const struct message_archive_read *asked = job->message;
    struct tar_writer *tar = calloc(1, sizeof *tar);
    struct place place;
    struct stat status;

    if (!tar)
        return error_set(err, ENOMEM, "archive", "%s", asked->path);
    tar->fd = STDOUT_FILENO;
    if (view_enter(job->container, asked->volumes, err) < 0 ||
        place_find(asked->path, &place, err) < 0)
        return -1;
    if (fstatat(place.dir, place.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, "path", "%s", asked->path);
    job_ready(job);
    return write_tree(tar, asked, &place, &status, err);
}

COMMAND(archive_read)
{
    const struct message_archive_read *asked = message;

    return job_start(request, asked->container, asked->process_id, message, false, run_read, err);
}
