/* `unpack`: a layer becomes a directory that overlay can use as a lower. */
#pragma once

#include <stdint.h>

#include "err.h"
#include "source.h"

struct limits {
    int64_t max_bytes, max_entries;
};

/* Inside the sandbox.  Whiteouts become overlay's (character device 0/0, trusted.overlay.opaque);
 * of extended attributes only user.* and security.capability are taken.  Fills the hex digest of
 * the uncompressed stream and the sum of the files' sizes. */
int unpack_layer(struct source *src, const struct limits *limits, char ret_hex[65],
                 int64_t *ret_bytes, struct err *reterr);
