/* The lines of a Dockerfile: directives, comments, continuations.  For this folder. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct lines {
    const char *next, *end;
    unsigned number; /* of the line that was read last */
    char escape;
    bool begun; /* no directives from here */
};

/* Reads the directives. */
int lines_init(struct lines *l, const char *text, size_t len, struct err *reterr);
/* One physical line without its end: its bytes, or NULL at the end. */
const char *lines_raw(struct lines *l, size_t *ret_len);
/* The next instruction with its continuations joined, trimmed: 1, 0 at the end, or -EINVAL.  Caller
 * frees *ret; *ret_number is its first line. */
int lines_next(struct lines *l, char **ret, unsigned *ret_number, struct err *reterr);
