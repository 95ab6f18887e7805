#ifndef HYPERSTART_CGROUP_H
#define HYPERSTART_CGROUP_H

#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "messages.h"

/* cgroup v2 (Documentation/admin-guide/cgroup-v2.rst); a directory fd stands for a group. */

int cgroup_enable_controllers(int root, struct error *err);
int cgroup_create(int root, const char *name, struct error *err); /* returns the fd, -1 */
int cgroup_remove(int root, const char *name, struct error *err);
int cgroup_limit(int group, const struct wire_cgroup *limits, struct error *err);
int cgroup_freeze(int group, bool frozen, struct error *err);
int cgroup_kill(int group, struct error *err);

/* The text of cgroup.procs, one pid a line, which the caller frees; returns its length, or -1. */
ssize_t cgroup_processes(int group, char **text);

/* The number after a key in a file of lines "key value"; 0 without. */
uint64_t cgroup_number(int group, const char *file, const char *key);

/* As cgroup_number, in text already read. */
uint64_t text_number(const char *text, const char *key);

#endif
