#ifndef HYPERSTART_RING_H
#define HYPERSTART_RING_H

#include <sys/uio.h>

#include "streams.h"

size_t ring_room(const struct ring *ring);

/* Where up to `wanted` bytes may be put; the caller then advances ring->end. -1: no memory. */
int ring_free_parts(struct ring *ring, size_t wanted, struct iovec parts[2]);

/* The bytes from an offset on, at most `limit`. */
void ring_parts(const struct ring *ring, uint64_t from, size_t limit, struct wire_bytes parts[2]);

int ring_append(struct ring *ring, const uint8_t *data, size_t size);
void ring_drop(struct ring *ring, uint64_t until);
void ring_release(struct ring *ring);

#endif
