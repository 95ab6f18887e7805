/* Owns the table of commands, and the requests that wait for a device to appear. */
#include "commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "loop.h"

enum { DEVICE_WAIT_MS = 10000 };

typedef int (*command_function)(const struct request *, const void *, struct error *);

static const command_function commands[MESSAGE_ID_MAX + 1] = {
    [MESSAGE_HELLO] = command_hello,
    [MESSAGE_PING] = command_ping,
    [MESSAGE_POD_SETUP] = command_pod_setup,
    [MESSAGE_POD_SHUTDOWN] = command_pod_shutdown,
    [MESSAGE_POD_PROCESSES_SIGNAL] = command_pod_processes_signal,
    [MESSAGE_CPUS_SET] = command_cpus_set,
    [MESSAGE_CLOCK_ADJUST] = command_clock_adjust,
    [MESSAGE_VOLUME_ADD] = command_volume_add,
    [MESSAGE_VOLUME_REMOVE] = command_volume_remove,
    [MESSAGE_VOLUME_FREEZE] = command_volume_freeze,
    [MESSAGE_VOLUME_GROW] = command_volume_grow,
    [MESSAGE_CONTAINER_CREATE] = command_container_create,
    [MESSAGE_CONTAINER_REMOVE] = command_container_remove,
    [MESSAGE_CONTAINER_RETIRE] = command_container_retire,
    [MESSAGE_CONTAINER_PAUSE] = command_container_pause,
    [MESSAGE_CONTAINER_UPDATE] = command_container_update,
    [MESSAGE_CONTAINER_STATS] = command_container_stats,
    [MESSAGE_CONTAINER_PROCESSES] = command_container_processes,
    [MESSAGE_PROCESS_START] = command_process_start,
    [MESSAGE_PROCESS_SIGNAL] = command_process_signal,
    [MESSAGE_PROCESS_RESIZE] = command_process_resize,
    [MESSAGE_PROCESS_EXIT_ACK] = command_process_exit_ack,
    [MESSAGE_FILE_STAT] = command_file_stat,
    [MESSAGE_ARCHIVE_READ] = command_archive_read,
    [MESSAGE_ARCHIVE_WRITE] = command_archive_write,
    [MESSAGE_CHANGES_READ] = command_changes_read,
    [MESSAGE_LAYER_READ] = command_layer_read,
    [MESSAGE_SIZE_READ] = command_size_read,
    [MESSAGE_DATA] = command_data,
    [MESSAGE_WINDOW] = command_window,
    [MESSAGE_STREAM_RESUME] = command_stream_resume,
    [MESSAGE_FILE_WRITE] = command_file_write,
    [MESSAGE_CONNECT] = command_connect,
    [MESSAGE_SERVICE_SET] = command_service_set,
    [MESSAGE_SERVICE_REMOVE] = command_service_remove,
};

/* A request whose device is not there yet, with its own copy of the frame. */
struct waiting {
    struct waiting *next;
    struct timer deadline;
    struct frame frame;
    uint32_t session;
    uint8_t payload[];
};

static struct waiting *waiting_requests;

static int decode_and_run(const struct frame *frame, const struct request *request,
                          struct error *err)
{
    const struct wire_layout *layout;
    struct arena arena = { 0 };
    void *message;
    int outcome;

    if (frame->type > MESSAGE_ID_MAX || !commands[frame->type] || frame->flags & FLAG_REPLY)
        return error_set(err, EOPNOTSUPP, "command", "message type %u", frame->type);
    layout = message_types[frame->type].layout;
    if (!agent_greeted() && frame->type != MESSAGE_HELLO)
        return error_set(err, EPROTO, "hello", "%s before hello", message_types[frame->type].name);
    message = arena_alloc(&arena, layout->size);
    if (!message)
        return error_set(err, ENOMEM, "decode", "%s", message_types[frame->type].name);
    if (wire_decode(layout, frame->payload, frame->length, &arena, message) < 0)
        outcome = error_set(err, EBADMSG, "decode", "%s", message_types[frame->type].name);
    else
        outcome = commands[frame->type](request, message, err);
    arena_free(&arena);
    return outcome;
}

static struct request request_of(const struct frame *frame, uint32_t session)
{
    return (struct request){
        .id = frame->request_id,
        .session = session,
        .stream_id = frame->stream_id,
        .flags = frame->flags,
    };
}

static void answer(const struct request *request, int outcome, const struct error *err)
{
    if (outcome == OUTCOME_OK)
        agent_reply_ok(request);
    else if (outcome < 0 && request->id != 0)
        agent_reply_error(request, err);
    else if (outcome < 0)
        log_error(LOG_LEVEL_WARNING, err);
}

static void forget_waiting(struct waiting *waiting)
{
    struct waiting **link = &waiting_requests;

    while (*link != waiting)
        link = &(*link)->next;
    *link = waiting->next;
    loop_timer_cancel(&waiting->deadline);
    free(waiting);
}

static void device_did_not_come(struct timer *timer)
{
    struct waiting *waiting =
        (struct waiting *)(void *)((char *)timer - offsetof(struct waiting, deadline));
    struct request request = request_of(&waiting->frame, waiting->session);
    struct error err;

    error_set(&err, ENODEV, "device", "%s", message_types[waiting->frame.type].name);
    agent_reply_error(&request, &err);
    forget_waiting(waiting);
}

static void wait_for_device(const struct frame *frame)
{
    struct waiting *waiting = calloc(1, sizeof *waiting + frame->length);

    if (!waiting) {
        log_line(LOG_LEVEL_ERROR, "no memory to wait for a device");
        return;
    }
    memcpy(waiting->payload, frame->payload, frame->length);
    waiting->frame = *frame;
    waiting->frame.payload = waiting->payload;
    waiting->session = agent_session();
    waiting->deadline.fire = device_did_not_come;
    waiting->next = waiting_requests;
    waiting_requests = waiting;
    loop_timer_arm(&waiting->deadline, DEVICE_WAIT_MS);
}

void command_dispatch(const struct frame *frame)
{
    struct request request = request_of(frame, agent_session());
    struct error err;
    int outcome = decode_and_run(frame, &request, &err);

    if (frame->type == MESSAGE_HELLO)
        request.session = agent_session();
    if (outcome == OUTCOME_WAIT_DEVICE)
        wait_for_device(frame);
    else
        answer(&request, outcome, &err);
}

void command_retry_waiting(void)
{
    struct waiting *waiting = waiting_requests, *next;

    for (; waiting; waiting = next) {
        struct request request = request_of(&waiting->frame, waiting->session);
        struct error err;
        int outcome;

        next = waiting->next;
        outcome = decode_and_run(&waiting->frame, &request, &err);
        if (outcome == OUTCOME_WAIT_DEVICE)
            continue;
        answer(&request, outcome, &err);
        forget_waiting(waiting);
    }
}

COMMAND(ping)
{
    (void)request;
    (void)message;
    (void)err;
    return OUTCOME_OK;
}
