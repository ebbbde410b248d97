/* What the files of the storage module share; not for other folders. */
#pragma once

#include <stdatomic.h>

#include "driver.h"
#include "storage.h"

#define BLOBS_DIR "blobs"
#define BLOBS_SHA256_DIR BLOBS_DIR "/sha256"
#define BLOBS_PARTIAL_DIR BLOBS_DIR "/partial"

struct storage {
    const struct driver *driver;
    char *root; /* owned, absolute */
    int root_fd, layers_fd, containers_fd, tmp_fd, blobs_fd, partial_fd;
    char **stale;         /* owned: names in tmp/ from before */
    atomic_bool stopping; /* deletions end early */
};

/* The init layer: empty mount points, parents first, and a symlink etc/mtab. */
struct init_point {
    const char *path;
    bool directory;
};

extern const struct init_point storage_init_points[];
extern const size_t storage_n_init_points;
#define INIT_MTAB "/proc/mounts"

/* path_rm_rf() by the driver's means. */
int storage_delete(struct storage *st, int dirfd, const char *name);
/* Names in the directory that dirfd is open on, without "." and ".." (strv_free). */
int storage_list_dir(int dirfd, char ***ret);
/* Those of them that are 64 hex digits and for which known() is false; what: as below. */
int storage_unknown(struct storage *st, int dirfd, const char *what,
                    bool (*known)(void *arg, const char *id), void *arg, char ***ret,
                    struct err *reterr);
/* Move dirfd/name into tmp/ (*ret_trash), or delete it when that is NULL.  Missing: 0.  what: of
 * the directory, for messages. */
int storage_remove_named(struct storage *st, int dirfd, const char *what, const char *name,
                         char **ret_trash, struct err *reterr);
