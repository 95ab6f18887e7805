// The thread that serves fork requests inside QEMU, and the child's way to a VMM of its own.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmfork.h"

#define NAME "guest="

static int control = -1;
static char *name; // the zygote's, in QEMU's arguments

__attribute__((format(printf, 2, 3))) static void answer(int channel, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)!send(channel, text, strlen(text), MSG_NOSIGNAL);
}

static void answer_failure(int channel, const struct failure *failure)
{
    answer(channel, "{\"error\": \"%s\", \"errno\": %d, \"what\": \"vmfork\"}", failure->what, failure->error);
}

static void give_up(int channel, const char *what)
{
    struct failure failure = { what, errno };
    answer_failure(channel, &failure);
    _exit(1);
}

// Wait for the spawner's word to go on; without it there is no reason to live.
static void await_word(int channel)
{
    char word[16];
    if (recv(channel, word, sizeof word, 0) <= 0)
        _exit(1);
}

// The child has one thread, this one, until it has become a VMM with a jail of its own.
static _Noreturn void be_child(const struct request *request, const int *given)
{
    struct failure failure;
    int channel = given[0];
    close(control);
    await_word(channel); // the ids of its user namespace are mapped
    if (privileges_become_root())
        give_up(channel, "cannot become root of the namespace");
    syscall(SYS_setsid);
    answer(channel, "{\"ready\": true}");
    await_word(channel); // its root is built
    if (chdir("/"))
        give_up(channel, "cannot enter the new root");
    if (descriptors_replace(request, given, &failure)) {
        answer_failure(channel, &failure);
        _exit(1);
    }
    for (uint32_t i = 1; i <= request->target_count; i++)
        close(given[i]);
    if (name) { // what ps(1) shows is this memory
        size_t room = strlen(name), used = strnlen(request->name, NAME_SIZE);
        memset(name, ' ', room);
        memcpy(name, request->name, used < room ? used : room);
    }
    if (privileges_keep(request->capabilities))
        give_up(channel, "cannot give up capabilities");
    if (filter_install())
        give_up(channel, "cannot install the seccomp filter");
    if (threads_recreate(&failure)) {
        answer_failure(channel, &failure);
        _exit(1);
    }
    close(channel);
    // The first thread of a process must not end: its number is the process'.
    for (;;)
        pause();
}

static void serve(const struct request *request, const int *given)
{
    struct failure failure;
    int channel = given[0];
    long pid;
    if (!filter_is_known()) {
        failure = (struct failure){ "QEMU has made no seccomp filter", ENOSYS };
        answer_failure(channel, &failure);
        return;
    }
    if (threads_park(&failure)) {
        answer_failure(channel, &failure);
        return;
    }
    if (descriptors_scan(request, given, control, &failure)) {
        threads_release();
        answer_failure(channel, &failure);
        return;
    }
    // CLONE_PARENT: it is the spawner's child as every VMM is, which learns its exit status.
    pid = syscall(SYS_clone, (unsigned long)request->clone_flags | CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        be_child(request, given);
    failure = (struct failure){ "cannot fork", errno };
    threads_release();
    if (pid > 0)
        answer(channel, "{\"pid\": %ld}", pid);
    else
        answer_failure(channel, &failure);
}

// Take one request; false when the daemon is gone.
static bool serve_one(void)
{
    struct request request;
    int given[1 + MAX_TARGETS], count = 0;
    char ancillary[CMSG_SPACE(sizeof given)];
    struct iovec place = { &request, sizeof request };
    struct msghdr message = {
        .msg_iov = &place, .msg_iovlen = 1, .msg_control = ancillary, .msg_controllen = sizeof ancillary
    };
    ssize_t size = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (size <= 0)
        return size < 0 && errno == EINTR;
    if (header) {
        count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof *given);
        memcpy(given, CMSG_DATA(header), (size_t)count * sizeof *given);
    }
    if (count > 0 && size == (ssize_t)sizeof request && request.target_count <= MAX_TARGETS
        && request.target_count + 1 == (uint32_t)count) {
        serve(&request, given);
    } else if (count > 0) {
        struct failure failure = { "not a request", EINVAL };
        answer_failure(given[0], &failure);
    }
    while (count > 0)
        close(given[--count]);
    return true;
}

static void *serve_all(void *unused)
{
    (void)unused;
    while (serve_one())
        ;
    _exit(0); // the daemon's end is closed: nobody can use this process any more
}

// Before main() of QEMU. VMFORK: the numbers of the control socket and of the descriptor this library was
// loaded from.
__attribute__((constructor)) static void begin(int argc, char **argv)
{
    const char *numbers = getenv("VMFORK");
    char *end;
    sigset_t all, before;
    pthread_t thread;
    if (numbers == NULL)
        return;
    control = (int)strtol(numbers, &end, 10);
    if (*end == ',')
        close((int)strtol(end + 1, NULL, 10));
    for (char **variable = environ; *variable; variable++) // a VMM has no environment, children neither
        memset(*variable, 0, strlen(*variable));
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], NAME, strlen(NAME)) == 0)
            name = argv[i] + strlen(NAME);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, serve_all, NULL) == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
