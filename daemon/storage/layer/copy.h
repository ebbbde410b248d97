/* Files of one container out of it and into it, as `docker cp` wants them (layer_protocol.h). */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "err.h"
#include "source.h"
#include "view.h"

/* The command "archive" with what follows it on the command line. */
int run_archive(char *const *args, struct err *reterr);

/* ---- between the files of this module ---- */

struct archive_options {
    const char *action; /* "stat", "get", "put" */
    const char *path;   /* as the client gave it */
    bool plan;
    bool keep_kind;    /* put: a directory is never replaced by a file, nor a file by one */
    const char *owner; /* put: all belongs to this user of the container; NULL: as it was packed */
};

/* What a path names. */
struct archive_node {
    int fd;              /* owned, O_PATH; of a symlink, the symlink */
    int parent;          /* owned: the directory it is in; -EBADF: the path names it from within */
    char path[PATH_MAX]; /* absolute, clean, not resolved */
    char base[NAME_MAX + 1]; /* its last part; "/" of the root, "." of "dir/." */
    struct stat sb;
};

int archive_find(const struct view *v, const char *path, struct archive_node *ret,
                 struct err *reterr);
void archive_node_done(struct archive_node *n);
/* The record of layer_protocol.h on standard output. */
int archive_tell(const struct view *v, const struct archive_node *n, struct err *reterr);

struct giver;
int giver_new(struct giver **ret, struct err *reterr); /* before the sandbox */
void giver_free(struct giver *g);
DEFINE_FREEP(struct giver *, giver_free)
int giver_run(struct giver *g, const struct archive_node *n, struct err *reterr);

int archive_take(const struct view *v, const struct archive_options *o, struct source *src,
                 struct err *reterr);
