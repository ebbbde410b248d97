/* Copies of directory trees: owners, modes, times, links, devices, holes, and of extended
 * attributes user.* and security.capability (labels, ACLs and overlay's marks belong to the place
 * that a tree was in).  Data blocks are shared where the file system can.  Symlinks are never
 * followed, nothing mounted below is entered. */
#pragma once

#include <stdbool.h>

#include "err.h"

#define COPYTREE_DEPTH_MAX 256 /* each level costs two descriptors */

/* Fill the directory `to` with what is in `from`, and give it from's owner, mode and times.  Both
 * stay open.  replace: what `to` holds already under the same names goes first; otherwise it is an
 * error.  A user may read the message: paths in it are relative to the directory. */
int copytree_fill(int from, int to, bool replace, struct err *reterr);
