/* sha256 as hex, and chain ids (OCI image spec, config.md, "Layer ChainID"). */
#pragma once

#include <stddef.h>

#include "str.h"

#define DIGEST_SHA256 "sha256:"

void digest_sha256(const void *data, size_t len, char ret[ID_LEN + 1]);
/* Of a layer with this diff id on top of parent (NULL for the bottom); all 64 hex digits. */
void digest_chain_id(const char *parent, const char *diff_id, char ret[ID_LEN + 1]);
