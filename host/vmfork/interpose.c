// Functions QEMU calls in other libraries, and what they do here so that it can be forked.
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmfork.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int io_uring_queue_init(unsigned entries, void *ring, unsigned flags);
EXPORTED int gnutls_rnd(int level, void *data, size_t size);
EXPORTED int seccomp_load(void *context);

static struct sock_filter filter[BPF_MAXINSNS];
static unsigned short filter_length;

static unsigned long tap_offloads;
static bool tap_offloads_known;

// Guest memory is marked as not for children (hostmem.c): here it is what they are for.
EXPORTED int madvise(void *address, size_t length, int advice)
{
    if (advice == MADV_DONTFORK)
        return 0;
    return (int)syscall(SYS_madvise, address, length, advice);
}

// A ring is shared memory: two processes cannot use one. QEMU then polls (util/aio-posix.c).
int io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
    (void)entries, (void)ring, (void)flags;
    return -ENOSYS;
}

// The guest's RDRAND. GnuTLS' generator notices forks made through libc; ours are not, and children
// that draw the same numbers are what must never be. So it is the kernel's generator, each time.
int gnutls_rnd(int level, void *data, size_t size)
{
    unsigned char *place = data;
    (void)level;
    while (size > 0) {
        ssize_t got = getrandom(place, size, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        place += got;
        size -= (size_t)got;
    }
    return 0;
}

// Kept for the children: this process has to fork.
int seccomp_load(void *context)
{
    int (*export)(const void *, int) = (int (*)(const void *, int))dlsym(RTLD_DEFAULT, "seccomp_export_bpf");
    int fd = memfd_create("filter", MFD_CLOEXEC);
    int failed = export == NULL || fd < 0 ? -ENOSYS : export(context, fd);
    ssize_t size = failed ? -1 : pread(fd, filter, sizeof filter, 0);
    if (fd >= 0)
        close(fd);
    if (size <= 0 || size % (ssize_t)sizeof *filter)
        return failed ? failed : -EIO;
    filter_length = (unsigned short)(size / (ssize_t)sizeof *filter);
    return 0;
}

bool filter_is_known(void)
{
    return filter_length > 0;
}

int filter_install(void)
{
    struct sock_fprog program = { .len = filter_length, .filter = filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

// The one setting of a TAP that cannot be asked for is noted when it is made.
EXPORTED int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    unsigned long argument;
    va_start(arguments, request);
    argument = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (request == TUNSETOFFLOAD) {
        tap_offloads = argument;
        tap_offloads_known = true;
    }
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

int tap_copy_settings(int from, int to)
{
    int header = 0, little = 0;
    if (syscall(SYS_ioctl, from, TUNGETVNETHDRSZ, &header) || syscall(SYS_ioctl, to, TUNSETVNETHDRSZ, &header))
        return -1;
    if (syscall(SYS_ioctl, from, TUNGETVNETLE, &little) || syscall(SYS_ioctl, to, TUNSETVNETLE, &little))
        return -1;
    if (tap_offloads_known && syscall(SYS_ioctl, to, TUNSETOFFLOAD, tap_offloads))
        return -1;
    return 0;
}
