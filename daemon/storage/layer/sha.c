#include "sha.h"

#include <errno.h>

#include "str.h"

int sha_init(struct sha *s, struct err *reterr)
{
    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1)
        return err_set(reterr, ERR_SYSTEM, EIO, "libcrypto has no sha256");
    return 0;
}

void sha_done(struct sha *s)
{
    EVP_MD_CTX_free(s->ctx);
    s->ctx = NULL;
}

void sha_update(struct sha *s, const void *data, size_t len)
{
    EVP_DigestUpdate(s->ctx, data, len);
}

int sha_hex(struct sha *s, char ret[SHA_HEX], struct err *reterr)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_DigestFinal_ex(s->ctx, digest, &len) != 1 || len != 32)
        return err_set(reterr, ERR_SYSTEM, EIO, "sha256 failed");
    hex_encode(digest, len, ret);
    return 0;
}
