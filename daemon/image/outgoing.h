/* An image as it leaves: which manifest stands for it, of which blobs.  What it came with is used
 * when all the blobs of that are here, so that digests stay; else a manifest is made of those that
 * are.  Loop thread. */
#pragma once

#include "image_private.h"
#include "registry_manifest.h"

struct outgoing {
    char digest[ID_LEN + 1];
    char media_type[MEDIA_TYPE_MAX];
    char *manifest; /* owned; len bytes */
    size_t len;
    struct descriptor config;  /* its bytes are the image row's */
    struct descriptor *layers; /* owned, bottom first; blob_open() has the bytes */
    size_t n_layers;
};

#define _cleanup_outgoing_ _cleanup_(outgoing_done)

void outgoing_done(struct outgoing *out);
/* -ENODATA (ERR_CONFLICT) when a layer's blob is not kept. */
int outgoing_choose(struct images *im, const char *image_id, struct outgoing *ret,
                    struct err *reterr);
