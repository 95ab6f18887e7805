#ifndef HYPERSTART_ERROR_H
#define HYPERSTART_ERROR_H

/* What failed: errno, the step, and on what. A function that can fail takes one as its last
 * argument, fills it and returns -1; its caller passes it on. */
struct error {
    int number;
    char step[32];
    char object[480];
};

/* Fill err and return -1, so that `return error_set(...)` is the whole error path. */
int error_set(struct error *err, int number, const char *step, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define error_errno(err, step, ...) error_set(err, errno, step, __VA_ARGS__)

#endif
