// What the parts of vmfork share. See README.md.
#ifndef VMFORK_H
#define VMFORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_TARGETS 16
#define NAME_SIZE 40

// One request, one packet on the control socket: the header, and the descriptors (SCM_RIGHTS): first
// the channel on which it is answered, then one for each target.
struct request {
    uint32_t clone_flags; // CLONE_NEW*
    uint32_t target_count;
    uint64_t capabilities; // what the child keeps, a bit set
    int32_t targets[MAX_TARGETS]; // descriptors the child has replaced, with all copies of them
    int32_t share; // the descriptor of the shared folder: replaced by the child's own SHARE
    int32_t tap; // the target that is a TAP, or -1
    char name[NAME_SIZE]; // of the VM, for ps(1)
};

// Why something failed, for the answer: a step's name and errno.
struct failure {
    const char *what;
    int error;
};

// numbers.c: the numbers that are the names in a folder of /proc; how many, or -1.
int numbers_in(int directory, int *numbers, int most);

// threads.c: all threads of this process but the calling one.
int threads_park(struct failure *failure); // 0, or -1: then they run again
void threads_release(void);
int threads_recreate(struct failure *failure); // in the child of a fork made while they are parked

// descriptors.c
// `given`: the channel, then one for each target.
int descriptors_scan(const struct request *request, const int *given, int control, struct failure *failure);
int descriptors_replace(const struct request *request, const int *given, struct failure *failure);

// interpose.c
int tap_copy_settings(int from, int to);
int filter_install(void); // QEMU's seccomp filter, which waited for this
bool filter_is_known(void);

// privileges.c
int privileges_become_root(void); // of the user namespace the child was made in
int privileges_keep(uint64_t capabilities);

#endif
