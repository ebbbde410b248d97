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

/* "os/arch[/variant]" or "arch"; NULL or "" is this machine.  -EINVAL with Docker's text. */
int platform_parse(const char *text, struct platform *ret, struct err *reterr);
/* How well what obj describes (members os, architecture, variant) suits: 0 not at all, else the
 * higher the better.  An "arm" of a lower variant runs on a higher one. */
int platform_score(const struct platform *want, const json_t *obj);
char *platform_format(const struct platform *p); /* caller frees */
