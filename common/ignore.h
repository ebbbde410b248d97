/* .dockerignore: which paths of a build's context are left out
 * (https://docs.docker.com/build/concepts/context/#dockerignore-files). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define IGNORE_PATTERNS_MAX 10000

struct ignore {
    struct ignore_pattern *list; /* owned */
    size_t n;
    bool exceptions; /* some begin with "!" */
};

/* text: lines with patterns, "#" comments; -E2BIG. */
int ignore_parse(const char *text, struct ignore *ret);
void ignore_done(struct ignore *ig);
/* Is the clean, relative path left out, or a directory above it? */
bool ignore_match(const struct ignore *ig, const char *path);
/* May something below a directory that is left out be wanted after all? */
bool ignore_may_hold(const struct ignore *ig, const char *dir);
