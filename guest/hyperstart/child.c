/* Owns what happens in a new process before it is the user's program. Runs in the child only. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "cleanup.h"
#include "credentials.h"
#include "files.h"
#include "mounts.h"
#include "runtime.h"
#include "sys.h"
#include "users.h"

static void reset_signals(void)
{
    sigset_t none;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Through our own /proc, before the container's takes its place. */
static int set_oom_score(int score, struct error *err)
{
    char text[16];

    snprintf(text, sizeof text, "%d", score);
    if (file_write(AT_FDCWD, "/proc/self/oom_score_adj", text, err) == 0)
        return 0;
    return !runtime.vm && err->number == EACCES ? 0 : -1;
}

/* Become what a container's first process finds: its mounts, names and root. */
static int enter_new(const struct child *child, struct error *err)
{
    const struct message_container_create *spec = child->container->spec;

    if (child->container->cgroup_fd >= 0 && unshare(CLONE_NEWCGROUP) < 0)
        return error_errno(err, "unshare", "cgroup namespace");
    if (*spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
        return error_errno(err, "hostname", "%s", spec->hostname);
    if (*spec->domainname && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
        return error_errno(err, "domainname", "%s", spec->domainname);
    if (sysctls_apply(&spec->sysctls, err) < 0)
        return -1;
    return mounts_enter(child->container, child->start->tty ? child->stdio[0] : -1, err);
}

static int enter_existing(const struct child *child, struct error *err)
{
    int namespaces = CLONE_NEWNS | CLONE_NEWUTS;

    if (child->container->cgroup_fd >= 0)
        namespaces |= CLONE_NEWCGROUP;
    if (setns(child->main_pidfd, namespaces) < 0)
        return error_errno(err, "setns", "%s", child->container->name);
    return 0;
}

static int take_stdio(struct child *child, uid_t uid, struct error *err)
{
    struct stat status;

    if (child->start->tty && ioctl(child->stdio[0], TIOCSCTTY, 0) < 0)
        return error_errno(err, "terminal", "controlling terminal");
    for (int i = 0; i < 3; i++) {
        if (dup2(child->stdio[i], i) < 0)
            return error_errno(err, "dup", "stdio");
        /* So that an ordinary user can open /dev/stdout again, as with runc; not the one
         * /dev/null of everybody. */
        if (fstat(i, &status) == 0 && status.st_uid != uid && status.st_rdev != makedev(1, 3))
            fchown(i, uid, (gid_t)-1);
    }
    return 0;
}

static int enter_directory(const struct message_process_start *start, struct error *err)
{
    const char *cwd = *start->cwd ? start->cwd : "/";

    if (start->create_cwd && access(cwd, F_OK) < 0 && errno == ENOENT) {
        cleanup_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        cleanup_close int made = root_make(root, cwd, true, err);

        if (made < 0)
            return -1;
    }
    return chdir(cwd) < 0 ? error_errno(err, "chdir", "%s", cwd) : 0;
}

/* runc: HOME comes from /etc/passwd unless it is set. */
static int complete_environment(struct child *child, const struct user *user, struct error *err)
{
    const struct str_list *given = &child->start->env;
    char *home;

    child->environment = calloc((size_t)given->count + 2, sizeof(char *));
    if (!child->environment || asprintf(&home, "HOME=%s", user->home) < 0)
        return error_set(err, ENOMEM, "environment", "HOME");
    for (uint32_t i = 0; i < given->count; i++) {
        child->environment[i] = (char *)given->items[i];
        if (strncmp(given->items[i], "HOME=", 5) == 0 && given->items[i][5])
            return 0;
    }
    child->environment[given->count] = home;
    return 0;
}

/* Re-execute ourselves as the container's init: nothing of our memory remains in it. */
static int exec_init(const struct child *child, struct error *err)
{
    uint32_t count = child->start->args.count;
    char **argv = calloc((size_t)count + 3, sizeof *argv);
    int self_fd = fcntl(runtime.self_fd, F_DUPFD_CLOEXEC, INIT_ERROR_FD + 1);

    if (!argv || self_fd < 0)
        return error_set(err, ENOMEM, "exec", "init");
    argv[0] = (char *)"/sbin/docker-init";
    argv[1] = (char *)"--";
    memcpy(argv + 2, child->start->args.items, count * sizeof *argv);
    if (child->error_fd != INIT_ERROR_FD && dup2(child->error_fd, INIT_ERROR_FD) < 0)
        return error_errno(err, "dup", "init");
    fcntl(INIT_ERROR_FD, F_SETFD, 0);
    syscall(SYS_execveat, self_fd, "", argv, child->environment, AT_EMPTY_PATH);
    return error_errno(err, "exec", "init");
}

static int become(struct child *child, struct error *err)
{
    const struct message_process_start *start = child->start;
    cleanup_close int root = -1;
    struct user user;

    reset_signals();
    setsid();
    umask(0);
    if (set_oom_score(start->oom_score_adj, err) < 0)
        return -1;
    if ((start->main ? enter_new(child, err) : enter_existing(child, err)) < 0)
        return -1;
    root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_errno(err, "open", "/");
    if (user_resolve(root, start->user, &start->groups, &user, err) < 0)
        return -1;
    if (complete_environment(child, &user, err) < 0 || take_stdio(child, user.uid, err) < 0)
        return -1;
    if (enter_directory(start, err) < 0)
        return -1;
    if (credentials_apply(start, &user, err) < 0)
        return -1;
    umask(start->umask);
    /* Ours close by themselves; this is for what a library or a bug left open. */
    sys_close_range_cloexec(3);
    if (start->main && child->container->spec->init)
        return exec_init(child, err);
    return exec_program((char **)start->args.items, child->environment, err);
}

void child_run(struct child *child)
{
    struct error err;

    memset(&err, 0, sizeof err);
    become(child, &err);
    /* Writes up to PIPE_BUF are atomic; when this one fails, nobody is left to tell. */
    if (write(child->error_fd, &err, sizeof err) < 0)
        _exit(126);
    /* Docker's codes, for a host that missed the reply. */
    _exit(err.number == EACCES ? 126 : 127);
}
