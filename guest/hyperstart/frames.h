#ifndef HYPERSTART_FRAMES_H
#define HYPERSTART_FRAMES_H

#include "messages.h"

struct frame {
    uint8_t flags;
    uint16_t type;
    uint32_t request_id;
    uint32_t stream_id;
    const uint8_t *payload;
    uint32_t length;
};

/* Frames out of a byte stream. Bytes that are no frame are dropped and counted. */
struct frame_decoder {
    struct buffer buffer;
    uint64_t dropped_bytes;
};

/* Return 1 and the next frame (valid until frame_decoder_next is called again), 0 when more bytes
 * are needed: append them to decoder->buffer. */
int frame_decoder_next(struct frame_decoder *decoder, struct frame *frame);

/* Append a frame around an encoded message. Returns -1 without memory, or if it were too long. */
int frame_append(struct buffer *buffer, const struct frame *head, const void *message);

/* Append a data frame. */
int frame_append_data(struct buffer *buffer, uint32_t stream_id, uint64_t offset, bool eof,
                      const struct wire_bytes parts[2]);

#endif
