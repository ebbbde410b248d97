/* Lists of manifests that are being put together, kept where Docker's client keeps them and as it
 * does: <its configuration>/manifests/<list>/<manifest>, with '-' and '_' for the ':' and '/' of
 * names.  An entry is {"Ref","Descriptor","Raw","SchemaV2Manifest" or "OCIManifest"}; those of
 * clients before 23 have no Raw. */
#pragma once

#include <jansson.h>

#include "err.h"
#include "reference.h"

#define MANIFEST_ENTRY_MAX ((size_t)16 << 20)
#define MANIFEST_ENTRIES_MAX 1024

/* One entry: a new reference; -ENOENT (ERR_NOT_FOUND) with Docker's text. */
int manifest_store_get(const struct reference *list, const struct reference *manifest, json_t **ret,
                       struct err *reterr);
/* An array of all, in the order of their names; a new reference.  As above. */
int manifest_store_list(const struct reference *list, json_t **ret, struct err *reterr);
int manifest_store_save(const struct reference *list, const struct reference *manifest,
                        const json_t *entry, struct err *reterr);
int manifest_store_remove(const struct reference *list, struct err *reterr);
