/* What the list-like calls share about filters: {"key": ["value", ...]}. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* Every key is in known (NULL-terminated), every value an array of strings; else 400. */
int match_check(const json_t *filters, const char *const *known, struct err *reterr);
/* All of the wanted "k" or "k=v" are in labels; no wanted ones: true. */
bool match_labels(const json_t *wanted, const json_t *labels);
/* Any of the values equals s; no values: true. */
bool match_any(const json_t *values, const char *s);
/* Any of the values, an unanchored extended regular expression (or literal text where it is not
 * one that pattern_compile() takes), is found in s; no values: true. */
bool match_regex(const json_t *values, const char *s);

/* The "until" filter: RFC 3339, Unix seconds or a Go duration before now, to ns since the epoch; 0
 * if absent. */
int match_until(const json_t *filters, int64_t *ret, struct err *reterr);
