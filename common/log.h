/* Leveled logging to standard error, one line a call, with the "<N>" prefix that journald reads
 * when stderr is the journal.  Errors are logged exactly once, by the engine or main; libraries
 * return them instead.  Never log secrets (auth headers, environment values). */
#pragma once

enum log_level { LOG_LVL_ERROR = 3, LOG_LVL_WARN = 4, LOG_LVL_INFO = 6, LOG_LVL_DEBUG = 7 };

void log_set_level(enum log_level level);
/* dockerd's names: debug info warn error fatal; 0 or -EINVAL. */
int log_level_parse(const char *name, enum log_level *ret);
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LVL_DEBUG, __VA_ARGS__)
