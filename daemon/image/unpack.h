/* Layers on their way from a blob to a directory.  A blob that is still being fetched is unpacked
 * as it comes; whatever its bytes do there is undone if they turn out wrong, and the layer is not
 * done before they are verified.  A layer is unpacked once, however many pulls want it: they join
 * the worker that is under way.  Each has a stage of its own, which stays until the last user
 * leaves; whoever commits first renames it into the store.  Loop thread. */
#pragma once

#include "image_private.h"
#include "manifest.h"
#include "registry_manifest.h"

struct remote; /* registry.h */
struct unpack_user;

struct unpack_callbacks {
    void *arg;
    void (*progress)(void *arg, int64_t bytes); /* of the blob, read so far */
    /* Once unless unpack_join() returned 1, never from inside it: err NULL: the directory is what
     * the image says.  The user stays until unpack_leave(). */
    void (*done)(void *arg, const struct err *err);
};

/* layer: its chain and diff id; below: the one that it lies on (NULL: none), which is in the store
 * or unpacked if storage_layers_depend(); blob: what it comes from: the fetch of it, which is
 * joined, or with remote NULL the store.  1: it is done already; 0: done() follows. */
int unpack_join(struct images *im, struct remote *remote, const struct load_layer *layer,
                const struct load_layer *below, const struct descriptor *blob,
                const struct unpack_callbacks *cb, struct unpack_user **ret, struct err *reterr);
/* The bytes are a file (fd is borrowed) that may still grow: nothing of it is read before
 * unpack_file_grown() says that it is there, and done() does not come before it said that it is
 * whole.  Which layer it is nobody needs to know yet; as `below` above, who does not know it passes
 * NULL and has asked storage_layers_depend(). */
int unpack_file(struct images *im, int fd, const struct load_layer *below,
                const struct unpack_callbacks *cb, struct unpack_user **ret, struct err *reterr);
/* So many bytes are there, never fewer than before; whole: and there will be no more, which may
 * call done() at once. */
void unpack_file_grown(struct unpack_user *u, int64_t bytes, bool whole);
/* Of what unpack_file() is done with: the digests of the uncompressed tar, and of the file. */
void unpack_digests(const struct unpack_user *u, char ret_diff_id[ID_LEN + 1],
                    char ret_blob[ID_LEN + 1]);
/* Is a layer under way that comes from this blob, or has this diff id? */
bool unpack_is_under_way(struct images *im, const char *id);
/* As unpack_join(), for who has the bytes too and will not wait for a fetch: a pull's unpack of the
 * same layer.  -ENOENT: there is none. */
int unpack_join_pull(struct images *im, const struct load_layer *layer,
                     const struct unpack_callbacks *cb, struct unpack_user **ret);
/* What a pull's is unpacked from, as a download. */
void unpack_blob(const struct unpack_user *u, struct load_blob *ret);
/* It was this layer, which its caller has verified: others may join it. */
void unpack_file_is(struct unpack_user *u, const struct load_layer *layer);
/* At any time; without users the worker is killed and the stage removed. */
void unpack_leave(struct unpack_user *u);
/* Of a layer that is done: where it is, and the bytes of its files.  Valid until unpack_leave(). */
void unpack_result(const struct unpack_user *u, struct load_layer *layer);
