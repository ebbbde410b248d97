/* Times of directories, which are set last: making files in a directory changes them.  However many
 * there are, little of it is in memory: what does not fit goes to a nameless file in the layer. */
#pragma once

#include <stddef.h>
#include <time.h>

#include "err.h"

struct dirtimes {
    char *buffer; /* owned; records */
    size_t len, room;
    int spill; /* owned; earlier records, -EBADF: none */
};

#define DIRTIMES_NONE ((struct dirtimes){.spill = -EBADF})

/* path: clean, below root; "" is the root itself. */
int dirtimes_add(struct dirtimes *d, int root, const char *path, struct timespec mtime,
                 struct err *reterr);
/* In the order they were added: of two of one directory the later stays. */
int dirtimes_apply(struct dirtimes *d, int root, struct err *reterr);
void dirtimes_done(struct dirtimes *d);
