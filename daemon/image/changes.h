/* Dockerfile instructions that change an image's config: import and commit `changes`. */
#pragma once

#include <jansson.h>

#include "err.h"

#define CHANGE_SIZE_MAX (64 << 10)
#define EXPOSED_MAX 65535 /* ports of an image */

/* Apply one line (CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME
 * WORKDIR, any case) to the container part of an image config.  -EINVAL with a message. */
int changes_apply(json_t *config, const char *line, struct err *reterr);
