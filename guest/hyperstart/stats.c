/* Owns the figures of a container: read from its cgroup, and from /proc for the VM as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "cleanup.h"
#include "commands.h"
#include "container.h"
#include "files.h"
#include "network.h"

enum { TEXT_BYTES = 16384, MEMORY_STATS_MAX = 96, INTERFACES_MAX = 64 };

/* Room for what the lists of a reply point into. */
struct figures {
    char memory[TEXT_BYTES];
    struct wire_key_value memory_stat[MEMORY_STATS_MAX];
    char interfaces[TEXT_BYTES];
    struct wire_network_counters network[INTERFACES_MAX];
};

static uint64_t number_or_max(int group, const char *file)
{
    char text[64];

    if (file_read(group, file, text, sizeof text) < 0 || strncmp(text, "max", 3) == 0)
        return UINT64_MAX;
    return strtoull(text, NULL, 10);
}

static void read_cpu(int group, struct message_container_statistics *out)
{
    char text[2048];

    if (file_read(group, "cpu.stat", text, sizeof text) < 0)
        return;
    out->cpu_usage_us = text_number(text, "usage_usec");
    out->cpu_user_us = text_number(text, "user_usec");
    out->cpu_system_us = text_number(text, "system_usec");
    out->periods = text_number(text, "nr_periods");
    out->throttled_periods = text_number(text, "nr_throttled");
    out->throttled_us = text_number(text, "throttled_usec");
}

/* Split "key value" lines in place. */
static void read_memory(int group, struct figures *figures,
                        struct message_container_statistics *out)
{
    char *rest = figures->memory, *line;

    out->memory_current_bytes = cgroup_number(group, "memory.current", NULL);
    out->memory_peak_bytes = cgroup_number(group, "memory.peak", NULL);
    out->memory_max_bytes = number_or_max(group, "memory.max");
    out->oom_kills = cgroup_number(group, "memory.events", "oom_kill");
    out->memory_stat.items = figures->memory_stat;
    if (file_read(group, "memory.stat", figures->memory, sizeof figures->memory) < 0)
        return;
    while ((line = strsep(&rest, "\n")) && out->memory_stat.count < MEMORY_STATS_MAX) {
        char *key = strsep(&line, " ");

        if (line)
            figures->memory_stat[out->memory_stat.count++] = (struct wire_key_value){ key, line };
    }
}

/* io.stat has one line a device: "254:0 rbytes=1 wbytes=2 rios=3 wios=4 ...". */
static void read_io(int group, struct message_container_statistics *out)
{
    const struct {
        const char *key;
        uint64_t *sum;
    } sums[] = {
        { "rbytes=", &out->io_read_bytes },
        { "wbytes=", &out->io_write_bytes },
        { "rios=", &out->io_reads },
        { "wios=", &out->io_writes },
    };
    char text[TEXT_BYTES], *rest = text, *word;

    if (file_read(group, "io.stat", text, sizeof text) < 0)
        return;
    while ((word = strsep(&rest, " \n")))
        for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
            if (strncmp(word, sums[i].key, strlen(sums[i].key)) == 0)
                *sums[i].sum += strtoull(word + strlen(sums[i].key), NULL, 10);
}

/*
 * What /proc/stat adds up to: the time that passed, on each CPU. That itself counts ticks, of which
 * an emulated CPU misses some, while the time of cgroups is measured: a share would be above 100 %.
 */
static void read_system(struct message_container_statistics *out)
{
    struct timespec now;

    out->online_cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    clock_gettime(CLOCK_MONOTONIC, &now);
    out->system_cpu_us =
        out->online_cpus * ((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

/* /proc/net/dev: two lines of titles, then "name: 8 received 8 transmitted". */
static void read_network(struct figures *figures, struct message_container_statistics *out)
{
    char *rest = figures->interfaces, *line;

    out->network.items = figures->network;
    if (file_read(AT_FDCWD, "/proc/net/dev", figures->interfaces, sizeof figures->interfaces) < 0)
        return;
    while ((line = strsep(&rest, "\n")) && out->network.count < INTERFACES_MAX) {
        char *name = line + strspn(line, " "), *at = strchr(name, ':');
        uint64_t v[16];

        if (!at)
            continue;
        *at++ = 0;
        if (!network_is_ours(name))
            continue;
        for (int i = 0; i < 16; i++)
            v[i] = strtoull(at, &at, 10);
        figures->network[out->network.count++] = (struct wire_network_counters){
            name, v[0], v[1], v[2], v[3], v[8], v[9], v[10], v[11],
        };
    }
}

COMMAND(container_stats)
{
    const struct message_container_stats *wanted = message;
    struct container *container = container_required(wanted->container, err);
    struct message_container_statistics out = { 0 };
    cleanup_free struct figures *figures = calloc(1, sizeof *figures);

    if (!container)
        return -1;
    if (!figures)
        return error_set(err, ENOMEM, "stats", "%s", wanted->container);
    if (container->cgroup_fd >= 0) {
        read_cpu(container->cgroup_fd, &out);
        read_memory(container->cgroup_fd, figures, &out);
        read_io(container->cgroup_fd, &out);
        out.pids_current = cgroup_number(container->cgroup_fd, "pids.current", NULL);
        out.pids_max = number_or_max(container->cgroup_fd, "pids.max");
    }
    read_system(&out);
    read_network(figures, &out);
    agent_reply(request, MESSAGE_CONTAINER_STATISTICS, &out);
    return OUTCOME_ANSWERED;
}
