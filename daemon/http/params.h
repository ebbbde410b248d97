/* Query parameters that several resources share. */
#pragma once

#include "http.h"

/* h and w of a terminal: both are required; what exceeds a terminal's range is cut. */
int param_size(struct http_req *req, uint16_t *ret_rows, uint16_t *ret_columns, struct err *reterr);

/* "seconds[.fraction]" or RFC 3339, to ns since the epoch; 0 if absent or empty. */
int param_time(const struct http_req *req, const char *name, int64_t *ret, struct err *reterr);

/* All values of a name that may be repeated: strv_free(); NULL if there are none. */
char **param_list(const struct http_req *req, const char *name);

/* The second half of param_time(); 0 or -EINVAL. */
int param_parse_time(const char *text, int64_t *ret);
