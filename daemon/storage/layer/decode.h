/* Decompression, from one ring into another. */
#pragma once

#include "ring.h"

/* A pointer into a table; which one, the first bytes of the archive tell. */
struct decoder;

/* NULL: not compressed. */
const struct decoder *decode_find(const void *data, size_t len);
#define DECODE_MAGIC_MAX 6 /* so many bytes decide */

/* Decode all that comes as reader `reader` of `in`, up to its end, and put it into `out`, which is
 * not ended.  What follows the compressed stream is read and left.  0, or an error of the stream or
 * of either ring. */
int decode_run(const struct decoder *d, struct ring *in, unsigned reader, struct ring *out,
               struct err *reterr);
