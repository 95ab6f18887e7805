// Threads: all but the calling one are made to wait in a signal handler, and in a child, where only the
// calling one exists, made again where they stood: a new kernel thread returns from the signal that its
// predecessor received. Its stack, its thread-local storage and all locks are the same memory.
//
// Nothing here may allocate or print: a thread that waits may hold any lock.
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "vmfork.h"

#ifndef __x86_64__
#error "vmfork knows the registers of x86-64 only"
#endif

// SIGSETXID of glibc: the one signal that no thread ever blocks, used by it for setuid(2), which QEMU does
// not call (-runas is not used).
#define PARK 33
#define MAX_THREADS 128
#define PATIENCE_S 2

struct thread {
    pid_t tid;
    ucontext_t *context;
    unsigned long tls;
    int *tid_address; // where the kernel writes 0 when the thread ends; pthread_join waits for it
    void *robust;
    size_t robust_size;
    char name[16];
    int error; // errno as it was
    int failed; // errno of what could not be found out, or 0
};

static struct thread threads[MAX_THREADS];
static int count;
static volatile int parked, generation;

static long futex(volatile int *word, int operation, int value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

static struct thread *find(pid_t tid)
{
    for (int i = 0; i < count; i++)
        if (threads[i].tid == tid)
            return &threads[i];
    return NULL;
}

static void on_park(int number, siginfo_t *info, void *context)
{
    int before = errno, now = generation;
    struct thread *thread = find((pid_t)syscall(SYS_gettid));
    (void)number, (void)info;
    if (thread == NULL) // late: those who waited have given up
        return;
    thread->context = context;
    thread->error = before;
    thread->failed = 0;
    if (syscall(SYS_arch_prctl, ARCH_GET_FS, &thread->tls) || prctl(PR_GET_TID_ADDRESS, &thread->tid_address)
        || syscall(SYS_get_robust_list, 0, &thread->robust, &thread->robust_size) || prctl(PR_GET_NAME, thread->name))
        thread->failed = errno;
    __atomic_add_fetch(&parked, 1, __ATOMIC_SEQ_CST);
    futex(&parked, FUTEX_WAKE, 1, NULL);
    while (generation == now)
        futex(&generation, FUTEX_WAIT, now, NULL);
    errno = before;
}

// struct kernel_sigaction: glibc's sigaction(3) refuses this signal.
struct action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};
void vmfork_restorer(void);
__asm__(".text\n.globl vmfork_restorer\n.hidden vmfork_restorer\nvmfork_restorer:\n mov $15, %eax\n syscall\n");
#define RESTORER 0x04000000UL

// Add the threads that are not known yet, and signal them. Return how many, or -1.
static int signal_new(int directory)
{
    int tids[MAX_THREADS + 1], added = 0;
    int found = numbers_in(directory, tids, MAX_THREADS + 1);
    pid_t process = getpid(), self = (pid_t)syscall(SYS_gettid);
    for (int i = 0; i < found; i++) {
        if (tids[i] == self || find(tids[i]) != NULL)
            continue;
        if (count == MAX_THREADS) {
            errno = EMFILE;
            return -1;
        }
        threads[count].tid = tids[i];
        __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
        if (syscall(SYS_tgkill, process, tids[i], PARK) == 0)
            added++;
        else if (errno == ESRCH) // it ended
            count--;
        else
            return -1;
    }
    return found < 0 ? -1 : added;
}

static int wait_parked(void)
{
    struct timespec now, deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += PATIENCE_S;
    for (int seen; (seen = parked) < count;) {
        struct timespec left = { .tv_nsec = 100000000 };
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > deadline.tv_sec || (now.tv_sec == deadline.tv_sec && now.tv_nsec > deadline.tv_nsec)) {
            errno = EBUSY; // one ended after it was signalled, or cannot be interrupted
            return -1;
        }
        futex(&parked, FUTEX_WAIT, seen, &left);
    }
    return 0;
}

int threads_park(struct failure *failure)
{
    struct action action = { on_park, SA_SIGINFO | SA_RESTART | RESTORER, vmfork_restorer, ~0UL };
    int directory = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), added = -1;
    *failure = (struct failure){ "cannot stop the threads", 0 };
    count = parked = 0;
    if (directory >= 0 && syscall(SYS_rt_sigaction, PARK, &action, NULL, sizeof action.mask) == 0) {
        // One that had not been signalled yet may have made others: until none is new.
        do
            added = signal_new(directory);
        while (added > 0 && wait_parked() == 0);
    }
    if (added == 0)
        for (int i = 0; i < count; i++)
            if (threads[i].failed) {
                errno = threads[i].failed;
                added = -1;
            }
    failure->error = errno;
    if (directory >= 0)
        close(directory);
    if (added == 0)
        return 0;
    threads_release();
    return -1;
}

void threads_release(void)
{
    count = 0;
    __atomic_add_fetch(&generation, 1, __ATOMIC_SEQ_CST);
    futex(&generation, FUTEX_WAKE, MAX_THREADS, NULL);
}

// The first thing a new thread does, on the part of its stack below the signal's frame.
__attribute__((used)) static void resumed(struct thread *thread)
{
    if (__rseq_size)
        syscall(SYS_rseq, (char *)thread->tls + __rseq_offset, sizeof(struct rseq), 0, RSEQ_SIG);
    syscall(SYS_set_robust_list, thread->robust, thread->robust_size);
    prctl(PR_SET_NAME, thread->name);
    errno = thread->error;
}

// clone(flags, stack, parent_tid, child_tid, tls); the child calls resumed(thread), then rt_sigreturn with
// the stack pointer at its ucontext, as a signal handler's return would.
long vmfork_clone(unsigned long flags, void *stack, int *parent_tid, int *child_tid, unsigned long tls,
                  struct thread *thread);
__asm__(".text\n.globl vmfork_clone\n.hidden vmfork_clone\nvmfork_clone:\n"
        " push %r12\n mov %r9, %r12\n mov %rcx, %r10\n mov $56, %eax\n syscall\n"
        " test %rax, %rax\n jz 1f\n pop %r12\n ret\n"
        "1: mov %rsp, %rbx\n mov %r12, %rdi\n sub $256, %rsp\n and $-16, %rsp\n call resumed\n"
        " mov %rbx, %rsp\n mov $15, %eax\n syscall\n hlt\n");

int threads_recreate(struct failure *failure)
{
    unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM
        | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    generation++; // nobody waits in this process
    for (int i = 0; i < count; i++) {
        struct thread *thread = &threads[i];
        // The new number goes where glibc has the old one (pthread.tid, which is the address given).
        long tid = vmfork_clone(flags, thread->context, thread->tid_address, thread->tid_address, thread->tls, thread);
        if (tid < 0) {
            *failure = (struct failure){ "cannot make a thread again", (int)-tid };
            return -1;
        }
    }
    return 0;
}
