/* Owns the last privileges of a process before exec, in the order of runc (init_linux.go,
 * finalizeNamespace). */
#include "credentials.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT           47 /* linux/prctl.h */
#define PR_CAP_AMBIENT_RAISE     2
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

static int set_limits(const struct rlimit_list *limits, struct error *err)
{
    for (uint32_t i = 0; i < limits->count; i++) {
        const struct wire_rlimit *limit = &limits->items[i];
        struct rlimit value = { .rlim_cur = limit->soft, .rlim_max = limit->hard };

        if (setrlimit((int)limit->resource, &value) < 0)
            return error_errno(err, "setrlimit", "%u", limit->resource);
    }
    return 0;
}

static int drop_bounding(uint64_t keep, struct error *err)
{
    /* The kernel says EINVAL after its last capability. */
    for (unsigned long capability = 0; capability < 64; capability++) {
        if (keep >> capability & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            break;
        return error_errno(err, "capabilities", "bounding set");
    }
    return 0;
}

static int set_capabilities(uint64_t permitted, uint64_t ambient, struct error *err)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct now[2], data[2];

    if (syscall(SYS_capget, &header, now) < 0)
        return error_errno(err, "capabilities", "read");
    for (int i = 0; i < 2; i++) {
        /* A kernel has fewer than 64, and one cannot gain what it has lost. */
        data[i].permitted = (uint32_t)(permitted >> 32 * i) & now[i].permitted;
        data[i].effective = data[i].permitted;
        data[i].inheritable = (uint32_t)(ambient >> 32 * i) & data[i].permitted;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return error_errno(err, "capabilities", "set");
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned long capability = 0; capability < 64; capability++)
        if (data[capability / 32].inheritable >> capability % 32 & 1 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
            return error_errno(err, "capabilities", "ambient");
    return 0;
}

static int set_ids(const struct user *user, struct error *err)
{
    if (setgroups(user->group_count, user->groups) < 0)
        return error_errno(err, "setgroups", "%zu groups", user->group_count);
    if (setresgid(user->gid, user->gid, user->gid) < 0)
        return error_errno(err, "setgid", "%u", user->gid);
    if (setresuid(user->uid, user->uid, user->uid) < 0)
        return error_errno(err, "setuid", "%u", user->uid);
    return 0;
}

static int set_seccomp(const struct wire_bytes *filter, struct error *err)
{
    struct sock_fprog program = {
        .len = (unsigned short)(filter->length / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)filter->data,
    };

    if (filter->length == 0)
        return 0;
    if (filter->length % sizeof(struct sock_filter) || filter->length > 0xFFFFu * 8)
        return error_set(err, EINVAL, "seccomp", "%u bytes", filter->length);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        return error_errno(err, "seccomp", "filter");
    return 0;
}

int credentials_apply(const struct message_process_start *start, const struct user *user,
                      struct error *err)
{
    /* Docker gives capabilities to root only; another user has them in its bounding set. */
    uint64_t permitted = user->uid == 0 ? start->capabilities | start->ambient : start->ambient;

    if (set_limits(&start->rlimits, err) < 0)
        return -1;
    /* Without no_new_privileges, only CAP_SYS_ADMIN may install a filter: before it goes. */
    if (!start->no_new_privileges && set_seccomp(&start->seccomp, err) < 0)
        return -1;
    if (drop_bounding(start->capabilities | start->ambient, err) < 0)
        return -1;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return error_errno(err, "capabilities", "keep");
    if (set_ids(user, err) < 0)
        return -1;
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    if (set_capabilities(permitted, start->ambient, err) < 0)
        return -1;
    if (!start->no_new_privileges)
        return 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_errno(err, "no_new_privs", "set");
    return set_seccomp(&start->seccomp, err);
}
