/* What the commands of `manifest` share. */
#pragma once

#include "cli.h"
#include "reference.h"

#define MANIFEST_INSECURE_HELP                                                                     \
    "Accepted; the daemon's configuration says which registries are insecure"

/* Compact text as Go writes it, with <, > and & escaped; caller frees. */
char *manifest_json(const json_t *v);
/* A name with its tag or digest; "latest" if it has neither. */
int manifest_ref_parse(const char *text, struct reference *ret, struct err *reterr);
/* {"Descriptor","Platforms","Manifest"} of a name in its registry.  -ENOENT (ERR_NOT_FOUND) with
 * Docker's text if it has none, or shows it to others only. */
int manifest_ask(struct client *client, const struct reference *ref, json_t **ret,
                 struct err *reterr);
/* The members of a platform in the order of Docker's client; those that are not there are left out.
 * A new reference. */
json_t *manifest_platform(const json_t *platform);
/* An entry of a list (manifest_store.h) of what manifest_ask() was told.  A new reference. */
json_t *manifest_entry(const json_t *answer, const struct reference *ref, const json_t *platform);
/* The list of these entries, as it is pushed; caller frees.  A list below the target cannot refer
 * to what is in another registry. */
int manifest_list_text(const json_t *entries, const struct reference *target, char **ret,
                       struct err *reterr);
/* Docker's client asks registries itself: what the daemon answers is shown without saying so. */
int manifest_fail(const struct invocation *inv, struct err *e);
