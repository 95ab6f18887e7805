/* Reads the golden vectors: every frame must decode and encode to itself, every refused payload
 * must be refused. Usage: vectors DIRECTORY */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

enum { LINE_BYTES = 1 << 16 };

static unsigned failures;

static void fail(const char *name, const char *why)
{
    fprintf(stderr, "%s: %s\n", name, why);
    failures++;
}

/* An exact heap copy, so that ASan sees a read beyond it. */
static uint8_t *unhex(const char *text, size_t *length)
{
    uint8_t *bytes;

    *length = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
    bytes = malloc(*length ? *length : 1);
    for (size_t i = 0; bytes && i < *length; i++) {
        char pair[3] = { text[2 * i], text[2 * i + 1], 0 };

        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return bytes;
}

static void check_frame(const char *name, const uint8_t *bytes, size_t length)
{
    struct frame_decoder decoder = { 0 };
    struct buffer again = { 0 };
    struct arena arena = { 0 };
    struct frame frame;
    void *message;

    buffer_append(&decoder.buffer, bytes, length);
    if (frame_decoder_next(&decoder, &frame) != 1 || frame.type > MESSAGE_ID_MAX) {
        fail(name, "not a frame");
    } else if (strcmp(message_types[frame.type].name, name) != 0) {
        fail(name, "another message");
    } else {
        const struct wire_layout *layout = message_types[frame.type].layout;

        message = arena_alloc(&arena, layout->size);
        if (wire_decode(layout, frame.payload, frame.length, &arena, message) < 0)
            fail(name, "does not decode");
        else if (frame_append(&again, &frame, message) < 0 || buffer_used(&again) != length ||
                 memcmp(again.data, bytes, length) != 0)
            fail(name, "encodes to other bytes");
        for (uint32_t cut = 0; cut < frame.length; cut++)
            if (wire_decode(layout, frame.payload, cut, &arena, message) == 0)
                fail(name, "decodes when truncated");
    }
    arena_free(&arena);
    buffer_free(&again);
    buffer_free(&decoder.buffer);
}

static void check_refused(const char *name, unsigned long type, const uint8_t *bytes, size_t length)
{
    struct arena arena = { 0 };
    const struct wire_layout *layout = type <= MESSAGE_ID_MAX ? message_types[type].layout : NULL;

    if (layout &&
        wire_decode(layout, bytes, length, &arena, arena_alloc(&arena, layout->size)) == 0)
        fail(name, "was not refused");
    arena_free(&arena);
}

static unsigned read_file(const char *directory, const char *name, bool refused)
{
    static char path[4096], line[LINE_BYTES];
    unsigned count = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = fopen(path, "re");
    if (!file) {
        fail(path, "cannot be opened");
        return 0;
    }
    while (fgets(line, sizeof line, file)) {
        char *title = strtok(line, " \n"), *type = refused ? strtok(NULL, " \n") : NULL;
        char *hex = strtok(NULL, " \n");
        uint8_t *bytes;
        size_t length;

        if (!title || *title == '#' || !hex)
            continue;
        bytes = unhex(hex, &length);
        if (refused)
            check_refused(title, strtoul(type, NULL, 10), bytes, length);
        else
            check_frame(title, bytes, length);
        free(bytes);
        count++;
    }
    fclose(file);
    return count;
}

int main(int argc, char **argv)
{
    unsigned frames, refused;

    if (argc != 2)
        return 64;
    frames = read_file(argv[1], "frames.hex", false);
    refused = read_file(argv[1], "refused.hex", true);
    printf("%u frames, %u refused payloads, %u failures\n", frames, refused, failures);
    return failures > 0 || frames == 0 || refused == 0;
}
