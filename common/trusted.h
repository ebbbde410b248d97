/* Paths that nobody but us can change. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "err.h"

/* May users other than root and ourselves write to it?  In a directory with the sticky bit they may
 * make entries of their own, but replace none of ours: that is for the caller to judge. */
bool trusted_stat(const struct stat *st);

/* Can nobody else change what a path leads to: a directory, all that are on the way, all that links
 * lead over?  Sticky directories (/tmp) are good enough on the way and at the end: what is in one
 * belongs to whom trusted_stat() says.  What does not exist yet is made by us.
 * *ret: the same path without links, for use instead of it; caller frees.  -EPERM: ERR_INVALID,
 * names the directory; other -errno of realpath(3). */
int trusted_dir(const char *path, char **ret, struct err *reterr);

/* Are all entries of the directory files that nobody else can change, and it itself, too?  As
 * above. */
int trusted_files(const char *dir, struct err *reterr);
