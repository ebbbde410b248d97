/* Lines of a json-file log, `{"log":"...","stream":"stdout","time":"..."}`, read without building
 * JSON values: logs are read at the disk's speed.  Pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

struct log_line {
    const char *text; /* escaped, borrowed from the line */
    size_t text_len;
    bool is_stderr;
    const char *time; /* borrowed, not terminated */
    size_t time_len;
};

/* One line without its newline; 0 or -EINVAL for what the shim does not write. */
int log_line_parse(const char *line, size_t len, struct log_line *ret);
/* Append the text with JSON's escapes undone. */
void log_line_text(const struct log_line *l, struct buf *out);
/* ns since the epoch, or 0 if it is no time. */
int64_t log_line_time(const struct log_line *l);
/* Append the time with nine digits. */
void log_line_timestamp(const struct log_line *l, struct buf *out);
