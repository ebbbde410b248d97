/* Credential helpers: docker-credential-NAME get|store|erase, JSON on their stdin and stdout
 * (protocol: the docker-credential-helpers project). */
#pragma once

#include "credentials.h"

#define HELPER_ANSWER_MAX ((size_t)1 << 20)

/* Unknown servers give empty credentials. */
int helper_get(const char *name, const char *server, struct credentials *ret, struct err *reterr);
int helper_store(const char *name, const char *server, const struct credentials *c,
                 struct err *reterr);
int helper_erase(const char *name, const char *server, struct err *reterr);
