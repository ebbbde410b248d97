/* Percent-decoding, query strings and Docker's boolean rule. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define QUERY_MAX_ITEMS 256

struct query_item {
    char *name;
    char *value;
};

struct query {
    struct query_item *items; /* owned */
    size_t n;
};

/* Decode len bytes of s into a new string ("+" becomes a blank if plus).  NULL if an escape is
 * broken, or gives a NUL byte or what is no UTF-8. */
char *percent_decode(const char *s, size_t len, bool plus);

/* "a=1&b" (no '?').  0; -EINVAL for a broken escape; -E2BIG for more than QUERY_MAX_ITEMS. */
int query_parse(const char *s, struct query *ret);
void query_done(struct query *q);
/* The i-th value of name, NULL if there are fewer. */
const char *query_nth(const struct query *q, const char *name, size_t i);

/* "", 0, no, false and none, in any case, are false. */
bool query_is_true(const char *value);
