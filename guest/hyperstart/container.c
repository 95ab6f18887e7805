/* Owns containers: their making, and their removal once everything in them has ended. */
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "commands.h"
#include "files.h"
#include "log.h"
#include "process.h"
#include "runtime.h"
#include "sizes.h"
#include "volumes.h"

/* How long a removal tries again while the kernel still holds a device; how long the kernel may take
 * to end what was killed, and how often we help then. */
enum { RETRY_MS = 10, OVERDUE_MS = 5000, AGAIN_MS = 1000 };

static struct container *containers;
static unsigned last_number;

struct container *container_find(const char *name)
{
    struct container *container = containers;

    while (container && strcmp(container->name, name) != 0)
        container = container->next;
    return container;
}

struct container *container_first(void)
{
    return containers;
}

struct container *container_required(const char *name, struct error *err)
{
    struct container *container = container_find(name);

    if (container && !container->removing)
        return container;
    error_set(err, ENOENT, "container", "%s", name);
    return NULL;
}

void container_path(const struct container *container, const char *below, char *path, size_t size)
{
    snprintf(path, size, "%s/c/%u%s", runtime.dir, container->number, below);
}

/*
 * "oom" counts how often a limit of the group, or of one below, was in the way; the kernel raises
 * it before it kills (Documentation/admin-guide/cgroup-v2.rst, memory.events). Kills without it
 * were for the memory of the whole VM.
 */
static void report_vm_oom(struct container *container)
{
    struct message_vm_oom message = { .container = container->name };
    uint64_t limit_hits = cgroup_number(container->cgroup_fd, "memory.events", "oom");

    if (limit_hits == container->limit_hits_reported)
        agent_event(MESSAGE_VM_OOM, &message);
    container->limit_hits_reported = limit_hits;
}

uint64_t container_oom_kills(struct container *container)
{
    struct message_oom message = { .container = container->name };

    if (container->memory_events.fd < 0)
        return 0;
    message.kills = cgroup_number(container->cgroup_fd, "memory.events", "oom_kill");
    if (message.kills > container->oom_kills_reported) {
        report_vm_oom(container);
        container->oom_kills_reported = message.kills;
        agent_event(MESSAGE_OOM, &message);
    }
    return message.kills;
}

static void memory_events_ready(struct watch *watch, uint32_t events)
{
    struct container *container =
        (struct container *)(void *)((char *)watch - offsetof(struct container, memory_events));
    char text[512];

    (void)events;
    /* kernfs reports a change until the same fd has read again. */
    if (pread(watch->fd, text, sizeof text, 0) >= 0)
        container_oom_kills(container);
}

static int watch_file(struct watch *watch, int group, const char *file,
                      void (*ready)(struct watch *, uint32_t), struct error *err)
{
    char text[512];

    *watch = (struct watch){ .fd = openat(group, file, O_RDONLY | O_CLOEXEC), .ready = ready };
    if (watch->fd < 0 || pread(watch->fd, text, sizeof text, 0) < 0)
        return error_errno(err, "cgroup", "%s", file);
    return loop_add(watch, EPOLLPRI, err);
}

