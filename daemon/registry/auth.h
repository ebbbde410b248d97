/* Credentials for a registry, as clients send them (API: X-Registry-Auth, POST /auth).  Secrets:
 * never logged, wiped when freed. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "err.h"
#include "mem.h"

#define AUTH_HEADER_MAX 65536

/* All owned, NULL where absent or empty. */
struct registry_auth {
    char *username, *password;
    char *identity_token; /* refresh token of an OAuth2 flow */
    char *registry_token; /* bearer token, sent as it is */
    char *server;
};

#define _cleanup_registry_auth_ _cleanup_(registry_auth_done)

void registry_auth_done(struct registry_auth *a);
void registry_auth_copy(const struct registry_auth *from, struct registry_auth *ret);
bool registry_auth_empty(const struct registry_auth *a);
/* Members username, password, auth (base64 of both), serveraddress, identitytoken, registrytoken.
 */
void registry_auth_from_json(const json_t *obj, struct registry_auth *ret);
/* Base64 of that JSON, either alphabet, padded or not.  NULL and "" give no credentials; -EINVAL
 * for garbage. */
int registry_auth_decode(const char *header, struct registry_auth *ret, struct err *reterr);
