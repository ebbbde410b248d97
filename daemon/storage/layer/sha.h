/* SHA-256 of a stream. */
#pragma once

#include <openssl/evp.h>
#include <stddef.h>

#include "err.h"
#include "mem.h"

#define SHA_HEX 65 /* with the NUL */

struct sha {
    EVP_MD_CTX *ctx; /* owned */
};

/* Before the sandbox is entered: libcrypto loads what it needs. */
int sha_init(struct sha *s, struct err *reterr);
void sha_done(struct sha *s);
void sha_update(struct sha *s, const void *data, size_t len);
/* Once, at the end. */
int sha_hex(struct sha *s, char ret[SHA_HEX], struct err *reterr);
