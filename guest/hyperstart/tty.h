#ifndef HYPERSTART_TTY_H
#define HYPERSTART_TTY_H

#include <stdint.h>

#include "error.h"

/* A new devpts instance, as a mount not yet attached; returns its fd, or -1. */
int tty_devpts(struct error *err);

/* A terminal of that instance: the master does not block. */
int tty_open(int devpts, uint16_t rows, uint16_t columns, int *master, int *slave,
             struct error *err);

int tty_resize(int master, uint16_t rows, uint16_t columns, struct error *err);

#endif