static void unwatch_file(struct watch *watch)
{
    loop_remove(watch);
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

static int make_cgroup(struct container *container, struct error *err)
{
    if (runtime.cgroup_root < 0)
        return 0;
    container->cgroup_fd = cgroup_create(runtime.cgroup_root, container->name, err);
    if (container->cgroup_fd < 0 ||
        cgroup_limit(container->cgroup_fd, &container->spec->cgroup, err) < 0)
        return -1;
    return watch_file(&container->memory_events, container->cgroup_fd, "memory.events",
                      memory_events_ready, err);
}

/* --- removal ---------------------------------------------------------------------------------- */

/* Release all but the root file system, and the memory. */
static void container_free(struct container *container)
{
    struct error ignored;
    char path[160];

    loop_timer_cancel(&container->retry);
    loop_timer_cancel(&container->overdue);
    unwatch_file(&container->memory_events);
    unwatch_file(&container->cgroup_events);
    if (container->devpts_fd >= 0)
        close(container->devpts_fd);
    if (container->cgroup_fd >= 0) {
        close(container->cgroup_fd);
        if (cgroup_remove(runtime.cgroup_root, container->name, &ignored) < 0)
            log_error(LOG_LEVEL_WARNING, &ignored);
    }
    container_path(container, "", path, sizeof path);
    rmdir(path);
    arena_free(&container->arena);
    free(container->payload);
    free(container->name);
    free(container);
}

static void remove_files(const struct container *container)
{
    char path[176];

    for (uint32_t i = 0; i < container->spec->mounts.count; i++) {
        char below[32];

        snprintf(below, sizeof below, "/file%u", i);
        container_path(container, below, path, sizeof path);
        unlink(path);
    }
}

static void finish_removal(struct container *container)
{
    struct container **link = &containers;
    struct request remover = container->remover;
    struct message_container_size size = container->size;
    bool retiring = container->retiring;

    for (struct process *process = process_first(); process; process = process->next)
        if (process->container == container)
            process->container = NULL;
    while (*link != container)
        link = &(*link)->next;
    *link = container->next;
    remove_files(container);
    container_free(container);
    if (retiring)
        agent_reply(&remover, MESSAGE_CONTAINER_SIZE, &size);
    else
        agent_reply_ok(&remover);
}

static bool populated(struct container *container);

static void try_removal(struct container *container)
{
    struct error err;
    char path[160];

    if (!container->removing || container->processes > 0 || populated(container))
        return;
    if (container->retiring && !container->sized)
        sizes_of_few(container, &container->size);
    container->sized = true;
    container_path(container, "", path, sizeof path);
    if (rootfs_unmount(&container->rootfs, path, &err) < 0)
        loop_timer_arm(&container->retry, RETRY_MS);
    else
        finish_removal(container);
}

static void retry_removal(struct timer *timer)
{
    try_removal((struct container *)(void *)((char *)timer - offsetof(struct container, retry)));
}

static void cgroup_events_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    try_removal(
        (struct container *)(void *)((char *)watch - offsetof(struct container, cgroup_events)));
}

/* Whether a process is left in its cgroup; if so, its end will call try_removal. */
static bool populated(struct container *container)
{
    struct error err;
    char text[256];

    if (container->cgroup_fd < 0)
        return false;
    if (container->cgroup_events.fd < 0 &&
        watch_file(&container->cgroup_events, container->cgroup_fd, "cgroup.events",
                   cgroup_events_ready, &err) < 0) {
        log_error(LOG_LEVEL_ERROR, &err);
        return false;
    }
    memset(text, 0, sizeof text);
    if (pread(container->cgroup_events.fd, text, sizeof text - 1, 0) < 0)
        return false;
    return text_number(text, "populated") != 0;
}

/* It has been killed and is still there: something in it waits where signals do not reach. */
static void overdue(struct timer *timer)
{
    struct container *container =
        (struct container *)(void *)((char *)timer - offsetof(struct container, overdue));
    const struct wire_mount *mounts = container->spec->mounts.items;
    bool helped = false;

    if (!container->main && !container->removing)
        return;
    for (uint32_t i = 0; i < container->spec->mounts.count; i++)
        helped |= volume_give_up(mounts[i].source);
    if (helped)
        loop_timer_arm(&container->overdue, AGAIN_MS);
}

void container_killed(struct container *container)
{
    if (!container->overdue.armed)
        loop_timer_arm(&container->overdue, OVERDUE_MS);
}

static void kill_jobs(const struct container *container)
{
    for (struct process *process = process_first(); process; process = process->next)
        if (process->container == container && process->job && process_alive(process))
            process_kill(process, SIGKILL);
}

static void kill_all(struct container *container)
{
    struct error err;

    container_killed(container);
    if (container->cgroup_fd >= 0) {
        if (cgroup_kill(container->cgroup_fd, &err) < 0)
            log_error(LOG_LEVEL_ERROR, &err);
        return;
    }
    for (struct process *process = process_first(); process; process = process->next)
        if (process->container == container && !process->job && process_alive(process))
            process_kill(process, SIGKILL);
}

