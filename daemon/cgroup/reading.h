/* Parsing of readings, for this folder's files. */
#pragma once

#include <string.h>

#include "sampler.h"

#define NS_PER_TICK (1000000000LL / 100)    /* USER_HZ is 100 everywhere Linux runs */
#define MEMORY_UNLIMITED (INT64_C(1) << 60) /* v1 says LONG_MAX rounded to pages */

static inline const char *reading_next_line(const char *p)
{
    p = strchr(p, '\n');
    return p ? p + 1 : "";
}

/* The number after "KEY "; def if there is none. */
int64_t reading_key(const struct cgroup_reading *r, enum cgroup_file f, const char *key,
                    int64_t def);
/* The file's number; "max": INT64_MAX; no file: 0. */
int64_t reading_number(const struct cgroup_reading *r, enum cgroup_file f);
/* The members about processors only. */
void reading_cpu(const struct cgroup_reading *r, struct cgroup_figures *ret);
