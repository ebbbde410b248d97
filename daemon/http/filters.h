/* The "filters" query parameter. */
#pragma once

#include <jansson.h>

#include "err.h"

/* text: {"k":{"v":true}} or {"k":["v"]}; NULL or "" is no filter.  *ret: a new object of arrays of
 * distinct strings.  allowed: NULL-terminated names, or NULL for any.  -EINVAL with reterr. */
int filters_parse(const char *text, const char *const *allowed, json_t **ret, struct err *reterr);
