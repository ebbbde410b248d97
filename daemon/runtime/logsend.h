/* Logging drivers: which there are, their options, and what the shim is told for those that send
 * each line to the host's logger.  Options and texts are dockerd's. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "err.h"
#include "plan.h"

#define LOG_DRIVER_DEFAULT "json-file"
#define LOG_DRIVER_LOCAL "local"
#define LOG_BUFFER_DEFAULT (1 << 20) /* bytes a logger may be behind: option max-buffer-size */
#define LOG_BUFFER_MAX (64 << 20)

bool log_driver_known(const char *name);
json_t *log_driver_names(void); /* new array */

/* log: a LogConfig; the options of its driver are known and mean something. */
int log_driver_check(const json_t *log, struct err *reterr);

struct log_names {
    const char *id, *name, *image;
};
/* PLAN_LOG_SEND if the driver is journald or syslog; 1 if so, else 0. */
int log_send_plan(const json_t *log, const struct log_names *names, struct plan *plan);
