/* What vfs and btrfs share: layers and roots are whole trees (driver.h).
 *
 *   containers/<id>/root    the container's root file system, made at its first start
 *   containers/<id>/lower   symlink to the tree it was made from, to tell what has changed
 */
#pragma once

#include "driver.h"

int trees_prepare(struct storage *st, const struct rootfs_spec *spec, struct err *reterr);
void trees_dirs(const struct storage *st, const struct rootfs_spec *spec, struct rootfs_dirs *ret);
/* driver.h's limit_drop, for limits by project quota. */
void trees_limit_drop(struct storage *st, const char *container_id);
int trees_usage(struct storage *st, const char *container_id, int64_t *ret);
