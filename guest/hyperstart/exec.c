/* Owns the search of a program in PATH, as runc (Go's exec.LookPath) does it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"

/* moby's default (oci/defaults.go), for an environment without PATH. */
static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static const char *path_of(char *const environment[])
{
    for (; *environment; environment++)
        if (strncmp(*environment, "PATH=", 5) == 0)
            return *environment + 5;
    return default_path;
}

static bool is_program(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

int exec_program(char *const argv[], char *const environment[], struct error *err)
{
    const char *name = argv[0], *directory, *end;
    char path[PATH_MAX];

    if (strchr(name, '/')) {
        execve(name, argv, environment);
        return error_errno(err, "exec", "%s", name);
    }
    for (directory = path_of(environment); *name && *directory; directory = end + (*end == ':')) {
        end = directory + strcspn(directory, ":");
        /* An empty or relative element would mean the working directory: Go refuses those. */
        if (*directory != '/')
            continue;
        if (snprintf(path, sizeof path, "%.*s/%s", (int)(end - directory), directory, name) >=
            (int)sizeof path)
            continue;
        if (!is_program(path))
            continue;
        execve(path, argv, environment);
        return error_errno(err, "exec", "%s", name);
    }
    return error_set(err, ENOENT, "exec", "%s", name);
}
