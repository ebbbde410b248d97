/* The same operation on each object that the arguments name. */
#pragma once

#include "cli.h"

#define BATCH_AT_ONCE 50 /* requests that are under way */

/* The request path for one object; the caller frees. */
typedef char *(*batch_path)(const struct invocation *inv, const char *name);

/* Send the request for every argument at once, then print each name whose request succeeded on
 * stdout and the errors on stderr: exit code 1 if there was any, other than of an object that does
 * not exist if `missing_ok`. */
int batch_run(const struct invocation *inv, const char *method, batch_path path, bool missing_ok);
/* The same one after the other, for what may be held by what is named before it. */
int batch_run_in_order(const struct invocation *inv, const char *method, batch_path path,
                       bool missing_ok);
