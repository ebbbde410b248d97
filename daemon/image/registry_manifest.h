/* Manifests as registries serve them: Docker schema 2, OCI, and the lists of both.  Foreign input;
 * pure functions.  (OCI image specification: manifest.md, image-index.md, descriptor.md.) */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"
#include "platform.h"
#include "str.h"

#define MEDIA_TYPE_MAX 128
#define MANIFEST_LAYERS_MAX 1024 /* entries looked at; IMAGE_LAYERS_MAX bounds what is pulled */
#define BLOB_SIZE_MAX (INT64_C(1) << 40)

#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"

struct descriptor {
    char digest[ID_LEN + 1]; /* hex of sha256 */
    char media_type[MEDIA_TYPE_MAX];
    int64_t size;
};

struct registry_manifest {
    char media_type[MEDIA_TYPE_MAX];
    json_t *index;             /* owned; NULL for an image */
    struct descriptor config;  /* of an image */
    struct descriptor *layers; /* owned, bottom first */
    size_t n_layers;
};

void registry_manifest_done(struct registry_manifest *m);

/* content_type: of the answer, may be NULL; the document's own mediaType must not contradict it.
 * Schema 1, foreign layers, unknown kinds of layers and artifacts that are no images are
 * ERR_INVALID with a text that says so. */
int registry_manifest_parse(const char *body, size_t len, const char *content_type,
                            struct registry_manifest *ret, struct err *reterr);
/* The same for who passes it on and unpacks nothing: config and layers of whatever kind. */
int registry_manifest_parse_any(const char *body, size_t len, const char *content_type,
                                struct registry_manifest *ret, struct err *reterr);
/* The entry of an index that suits best; -ENOENT (ERR_NOT_FOUND). */
int registry_manifest_choose(const struct registry_manifest *index, const struct platform *want,
                             struct descriptor *ret, struct err *reterr);
