/* From a request line to a route: version prefix, pattern match. */
#pragma once

#include <stdbool.h>

#include "err.h"
#include "http.h"

/* Split "/v1.41/x" (path is decoded): *ret_rest points into path at "/x"; *ret_version is the
 * prefix's number, or the advertised version without one. */
void router_split_version(const char *path, const char **ret_rest, int *ret_version);

/* Whether a version is one we speak; -EINVAL with the texts that clients know. */
int router_check_version(const char *path, int version, struct err *reterr);

/* Whether path fits pattern; *ret_param: new string, NULL for patterns without a name.  A second
 * name at the pattern's end stands for one segment, which is not told. */
bool router_match(const char *pattern, const char *path, char **ret_param);

/* The first route that fits, NULL if none. */
const struct http_route *router_find(const struct http_route *routes, const char *method,
                                     const char *path, char **ret_param);
