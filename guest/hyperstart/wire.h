#ifndef HYPERSTART_WIRE_H
#define HYPERSTART_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Encoding of protocol/agent.toml's types, driven by the tables in messages.c. */

enum wire_kind {
    WIRE_U8,
    WIRE_U16,
    WIRE_U32,
    WIRE_U64,
    WIRE_I32,
    WIRE_I64,
    WIRE_BOOL,
    WIRE_STR,
    WIRE_BYTES,
    WIRE_STRUCT,
};

struct wire_layout;

struct wire_field {
    enum wire_kind kind;
    bool list;
    size_t offset;
    const struct wire_layout *layout; /* of a WIRE_STRUCT */
};

struct wire_layout {
    const struct wire_field *fields;
    uint32_t count;
    uint32_t minimum_bytes; /* on the wire */
    size_t size;            /* in memory */
};

struct message_type {
    const char *name;
    const struct wire_layout *layout;
};

struct wire_bytes {
    const uint8_t *data;
    uint32_t length;
};

/* Memory that is released all at once. */
struct arena {
    struct arena_chunk *chunks;
};

void *arena_alloc(struct arena *arena, size_t size); /* zeroed; NULL when there is no memory */
void arena_free(struct arena *arena);

/* A byte queue: written at the end, consumed at the start. */
struct buffer {
    uint8_t *data;
    size_t start, end, capacity;
};

static inline size_t buffer_used(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

int buffer_reserve(struct buffer *buffer, size_t size); /* room at the end; -1: no memory */
int buffer_append(struct buffer *buffer, const void *data, size_t size);
void buffer_consume(struct buffer *buffer, size_t size);
void buffer_free(struct buffer *buffer);

/* Decode exactly `length` bytes into *out (layout->size bytes). Strings and bytes point into
 * payload, lists into the arena. Returns 0, or -1 when the payload is anything else. */
int wire_decode(const struct wire_layout *layout, const uint8_t *payload, size_t length,
                struct arena *arena, void *out);

/* Append the encoding of *in; a NULL string is written as an empty one. Returns -1 without memory.
 */
int wire_encode(const struct wire_layout *layout, const void *in, struct buffer *buffer);

bool utf8_valid(const uint8_t *text, size_t length);

#endif
