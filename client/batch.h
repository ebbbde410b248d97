/* The same operation on each object that the arguments name. */
#pragma once

#include "cli.h"

/* The request path for one object; the caller frees. */
typedef char *(*batch_path)(const struct invocation *inv, const char *name);

/* Send the request for every argument at once, then print each name whose request succeeded on
 * stdout and the errors on stderr: exit code 1 if there was any, other than of an object that does
 * not exist if `missing_ok`. */
int batch_run(const struct invocation *inv, const char *method, batch_path path, bool missing_ok);
