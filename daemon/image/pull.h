/* One image of a registry, made ours (docker pull of one tag or digest). */
#pragma once

#include "image_private.h"
#include "platform.h"
#include "reference.h"
#include "registry.h"

struct pull_one;

struct pull_one_callbacks {
    void *arg;
    void (*progress)(void *arg, json_t *obj); /* borrowed */
    /* Once, never from inside pull_one_start(): err NULL: recorded; newer: the name stands for
     * another image than before.  digest (hex): what the name stood for.  Then p is gone. */
    void (*done)(void *arg, const char *digest, bool newer, const struct err *err);
};

/* tag: a tag or "sha256:..". */
int pull_one_start(struct images *im, struct remote *remote, const char *tag, const char *platform,
                   const struct pull_one_callbacks *cb, struct pull_one **ret, struct err *reterr);
void pull_one_cancel(struct pull_one *p); /* no callback afterwards */
