/* Blobs on their way from a registry.  A blob is fetched once, however many pulls want it: they
 * join the fetch that is under way.  Bytes go to blobs/partial/<digest>, hashed as they come; what
 * is there from an earlier try is hashed and kept.  Loop thread; hashing and writing are done in
 * the pool, at most 2 x FETCH_CHUNK bytes wait for it. */
#pragma once

#include "image_private.h"
#include "registry.h"
#include "registry_manifest.h"

#define FETCH_CHUNK ((size_t)256 << 10)
#define FETCH_FLUSH ((size_t)64 << 10) /* an idle pool gets what is there from here on */
#define FETCH_RESTARTS 1               /* of a blob whose bytes turned out wrong */

struct fetch_user;

/* Is there a fetch of that blob?  arg: the images (for blob_partial_sweep()). */
bool fetch_is_under_way(void *arg, const char *digest);

struct fetch_callbacks {
    void *arg;
    /* So many bytes are hashed and written. */
    void (*progress)(void *arg, int64_t bytes);
    /* All are there; the digest is being compared.  May be NULL. */
    void (*verifying)(void *arg);
    /* They were not what the digest says and come again, from the first on.  May be NULL. */
    void (*restarted)(void *arg);
    /* Once, never from inside fetch_join(): err NULL: the bytes are what the digest says.  The user
     * stays until fetch_leave(). */
    void (*done)(void *arg, const struct err *err);
};

/* remote is referenced: the one that the first user came with is asked, and if it fails, those of
 * the others. */
int fetch_join(struct images *im, struct remote *remote, const struct descriptor *d,
               const struct fetch_callbacks *cb, struct fetch_user **ret, struct err *reterr);
/* At any time; without users the fetch ends, and what is there stays for the next one. */
void fetch_leave(struct fetch_user *u);
/* The same of who needs the bytes no more, as he has got them by another way: nothing stays unless
 * somebody else wants it. */
void fetch_discard(struct fetch_user *u);
/* If the blob is in the store, however it came there: what a broken download left of it goes. */
void fetch_forget(struct images *im, const char *digest);
/* So many bytes are written, as progress() said last; 0 when done() follows or was called. */
int64_t fetch_bytes(const struct fetch_user *u);
/* A new descriptor on the file, to be read; its offset is its own.  -errno. */
int fetch_open(const struct fetch_user *u, struct err *reterr);
