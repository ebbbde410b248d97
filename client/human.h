/* Sizes and times the way people read them, with the words and rounding of Docker's go-units. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HUMAN_MAX 48

/* Decimal units with `digits` significant digits: "1.98MB". */
void human_size(double bytes, int digits, char ret[HUMAN_MAX]);
/* Binary units, four significant digits: "23.54GiB". */
void human_bytes(double bytes, char ret[HUMAN_MAX]);
/* "Less than a second", "About a minute", "3 hours", "2 weeks"... of seconds >= 0. */
void human_duration(int64_t seconds, char ret[HUMAN_MAX]);
/* The same with " ago", for the time since `unix_time`; "N/A" for 0 and before. */
void human_ago(int64_t unix_time, char ret[HUMAN_MAX]);
/* "2006-01-02 15:04:05 +0000 UTC", in the local zone. */
void human_time(int64_t unix_time, char ret[HUMAN_MAX]);
/* The first 12 digits of an id, without "sha256:"; ret has room for 13. */
void short_id(const char *id, char ret[13]);
/* At most `max` characters of UTF-8, the last one an ellipsis where cut.  The caller frees. */
char *ellipsis(const char *s, size_t max);
