/* The callbacks that turn an engine's result into the answer (arg is the request), and what a stream
 * says of an error. */
#pragma once

#include <jansson.h>

#include "http.h"

void reply_204(void *arg, const struct err *err);                 /* 204 or the error */
void reply_200_json(void *arg, json_t *v, const struct err *err); /* 200 with v or the error */
/* The last line of a stream of progress; code 0: none is told.  New reference. */
json_t *reply_error_line(const struct err *err, int code);
