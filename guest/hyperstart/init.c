/* Owns a container's init (docker run --init): run a program, forward signals, reap everything. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

static void run_program(char **argv, char **environment, const sigset_t *all)
{
    struct error err;

    setpgid(0, 0);
    /* Take the terminal's foreground; writing to it from the background raises SIGTTOU. */
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(STDIN_FILENO, getpid());
    signal(SIGTTOU, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, all, NULL);
    memset(&err, 0, sizeof err);
    exec_program(argv, environment, &err);
    if (write(INIT_ERROR_FD, &err, sizeof err) < 0)
        _exit(126);
    _exit(127);
}

/* Reap; return whether `program` was among them, with its status. */
static bool reap(pid_t program, int *status)
{
    bool ended = false;
    int each;

    for (pid_t pid; (pid = waitpid(-1, &each, WNOHANG)) > 0;)
        if (pid == program) {
            *status = each;
            ended = true;
        }
    return ended;
}

int init_main(char **argv, char **environment)
{
    sigset_t all;
    int status = 0;
    pid_t program;

    fcntl(INIT_ERROR_FD, F_SETFD, FD_CLOEXEC);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    program = fork();
    if (program == 0)
        run_program(argv, environment, &all);
    if (program < 0)
        return 126;
    /* The streams end with the program, not with us. */
    for (int fd = 0; fd <= INIT_ERROR_FD; fd++)
        close(fd);
    for (;;) {
        int signal = sigwaitinfo(&all, NULL);

        if (signal == SIGCHLD && reap(program, &status))
            break;
        if (signal > 0 && signal != SIGCHLD)
            kill(program, signal);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
