// What the child may do. Through the kernel's own calls: those of glibc would ask threads that do not
// exist to change their identity, too.
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmfork.h"

int privileges_become_root(void)
{
    return syscall(SYS_setresgid, 0, 0, 0) || syscall(SYS_setresuid, 0, 0, 0) ? -1 : 0;
}

int privileges_keep(uint64_t capabilities)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];
    for (unsigned long number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++)
        if (!(capabilities >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
            return -1;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
        return -1;
    for (int half = 0; half < 2; half++) {
        uint32_t bits = (uint32_t)(capabilities >> (32 * half));
        data[half] = (struct __user_cap_data_struct){ bits, bits, 0 };
    }
    if (syscall(SYS_capset, &header, data))
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
