#ifndef HYPERSTART_LOG_H
#define HYPERSTART_LOG_H

#include "error.h"

/* Levels of syslog(3). */
enum log_level {
    LOG_LEVEL_CRITICAL = 2,
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6
};

/* Where lines go besides the console; NULL: only there. */
typedef void (*log_sink)(enum log_level level, const char *line);
void log_to(log_sink sink);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_error(enum log_level level, const struct error *err);

#endif
