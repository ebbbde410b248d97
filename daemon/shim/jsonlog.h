/* Docker's json-file format: one line of output becomes one JSON object.  Pure formatting. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define JSONLOG_LINE_MAX 16384 /* Docker's: a longer line is split without a "\n" of its own */
#define JSONLOG_TAIL_MAX 80
/* Room that one record may take at most: each byte may become a six-byte escape. */
#define JSONLOG_RECORD_MAX (6 * JSONLOG_LINE_MAX + JSONLOG_TAIL_MAX + 32)

/* What is left of a stream's last line until its newline comes. */
struct jsonlog_stream {
    size_t len;
    char part[JSONLOG_LINE_MAX];
};

/* What ends each record: "stream" and "time", the same for all lines of one read. */
struct jsonlog_tail {
    size_t len;
    char text[JSONLOG_TAIL_MAX];
};

void jsonlog_tail(struct jsonlog_tail *t, const char *stream, int64_t now_ns);

/* Take bytes from *data up to the end of one line and write its record to out, which has
 * JSONLOG_RECORD_MAX bytes of room.  Advances *data and *len; returns the bytes written: 0 when
 * the input ran out before the line did (kept in s). */
size_t jsonlog_next(struct jsonlog_stream *s, const struct jsonlog_tail *t, const char **data,
                    size_t *len, char *out);
/* End of the stream: the record of an unfinished line, or 0. */
size_t jsonlog_flush(struct jsonlog_stream *s, const struct jsonlog_tail *t, char *out);
