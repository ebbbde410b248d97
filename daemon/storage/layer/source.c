#include "source.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "str.h"

#define READ_SIZE (256 * 1024)
/* A compressed stream inside a compressed stream is no layer but an attack on the clock. */
#define FILTERS_MAX 2

struct source {
    struct archive *raw; /* owned: filters only, yields the uncompressed stream */
    struct archive *tar; /* owned: reads from raw through the hash */
    EVP_MD_CTX *hash;    /* owned; NULL: not wanted */
    EVP_MD_CTX *blob;    /* owned; of the input; NULL: not wanted, or the same as hash */
    struct source_options opt;
    int64_t raw_bytes;
    char *buffer; /* owned; READ_SIZE */
    bool at_end;  /* of the uncompressed stream */
};

static EVP_MD_CTX *new_hash(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

int source_new(const struct source_options *opt, struct source **ret, struct err *reterr)
{
    _cleanup_(source_freep) struct source *src = xcalloc(1, sizeof(*src));

    src->opt = *opt;
    src->buffer = xmalloc(READ_SIZE);
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
    if (opt->hashed)
        src->hash = new_hash();
    if (opt->blob)
        src->blob = new_hash();
    if ((opt->hashed && !src->hash) || (opt->blob && !src->blob))
        return err_set(reterr, ERR_SYSTEM, EIO, "libcrypto has no sha256");
    *ret = TAKE_PTR(src);
    return 0;
}

void source_free(struct source *src)
{
    archive_read_free(src->tar);
    archive_read_free(src->raw);
    EVP_MD_CTX_free(src->hash);
    EVP_MD_CTX_free(src->blob);
    free(src->buffer);
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

/* libarchive's read callback of the filters: the input, which is hashed and copied on the way. */
static la_ssize_t take(struct archive *raw, void *arg, const void **ret)
{
    struct source *src = arg;
    ssize_t n;
    int r = 0;

    do
        n = read(STDIN_FILENO, src->buffer, READ_SIZE);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        r = -errno;
    else if ((src->raw_bytes += n) > src->opt.max_raw)
        r = -EFBIG;
    else if (n > 0 && src->opt.keep_fd >= 0)
        r = fd_write_all(src->opt.keep_fd, src->buffer, (size_t)n);
    if (r < 0) {
        archive_set_error(raw, -r, "%s", err_text(-r));
        return -1;
    }
    if (src->blob)
        EVP_DigestUpdate(src->blob, src->buffer, (size_t)n);
    *ret = src->buffer;
    return n;
}

int source_start(struct source *src, struct err *reterr)
{
    struct archive_entry *e;
    int r;

    if (archive_read_open(src->raw, src, NULL, take, NULL) != ARCHIVE_OK)
        return fail(src->raw, "read archive", reterr);
    if (archive_filter_count(src->raw) > FILTERS_MAX)
        return err_set(reterr, ERR_INVALID, EBADMSG, "archive is compressed more than once");
    /* Without compression both digests are of the same bytes. */
    if (src->hash && archive_filter_code(src->raw, 0) == ARCHIVE_FILTER_NONE) {
        EVP_MD_CTX_free(src->blob);
        src->blob = NULL;
    }
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

static int finish_hash(EVP_MD_CTX *hash, char ret_hex[65], struct err *reterr)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_DigestFinal_ex(hash, digest, &len) != 1 || len != 32)
        return err_set(reterr, ERR_SYSTEM, EIO, "sha256 failed");
    hex_encode(digest, len, ret_hex);
    return 0;
}

/* The digests cover the padding after the end-of-archive mark, and what follows the compressed
 * stream. */
static int drain(struct source *src, struct err *reterr)
{
    const void *data;
    la_ssize_t n;

    while ((n = pull(src->tar, src, &data)) > 0)
        ;
    while (n == 0 && src->opt.blob && (n = take(src->raw, src, &data)) > 0)
        n = 0;
    return n < 0 ? fail(src->raw, "read archive", reterr) : 0;
}

int source_finish(struct source *src, char ret_hex[65], char ret_blob[65], struct err *reterr)
{
    int r = drain(src, reterr);

    if (r >= 0 && src->hash && ret_hex)
        r = finish_hash(src->hash, ret_hex, reterr);
    if (r < 0 || !ret_blob)
        return r;
    if (src->blob)
        return finish_hash(src->blob, ret_blob, reterr);
    snprintf(ret_blob, 65, "%s", src->opt.blob && ret_hex ? ret_hex : "-");
    return 0;
}

int64_t source_consumed(struct source *src)
{
    return archive_filter_bytes(src->raw, -1);
}

int64_t source_length(const struct source *src)
{
    return src->raw_bytes;
}
