/* The events that have been, in files: <data root>/events/<number>.jsonl, one event a line as the
 * clients get it, oldest file first.  A file is full at JOURNAL_SEGMENT_MAX, and of full files the
 * last JOURNAL_SEGMENTS - 1 are kept.  What is written survives the daemon's end of any kind; it
 * is not synced, so a power failure may cost the last seconds.  A torn line is skipped.
 *
 * Any thread may read while one at a time appends. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define JOURNAL_SEGMENT_MAX (4 << 20) /* bytes, and what one append adds */
#define JOURNAL_SEGMENTS 4
#define JOURNAL_LINE_MAX (1 << 20) /* bytes of an event that is kept */
#define JOURNAL_READ_MAX                                                                           \
    (128 << 10)                    /* bytes of matching events from one read, and one event more */
#define JOURNAL_SCAN_MAX (4 << 20) /* bytes looked at in one read */

struct journal;

struct journal_pos {
    uint64_t segment; /* 0: the very beginning */
    int64_t offset;
};

/* Blocks: at start-up only. */
int journal_open(const char *dir, struct journal **ret, struct err *reterr);
void journal_close(struct journal *j);

/* Whole lines; 0 or -errno, and then nothing is added.  *ret_end: where the journal ends now, also
 * on failure. */
int journal_append(struct journal *j, const void *data, size_t len, struct journal_pos *ret_end);
/* The same without adding anything. */
struct journal_pos journal_end(const struct journal *j);

struct journal_query {
    int64_t since_ns, until_ns; /* both inclusive; 0: unlimited */
    const json_t *filters;      /* for events_match(); may be NULL */
};

/* Append the matching lines from *pos on to out until the end that an append told, or until enough
 * is read: *pos moves on. 0 or -errno. */
int journal_read(const struct journal *j, const struct journal_query *q, struct journal_pos *pos,
                 struct journal_pos end, struct buf *out);
