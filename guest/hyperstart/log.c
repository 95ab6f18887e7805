/* Owns diagnostic lines: to the host as log events, and to the console when they matter there. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static log_sink current_sink;

void log_to(log_sink sink)
{
    current_sink = sink;
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[640];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (current_sink)
        current_sink(level, line);
    /* The console is slow (a serial port): only what explains a dead VM goes there. */
    if (level <= LOG_LEVEL_ERROR)
        dprintf(STDERR_FILENO, "hyperstart: %s\n", line);
}

void log_error(enum log_level level, const struct error *err)
{
    log_line(level, "%s %s: %s", err->step, err->object, strerror(err->number));
}
