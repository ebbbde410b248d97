/* Platforms in OCI's words: "linux/amd64", "linux/arm/v7". */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "err.h"
#include "mem.h"

#define PLATFORM_PART_MAX 32

/* This machine; the kernel's word if OCI has none ("amd64", "arm64" ...). */
const char *platform_arch(void);

/* "" where not given. */
struct platform {
    char os[PLATFORM_PART_MAX], arch[PLATFORM_PART_MAX], variant[PLATFORM_PART_MAX];
};

/* "os/arch[/variant]", "arch", or OCI's JSON object; NULL or "" is this machine.  -EINVAL with
 * Docker's text. */
int platform_parse(const char *text, struct platform *ret, struct err *reterr);
/* How well what obj describes (members os, architecture, variant) suits: 0 not at all, else the
 * higher the better.  An "arm" of a lower variant runs on a higher one. */
int platform_score(const struct platform *want, const json_t *obj);
/* Can an image of that config be used here, and is it what was asked for (NULL: nothing)?  name: of
 * the image, for messages.  -EINVAL, -ENOENT. */
int platform_check(const struct platform *want, const json_t *config, const char *name,
                   struct err *reterr);
char *platform_format(const struct platform *p); /* caller frees */
