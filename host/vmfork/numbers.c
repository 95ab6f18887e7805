// Folders of /proc whose entries are numbers: threads, descriptors. readdir(3) would allocate.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmfork.h"

// struct linux_dirent64 (getdents64(2)): where the entry's length and its name are.
#define LENGTH_AT 16
#define NAME_AT 19

int numbers_in(int directory, int *numbers, int most)
{
    char buffer[4096];
    int count = 0;
    if (lseek(directory, 0, SEEK_SET) < 0)
        return -1;
    for (;;) {
        long size = syscall(SYS_getdents64, directory, buffer, sizeof buffer);
        if (size <= 0)
            return size < 0 ? -1 : count;
        for (long at = 0; at < size;) {
            unsigned short length;
            const char *name = buffer + at + NAME_AT;
            memcpy(&length, buffer + at + LENGTH_AT, sizeof length);
            at += length;
            if (name[0] == '.')
                continue;
            if (count == most) {
                errno = EMFILE;
                return -1;
            }
            numbers[count++] = atoi(name);
        }
    }
}
