/* Owns the start: mounts, the runtime directory, the port. Every call here costs boot time. */
#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup.h"
#include "cleanup.h"
#include "disks.h"
#include "files.h"
#include "runtime.h"

static const struct {
    const char *path, *type, *options;
    unsigned long flags;
} boot_mounts[] = {
    { "dev", "devtmpfs", "mode=755", MS_NOSUID },
    { "proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
    { "sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
    { "sys/fs/cgroup", "cgroup2", "nsdelegate,memory_recursiveprot",
      MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

static const char *const runtime_dirs[] = { "", "/l", "/c", "/v", "/shm", "/empty" };

static int make_runtime_dirs(struct error *err)
{
    char path[160];

    for (size_t i = 0; i < sizeof runtime_dirs / sizeof *runtime_dirs; i++) {
        snprintf(path, sizeof path, "%s%s", runtime.dir, runtime_dirs[i]);
        if (make_directory(path, 0711, err) < 0)
            return -1;
    }
    return 0;
}

static int mount_shm(struct error *err)
{
    char path[160];

    snprintf(path, sizeof path, "%s/shm", runtime.dir);
    if (mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m") < 0)
        return error_errno(err, "mount", "%s", path);
    return 0;
}

/* The initramfs cannot be pivoted away from (Documentation/filesystems/ramfs-rootfs-initramfs.rst),
 * so a tmpfs is moved over it: then containers can. */
static int leave_initramfs(struct error *err)
{
    if (mount("root", "/root", "tmpfs", 0, "mode=755") < 0 || chdir("/root") < 0)
        return error_errno(err, "mount", "/root");
    if (mkdir("dev", 0755) < 0 || mkdir("proc", 0755) < 0 || mkdir("sys", 0755) < 0 ||
        mkdir("run", 0755) < 0)
        return error_errno(err, "mkdir", "/root");
    for (size_t i = 0; i < sizeof boot_mounts / sizeof *boot_mounts; i++)
        if (mount(boot_mounts[i].type, boot_mounts[i].path, boot_mounts[i].type,
                  boot_mounts[i].flags, boot_mounts[i].options) < 0)
            return error_errno(err, "mount", "%s", boot_mounts[i].path);
    if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return error_errno(err, "mount", "move to /");
    return 0;
}

/* What processes inherit where a container sets no limit of its own. The kernel's defaults (4096
 * open files at most, as many processes as its memory suggests) are for a machine of many users:
 * here files have systemd's limits, as dockerd's containers do, and processes the pids cgroup. */
static int set_default_limits(struct error *err)
{
    static const struct {
        int resource;
        struct rlimit limit;
    } defaults[] = {
        { RLIMIT_NOFILE, { 1024, 524288 } },
        { RLIMIT_NPROC, { RLIM_INFINITY, RLIM_INFINITY } },
    };

    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (setrlimit(defaults[i].resource, &defaults[i].limit) < 0)
            return error_errno(err, "setrlimit", "%d", defaults[i].resource);
    return 0;
}

/*
 * The containers' groups are in one that may not have all memory. When the VM as a whole runs out,
 * the kernel gives the programs' own pages back and faults them in again, forever, rather than kill
 * anyone; these pages are charged to the root group (guest/kernel/patches/0004), so at a limit below
 * it there is nothing to give back, and the greediest process is killed at once.
 */
static int make_pod_cgroup(struct error *err)
{
    enum { SHARE = 16, MOST_KIB = 16 << 10 };
    cleanup_close int root = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char text[4096];
    uint64_t available, kept;

    if (root < 0)
        return error_errno(err, "open", "/sys/fs/cgroup");
    if (file_read(AT_FDCWD, "/proc/meminfo", text, sizeof text) < 0)
        return error_errno(err, "read", "/proc/meminfo");
    if (cgroup_enable_controllers(root, err) < 0)
        return -1;
    runtime.cgroup_root = cgroup_create(root, "pod", err);
    if (runtime.cgroup_root < 0 || cgroup_enable_controllers(runtime.cgroup_root, err) < 0)
        return -1;
    available = text_number(text, "MemAvailable:");
    kept = available / SHARE < MOST_KIB ? available / SHARE : MOST_KIB;
    snprintf(text, sizeof text, "%llu", (unsigned long long)(available - kept) << 10);
    return file_write(runtime.cgroup_root, "memory.max", text, err);
}

int boot_vm(struct error *err)
{
    umask(0);
    runtime.self_fd = open("/init", O_PATH | O_CLOEXEC);
    if (runtime.self_fd < 0)
        return error_errno(err, "open", "/init");
    if (leave_initramfs(err) < 0 || make_runtime_dirs(err) < 0 || mount_shm(err) < 0)
        return -1;
    if (make_pod_cgroup(err) < 0)
        return -1;
    if (file_write(AT_FDCWD, "/proc/self/oom_score_adj", "-1000", err) < 0 ||
        set_default_limits(err) < 0)
        return -1;
    umask(022);
    return 0;
}

static int try_port(int ports, const char *name)
{
    char path[300], text[64];

    snprintf(path, sizeof path, "%s/name", name);
    if (file_read(ports, path, text, sizeof text) < 0 || strcmp(text, "hyper.agent\n") != 0)
        return -1;
    snprintf(path, sizeof path, "/dev/%s", name);
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

int boot_open_port(struct error *err)
{
    cleanup_dir DIR *ports = opendir("/sys/class/virtio-ports");
    struct dirent *entry;

    while (ports && (entry = readdir(ports))) {
        int fd = entry->d_name[0] == '.' ? -1 : try_port(dirfd(ports), entry->d_name);

        if (fd >= 0)
            return fd;
    }
    return error_set(err, ENODEV, "port", "hyper.agent");
}

int boot_test(const char *dir, struct error *err)
{
    char init[160];

    runtime.dir = dir;
    /* Like the real one, a container's init must be static: a sanitizer build is not. */
    snprintf(init, sizeof init, "%s/init", dir);
    runtime.self_fd = open(access(init, X_OK) == 0 ? init : "/proc/self/exe", O_PATH | O_CLOEXEC);
    /* What our caller ignored, the processes of a VM would not inherit. By the system call: a libc
     * refuses the signals it keeps to itself, and make ignores those. */
    for (int number = 1; number < SIGRTMIN; number++)
        syscall(SYS_rt_sigaction, number, (const unsigned long[4]){ 0 }, NULL, sizeof(uint64_t));
    /* Orphans come to us, as they come to PID 1. */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (make_runtime_dirs(err) < 0)
        return -1;
    /* An ordinary user can test all that needs no container. */
    if (geteuid() != 0)
        return 0;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return error_errno(err, "unshare", "mount namespace");
    return mount_shm(err);
}
