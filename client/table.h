/* Columns aligned as Go's text/tabwriter does: a column is as wide as its widest cell in a block of
 * adjoining lines, plus padding, at least the minimum; the last cell of a line is not padded. */
#pragma once

#include "buf.h"

struct table {
    size_t min_width, padding;
    struct buf text; /* lines of cells separated by tabs */
};

#define TABLE_INIT                                                                                 \
    {                                                                                              \
        .min_width = 10, .padding = 3                                                              \
    }

/* Lines of text, cells separated by '\t', each line ended by '\n'. */
void table_add(struct table *t, const char *lines);
/* Append the aligned text to out and empty the table. */
void table_flush(struct table *t, struct buf *out);
