#ifndef HYPERSTART_POPULATE_H
#define HYPERSTART_POPULATE_H

#include "error.h"

/* Copy what the image has at `destination` into an empty volume: owners, modes, times, extended
 * attributes, links. Does nothing when the volume is not empty or the image has no such directory.
 */
int populate_volume(int root, const char *destination, int volume, struct error *err);

#endif
