/* Image references (grammar: github.com/distribution/reference).  Pure functions. */
#pragma once

#include <stdbool.h>

#include "err.h"
#include "mem.h"

#define REFERENCE_NAME_MAX 255 /* path without the domain, as the grammar's authors limit it */
#define REFERENCE_TAG_MAX 128
#define REFERENCE_MAX 1024 /* whole strings longer than this are invalid before any parsing */

/* All members owned; NULL where absent. */
struct reference {
    char *domain; /* "docker.io", "localhost:5000" */
    char *path;   /* "library/busybox" */
    char *tag;
    char *digest; /* "sha256:<64 hex>" */
};

#define _cleanup_reference_ _cleanup_(reference_done)

void reference_done(struct reference *ref);

/* Parse a normalised or familiar name.  A missing tag stays NULL: see reference_tag_default().
 * -EINVAL/ERR_INVALID with Docker's texts: "invalid reference format", "invalid reference format:
 * repository name (library/Foo) must be lowercase", and for 64 hex digits "invalid repository name
 * (..), cannot specify 64-byte hexadecimal strings". */
int reference_parse(const char *s, struct reference *ret, struct err *reterr);
/* Neither tag nor digest: becomes tag "latest". */
void reference_tag_default(struct reference *ref);
/* repo and tag as separate query parameters (tag, import): repo must carry no digest; tag NULL or
 * "" keeps repo's own or latest. */
int reference_parse_repo_tag(const char *repo, const char *tag, struct reference *ret,
                             struct err *reterr);

/* May it be a tag's name?  One that starts with "sha256:" would be taken for an image's id, and
 * never be found again. */
int reference_check_tag(const struct reference *ref, struct err *reterr);

/* "docker.io/library/busybox:latest", "...@sha256:.."; with both, both.  Caller frees. */
char *reference_canonical(const struct reference *ref);
/* The same without "docker.io/" and "library/". */
char *reference_familiar(const struct reference *ref);
/* The familiar form without tag and digest: "busybox", "localhost:5000/a/b". */
char *reference_familiar_name(const struct reference *ref);
/* The canonical form without tag and digest: "docker.io/library/busybox". */
char *reference_repository(const struct reference *ref);
/* Familiar form of a canonical string (tags.name in the store); caller frees. */
char *reference_familiar_of(const char *canonical);

/* "sha256:<64 hex>" or 64 hex: an image id.  Returns the 64 digits inside s, or NULL. */
const char *reference_image_id(const char *s);
bool reference_tag_valid(const char *tag);
bool reference_digest_valid(const char *digest);

/* path.Match of Go on the familiar name, with and without the tag: the "reference" list filter
 * (reference.FamiliarMatch). */
bool reference_match(const char *pattern, const struct reference *ref);
