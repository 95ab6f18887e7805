/* Owns terminals: a container's devpts instance and the pairs opened in it. */
#include "tty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "process.h"
#include "sys.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441 /* asm-generic/ioctls.h */
#endif

int tty_devpts(struct error *err)
{
    cleanup_close int fs = sys_fsopen("devpts");
    int mount;

    if (fs < 0)
        return error_errno(err, "mount", "devpts");
    /* Docker's options; gid 5 is tty in every distribution. */
    if (sys_fsconfig(fs, SYS_FSCONFIG_SET_STRING, "source", "devpts") < 0 ||
        sys_fsconfig(fs, SYS_FSCONFIG_SET_STRING, "ptmxmode", "0666") < 0 ||
        sys_fsconfig(fs, SYS_FSCONFIG_SET_STRING, "mode", "0620") < 0 ||
        sys_fsconfig(fs, SYS_FSCONFIG_SET_STRING, "gid", "5") < 0 ||
        sys_fsconfig(fs, SYS_FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
        return error_errno(err, "mount", "devpts");
    mount = sys_fsmount(fs, SYS_MOUNT_ATTR_NOSUID | SYS_MOUNT_ATTR_NOEXEC);
    return mount < 0 ? error_errno(err, "mount", "devpts") : mount;
}

int tty_open(int devpts, uint16_t rows, uint16_t columns, int *master, int *slave,
             struct error *err)
{
    cleanup_close int opened = openat(devpts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    int unlock = 0;

    if (opened < 0 || ioctl(opened, TIOCSPTLCK, &unlock) < 0)
        return error_errno(err, "open", "terminal");
    if (rows && columns && tty_resize(opened, rows, columns, err) < 0)
        return -1;
    *slave = ioctl(opened, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0)
        return error_errno(err, "open", "terminal");
    *master = take_fd(&opened);
    return 0;
}

int tty_resize(int master, uint16_t rows, uint16_t columns, struct error *err)
{
    struct winsize size = { .ws_row = rows, .ws_col = columns };

    return ioctl(master, TIOCSWINSZ, &size) < 0 ? error_errno(err, "resize", "terminal") : 0;
}

COMMAND(process_resize)
{
    const struct message_process_resize *resize = message;
    struct process *process = process_find(resize->process_id);

    (void)request;
    if (!process || !process_alive(process))
        return error_set(err, ESRCH, "process", "%u", resize->process_id);
    if (!process->terminal)
        return error_set(err, ENOTTY, "resize", "process %u", resize->process_id);
    if (process->streams[STREAM_STDOUT].watch.fd < 0)
        return OUTCOME_OK; /* it has closed its terminal */
    return tty_resize(process->streams[STREAM_STDOUT].watch.fd, resize->rows, resize->columns, err);
}
