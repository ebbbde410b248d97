/* What a tree has that the one it was copied from has not. */
#pragma once

#include <stdint.h>
#include <sys/stat.h>

/* Deeper directories are taken as unchanged: each level costs four descriptors. */
#define COMPARE_DEPTH_MAX 128

enum change_kind {
    CHANGE_ADDED = 'A',
    CHANGE_CHANGED = 'C',
    CHANGE_DELETED = 'D',
};

struct change {
    enum change_kind kind;
    const char *path; /* relative, without a leading slash */
    struct stat sb;   /* of the new one; of what was there for CHANGE_DELETED */
};

/* Call fn for each name that differs in type, owner, mode, size or time of change of content; a
 * directory is changed if something in it is, and comes before that.  What the init layer put there
 * does not count.  lower: negative for an empty tree.  Both may be written to meanwhile: what
 * vanishes is left out.  fn's negative return ends it.  0 or -errno; any thread. */
int compare_trees(int lower, int upper, int (*fn)(void *arg, const struct change *c), void *arg);
