/* Go's text/template over JSON values, as much of it as Docker's --format texts use: fields,
 * variables, pipelines, if / range / with / else, define / template / block, white-space trimming,
 * and the functions of template_func.c.  Reference: https://pkg.go.dev/text/template. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "buf.h"
#include "err.h"

struct template;

/* NULL with Go's message in *reterr if the text is no template. */
struct template *template_parse(const char *text, struct err *reterr);
void template_free(struct template *t);

static inline void template_freep(struct template **t)
{
    template_free(*t);
}

struct template_data {
    const json_t *root;    /* what "." is */
    const json_t *methods; /* {"Label": {...}}: a field with an argument looks in here; or NULL */
    const char *object;    /* what root is, as inspect has it ("image"), or NULL */
    const char *type_name; /* of Go's value, for "can't evaluate field"; NULL: a plain map */
    bool header;           /* root holds column titles: functions leave them as they are */
};

/* Append the output.  0 or -errno with Go's message; output made so far stays in out. */
int template_exec(const struct template *t, const struct template_data *data, struct buf *out,
                  struct err *reterr);
/* The template refers to .FIELD at its top level. */
bool template_uses(const struct template *t, const char *field);
