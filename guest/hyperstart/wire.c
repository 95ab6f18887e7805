/* Owns the encoding and decoding of values; which fields a message has is in messages.c. */
#include "wire.h"

#include <limits.h>
#include <string.h>

#include "messages.h"

struct reader {
    const uint8_t *data;
    size_t length, at;
    struct arena *arena;
};

static const uint8_t scalar_bytes[] = {
    [WIRE_U8] = 1,  [WIRE_U16] = 2, [WIRE_U32] = 4,  [WIRE_U64] = 8,
    [WIRE_I32] = 4, [WIRE_I64] = 8, [WIRE_BOOL] = 1,
};

bool utf8_valid(const uint8_t *text, size_t length)
{
    /* Unicode standard, table 3-7: the second byte's range depends on the first. */
    for (size_t i = 0; i < length;) {
        uint8_t first = text[i++], low = 0x80, high = 0xBF;
        unsigned more;

        if (first < 0x80)
            continue;
        if (first < 0xC2 || first > 0xF4)
            return false;
        more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
        if (first == 0xE0)
            low = 0xA0;
        else if (first == 0xED)
            high = 0x9F;
        else if (first == 0xF0)
            low = 0x90;
        else if (first == 0xF4)
            high = 0x8F;
        for (; more > 0; more--, low = 0x80, high = 0xBF)
            if (i >= length || text[i] < low || text[i++] > high)
                return false;
    }
    return true;
}

static int read_u32(struct reader *reader, uint32_t *value)
{
    const uint8_t *p = reader->data + reader->at;

    if (reader->length - reader->at < 4)
        return -1;
    *value = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    reader->at += 4;
    return 0;
}

static int read_scalar(struct reader *reader, enum wire_kind kind, void *out)
{
    size_t size = scalar_bytes[kind];

    if (reader->length - reader->at < size)
        return -1;
    if (kind == WIRE_BOOL) {
        if (reader->data[reader->at] > 1)
            return -1;
        *(bool *)out = reader->data[reader->at] == 1;
    } else {
        memcpy(out, reader->data + reader->at, size); /* both sides are little-endian */
    }
    reader->at += size;
    return 0;
}

static int read_bytes(struct reader *reader, struct wire_bytes *out)
{
    if (read_u32(reader, &out->length) < 0 || out->length > reader->length - reader->at)
        return -1;
    out->data = reader->data + reader->at;
    reader->at += out->length;
    return 0;
}

static int read_str(struct reader *reader, const char **out)
{
    struct wire_bytes raw;

    if (read_bytes(reader, &raw) < 0 || raw.length == 0)
        return -1;
    if (memchr(raw.data, 0, raw.length) != raw.data + raw.length - 1)
        return -1;
    if (!utf8_valid(raw.data, raw.length - 1))
        return -1;
    *out = (const char *)raw.data;
    return 0;
}

static int read_struct(struct reader *reader, const struct wire_layout *layout, void *out);

static int read_value(struct reader *reader, const struct wire_field *field, void *out)
{
    switch (field->kind) {
    case WIRE_STR:
        return read_str(reader, out);
    case WIRE_BYTES:
        return read_bytes(reader, out);
    case WIRE_STRUCT:
        return read_struct(reader, field->layout, out);
    default:
        return read_scalar(reader, field->kind, out);
    }
}

/* Every generated list has this shape: items, then count. */
struct any_list {
    void *items;
    uint32_t count;
};

static void element_sizes(const struct wire_field *field, size_t *memory, size_t *wire)
{
    *memory = field->kind == WIRE_STRUCT ? field->layout->size : sizeof(const char *);
    *wire = field->kind == WIRE_STRUCT ? field->layout->minimum_bytes : 5;
}

static int read_list(struct reader *reader, const struct wire_field *field, struct any_list *out)
{
    size_t memory, wire;
    uint32_t count;
    uint8_t *items;

    element_sizes(field, &memory, &wire);
    if (read_u32(reader, &count) < 0 || count > (reader->length - reader->at) / wire)
        return -1;
    /* One item more than needed: a list of strings is a NULL-terminated argv as it stands. */
    items = arena_alloc(reader->arena, ((size_t)count + 1) * memory);
    if (!items)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        if (read_value(reader, field, items + i * memory) < 0)
            return -1;
    *out = (struct any_list){ items, count };
    return 0;
}

static int read_struct(struct reader *reader, const struct wire_layout *layout, void *out)
{
    for (uint32_t i = 0; i < layout->count; i++) {
        const struct wire_field *field = &layout->fields[i];
        void *target = (uint8_t *)out + field->offset;
        int result =
            field->list ? read_list(reader, field, target) : read_value(reader, field, target);

        if (result < 0)
            return -1;
    }
    return 0;
}

int wire_decode(const struct wire_layout *layout, const uint8_t *payload, size_t length,
                struct arena *arena, void *out)
{
    struct reader reader = { .data = payload, .length = length, .arena = arena };

    memset(out, 0, layout->size);
    if (read_struct(&reader, layout, out) < 0 || reader.at != length)
        return -1;
    return 0;
}

static int write_counted(struct buffer *buffer, const void *data, uint32_t length)
{
    if (buffer_append(buffer, &length, sizeof length) < 0)
        return -1;
    return buffer_append(buffer, data, length);
}

static int write_value(const struct wire_field *field, const void *in, struct buffer *buffer)
{
    switch (field->kind) {
    case WIRE_STR: {
        const char *text = *(const char *const *)in ? *(const char *const *)in : "";

        return write_counted(buffer, text, (uint32_t)strlen(text) + 1);
    }
    case WIRE_BYTES: {
        const struct wire_bytes *bytes = in;

        return write_counted(buffer, bytes->data, bytes->length);
    }
    case WIRE_STRUCT:
        return wire_encode(field->layout, in, buffer);
    default:
        return buffer_append(buffer, in, scalar_bytes[field->kind]);
    }
}

static int write_list(const struct wire_field *field, const struct any_list *list,
                      struct buffer *buffer)
{
    size_t memory, wire;

    element_sizes(field, &memory, &wire);
    if (buffer_append(buffer, &list->count, sizeof list->count) < 0)
        return -1;
    for (uint32_t i = 0; i < list->count; i++)
        if (write_value(field, (const uint8_t *)list->items + i * memory, buffer) < 0)
            return -1;
    return 0;
}

int wire_encode(const struct wire_layout *layout, const void *in, struct buffer *buffer)
{
    for (uint32_t i = 0; i < layout->count; i++) {
        const struct wire_field *field = &layout->fields[i];
        const void *source = (const uint8_t *)in + field->offset;
        int result =
            field->list ? write_list(field, source, buffer) : write_value(field, source, buffer);

        if (result < 0)
            return -1;
    }
    return 0;
}
