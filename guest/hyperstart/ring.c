/* Owns the bytes of one stream between two offsets. */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

enum { RING_FIRST_BYTES = 4096 };

size_t ring_room(const struct ring *ring)
{
    return STREAM_WINDOW - (size_t)(ring->end - ring->start);
}

static int grow(struct ring *ring, size_t needed)
{
    size_t used = (size_t)(ring->end - ring->start), capacity = ring->capacity;
    size_t first = ring->capacity - ring->head < used ? ring->capacity - ring->head : used;
    uint8_t *data;

    for (capacity = capacity ? capacity : RING_FIRST_BYTES; capacity < needed;)
        capacity *= 2;
    data = malloc(capacity);
    if (!data)
        return -1;
    if (used > 0) {
        memcpy(data, ring->data + ring->head, first);
        memcpy(data + first, ring->data, used - first);
    }
    free(ring->data);
    ring->data = data;
    ring->capacity = capacity;
    ring->head = 0;
    return 0;
}

int ring_free_parts(struct ring *ring, size_t wanted, struct iovec parts[2])
{
    size_t used = (size_t)(ring->end - ring->start), tail;

    if (wanted > ring_room(ring))
        wanted = ring_room(ring);
    if (used + wanted > ring->capacity && grow(ring, used + wanted) < 0)
        return -1;
    tail = (ring->head + used) & (ring->capacity - 1);
    parts[0].iov_base = ring->data + tail;
    parts[0].iov_len = ring->capacity - tail < wanted ? ring->capacity - tail : wanted;
    parts[1].iov_base = ring->data;
    parts[1].iov_len = wanted - parts[0].iov_len;
    return 0;
}

void ring_parts(const struct ring *ring, uint64_t from, size_t limit, struct wire_bytes parts[2])
{
    size_t length = (size_t)(ring->end - from), at, first;

    if (length > limit)
        length = limit;
    parts[0] = parts[1] = (struct wire_bytes){ 0 };
    if (length == 0)
        return;
    at = (ring->head + (size_t)(from - ring->start)) & (ring->capacity - 1);
    first = ring->capacity - at < length ? ring->capacity - at : length;
    parts[0] = (struct wire_bytes){ ring->data + at, (uint32_t)first };
    parts[1] = (struct wire_bytes){ ring->data, (uint32_t)(length - first) };
}

int ring_append(struct ring *ring, const uint8_t *data, size_t size)
{
    struct iovec parts[2];

    if (size == 0)
        return 0;
    if (size > ring_room(ring) || ring_free_parts(ring, size, parts) < 0)
        return -1;
    memcpy(parts[0].iov_base, data, parts[0].iov_len);
    memcpy(parts[1].iov_base, data + parts[0].iov_len, parts[1].iov_len);
    ring->end += size;
    return 0;
}

void ring_drop(struct ring *ring, uint64_t until)
{
    if (until == ring->start)
        return;
    ring->head = (ring->head + (size_t)(until - ring->start)) & (ring->capacity - 1);
    ring->start = until;
    /* Empty: begin at the front again, so that a quiet stream touches few pages. */
    if (ring->start == ring->end)
        ring->head = 0;
}

void ring_release(struct ring *ring)
{
    free(ring->data);
    ring->data = NULL;
    ring->capacity = ring->head = 0;
    ring->start = ring->end;
}
