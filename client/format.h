/* Rows of objects in the ways --format knows: a table, "table TEMPLATE", "json", "TEMPLATE". */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "err.h"
#include "table.h"
#include "template.h"

struct column {
    const char *field;  /* of the row object */
    const char *header; /* its title */
};

struct format {
    struct template *template; /* NULL: json */
    bool is_table;
    const char *type_name;
    const struct column *columns; /* ends with a NULL field */
    struct table table;
    struct buf out;
};

/* `spec` is the user's --format (NULL or "" for the default), `table` the default table's template,
 * `quiet` the template of --quiet (NULL if not given).  type_name: see struct template_data. */
int format_init(struct format *f, const char *spec, const char *table, const char *quiet,
                const char *type_name, const struct column *columns, struct err *reterr);
/* The output needs this field. */
bool format_uses(const struct format *f, const char *field);
/* Add a row (borrowed).  methods: see struct template_data. */
int format_row(struct format *f, const json_t *row, const json_t *methods, struct err *reterr);
/* Write what the rows gave to stdout; a table has its header even without rows. */
int format_finish(struct format *f, struct err *reterr);
void format_done(struct format *f);

/* Compact JSON of a row with sorted keys and <, >, & escaped, as Go's encoder has it. */
char *format_json(const json_t *row);
/* \t and \n in a --format text become what they stand for.  The caller frees. */
char *format_unescape(const char *s);
