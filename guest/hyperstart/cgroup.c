/* Owns cgroup v2 groups: making, limits, freezing, killing. */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "files.h"

int cgroup_enable_controllers(int root, struct error *err)
{
    char available[256], enable[320] = "";
    char *name, *rest = available;

    if (file_read(root, "cgroup.controllers", available, sizeof available) < 0)
        return error_errno(err, "read", "cgroup.controllers");
    while ((name = strsep(&rest, " \n"))) {
        static const char wanted[] = " cpu cpuset io memory pids ";
        char padded[40];

        snprintf(padded, sizeof padded, " %.30s ", name);
        if (*name && strstr(wanted, padded)) {
            strncat(enable, " +", sizeof enable - strlen(enable) - 1);
            strncat(enable, name, sizeof enable - strlen(enable) - 1);
        }
    }
    return file_write(root, "cgroup.subtree_control", enable, err);
}

int cgroup_create(int root, const char *name, struct error *err)
{
    int fd;

    if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
        return error_errno(err, "cgroup", "%s", name);
    fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_errno(err, "cgroup", "%s", name) : fd;
}

/* A container may have made groups of its own below. */
static void remove_below(int parent, const char *name, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    while (dir && depth < 32 && (entry = readdir(dir)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            remove_below(dirfd(dir), entry->d_name, depth + 1);
            unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
        }
}

int cgroup_remove(int root, const char *name, struct error *err)
{
    if (unlinkat(root, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    remove_below(root, name, 0);
    if (unlinkat(root, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return error_errno(err, "cgroup", "%s", name);
}

static int write_number(int group, const char *file, uint64_t value, bool unlimited,
                        struct error *err)
{
    char text[24];

    if (unlimited)
        return file_write(group, file, "max", err);
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return file_write(group, file, text, err);
}

static int limit_cpu(int group, const struct wire_cgroup *limits, struct error *err)
{
    unsigned long long period = limits->cpu_period_us ? limits->cpu_period_us : 100000;
    char text[64];

    if (limits->cpu_quota_us > 0)
        snprintf(text, sizeof text, "%lld %llu", (long long)limits->cpu_quota_us, period);
    else
        snprintf(text, sizeof text, "max %llu", period);
    if ((limits->cpu_quota_us != 0 || limits->cpu_period_us != 0) &&
        file_write(group, "cpu.max", text, err) < 0)
        return -1;
    if (limits->cpu_weight && write_number(group, "cpu.weight", limits->cpu_weight, false, err) < 0)
        return -1;
    if (*limits->cpuset)
        return file_write(group, "cpuset.cpus", limits->cpuset, err);
    return 0;
}

static int limit_memory(int group, const struct wire_cgroup *limits, struct error *err)
{
    if (limits->memory_max_bytes &&
        write_number(group, "memory.max", limits->memory_max_bytes, false, err) < 0)
        return -1;
    if (limits->memory_low_bytes &&
        write_number(group, "memory.low", limits->memory_low_bytes, false, err) < 0)
        return -1;
    /* A VM without swap has no such file, and needs no limit. */
    if (limits->swap_max_bytes && faccessat(group, "memory.swap.max", F_OK, 0) == 0 &&
        write_number(group, "memory.swap.max", (uint64_t)limits->swap_max_bytes,
                     limits->swap_max_bytes < 0, err) < 0)
        return -1;
    if (limits->oom_group)
        return file_write(group, "memory.oom.group", "1", err);
    return 0;
}

int cgroup_limit(int group, const struct wire_cgroup *limits, struct error *err)
{
    if (limit_cpu(group, limits, err) < 0 || limit_memory(group, limits, err) < 0)
        return -1;
    if (limits->pids_max == 0)
        return 0;
    return write_number(group, "pids.max", (uint64_t)limits->pids_max, limits->pids_max < 0, err);
}

int cgroup_freeze(int group, bool frozen, struct error *err)
{
    return file_write(group, "cgroup.freeze", frozen ? "1" : "0", err);
}

int cgroup_kill(int group, struct error *err)
{
    return file_write(group, "cgroup.kill", "1", err);
}

ssize_t cgroup_processes(int group, char **text)
{
    enum { BYTES_MAX = 1 << 20 };
    ssize_t length;

    *text = malloc(BYTES_MAX);
    length = *text ? file_read(group, "cgroup.procs", *text, BYTES_MAX) : -1;
    if (length < 0)
        free(*text);
    return length;
}

uint64_t text_number(const char *text, const char *key)
{
    size_t length = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return strtoull(line + length + 1, NULL, 10);
    }
    return 0;
}

uint64_t cgroup_number(int group, const char *file, const char *key)
{
    char text[4096];

    if (group < 0 || file_read(group, file, text, sizeof text) < 0)
        return 0;
    return key ? text_number(text, key) : strtoull(text, NULL, 10);
}
