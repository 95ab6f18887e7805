#ifndef HYPERSTART_COMMANDS_H
#define HYPERSTART_COMMANDS_H

#include "agent.h"

/* Decode a frame, run its command and send the reply. */
void command_dispatch(const struct frame *frame);

/* Run again the requests that wait for a device. */
void command_retry_waiting(void);

/* The commands; each is defined in the file of its subject. */
#define COMMAND(name)                                                                              \
    int command_##name(const struct request *request, const void *message, struct error *err)

COMMAND(hello);
COMMAND(ping);
COMMAND(pod_setup);
COMMAND(pod_shutdown);
COMMAND(pod_processes_signal);
COMMAND(cpus_set);
COMMAND(volume_grow);
COMMAND(clock_adjust);
COMMAND(volume_add);
COMMAND(volume_remove);
COMMAND(volume_freeze);
COMMAND(container_create);
COMMAND(container_remove);
COMMAND(container_retire);
COMMAND(container_pause);
COMMAND(container_update);
COMMAND(container_stats);
COMMAND(container_processes);
COMMAND(process_start);
COMMAND(process_signal);
COMMAND(process_resize);
COMMAND(process_exit_ack);
COMMAND(file_stat);
COMMAND(archive_read);
COMMAND(archive_write);
COMMAND(changes_read);
COMMAND(layer_read);
COMMAND(size_read);
COMMAND(data);
COMMAND(window);
COMMAND(stream_resume);
COMMAND(file_write);
COMMAND(connect);
COMMAND(service_set);
COMMAND(service_remove);

#endif
