/* Owns jobs: children of ours that work on a container's files, beside its processes. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "process.h"
#include "sys.h"

/* A walk holds one fd for each level of the tree it is in. */
enum { OPEN_FILES_MAX = 65536, ERROR_FD = 3 };

static void close_all(int fds[3])
{
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Make a pipe: our end, not blocking, becomes the stream; theirs is the child's. */
static int open_pipe(struct process *process, enum stream_kind kind, int *theirs, struct error *err)
{
    bool input = kind == STREAM_STDIN;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_errno(err, "pipe", "job %u", process->id);
    *theirs = input ? ends[0] : ends[1];
    fcntl(input ? ends[1] : ends[0], F_SETFL, O_NONBLOCK);
    return stream_open(&process->streams[kind], process->id * 4 + kind, input ? ends[1] : ends[0],
                       err);
}

static int open_stdio(struct process *process, bool input, int stdio[3], struct error *err)
{
    if (!input) {
        stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (stdio[0] < 0)
            return error_errno(err, "open", "/dev/null");
    } else if (open_pipe(process, STREAM_STDIN, &stdio[0], err) < 0) {
        return -1;
    }
    if (open_pipe(process, STREAM_STDOUT, &stdio[1], err) < 0)
        return -1;
    return open_pipe(process, STREAM_STDERR, &stdio[2], err);
}

/* --- in the child ----------------------------------------------------------------------------- */

void job_ready(struct job *job)
{
    close(job->error_fd);
    job->error_fd = -1;
}

static int set_up(struct job *job, const int stdio[3], struct error *err)
{
    struct rlimit files = { OPEN_FILES_MAX, OPEN_FILES_MAX };
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    umask(0);
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < 3; i++)
        if (dup2(stdio[i], i) < 0)
            return error_errno(err, "dup", "stdio");
    if (job->error_fd != ERROR_FD && dup2(job->error_fd, ERROR_FD) < 0)
        return error_errno(err, "dup", "job");
    job->error_fd = ERROR_FD;
    /* Nothing of PID 1's stays open, and of our own pipes only our ends. */
    sys_close_range(ERROR_FD + 1);
    return 0;
}

static void report(const struct job *job, const struct error *err)
{
    struct message_error message = { (uint32_t)err->number, err->step, err->object };
    struct buffer buffer = { 0 };

    if (job->error_fd >= 0) {
        if (write(job->error_fd, err, sizeof *err) < 0)
            _exit(2);
        return;
    }
    if (wire_encode(message_types[MESSAGE_ERROR].layout, &message, &buffer) == 0 &&
        write(STDERR_FILENO, buffer.data, buffer.end) < 0)
        _exit(2);
    buffer_free(&buffer);
}

static void job_run(struct job *job, const int stdio[3]) __attribute__((noreturn));

static void job_run(struct job *job, const int stdio[3])
{
    struct error err;

    memset(&err, 0, sizeof err);
    if (set_up(job, stdio, &err) == 0 && job->run(job, &err) == 0)
        _exit(0);
    report(job, &err);
    _exit(1);
}

/* --- in PID 1 --------------------------------------------------------------------------------- */

static int start(struct process *process, struct job *job, bool input, struct error *err)
{
    struct sys_clone_args args = {
        .flags = CLONE_PIDFD | CLONE_NEWNS,
        .pidfd = (uint64_t)(uintptr_t)&process->pidfd,
        .exit_signal = SIGCHLD,
    };
    int ends[2], stdio[3] = { -1, -1, -1 };
    pid_t pid = -1;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_errno(err, "pipe", "job %u", process->id);
    job->error_fd = ends[1];
    if (open_stdio(process, input, stdio, err) == 0) {
        pid = sys_clone3(&args);
        if (pid == 0)
            job_run(job, stdio);
        if (pid < 0)
            error_errno(err, "clone", "job %u", process->id);
    }
    close_all(stdio);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return -1;
    }
    return process_watch(process, pid, ends[0], err);
}

int job_start(const struct request *request, const char *name, uint32_t process_id,
              const void *message, bool input, job_function run, struct error *err)
{
    struct container *container = container_required(name, err);
    struct job job = { .container = container, .message = message, .run = run };
    struct process *process;

    if (!container)
        return -1;
    if (process_id == 0 || process_find(process_id))
        return error_set(err, EEXIST, "process", "%u", process_id);
    process = process_new(process_id, container, err);
    if (!process)
        return -1;
    process->job = true;
    process->starter = *request;
    if (start(process, &job, input, err) < 0) {
        process_forget(process);
        return -1;
    }
    container->processes++;
    return OUTCOME_ANSWERED;
}
