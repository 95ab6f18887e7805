/* Owns the command that says what is at a path of a container. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "job.h"
#include "walk.h"

static int send_status(const struct message_file_status *status, struct error *err)
{
    struct buffer buffer = { 0 };
    int result = wire_encode(message_types[MESSAGE_FILE_STATUS].layout, status, &buffer);

    /* Less than PIPE_BUF: written at once. */
    if (result < 0 || write(STDOUT_FILENO, buffer.data, buffer.end) != (ssize_t)buffer.end)
        result = error_errno(err, "write", "file status");
    buffer_free(&buffer);
    return result;
}

static int run_stat(struct job *job, struct error *err)
{
    const struct message_file_stat *asked = job->message;
    struct message_file_status answer;
    struct place place;
    struct stat status;
    char target[PATH_MAX] = "";

    if (view_enter(job->container, true, err) < 0 || place_find(asked->path, &place, err) < 0)
        return -1;
    if (fstatat(place.dir, place.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return error_errno(err, "path", "%s", asked->path);
    if (S_ISLNK(status.st_mode) && link_resolve(asked->path, target, sizeof target, err) < 0)
        return -1;
    job_ready(job);
    answer = (struct message_file_status){
        .size_bytes = (uint64_t)status.st_size,
        .mode = status.st_mode,
        .mtime_s = status.st_mtim.tv_sec,
        .mtime_ns = (uint32_t)status.st_mtim.tv_nsec,
        .link_target = { (const uint8_t *)target, (uint32_t)strlen(target) },
    };
    return send_status(&answer, err);
}

COMMAND(file_stat)
{
    const struct message_file_stat *asked = message;

    return job_start(request, asked->container, asked->process_id, message, false, run_stat, err);
}
