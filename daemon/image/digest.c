#include "digest.h"

#include <nettle/sha2.h>
#include <stdio.h>

void digest_sha256(const void *data, size_t len, char ret[ID_LEN + 1])
{
    /* nettle is in the daemon already, by way of libmicrohttpd; libcrypto would be 1.4 MiB more for
     * a few kilobytes of JSON.  The bulk is hashed by the worker, with libcrypto. */
    struct sha256_ctx ctx;
    uint8_t md[SHA256_DIGEST_SIZE];

    sha256_init(&ctx);
    sha256_update(&ctx, len, data);
    sha256_digest(&ctx, sizeof(md), md);
    hex_encode(md, sizeof(md), ret);
}

void digest_chain_id(const char *parent, const char *diff_id, char ret[ID_LEN + 1])
{
    char text[2 * (sizeof(DIGEST_SHA256) + ID_LEN)];
    int n;

    if (!parent) {
        memcpy(ret, diff_id, ID_LEN + 1);
        return;
    }
    n = snprintf(text, sizeof(text), DIGEST_SHA256 "%s " DIGEST_SHA256 "%s", parent, diff_id);
    digest_sha256(text, (size_t)n, ret);
}
