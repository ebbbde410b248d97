/* WWW-Authenticate (RFC 9110, 11.6.1; the parameters of Bearer: RFC 6750, 3 and the token
 * specification of the distribution project).  Pure functions on foreign bytes. */
#pragma once

#include <stddef.h>

#include "mem.h"

#define CHALLENGES_MAX 8

/* Strings owned; NULL where absent. */
struct challenge {
    char *scheme; /* lower case: "basic", "bearer" */
    char *realm, *service, *scope, *error;
};

/* The challenges of one header in order; what does not parse ends the list.  Returns how many. */
size_t challenge_parse(const char *header, struct challenge ret[CHALLENGES_MAX]);
void challenge_done(struct challenge *c);
