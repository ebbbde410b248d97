/* Capabilities by name (capabilities(7)). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define CAP_BIT(n) (UINT64_C(1) << (n))

/* The 14 that a container has unless told otherwise. */
extern const uint64_t caps_default;
/* All that this program knows by name. */
uint64_t caps_all(void);

/* "CAP_NET_ADMIN", "net_admin": the number, or -ENOENT.  "ALL" is not a capability. */
int caps_parse(const char *name);
/* "CAP_NET_ADMIN" or NULL. */
const char *caps_name(int cap);
/* A list of names and "ALL" (json array of strings or NULL) to a mask; ERR_INVALID for an unknown
 * one.  verb ("CapAdd", "CapDrop") goes into the message. */
int caps_parse_list(const json_t *names, const char *verb, uint64_t *ret, bool *ret_all,
                    struct err *reterr);
/* What a container gets by HostConfig's Privileged, CapAdd and CapDrop, bounded by `bounding`;
 * *ret_missing is what was asked for and is not in it. */
int caps_resolve(const json_t *host_config, uint64_t bounding, uint64_t *ret, uint64_t *ret_missing,
                 struct err *reterr);
