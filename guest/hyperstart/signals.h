#ifndef HYPERSTART_SIGNALS_H
#define HYPERSTART_SIGNALS_H

#include "error.h"

/* Take SIGCHLD through a signalfd; everything else that can be is ignored or blocked. */
int signals_start(struct error *err);

#endif
