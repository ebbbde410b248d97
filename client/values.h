/* Values on the command line, read the way Docker's client (Go's strconv, time and go-units) reads
 * them and refused with its words. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* What an option's value becomes in the request: on success *ret_json is a new reference. */
typedef int (*value_parser)(const char *value, json_t **ret_json, struct err *reterr);

int value_bool(const char *value, json_t **ret_json, struct err *reterr);
int value_string(const char *value, json_t **ret_json, struct err *reterr);
int value_int(const char *value, json_t **ret_json, struct err *reterr);
int value_uint16(const char *value, json_t **ret_json, struct err *reterr);
int value_uint32(const char *value, json_t **ret_json, struct err *reterr);
int value_bytes(const char *value, json_t **ret_json, struct err *reterr);      /* "64m" -> bytes */
int value_bytes_swap(const char *value, json_t **ret_json, struct err *reterr); /* and "-1" */
int value_cpus(const char *value, json_t **ret_json, struct err *reterr);       /* "1.5" -> 1e-9 */
int value_duration(const char *value, json_t **ret_json, struct err *reterr);   /* "1m" -> ns */
int value_key_value(const char *value, json_t **ret_json, struct err *reterr);  /* {"k": "v"} */

int parse_bool(const char *s, bool *ret, struct err *reterr);
int parse_int(const char *s, int64_t *ret, struct err *reterr);
/* Go's time.ParseDuration, in nanoseconds. */
int parse_duration(const char *s, int64_t *ret, struct err *reterr);
/* A time as `logs --since` takes it: Unix seconds with fraction, RFC 3339 with or without zone and
 * clock, or a duration before now.  Returns "seconds" or "seconds.nanos" for the query string, to
 * be freed by the caller; NULL with *reterr set if it is none of these. */
char *parse_timestamp(const char *s, int64_t now_ns, struct err *reterr);
