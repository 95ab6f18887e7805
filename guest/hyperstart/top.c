/* Owns the list of a container's processes, from its cgroup and /proc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "cleanup.h"
#include "commands.h"
#include "container.h"
#include "files.h"
#include "loop.h"
#include "process.h"

enum { COMMAND_BYTES = 4096, PROCESSES_MAX = 4096 };

/* The texts of a process may be anything; the protocol's are UTF-8. */
static char *clean_text(struct arena *arena, const char *text, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);

    if (!copy)
        return NULL;
    for (size_t i = 0; i < length; i++)
        copy[i] = text[i] ? text[i] : ' ';
    if (!utf8_valid((const uint8_t *)copy, length))
        for (size_t i = 0; i < length; i++)
            if (copy[i] & 0x80)
                copy[i] = '?';
    return copy;
}

/* The fields after "pid (comm) " of /proc/PID/stat, proc(5). */
static bool parse_stat(const char *fields, struct wire_process_entry *entry)
{
    long long values[24] = { 0 };
    const char *at = fields + 1;
    char *end;

    if (!*fields)
        return false;
    entry->state = (uint8_t)*fields;
    /* values[0] is field 4, ppid. */
    for (size_t i = 0; i < 21; i++, at = end)
        values[i] = strtoll(at, &end, 10);
    entry->ppid = (uint32_t)values[0];
    entry->tty_nr = (int32_t)values[3];
    entry->cpu_ticks = (uint64_t)(values[10] + values[11]);
    entry->nice = (int32_t)values[15];
    entry->threads = (uint32_t)values[16];
    entry->start_ticks = (uint64_t)values[18];
    entry->vsize_bytes = (uint64_t)values[19];
    entry->rss_bytes = (uint64_t)values[20] * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

static void read_command(int dir, struct arena *arena, struct wire_process_entry *entry)
{
    char text[COMMAND_BYTES];
    ssize_t length = file_read(dir, "cmdline", text, sizeof text);

    while (length > 0 && text[length - 1] == 0)
        length--;
    if (length <= 0)
        length = snprintf(text, sizeof text, "[%s]", entry->comm ? entry->comm : "");
    entry->command = clean_text(arena, text, (size_t)length);
}

static bool read_entry(pid_t pid, struct arena *arena, struct wire_process_entry *entry)
{
    cleanup_close int dir = -1;
    char path[32], text[1024];
    char *open_bracket, *close_bracket;
    struct stat status;

    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &status) < 0 || file_read(dir, "stat", text, sizeof text) < 0)
        return false;
    open_bracket = strchr(text, '(');
    close_bracket = strrchr(text, ')');
    if (!open_bracket || !close_bracket || close_bracket < open_bracket || !close_bracket[1])
        return false;
    entry->pid = (uint32_t)pid;
    entry->uid = status.st_uid;
    entry->comm = clean_text(arena, open_bracket + 1, (size_t)(close_bracket - open_bracket - 1));
    if (!parse_stat(close_bracket + 2, entry))
        return false;
    read_command(dir, arena, entry);
    return true;
}

/* Without cgroups (tests), the processes we started are what we know. */
static size_t list_pids(const struct container *container, pid_t *pids)
{
    cleanup_free char *text = NULL;
    size_t count = 0;
    char *at, *end;

    if (container->cgroup_fd < 0) {
        for (struct process *p = process_first(); p && count < PROCESSES_MAX; p = p->next)
            if (p->container == container && process_alive(p))
                pids[count++] = p->pid;
        return count;
    }
    if (cgroup_processes(container->cgroup_fd, &text) < 0) {
        text = NULL;
        return 0;
    }
    for (at = text; *at && count < PROCESSES_MAX; at = end + (*end == '\n')) {
        pids[count] = (pid_t)strtol(at, &end, 10);
        count += pids[count] > 0;
        if (end == at)
            break;
    }
    return count;
}

COMMAND(container_processes)
{
    const struct message_container_processes *wanted = message;
    struct container *container = container_required(wanted->container, err);
    struct message_container_process_list out = { .boottime_ns = clock_ns(CLOCK_BOOTTIME) };
    cleanup_free pid_t *pids = calloc(PROCESSES_MAX, sizeof *pids);
    struct arena arena = { 0 };
    size_t count;

    if (!container)
        return -1;
    count = pids ? list_pids(container, pids) : 0;
    out.ticks_per_second = (uint32_t)sysconf(_SC_CLK_TCK);
    out.processes.items = arena_alloc(&arena, (count + 1) * sizeof *out.processes.items);
    if (!out.processes.items)
        return error_set(err, ENOMEM, "top", "%s", wanted->container);
    for (size_t i = 0; i < count; i++)
        if (read_entry(pids[i], &arena, &out.processes.items[out.processes.count]))
            out.processes.count++;
    agent_reply(request, MESSAGE_CONTAINER_PROCESS_LIST, &out);
    arena_free(&arena);
    return OUTCOME_ANSWERED;
}
