/* Owns the resolution of users and groups in a container's own /etc, which may hold anything.
 *
 * The rules are those of runc (moby/sys user, GetExecUser): a number need not exist, a name must.
 */
#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "files.h"

enum { DATABASE_BYTES_MAX = 4 << 20, FIELDS = 7 };

/* Read a database; a missing or unreadable one is empty. */
static char *read_database(int root, const char *path)
{
    cleanup_close int fd = root_open_regular(root, path);
    size_t used = 0, capacity = 4096;
    char *text = malloc(capacity);

    while (text && fd >= 0) {
        ssize_t got = read(fd, text + used, capacity - used - 1);

        if (got <= 0)
            break;
        used += (size_t)got;
        if (used >= DATABASE_BYTES_MAX)
            break;
        if (used == capacity - 1) {
            char *more = realloc(text, capacity *= 2);

            if (!more)
                free(text);
            text = more;
        }
    }
    if (text)
        text[used] = 0;
    return text;
}

/* Split the next line in place; returns false at the end. Missing fields are empty. */
static bool next_entry(char **rest, char *fields[FIELDS])
{
    char *line = strsep(rest, "\n");

    if (!line)
        return false;
    for (int i = 0; i < FIELDS; i++) {
        char *field = strsep(&line, ":");

        fields[i] = field ? field : (char *)"";
    }
    return true;
}

static bool parse_id(const char *text, uint32_t *id)
{
    char *end;
    unsigned long long value;

    if (*text < '0' || *text > '9')
        return false;
    value = strtoull(text, &end, 10);
    if (*end || value > INT_MAX)
        return false;
    *id = (uint32_t)value;
    return true;
}

/* Find by name or number in /etc/passwd; `name` receives the entry's name. */
static int resolve_user(int root, const char *wanted, struct user *user, char *name,
                        size_t name_size, struct error *err)
{
    cleanup_free char *text = read_database(root, "/etc/passwd");
    char *rest = text, *fields[FIELDS];
    uint32_t number = 0, uid;
    bool numeric = parse_id(wanted, &number);

    while (rest && next_entry(&rest, fields)) {
        if (!*fields[0] || !parse_id(fields[2], &uid))
            continue;
        if (strcmp(fields[0], wanted) != 0 && !(numeric && uid == number))
            continue;
        user->uid = uid;
        user->gid = parse_id(fields[3], &uid) ? uid : 0;
        if (*fields[5] && strlen(fields[5]) < sizeof user->home)
            memcpy(user->home, fields[5], strlen(fields[5]) + 1);
        if (strlen(fields[0]) < name_size)
            memcpy(name, fields[0], strlen(fields[0]) + 1);
        return 0;
    }
    if (!numeric)
        return error_set(err, ENOENT, "user", "%s", wanted);
    user->uid = number;
    return 0;
}

static bool list_contains(const char *list, const char *name)
{
    size_t length = strlen(name);

    while (length > 0 && *list) {
        size_t each = strcspn(list, ",");

        if (each == length && memcmp(list, name, length) == 0)
            return true;
        list += each + (list[each] == ',');
    }
    return false;
}

static void add_group(struct user *user, gid_t gid)
{
    for (size_t i = 0; i < user->group_count; i++)
        if (user->groups[i] == gid)
            return;
    if (user->group_count < USER_GROUPS_MAX)
        user->groups[user->group_count++] = gid;
}

/* Every group whose members include the name. */
static void add_memberships(int root, struct user *user, const char *name)
{
    cleanup_free char *text = read_database(root, "/etc/group");
    char *rest = text, *fields[FIELDS];
    uint32_t gid;

    while (rest && next_entry(&rest, fields))
        if (parse_id(fields[2], &gid) && list_contains(fields[3], name))
            add_group(user, gid);
}

static int resolve_group(int root, const char *wanted, gid_t *gid, const char *step,
                         struct error *err)
{
    cleanup_free char *text = read_database(root, "/etc/group");
    char *rest = text, *fields[FIELDS];
    uint32_t number = 0, each;
    bool numeric = parse_id(wanted, &number);

    while (rest && next_entry(&rest, fields))
        if (parse_id(fields[2], &each) &&
            (strcmp(fields[0], wanted) == 0 || (numeric && each == number))) {
            *gid = each;
            return 0;
        }
    if (!numeric)
        return error_set(err, ENOENT, step, "%s", wanted);
    *gid = number;
    return 0;
}

int user_resolve(int root, const char *text, const struct str_list *groups, struct user *user,
                 struct error *err)
{
    cleanup_free char *copy = strdup(*text ? text : "0");
    char *group = copy, *wanted = strsep(&group, ":"), name[256] = "";
    gid_t gid;

    *user = (struct user){ .home = "/" };
    if (!copy)
        return error_set(err, ENOMEM, "user", "%s", text);
    if (resolve_user(root, *wanted ? wanted : "0", user, name, sizeof name, err) < 0)
        return -1;
    if (group && *group) {
        if (resolve_group(root, group, &user->gid, "group", err) < 0)
            return -1;
    } else {
        add_memberships(root, user, name);
    }
    for (uint32_t i = 0; i < groups->count; i++) {
        if (resolve_group(root, groups->items[i], &gid, "groups", err) < 0)
            return -1;
        add_group(user, gid);
    }
    /* CVE-2022-36109: else a process could shed the group it is refused something for. */
    add_group(user, user->gid);
    return 0;
}
