#include "source.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

#define READ_SIZE (256 * 1024)
/* A compressed stream inside a compressed stream is no layer but an attack on the clock. */
#define FILTERS_MAX 2

struct source {
    struct archive *raw; /* owned: filters only, yields the uncompressed stream */
    struct archive *tar; /* owned: reads from raw through the hash */
    EVP_MD_CTX *hash;    /* owned; NULL: not wanted */
    bool at_end;         /* of the uncompressed stream */
};

int source_new(bool hashed, struct source **ret, struct err *reterr)
{
    _cleanup_(source_freep) struct source *src = xcalloc(1, sizeof(*src));

    src->raw = archive_read_new();
    src->tar = archive_read_new();
    if (!src->raw || !src->tar)
        return err_sys(reterr, ENOMEM, "libarchive");
    archive_read_support_filter_gzip(src->raw);
    archive_read_support_filter_bzip2(src->raw);
    archive_read_support_filter_xz(src->raw);
    archive_read_support_filter_zstd(src->raw);
    archive_read_support_format_raw(src->raw);
    archive_read_support_format_empty(src->raw);
    archive_read_support_format_tar(src->tar);
    archive_read_support_format_empty(src->tar);
    if (hashed) {
        src->hash = EVP_MD_CTX_new();
        if (!src->hash || EVP_DigestInit_ex(src->hash, EVP_sha256(), NULL) != 1)
            return err_set(reterr, ERR_SYSTEM, EIO, "libcrypto has no sha256");
    }
    *ret = TAKE_PTR(src);
    return 0;
}

void source_free(struct source *src)
{
    archive_read_free(src->tar);
    archive_read_free(src->raw);
    EVP_MD_CTX_free(src->hash);
    free(src);
}

static int fail(struct archive *a, const char *what, struct err *reterr)
{
    const char *text = archive_error_string(a);
    int errnum = archive_errno(a);

    /* libarchive numbers its own findings -1 and up from 79: they are all about bad input. */
    if (errnum <= 0 || errnum > 133)
        errnum = EBADMSG;
    return err_set(reterr, ERR_INVALID, errnum, "%s: %s", what, text ? text : "broken archive");
}

int source_fail(struct source *src, const char *what, struct err *reterr)
{
    return fail(src->tar, what, reterr);
}

/* libarchive's read callback of the tar reader. */
static la_ssize_t pull(struct archive *tar, void *arg, const void **ret)
{
    struct source *src = arg;
    la_int64_t offset;
    size_t len;
    int r;

    if (src->at_end)
        return 0;
    do
        r = archive_read_data_block(src->raw, ret, &len, &offset);
    while (r == ARCHIVE_OK && len == 0);
    if (r == ARCHIVE_EOF) {
        src->at_end = true;
        return 0;
    }
    if (r != ARCHIVE_OK) {
        archive_set_error(tar, EBADMSG, "%s", archive_error_string(src->raw));
        return -1;
    }
    if (src->hash)
        EVP_DigestUpdate(src->hash, *ret, len);
    return (la_ssize_t)len;
}

int source_start(struct source *src, struct err *reterr)
{
    struct archive_entry *e;
    int r;

    if (archive_read_open_fd(src->raw, STDIN_FILENO, READ_SIZE) != ARCHIVE_OK)
        return fail(src->raw, "read archive", reterr);
    if (archive_filter_count(src->raw) > FILTERS_MAX)
        return err_set(reterr, ERR_INVALID, EBADMSG, "archive is compressed more than once");
    r = archive_read_next_header(src->raw, &e);
    if (r == ARCHIVE_EOF)
        src->at_end = true;
    else if (r != ARCHIVE_OK)
        return fail(src->raw, "read archive", reterr);
    if (archive_read_open(src->tar, src, NULL, pull, NULL) != ARCHIVE_OK)
        return fail(src->tar, "read archive", reterr);
    return 0;
}

int source_next(struct source *src, struct archive_entry **ret, struct err *reterr)
{
    int r = archive_read_next_header(src->tar, ret);

    if (r == ARCHIVE_EOF)
        return 0;
    /* ARCHIVE_WARN: a name that is no UTF-8, an unknown pax key: the entry is usable. */
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return fail(src->tar, "read archive", reterr);
    return 1;
}

struct archive *source_archive(struct source *src)
{
    return src->tar;
}

int source_finish(struct source *src, char ret_hex[65], struct err *reterr)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const void *data;
    unsigned len = 0;
    la_ssize_t n;

    /* The digest covers the padding after the end-of-archive mark too. */
    while ((n = pull(src->tar, src, &data)) > 0)
        ;
    if (n < 0)
        return fail(src->raw, "read archive", reterr);
    if (!src->hash)
        return 0;
    if (EVP_DigestFinal_ex(src->hash, digest, &len) != 1 || len != 32)
        return err_set(reterr, ERR_SYSTEM, EIO, "sha256 failed");
    hex_encode(digest, len, ret_hex);
    return 0;
}

int64_t source_consumed(struct source *src)
{
    return archive_filter_bytes(src->raw, -1);
}
