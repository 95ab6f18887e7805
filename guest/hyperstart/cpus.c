/* Owns which of the VM's CPUs are in use (linux Documentation/core-api/cpu_hotplug.rst). */
#include "cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "files.h"
#include "runtime.h"

#define CPUS "/sys/devices/system/cpu/"

uint32_t cpus_present(void)
{
    char text[64] = "";
    const char *last;

    if (!runtime.vm || file_read(AT_FDCWD, CPUS "present", text, sizeof text) <= 0)
        return (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    last = strrchr(text, '-'); /* 0-3, or 0 */
    return (uint32_t)strtoul(last ? last + 1 : text, NULL, 10) + 1;
}

COMMAND(cpus_set)
{
    const struct message_cpus_set *set = message;
    uint32_t present = cpus_present();
    char path[64];

    (void)request;
    if (set->online < 1 || set->online > present)
        return error_set(err, EINVAL, "cpus", "%u of %u", set->online, present);
    /* The first cannot sleep. Waking one that is awake does nothing. */
    for (uint32_t number = 1; runtime.vm && number < present; number++) {
        snprintf(path, sizeof path, CPUS "cpu%u/online", number);
        if (file_write(AT_FDCWD, path, number < set->online ? "1" : "0", err) < 0)
            return -1;
    }
    return OUTCOME_OK;
}
