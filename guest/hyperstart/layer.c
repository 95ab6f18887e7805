/* Owns the command that archives a container's changes as a layer (OCI image-spec layer.md, "Whiteouts"). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "job.h"
#include "tar_write.h"
#include "upper.h"
#include "walk.h"

static int write_whiteout(struct tar_writer *tar, const struct walk_item *item, struct error *err)
{
    cleanup_free char *path = NULL;
    int directory = (int)(strlen(item->path) - strlen(item->name));

    if (asprintf(&path, "%.*s.wh.%s", directory, item->path, item->name) < 0)
        return error_set(err, ENOMEM, "layer", "%s", item->path);
    return tar_write_marker(tar, path, err);
}

static int write_opaque(struct tar_writer *tar, const struct walk_item *item, struct error *err)
{
    cleanup_free char *path = NULL;

    if (asprintf(&path, "%s/.wh..wh..opq", item->path) < 0)
        return error_set(err, ENOMEM, "layer", "%s", item->path);
    return tar_write_marker(tar, path, err);
}

static int visit(void *owner, const struct walk_item *item, struct error *err)
{
    if (upper_is_mount_point(item))
        return 1;
    if (upper_is_whiteout(&item->status))
        return write_whiteout(owner, item, err);
    if (tar_write_item(owner, item->dir, item->name, item->path, &item->status, err) < 0)
        return -1;
    if (S_ISDIR(item->status.st_mode) && upper_is_opaque(item->dir, item->name))
        return write_opaque(owner, item, err);
    return 0;
}

static int run_layer(struct job *job, struct error *err)
{
    struct tar_writer *tar = calloc(1, sizeof *tar);
    int upper;

    if (!tar)
        return error_set(err, ENOMEM, "layer", "%s", job->container->name);
    tar->fd = STDOUT_FILENO;
    if (view_enter_changes(job->container, &upper, err) < 0)
        return -1;
    job_ready(job);
    if (walk(upper, "", visit, tar, err) < 0)
        return -1;
    return tar_write_end(tar, err);
}

COMMAND(layer_read)
{
    const struct message_layer_read *asked = message;

    return job_start(request, asked->container, asked->process_id, message, false, run_layer, err);
}
