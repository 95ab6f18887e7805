/* Feeds the frame and message decoders mutated and random bytes; ASan and UBSan are the judges.
 * Deterministic: the same seed gives the same bytes. Usage: fuzz ITERATIONS [SEED] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

enum { INPUT_BYTES = 4096 };

static uint64_t state;

/* xorshift64* */
static uint32_t draw(uint32_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545F4914F6CDD1Dull) >> 32) % below;
}

/* Append a valid frame of a random message full of small random values. */
static void append_message(struct buffer *buffer)
{
    struct frame head = { .type = (uint16_t)(1 + draw(MESSAGE_ID_MAX)), .request_id = draw(9) };
    const struct wire_layout *layout = message_types[head.type].layout;
    struct arena arena = { 0 };

    if (layout)
        frame_append(buffer, &head, arena_alloc(&arena, layout->size));
    arena_free(&arena);
}

static void mutate(struct buffer *buffer)
{
    for (uint32_t n = draw(12); n > 0 && buffer_used(buffer) > 0; n--) {
        size_t at = buffer->start + draw((uint32_t)buffer_used(buffer));

        switch (draw(4)) {
        case 0:
            buffer->data[at] = (uint8_t)draw(256);
            break;
        case 1:
            buffer->data[at] ^= (uint8_t)(1u << draw(8));
            break;
        case 2:
            buffer->data[at] = draw(2) ? 0xFF : 0;
            break;
        default:
            buffer->end = draw(8) ? buffer->end : at;
        }
    }
}

/* Decode payloads from exact heap copies, so that a read beyond them is seen. */
static unsigned decode_all(struct frame_decoder *decoder)
{
    struct frame frame;
    unsigned decoded = 0;

    while (frame_decoder_next(decoder, &frame) == 1) {
        const struct wire_layout *layout =
            frame.type <= MESSAGE_ID_MAX ? message_types[frame.type].layout : NULL;
        uint8_t *payload = malloc(frame.length ? frame.length : 1);
        struct arena arena = { 0 };
        struct buffer again = { 0 };

        memcpy(payload, frame.payload, frame.length);
        if (layout) {
            void *message = arena_alloc(&arena, layout->size);

            if (wire_decode(layout, payload, frame.length, &arena, message) == 0) {
                decoded++;
                if (wire_encode(layout, message, &again) < 0 ||
                    buffer_used(&again) != frame.length ||
                    (frame.length && memcmp(again.data, payload, frame.length) != 0))
                    abort();
            }
        }
        buffer_free(&again);
        arena_free(&arena);
        free(payload);
    }
    return decoded;
}

int main(int argc, char **argv)
{
    unsigned long iterations = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    struct frame_decoder decoder = { 0 };
    unsigned decoded = 0;

    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 0x9E3779B97F4A7C15ull;
    for (unsigned long i = 0; i < iterations; i++) {
        if (buffer_used(&decoder.buffer) > INPUT_BYTES)
            buffer_free(&decoder.buffer);
        append_message(&decoder.buffer);
        mutate(&decoder.buffer);
        decoded += decode_all(&decoder);
    }
    buffer_free(&decoder.buffer);
    printf("%lu inputs, %u decoded\n", iterations, decoded);
    return decoded == 0;
}
