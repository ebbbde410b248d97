/* `fill`: what an image has at a path becomes the first content of a volume. */
#pragma once

#include "err.h"

/* Mounts an overlay of the directories listed on standard input (top first, a line each; one alone
 * is taken as it is) in a mount namespace of its own and copies the directory that is at target
 * there, or nothing if none is, into LAYER_FD_DIR: owners, modes, times, attributes, links and
 * devices included.  What is there already under the same names is replaced. */
int fill_volume(const char *target, struct err *reterr);
