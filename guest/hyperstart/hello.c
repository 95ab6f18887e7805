/* Owns the beginning of a session: what the guest is, and what a host that comes back must know. */
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "commands.h"
#include "cpus.h"
#include "process.h"
#include "runtime.h"

static const uint64_t features =
    FEATURE_RESUME | FEATURE_PAUSE | FEATURE_STATS | FEATURE_PARTITIONS | FEATURE_FILES |
    FEATURE_CLOCK | FEATURE_SIZES;

COMMAND(hello)
{
    const struct message_hello *hello = message;
    struct request answer = *request;
    struct message_welcome welcome = { .nonce = hello->nonce, .version = PROTOCOL_VERSION };
    struct sysinfo memory;
    struct utsname kernel;

    (void)err;
    agent_greet();
    answer.session = agent_session();
    uname(&kernel);
    sysinfo(&memory);
    welcome.features = features & hello->features;
    welcome.kernel_release = kernel.release;
    welcome.cpus = cpus_present();
    welcome.memory_bytes = (uint64_t)memory.totalram * memory.mem_unit;
    welcome.phases.items = runtime.phases;
    welcome.phases.count = runtime.phase_count;
    if (processes_states(&welcome.processes.items, &welcome.processes.count) < 0)
        welcome.processes.count = 0;
    agent_reply(&answer, MESSAGE_WELCOME, &welcome);
    free(welcome.processes.items);
    processes_greet();
    return OUTCOME_ANSWERED;
}
