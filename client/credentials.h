/* Who we are at registries: Docker's own config.json ($DOCKER_CONFIG or ~/.docker), so that a login
 * with either client serves both, and the credential helpers it names (docker-credential-*). */
#pragma once

#include <stdbool.h>

#include "err.h"

#define CREDENTIALS_HUB "https://index.docker.io/v1/" /* docker.io's key, as Docker has it */

/* All owned; NULL where absent. */
struct credentials {
    char *username, *password, *identity_token;
};

void credentials_done(struct credentials *c);

/* What is called `name` in the directory of Docker's configuration; caller frees. */
char *credentials_path(const char *name);

/* The key of a registry: CREDENTIALS_HUB for docker.io and "", else the host; caller frees. */
char *credentials_server(const char *name);
/* Empty credentials if there are none; a helper or a file that fails is an error. */
int credentials_get(const char *server, struct credentials *ret, struct err *reterr);
/* *ret_path: the file, if that is where they are now in the clear; caller frees; else NULL. */
int credentials_store(const char *server, const struct credentials *c, char **ret_path,
                      struct err *reterr);
/* 1 if there were some, 0 if not. */
int credentials_erase(const char *server, struct err *reterr);

/* "X-Registry-Auth: ..." for a repository ("docker.io/library/busybox"); caller frees.  Without
 * credentials, or when they cannot be read (which is told on stderr), those of nobody. */
char *credentials_header(const char *repository);
