/* Owns the filling of struct error. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *err, int number, const char *step, const char *format, ...)
{
    va_list arguments;

    err->number = number;
    snprintf(err->step, sizeof err->step, "%s", step);
    va_start(arguments, format);
    vsnprintf(err->object, sizeof err->object, format, arguments);
    va_end(arguments);
    return -1;
}
