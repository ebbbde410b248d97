/* Directories on top of each other, read as overlayfs would show them (Documentation/filesystems/
 * overlayfs.rst): whiteouts, opaque directories, merged directories.  No mount is needed, and
 * nothing is written.
 *
 * Layer 0 may change meanwhile: it can be the upper directory of a running container. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "err.h"
#include "layer_protocol.h"

#define STACK_MAX (LAYER_LOWERS_MAX + 1)

struct stack {
    int fds[STACK_MAX]; /* borrowed, top first */
    unsigned n;
};

/* The layers, top first, in which a path is a directory that shows through. */
struct spot {
    uint16_t layers[STACK_MAX];
    unsigned n;
};

/* One name seen through the layers of a spot. */
struct node {
    bool there;
    bool whiteout;  /* not there, and the topmost layer that says something is why */
    unsigned layer; /* where it is */
    struct stat sb;
    struct spot dir; /* if it is a directory */
};

/* What path (relative, "" for the root, no symlinks on its way) is in the layers of `in`. */
int stack_lookup(const struct stack *s, const struct spot *in, const char *path, struct node *ret,
                 struct err *reterr);
void stack_root(const struct stack *s, unsigned first, unsigned n, struct spot *ret);
/* 1 if it is one, 0 if not or if it is gone. */
int stack_is_opaque(const struct stack *s, unsigned layer, const char *path, struct err *reterr);
/* Open path of one layer; the caller closes.  Negative errno. */
int stack_open(const struct stack *s, unsigned layer, const char *path, int flags);

/* The names in the directory `path`, those of all its layers together, each once, in byte order. */
struct listing {
    char *bytes;   /* owned: the names, NUL-terminated */
    size_t *names; /* owned: offsets into bytes */
    size_t n, len, room_names, room_bytes;
};

int stack_list(const struct stack *s, const struct spot *dir, const char *path, struct listing *ret,
               struct err *reterr);
void listing_done(struct listing *l);

static inline const char *listing_name(const struct listing *l, size_t i)
{
    return l->bytes + l->names[i];
}

/* A path that grows and shrinks with a walk. */
struct walk_path {
    char text[PATH_MAX];
    size_t len;
};

/* Append "/name" ("name" at the root) and return the length to go back to, or -ENAMETOOLONG. */
int walk_path_push(struct walk_path *p, const char *name, struct err *reterr);
void walk_path_pop(struct walk_path *p, int len);
