/* Small readers over jansson.  Borrowed results live as long as the object they come from. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "mem.h"

#define _cleanup_json_ _cleanup_(json_decrefp)

/* Member by key; first exact, then without regard to case, as Go's decoder does.
 * JSON null counts as absent.  NULL if absent or obj is no object. */
json_t *json_get(const json_t *obj, const char *key);

/* Remove what json_get() would find, all of it. */
void json_drop(json_t *obj, const char *key);

/* Wrong types count as absent: validate where it matters. */
const char *json_get_str(const json_t *obj, const char *key, const char *def);
int64_t json_get_int(const json_t *obj, const char *key, int64_t def);
bool json_get_bool(const json_t *obj, const char *key, bool def);

/* NULL-terminated copy of an array of strings (strv_free); NULL if absent, empty or no array. */
char **json_get_strv(const json_t *obj, const char *key);
json_t *json_from_strv(char *const *v); /* new array; [] for NULL */

/* Compact text; caller frees. */
char *json_to_str(const json_t *v);
