/* Owns the sum of what a container wrote, as Docker shows it: the lengths of its files, not their blocks
 * (moby pkg/directory, Size). */
#include "sizes.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "job.h"
#include "upper.h"
#include "walk.h"

/* What PID 1 itself walks through: less than a millisecond where nothing is emulated. */
enum { FEW = 2000 };

struct sum {
    uint64_t bytes;
    uint64_t files, files_max;
    void *linked; /* a tree of the inodes that have more links, the number as key */
};

static int compare(const void *left, const void *right)
{
    return ((uintptr_t)left > (uintptr_t)right) - ((uintptr_t)left < (uintptr_t)right);
}

static void keep(void *inode)
{
    (void)inode;
}

/* Whether it is the first of the links to its inode. */
static int is_first(struct sum *sum, const struct stat *status)
{
    void *inode = (void *)(uintptr_t)status->st_ino;

    if (status->st_nlink < 2)
        return 1;
    if (tfind(inode, &sum->linked, compare))
        return 0;
    return tsearch(inode, &sum->linked, compare) ? 1 : -1;
}

static int visit(void *owner, const struct walk_item *item, struct error *err)
{
    struct sum *sum = owner;
    int first;

    if (++sum->files > sum->files_max)
        return error_set(err, E2BIG, "sizes", "%s", item->path);
    if (S_ISDIR(item->status.st_mode) || item->status.st_size <= 0 || upper_is_mounts_link(item))
        return 0;
    first = is_first(sum, &item->status);
    if (first < 0)
        return error_set(err, ENOMEM, "sizes", "%s", item->path);
    if (first)
        sum->bytes += (uint64_t)item->status.st_size;
    return 0;
}

static int add_up(int upper, uint64_t files_max, uint64_t *bytes, struct error *err)
{
    struct sum sum = { .files_max = files_max };
    int result = walk(upper, "", visit, &sum, err);

    tdestroy(sum.linked, keep);
    *bytes = sum.bytes;
    return result;
}

static int open_upper(const struct container *container, struct error *err)
{
    char path[160];
    int upper;

    container_path(container, "/rw/upper", path, sizeof path);
    upper = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return upper < 0 ? error_errno(err, "open", "%s", path) : upper;
}

void sizes_of_few(const struct container *container, struct message_container_size *size)
{
    struct error ignored;
    cleanup_close int upper = open_upper(container, &ignored);

    size->known = upper >= 0 && add_up(upper, FEW, &size->written_bytes, &ignored) == 0;
}

static int run_sizes(struct job *job, struct error *err)
{
    struct message_container_size size = { .known = true };
    struct buffer buffer = { 0 };
    cleanup_close int upper = open_upper(job->container, err);
    int result;

    if (upper < 0)
        return -1;
    job_ready(job);
    if (add_up(upper, UINT64_MAX, &size.written_bytes, err) < 0)
        return -1;
    result = wire_encode(message_types[MESSAGE_CONTAINER_SIZE].layout, &size, &buffer);
    /* Less than PIPE_BUF: written at once. */
    if (result < 0 || write(STDOUT_FILENO, buffer.data, buffer.end) != (ssize_t)buffer.end)
        result = error_errno(err, "write", "size");
    buffer_free(&buffer);
    return result;
}

COMMAND(size_read)
{
    const struct message_size_read *asked = message;

    return job_start(request, asked->container, asked->process_id, message, false, run_sizes, err);
}
