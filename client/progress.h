/* The progress streams of pull, load, import and push: JSON objects one after the other. */
#pragma once

#include <stdio.h>

#include "client.h"

/* Show what comes on conn until it ends, on a terminal with lines that are updated in place.
 * quiet: show nothing.  An error inside the stream is returned. */
int progress_show(struct conn *conn, FILE *f, bool quiet, struct err *reterr);

/* Take the next JSON object off buf: a new reference, or NULL if there is no whole one yet; *bad is
 * set if what is there is no JSON. */
json_t *json_take_object(struct buf *b, bool *bad);
