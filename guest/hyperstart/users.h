#ifndef HYPERSTART_USERS_H
#define HYPERSTART_USERS_H

#include <stddef.h>
#include <sys/types.h>

#include "error.h"
#include "messages.h"

enum { USER_GROUPS_MAX = 1024 };

struct user {
    uid_t uid;
    gid_t gid;
    char home[256];
    gid_t groups[USER_GROUPS_MAX]; /* additional ones */
    size_t group_count;
};

/* Resolve Docker's USER ("name|uid[:group|gid]", empty: root) in the /etc below `root`. */
int user_resolve(int root, const char *text, const struct str_list *groups, struct user *user,
                 struct error *err);

#endif
