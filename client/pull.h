/* Fetching an image, for pull and for run. */
#pragma once

#include <stdio.h>

#include "client.h"
#include "refname.h"

/* POST /images/create and show its progress on f. */
int pull_image(struct client *c, const struct refname *ref, const char *platform, FILE *f,
               bool quiet, struct err *reterr);
