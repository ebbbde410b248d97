/* COPY and ADD, for build_copy.c and build_sources.c. */
#pragma once

#include "build_impl.h"

struct copy {
    char **sources; /* owned: in the context, or below the source */
    char *dest;     /* owned: absolute; ends with a slash if it is to be a directory */
    char *shown;    /* owned: the same as the Dockerfile has it */
    char *owner;    /* owned: --chown, or NULL */
    char *mode;     /* owned: --chmod, or NULL */
    char *file;     /* owned: the tar's name in the stage; NULL: none, only the directory */
    bool from;      /* not from the context */
    bool urls;      /* the sources are URLs, then files that came from them */
    bool pulled;    /* the image that --from names */
    size_t fetched; /* URLs so far */
    int plan;       /* owned: of the directory where they go; -EBADF: none */
    char *dir;      /* owned: its name in the stage */
    bool single;    /* one file, which may get the destination's name */
    char digest[ID_LEN + 1];
};

/* The sources, in the root of that plan: picked, probed for, put into the image. */
int copy_pick(struct stage_run *s, int plan_fd, struct err *reterr);
/* The same in the files of an image. */
int copy_pick_image(struct stage_run *s, const char *image, struct err *reterr);
/* A path in the image: absolute and clean; a directory's slash stays.  Caller frees. */
char *copy_dest_path(const struct stage_run *s, const char *text);
