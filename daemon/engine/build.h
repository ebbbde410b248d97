/* Builds: the classic POST /build.  Loop thread. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "err.h"

struct engine;
struct build;

/* All borrowed for the call; NULL or 0: not given. */
struct build_options {
    const char *dockerfile; /* name in the context */
    const char *target, *platform;
    const char *remote; /* URL of the context; NULL: it comes by in_fd */
    const char *const *tags;
    const json_t *args, *labels; /* {"name": "value" or null} */
    const json_t *host_config;   /* of the containers of RUN: limits, network, hosts */
    const json_t *auths;         /* {"server": credentials} */
    const json_t *cache_from;    /* ["image", ...] */
    bool nocache, pull, rm, forcerm, quiet;
};

struct build_callbacks {
    void *arg;
    /* One of the stream, stolen.  false: enough for now, until engine_build_resume(). */
    bool (*output)(void *arg, json_t *obj);
    /* Once, and the build is gone.  code: how the RUN ended that failed, or 0. */
    void (*done)(void *arg, const struct err *err, int code);
};

#define BUILDS_MAX 32 /* at once */

/* in_fd: the context as an archive, unless it is remote; borrowed.  Nothing is called from inside.
 */
int engine_build_open(struct engine *e, int in_fd, const struct build_options *options,
                      const struct build_callbacks *cb, struct build **ret, struct err *reterr);
/* There is room for output again. */
void engine_build_resume(struct build *b);
/* Nobody listens any more: no callback afterwards.  What runs is stopped, what was made is removed.
 */
void engine_build_cancel(struct build *b);
