/* Owns the commands that change a running container: pause and limits. */
#include <errno.h>

#include "cgroup.h"
#include "commands.h"
#include "container.h"

static int group_of(const char *name, struct error *err)
{
    const struct container *container = container_required(name, err);

    if (!container)
        return -1;
    if (container->cgroup_fd < 0)
        return error_set(err, EOPNOTSUPP, "cgroup", "%s", name);
    return container->cgroup_fd;
}

COMMAND(container_pause)
{
    const struct message_container_pause *pause = message;
    int group = group_of(pause->container, err);

    (void)request;
    return group < 0 ? -1 : cgroup_freeze(group, pause->paused, err);
}

COMMAND(container_update)
{
    const struct message_container_update *update = message;
    int group = group_of(update->container, err);

    (void)request;
    return group < 0 ? -1 : cgroup_limit(group, &update->cgroup, err);
}
