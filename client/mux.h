/* The attach stream of a container without terminal: frames of an 8-byte header {stream, 0, 0, 0,
 * length as 32 bits big-endian} and payload (Engine API, "Attach to a container"). */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum mux_stream { MUX_STDIN, MUX_STDOUT, MUX_STDERR, MUX_SYSTEM };

struct mux {
    unsigned char head[8];
    size_t have;   /* bytes of head */
    uint32_t left; /* payload still to come */
};

/* Called with each piece of payload, at once as it comes.  Negative stops and is handed back. */
typedef int (*mux_sink)(void *arg, enum mux_stream stream, const char *data, size_t len);

/* Feed raw bytes.  0, -EBADMSG on a header that names no stream, or what the sink returned. */
int mux_feed(struct mux *m, const char *data, size_t len, mux_sink sink, void *arg);
