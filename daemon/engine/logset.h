/* The files of a log of the driver `local`: BASE.N, N counting upwards.  The shim appends to the
 * one with the greatest number, makes the next when that is full, and removes the one that is too
 * old; no file is ever renamed, so a reader that is at the end of one goes on with the next greater
 * number. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOG_SET_MAX 10001 /* files of one log: more than the shim's plan allows */

/* Smallest and greatest N; -ENOENT if there is no file. */
int log_set_numbers(const char *base, uint64_t *ret_first, uint64_t *ret_last);

/* Pack what is not written to any more, and remove what should have gone: for a pool thread, one at
 * a time for a base.  files: kept. */
void log_set_settle(const char *base, uint64_t files);
