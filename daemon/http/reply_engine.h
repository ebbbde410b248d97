/* The callbacks that turn an engine's result into the answer; arg is the request. */
#pragma once

#include <jansson.h>

#include "http.h"

void reply_204(void *arg, const struct err *err);                 /* 204 or the error */
void reply_200_json(void *arg, json_t *v, const struct err *err); /* 200 with v or the error */
