/* Strings, numbers, identifiers and times. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

static inline bool streq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Both NULL counts as equal. */
bool streq_null(const char *a, const char *b);
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
static inline bool str_empty(const char *s)
{
    return !s || !*s;
}

/* Whole-string decimal numbers within [min, max]; 0 or -EINVAL / -ERANGE.  No sign, blank or
 * trailing bytes besides what strtol takes are let through. */
int str_parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret);
int str_parse_u64(const char *s, uint64_t max, uint64_t *ret);

/* A copy that is UTF-8: U+FFFD stands for each byte that belongs to no character, as Go's JSON has
 * it.  Caller frees. */
char *str_to_utf8(const char *s);

/* Lower-case hex of len bytes; out has room for 2*len+1. */
void hex_encode(const void *data, size_t len, char *out);
bool str_is_hex(const char *s, size_t len);

#define ID_LEN 64
/* 64 lower-case hex digits from getrandom(2), of which the first 12 are never all decimal: the
 * short id serves as host name. */
void id_generate(char ret[ID_LEN + 1]);

/* A name safe as a single path component: not empty, ".", "..", no '/' or NUL, <= 255 bytes. */
bool str_is_filename(const char *s);

#define TIME_STR_MAX 40
/* RFC 3339 in UTC; nine digits, or trailing zeros trimmed as Go's RFC3339Nano does. */
void time_format_nano(int64_t ns_since_epoch, char ret[TIME_STR_MAX]);
void time_format_nano9(int64_t ns_since_epoch, char ret[TIME_STR_MAX]);
/* RFC 3339 with fraction and zone to ns since the epoch; 0 or -EINVAL.  Times before 1678 and after
 * 2261 do not fit: they become INT64_MIN and INT64_MAX. */
int time_parse(const char *s, int64_t *ret);
int64_t time_now_ns(void);       /* CLOCK_REALTIME */
int64_t time_monotonic_ns(void); /* CLOCK_MONOTONIC */
/* Go's zero time, for "never". */
#define TIME_ZERO "0001-01-01T00:00:00Z"

/* NULL-terminated vector of strings; NULL is an empty one. */
size_t strv_len(char *const *v);
void strv_free(char **v);
char **strv_append(char **v, const char *s); /* returns the new vector, copies s */
static inline void strv_freep(char ***v)
{
    strv_free(*v);
}
