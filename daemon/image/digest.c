#include "digest.h"

#include <openssl/evp.h>
#include <stdio.h>

void digest_sha256(const void *data, size_t len, char ret[ID_LEN + 1])
{
    unsigned char md[EVP_MAX_MD_SIZE];

    if (EVP_Digest(data, len, md, NULL, EVP_sha256(), NULL) != 1)
        abort(); /* a libcrypto without sha256 */
    hex_encode(md, ID_LEN / 2, ret);
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
