/* Blobs by their sha256, 64 hex digits without the algorithm.
 *
 *   blobs/sha256/<hex>   complete, verified, 0600, never changed: as it came, compressed or not
 *   blobs/partial/<hex>  a download that may be resumed; its length is the offset to go on from
 *
 * As with layers: who refers to a blob is the store's business (daemon/store/blob_rows.h).  Any
 * thread; 0 or negative errno as in err.h, a bad digest is -EINVAL.
 */
#pragma once

#include "storage.h"

/* A read-only descriptor of a complete blob; ret_size may be NULL.  -ENOENT. */
int blob_open(struct storage *st, const char *digest, int64_t *ret_size, struct err *reterr);
/* Bytes of a complete blob, or -ENOENT. */
int64_t blob_size(struct storage *st, const char *digest);

/* Rename a regular file of `size` bytes below dirfd, which the caller has verified, into place; a
 * blob that is there already wins and the file stays.  -EBADMSG: it is not that long.  The caller
 * makes the bytes durable first (storage_sync() covers them) and the name afterwards
 * (blobs_fsync()). */
int blob_commit(struct storage *st, int dirfd, const char *name, const char *digest, int64_t size,
                struct err *reterr);
/* The same with the partial file of that digest, which goes away unless it is too short. */
int blob_partial_commit(struct storage *st, const char *digest, int64_t size, struct err *reterr);
int blobs_fsync(struct storage *st, struct err *reterr);

/* As storage_container_remove(): *ret_trash is deleted later, ret_trash NULL: here. */
int blob_remove(struct storage *st, const char *digest, char **ret_trash, struct err *reterr);
/* Digests on disk for which known() is false, as a vector (strv_free); NULL if none. */
int blob_orphans(struct storage *st, bool (*known)(void *arg, const char *digest), void *arg,
                 char ***ret, struct err *reterr);

/* The same of partial files. */
int blob_partial_orphans(struct storage *st, bool (*known)(void *arg, const char *digest),
                         void *arg, char ***ret, struct err *reterr);

/* Read and write, made when missing; ret_offset (may be NULL): bytes that are there. */
int blob_partial_open(struct storage *st, const char *digest, int64_t *ret_offset,
                      struct err *reterr);
int blob_partial_remove(struct storage *st, const char *digest, struct err *reterr);
/* The same for later, as blob_remove(); NULL: there is none. */
int blob_partial_trash(struct storage *st, const char *digest, char **ret_trash,
                       struct err *reterr);
/* Remove partial files that nobody wrote to for max_age_ns, and for which busy() (may be NULL) is
 * false; what they held is added to *ret_bytes.  ret_trash (NULL: deleted here) gets their names in
 * the trash appended (strv). */
int blob_partial_sweep(struct storage *st, int64_t max_age_ns,
                       bool (*busy)(void *arg, const char *digest), void *arg, int64_t *ret_bytes,
                       char ***ret_trash, struct err *reterr);
/* Bytes on disk of all partial files. */
int64_t blob_partial_usage(struct storage *st);
