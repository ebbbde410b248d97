/* `split`: the regular files of an outer archive (docker-archive or OCI layout) become files of a
 * staging directory. */
#pragma once

#include "source.h"
#include "unpack.h"

/* Inside the sandbox.  Links inside the archive (older `docker save` shares layer.tar by symlink)
 * are made as hard links to the files they mean; those to nowhere are left out.  No symlink, device
 * or directory of the archive's own mode is ever made. */
int split_archive(struct source *src, const struct limits *limits, int64_t *ret_bytes,
                  struct err *reterr);
