/* One blob on its way to a registry (OCI distribution specification 1.1, "Pushing blobs"): asked
 * for first, mounted from another repository where one is known to have it, else sent, whole or in
 * chunks.  Loop thread; files are read in the pool. */
#pragma once

#include "image_private.h"
#include "registry.h"
#include "registry_manifest.h"

#define UPLOAD_BUFFER ((size_t)256 << 10)
#define UPLOAD_CHUNK (INT64_C(32) << 20) /* blobs up to this go in one request */
#define UPLOAD_TRIES 5

struct blob_upload;

enum upload_result {
    UPLOAD_EXISTS,
    UPLOAD_MOUNTED,
    UPLOAD_SENT,
    UPLOAD_REFUSED, /* mount_only: the registry wants the bytes */
};

struct blob_upload_callbacks {
    void *arg;
    void (*progress)(void *arg, int64_t bytes); /* may be NULL */
    /* Once, never from inside blob_upload_start(); the upload is gone then. */
    void (*done)(void *arg, enum upload_result result, const struct err *err);
};

struct blob_upload_options {
    const struct descriptor *d; /* copied */
    int fd;                     /* the blob, taken over in every case; -EBADF: data */
    const char *data;           /* d->size bytes, copied; NULL: fd */
    const char *mount_from;     /* a repository's path in the same registry, or NULL; copied */
    bool mount_only;            /* neither fd nor data: there are no bytes to send */
};

int blob_upload_start(struct images *im, struct remote *remote,
                      const struct blob_upload_options *opt, const struct blob_upload_callbacks *cb,
                      struct blob_upload **ret, struct err *reterr);
void blob_upload_cancel(struct blob_upload *u);
