/* Owns the frame around a message (protocol/agent.toml, "Frame"): its bytes, its end, what is
 * dropped. */
#include "frames.h"

#include <string.h>

struct header {
    uint8_t magic;
    uint8_t flags;
    uint16_t type;
    uint32_t length;
    uint32_t request_id;
    uint32_t stream_id;
};

_Static_assert(sizeof(struct header) == FRAME_HEADER_BYTES, "the header has no padding");

/* Drop idle bytes and what cannot begin a frame; return whether a header is complete. */
static bool find_header(struct frame_decoder *decoder, struct header *header)
{
    struct buffer *buffer = &decoder->buffer;

    for (;;) {
        size_t at = buffer->start;

        while (at < buffer->end && buffer->data[at] != FRAME_MAGIC) {
            decoder->dropped_bytes += buffer->data[at] != FRAME_IDLE;
            at++;
        }
        buffer_consume(buffer, at - buffer->start);
        if (buffer_used(buffer) < sizeof *header)
            return false;
        memcpy(header, buffer->data + buffer->start, sizeof *header);
        if (header->length <= MAX_PAYLOAD)
            return true;
        buffer_consume(buffer, 1);
        decoder->dropped_bytes++;
    }
}

int frame_decoder_next(struct frame_decoder *decoder, struct frame *frame)
{
    struct buffer *buffer = &decoder->buffer;
    struct header header;

    while (find_header(decoder, &header)) {
        size_t size = sizeof header + header.length + 1;
        const uint8_t *start;

        if (buffer_used(buffer) < size)
            return 0;
        start = buffer->data + buffer->start;
        if (start[size - 1] == FRAME_END) {
            *frame = (struct frame){
                .flags = header.flags,
                .type = header.type,
                .request_id = header.request_id,
                .stream_id = header.stream_id,
                .payload = start + sizeof header,
                .length = header.length,
            };
            /* Not buffer_consume: the payload must stay where it is until the next call. */
            buffer->start += size;
            return 1;
        }
        decoder->dropped_bytes += size;
        buffer_consume(buffer, size);
    }
    return 0;
}

static int append_header(struct buffer *buffer, const struct frame *head, uint32_t length)
{
    struct header header = {
        .magic = FRAME_MAGIC,
        .flags = head->flags,
        .type = head->type,
        .length = length,
        .request_id = head->request_id,
        .stream_id = head->stream_id,
    };

    return buffer_append(buffer, &header, sizeof header);
}

int frame_append(struct buffer *buffer, const struct frame *head, const void *message)
{
    static const uint8_t end = FRAME_END;
    size_t before = buffer_used(buffer), used;
    uint32_t length;

    if (append_header(buffer, head, 0) < 0)
        goto undo;
    if (wire_encode(message_types[head->type].layout, message, buffer) < 0)
        goto undo;
    used = buffer_used(buffer) - before - sizeof(struct header);
    if (used > MAX_PAYLOAD || buffer_append(buffer, &end, 1) < 0)
        goto undo;
    length = (uint32_t)used;
    memcpy(buffer->data + buffer->start + before + offsetof(struct header, length), &length,
           sizeof length);
    return 0;
undo:
    buffer->end = buffer->start + before;
    return -1;
}

int frame_append_data(struct buffer *buffer, uint32_t stream_id, uint64_t offset, bool eof,
                      const struct wire_bytes parts[2])
{
    static const uint8_t end = FRAME_END;
    struct frame head = { .type = MESSAGE_DATA, .stream_id = stream_id };
    uint32_t length = parts[0].length + parts[1].length;

    head.flags = eof ? FLAG_EOF : 0;
    /* With the room reserved, the appends cannot fail. */
    if (buffer_reserve(buffer, sizeof(struct header) + 12 + length + 1) < 0)
        return -1;
    append_header(buffer, &head, 12 + length);
    buffer_append(buffer, &offset, sizeof offset);
    buffer_append(buffer, &length, sizeof length);
    buffer_append(buffer, parts[0].data, parts[0].length);
    buffer_append(buffer, parts[1].data, parts[1].length);
    buffer_append(buffer, &end, 1);
    return 0;
}
