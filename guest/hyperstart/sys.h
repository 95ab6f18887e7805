#ifndef HYPERSTART_SYS_H
#define HYPERSTART_SYS_H

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* System calls and constants the C library does not have (musl 1.2.3), with their source. */

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000 /* linux/sched.h */
#endif
#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000 /* linux/sched.h */
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL /* linux/sched.h */
#endif

#define SYS_RESOLVE_NO_MAGICLINKS 0x02 /* linux/openat2.h */
#define SYS_RESOLVE_IN_ROOT       0x10 /* linux/openat2.h */

#define SYS_FSOPEN_CLOEXEC          0x1  /* linux/mount.h */
#define SYS_FSMOUNT_CLOEXEC         0x1  /* linux/mount.h */
#define SYS_FSCONFIG_SET_STRING     1    /* linux/mount.h */
#define SYS_FSCONFIG_CMD_CREATE     6    /* linux/mount.h */
#define SYS_MOUNT_ATTR_NOSUID       0x02 /* linux/mount.h */
#define SYS_MOUNT_ATTR_NOEXEC       0x08 /* linux/mount.h */
#define SYS_MOVE_MOUNT_F_EMPTY_PATH 0x04 /* linux/mount.h */
#define SYS_MOVE_MOUNT_T_EMPTY_PATH 0x40 /* linux/mount.h */
#define SYS_CLOSE_RANGE_CLOEXEC     0x4  /* linux/close_range.h */

/* linux/sched.h, struct clone_args */
struct sys_clone_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

/* linux/openat2.h, struct open_how */
struct sys_open_how {
    uint64_t flags, mode, resolve;
};

static inline pid_t sys_clone3(struct sys_clone_args *args)
{
    return (pid_t)syscall(SYS_clone3, args, sizeof *args);
}

static inline int sys_openat2(int dir, const char *path, const struct sys_open_how *how)
{
    return (int)syscall(SYS_openat2, dir, path, how, sizeof *how);
}

static inline int sys_pidfd_send_signal(int pidfd, int signal)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

static inline int sys_close_range_cloexec(unsigned first)
{
    return (int)syscall(SYS_close_range, first, ~0u, SYS_CLOSE_RANGE_CLOEXEC);
}

static inline int sys_close_range(unsigned first)
{
    return (int)syscall(SYS_close_range, first, ~0u, 0);
}

static inline int sys_fsopen(const char *type)
{
    return (int)syscall(SYS_fsopen, type, SYS_FSOPEN_CLOEXEC);
}

static inline int sys_fsconfig(int fs, unsigned command, const char *key, const char *value)
{
    return (int)syscall(SYS_fsconfig, fs, command, key, value, 0);
}

static inline int sys_fsmount(int fs, unsigned attributes)
{
    return (int)syscall(SYS_fsmount, fs, SYS_FSMOUNT_CLOEXEC, attributes);
}

static inline int sys_move_mount_fd(int from, int to)
{
    return (int)syscall(SYS_move_mount, from, "", to, "",
                        SYS_MOVE_MOUNT_F_EMPTY_PATH | SYS_MOVE_MOUNT_T_EMPTY_PATH);
}

static inline int sys_pivot_root(const char *new_root, const char *put_old)
{
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}

#endif
