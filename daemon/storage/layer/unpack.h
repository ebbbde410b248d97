/* `unpack`: a layer becomes a directory that overlay can use as a lower. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "options.h"
#include "sha.h"
#include "source.h"

struct unpack_result {
    char diff_id[SHA_HEX]; /* hex digest of the uncompressed stream */
    char blob[SHA_HEX];    /* of the input, or "-" */
    int64_t bytes;         /* sum of the files' sizes */
};

/* Inside the sandbox.  whole: the directory is the layer's parent already and becomes the tree of
 * both; whiteouts remove what they name.  Otherwise it is what the layer adds: whiteouts become
 * overlay's (character device 0/0, trusted.overlay.opaque); of extended attributes only user.* and
 * security.capability are taken. */
int unpack_layer(struct source *src, const struct limits *limits, bool whole,
                 struct unpack_result *ret, struct err *reterr);