void container_process_ended(struct container *container, struct process *process)
{
    container->processes--;
    if (process == container->main) {
        container->main = NULL;
        close(container->devpts_fd);
        container->devpts_fd = -1;
        /* In a pid namespace of its own, the kernel has killed the rest. */
        if (container->spec->share_pid)
            kill_all(container);
    }
    try_removal(container);
}

static int begin_removal(const struct request *request, const char *name, bool retiring,
                         struct error *err)
{
    struct container *container = container_required(name, err);

    if (!container)
        return -1;
    container->removing = true;
    container->retiring = retiring;
    container->remover = *request;
    kill_all(container);
    kill_jobs(container);
    try_removal(container);
    return OUTCOME_ANSWERED;
}

COMMAND(container_remove)
{
    const struct message_container_remove *remove = message;

    return begin_removal(request, remove->container, false, err);
}

COMMAND(container_retire)
{
    const struct message_container_retire *retire = message;

    return begin_removal(request, retire->container, true, err);
}

void containers_destroy(void)
{
    while (containers) {
        struct container *container = containers;
        struct error err;
        char path[160];

        container_path(container, "", path, sizeof path);
        if (rootfs_unmount(&container->rootfs, path, &err) < 0)
            log_error(LOG_LEVEL_WARNING, &err);
        containers = container->next;
        container_free(container);
    }
}

/* --- making ----------------------------------------------------------------------------------- */

/* Decode the message once more, from a copy that lives as long as the container. */
static int keep_message(struct container *container, const struct message_container_create *create,
                        struct error *err)
{
    const struct wire_layout *layout = message_types[MESSAGE_CONTAINER_CREATE].layout;
    struct message_container_create *spec = arena_alloc(&container->arena, layout->size);
    struct buffer copy = { 0 };

    container->name = strdup(create->container);
    if (!container->name || !spec || wire_encode(layout, create, &copy) < 0)
        return error_set(err, ENOMEM, "container", "%s", create->container);
    container->payload = copy.data;
    if (wire_decode(layout, copy.data, copy.end, &container->arena, spec) < 0)
        return error_set(err, ENOMEM, "container", "%s", create->container);
    container->spec = spec;
    return 0;
}

static struct container *container_new(const struct message_container_create *create,
                                       struct error *err)
{
    struct container *container = calloc(1, sizeof *container);

    if (!container) {
        error_set(err, ENOMEM, "container", "%s", create->container);
        return NULL;
    }
    container->number = ++last_number;
    container->cgroup_fd = container->devpts_fd = -1;
    container->memory_events.fd = container->cgroup_events.fd = -1;
    container->retry.fire = retry_removal;
    container->overdue.fire = overdue;
    if (keep_message(container, create, err) == 0)
        return container;
    container_free(container);
    return NULL;
}

bool containers_use_volume(const char *volume)
{
    for (const struct container *container = containers; container; container = container->next)
        for (uint32_t i = 0; i < container->spec->mounts.count; i++)
            if (strcmp(container->spec->mounts.items[i].source, volume) == 0)
                return true;
    return false;
}

static bool name_valid(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 200;
}

COMMAND(container_create)
{
    const struct message_container_create *create = message;
    struct container *container;
    char path[160];
    int outcome;

    (void)request;
    if (!name_valid(create->container))
        return error_set(err, EINVAL, "container", "%s", create->container);
    if (container_find(create->container))
        return error_set(err, EEXIST, "container", "%s", create->container);
    container = container_new(create, err);
    if (!container)
        return -1;
    container_path(container, "", path, sizeof path);
    outcome = make_directory(path, 0755, err);
    if (outcome == 0)
        outcome = rootfs_mount(&container->rootfs, path, container->spec, err);
    if (outcome == OUTCOME_OK && make_cgroup(container, err) < 0) {
        struct error ignored;

        rootfs_unmount(&container->rootfs, path, &ignored);
        outcome = -1;
    }
    if (outcome != OUTCOME_OK) {
        container_free(container);
        return outcome;
    }
    container->next = containers;
    containers = container;
    return OUTCOME_OK;
}
