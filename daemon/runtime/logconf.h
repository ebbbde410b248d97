/* Limits of a container's log: options of the drivers json-file and local, with dockerd's meaning
 * and texts.  Unlike there a json-file log that says nothing is bounded. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define LOG_SIZE_DEFAULT (64u << 20) /* bytes a file */
#define LOG_FILES_DEFAULT 4
#define LOG_LOCAL_SIZE_DEFAULT (20u << 20) /* dockerd's */
#define LOG_LOCAL_FILES_DEFAULT 5

struct log_limits {
    uint64_t size;  /* bytes a file; 0: unlimited ("max-size": "-1") */
    uint64_t files; /* kept, >= 1 */
    bool compress;  /* the full ones */
};

/* "10m", "1.5g", "100", "64kb" to bytes; 0 for "-1".  0 or -EINVAL. */
int log_size_parse(const char *s, uint64_t *ret);
/* log: a LogConfig, may be NULL; reterr may be. */
int log_limits_parse(const json_t *log, struct log_limits *ret, struct err *reterr);
