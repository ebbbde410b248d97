/* The tar that leaves a view, while it is made.  For the files copy_*.c. */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "copy.h"
#include "map.h"
#include "sha.h"

#define BLOCK (256 * 1024)
#define DEPTH_MAX 400 /* a directory above each other one is open */

struct giver {
    struct archive *tar;         /* owned */
    struct archive_entry *entry; /* owned, used for one after the other */
    struct map links; /* "dev:inode" of what has several names -> the first of them, owned */
    int64_t entries;
    int error; /* errno of a failed write */
    unsigned depth;
    size_t len;
    bool made_up;            /* it was asked for what is in /proc or the like */
    bool picked;             /* sorted, root's, and counted in sha: everything but times */
    struct sha sha;          /* with picked */
    char path[2 * PATH_MAX]; /* in the archive */
    char data[BLOCK];
};

int giver_open(struct giver *g, struct err *reterr);
int giver_close(struct giver *g, struct err *reterr);
/* g->entry as it is. */
int giver_header(struct giver *g, struct err *reterr);
int giver_bytes(struct giver *g, const void *data, size_t len, struct err *reterr);
int giver_failed(struct giver *g, struct err *reterr);
/* What is open (O_RDONLY, regular), or a directory's content (O_PATH), or what dir/name is, as
 * g->path. */
int giver_put_file(struct giver *g, int fd, const struct stat *sb, struct err *reterr);
int giver_put_children(struct giver *g, int fd, struct err *reterr);
int giver_put_node(struct giver *g, const struct stat *sb, struct err *reterr);
