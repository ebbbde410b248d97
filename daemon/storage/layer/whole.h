/* Layers for drivers that do not stack: the tree of the parent is taken over, then changed. */
#pragma once

#include <stdbool.h>

#include "err.h"

/* ---- before the sandbox ---- */

struct base {
    bool whole, subvolume, parent; /* the arguments of these names */
};

/* Was it one of ours? */
bool base_parse(struct base *b, const char *argument);
/* Turn LAYER_FD_DIR into the directory to unpack into: a copy or snapshot of LAYER_FD_PARENT. */
int base_make(const struct base *b, struct err *reterr);

/* ---- while unpacking ---- */

/* Tells what came from the parent from what this layer made: a whiteout speaks of the former only,
 * wherever in the archive it stands. */
struct lower;

struct lower *lower_new(void);
void lower_free(struct lower *l); /* NULL is fine */
/* dirfd/name is this layer's from now on. */
int lower_cover(struct lower *l, int dirfd, const char *name, struct err *reterr);
/* Remove what the parent had as dirfd/name, or (NULL) all it had in dirfd. */
int lower_remove(struct lower *l, int dirfd, const char *name, struct err *reterr);
