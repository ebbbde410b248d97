/* Files of one container out of it and into it, as `docker cp` wants them (layer_protocol.h). */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "err.h"
#include "sha.h"
#include "source.h"
#include "view.h"

/* The command "archive" with what follows it on the command line. */
int run_archive(char *const *args, struct err *reterr);

/* ---- between the files of this module ---- */

struct archive_options {
    const char *action; /* "stat", "get", "put", "pick" */
    const char *path;   /* as the client gave it */
    bool plan;
    bool keep_kind;    /* put: a directory is never replaced by a file, nor a file by one */
    const char *owner; /* put: all belongs to this user of the container; NULL: as it was packed */
    bool make;         /* put: make the directory with all above it */
    bool name;         /* put: if path is no directory, it is what the one file is to be called */
    mode_t mode;       /* put: of all that is no symlink; 0: as it was packed */
    bool extract;      /* pick: archives are what is in them */
    char **sources;    /* pick: owned */
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

struct pick_result {
    char digest[SHA_HEX]; /* of names, contents and modes; not of times */
    int64_t sources;      /* what the patterns stand for */
    int64_t plain;        /* of these, how many are files of their own in the tar */
    int64_t bytes;        /* that came out of archives */
};

/* sources: paths and patterns (COPY's); g was made with giver_new_picked(). */
int giver_new_picked(struct giver **ret, struct err *reterr);
int giver_pick(struct giver *g, const struct view *v, char *const *sources, bool extract,
               struct pick_result *ret, struct err *reterr);

/* Where a symlink leads in the end, whether that is there or not. */
int archive_link_target(const struct view *v, const struct archive_node *n, char ret[PATH_MAX]);

int archive_take(const struct view *v, const struct archive_options *o, struct source *src,
                 struct err *reterr);
