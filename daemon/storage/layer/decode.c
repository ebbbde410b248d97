#include "decode.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>
#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif

/* What a stream may ask to look back, which is most of what decoding needs: with it the worker
 * stays below 32 MiB.  RFC 8878 (3.1.1.1.2) wants 8 MiB of every decoder of zstd, which is what
 * levels up to 19 take; `xz -7` takes 16 MiB. */
#define WINDOW_LOG_MAX 24
#define LZMA_MEMORY_MAX ((1U << WINDOW_LOG_MAX) + (1U << 20))

/* A compressed stream inside a compressed stream is no layer but an attack on the clock. */
#define FILTERS_MAX 2

struct stream {
    struct ring *in, *out; /* borrowed */
    unsigned reader;
    const unsigned char *next; /* what of the current input chunk is left */
    size_t left;
    bool held;  /* the current input chunk is to be released */
    char *room; /* of the current output chunk; NULL: none */
    size_t filled;
};

struct decoder {
    const char *magic;
    size_t magic_len;
    int (*run)(const struct decoder *d, struct stream *s, struct err *reterr);
    int (*filter)(struct archive *a); /* libarchive's, for those that it decodes */
};

static int broken(struct err *reterr, const char *what)
{
    return err_set(reterr, ERR_INVALID, EBADMSG, "read archive: %s", what);
}

/* The next chunk of input once the last is used up: 1, at the end 0. */
static int more_input(struct stream *s, struct err *reterr)
{
    const void *data;
    int r;

    if (s->held)
        ring_release(s->in, s->reader);
    s->held = false;
    s->left = 0;
    r = ring_get(s->in, s->reader, &data, &s->left, reterr);
    if (r > 0) {
        s->next = data;
        s->held = true;
    }
    return r;
}

static int window_too_large(struct err *reterr, const char *format)
{
    return err_set(reterr, ERR_INVALID, EFBIG,
                   "read archive: %s: needs a window larger than %u MiB to decompress", format,
                   (1U << WINDOW_LOG_MAX) >> 20);
}

static int need_room(struct stream *s)
{
    if (s->room && s->filled == ring_chunk_size(s->out)) {
        ring_put(s->out, s->filled);
        s->room = NULL;
    }
    if (!s->room) {
        s->room = ring_room(s->out);
        s->filled = 0;
    }
    return s->room ? 0 : -ECANCELED;
}

static int skip_input(struct stream *s, struct err *reterr)
{
    int r;

    do
        r = more_input(s, reterr);
    while (r > 0);
    return r;
}

/* ---- gzip ---- */

#ifdef HAVE_ISAL
static const char *gzip_error(int code)
{
    return code == ISAL_INCORRECT_CHECKSUM ? "gzip: wrong checksum"
           : code == ISAL_INVALID_WRAPPER || code == ISAL_UNSUPPORTED_METHOD
               ? "gzip: malformed header"
               : "gzip: invalid data";
}

static void gzip_begin(struct inflate_state *z)
{
    isal_inflate_reset(z);
    z->crc_flag = ISAL_GZIP;
}

/* One call, and its bytes into the output.  1: wants more input. */
static int gzip_step(struct stream *s, struct inflate_state *z, struct err *reterr)
{
    size_t room;
    int r = need_room(s);

    if (r < 0)
        return r;
    room = ring_chunk_size(s->out) - s->filled;
    z->next_in = (uint8_t *)s->next;
    z->avail_in = (uint32_t)s->left;
    z->next_out = (uint8_t *)s->room + s->filled;
    z->avail_out = (uint32_t)room;
    r = isal_inflate(z);
    if (r < 0)
        return broken(reterr, gzip_error(r));
    s->next += s->left - z->avail_in;
    s->left = z->avail_in;
    s->filled += room - z->avail_out;
    return s->left == 0 && z->avail_out > 0;
}

/* A file may be many streams in a row; what is not one ends it. */
static int run_gzip(const struct decoder *d, struct stream *s, struct err *reterr)
{
    struct inflate_state *z = xcalloc(1, sizeof(*z));
    _cleanup_free_ void *owned = z;
    int r = 1;

    (void)d;
    isal_inflate_init(z);
    gzip_begin(z);
    for (;;) {
        bool finished = z->block_state == ISAL_BLOCK_FINISH;

        if (s->left == 0 && r > 0) {
            r = more_input(s, reterr);
            if (r == 0 && !finished)
                r = broken(reterr, "gzip: truncated input");
            if (r <= 0)
                return r;
        }
        if (finished && *s->next != 0x1f)
            return skip_input(s, reterr);
        if (finished)
            gzip_begin(z);
        r = gzip_step(s, z, reterr);
        if (r < 0)
            return r;
        if (z->block_state == ISAL_BLOCK_FINISH)
            r = 1;
    }
}
#endif

/* ---- zstd ---- */

static void free_zstd(ZSTD_DStream **z)
{
    ZSTD_freeDStream(*z);
}

static int zstd_broken(size_t code, struct err *reterr)
{
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
        return window_too_large(reterr, "zstd");
    return err_set(reterr, ERR_INVALID, EBADMSG, "read archive: zstd: %s", ZSTD_getErrorName(code));
}

static int run_zstd(const struct decoder *d, struct stream *s, struct err *reterr)
{
    _cleanup_(free_zstd) ZSTD_DStream *z = ZSTD_createDStream();
    size_t left = 1;
    int r;

    (void)d;
    if (!z || ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
        return err_sys(reterr, ENOMEM, "libzstd");
    for (;;) {
        ZSTD_inBuffer in = {s->next, s->left, 0};
        ZSTD_outBuffer out;

        r = need_room(s);
        if (r < 0)
            return r;
        out = (ZSTD_outBuffer){s->room, ring_chunk_size(s->out), s->filled};
        if (s->left > 0 || left > 0)
            left = ZSTD_decompressStream(z, &out, &in);
        if (ZSTD_isError(left))
            return zstd_broken(left, reterr);
        s->next += in.pos;
        s->left -= in.pos;
        s->filled = out.pos;
        if (s->left > 0 || out.pos == out.size)
            continue;
        r = more_input(s, reterr);
        if (r == 0 && left > 0)
            r = broken(reterr, "zstd: truncated input");
        if (r <= 0)
            return r;
    }
}

/* ---- xz ---- */

static int xz_broken(lzma_ret code, struct err *reterr)
{
    static const char *const texts[] = {
        [LZMA_BUF_ERROR] = "xz: truncated input",
        [LZMA_FORMAT_ERROR] = "xz: malformed header",
        [LZMA_OPTIONS_ERROR] = "xz: unsupported options",
    };

    if (code == LZMA_MEMLIMIT_ERROR)
        return window_too_large(reterr, "xz");
    if (code == LZMA_MEM_ERROR)
        return err_sys(reterr, ENOMEM, "liblzma");
    return broken(reterr,
                  code < ARRAY_SIZE(texts) && texts[code] ? texts[code] : "xz: invalid data");
}

static int decode_xz(struct stream *s, lzma_stream *z, struct err *reterr)
{
    lzma_action action = LZMA_RUN;
    lzma_ret code = LZMA_OK;

    while (code == LZMA_OK) {
        size_t room;
        int r = need_room(s);

        if (r >= 0 && s->left == 0 && action == LZMA_RUN) {
            r = more_input(s, reterr);
            if (r == 0)
                action = LZMA_FINISH;
        }
        if (r < 0)
            return r;
        room = ring_chunk_size(s->out) - s->filled;
        z->next_in = s->next;
        z->avail_in = s->left;
        z->next_out = (uint8_t *)s->room + s->filled;
        z->avail_out = room;
        code = lzma_code(z, action);
        s->next += s->left - z->avail_in;
        s->left = z->avail_in;
        s->filled += room - z->avail_out;
    }
    return code == LZMA_STREAM_END ? 0 : xz_broken(code, reterr);
}

/* By liblzma itself: libarchive sets no limit of memory. */
static int run_xz(const struct decoder *d, struct stream *s, struct err *reterr)
{
    lzma_stream z = LZMA_STREAM_INIT;
    int r;

    (void)d;
    if (lzma_stream_decoder(&z, LZMA_MEMORY_MAX, LZMA_CONCATENATED) != LZMA_OK)
        return err_sys(reterr, ENOMEM, "liblzma");
    r = decode_xz(s, &z, reterr);
    lzma_end(&z);
    return r;
}

/* ---- what libarchive decodes ---- */

static la_ssize_t give(struct archive *a, void *arg, const void **ret)
{
    struct stream *s = arg;
    struct err e;
    int r = more_input(s, &e);

    if (r < 0)
        archive_set_error(a, -r, "%s", e.message);
    *ret = s->next;
    return r < 0 ? -1 : (la_ssize_t)s->left;
}

static int archive_broken(struct archive *a, struct err *reterr)
{
    return broken(reterr, archive_error_string(a) ?: "broken archive");
}

static int copy_out(struct stream *s, const char *data, size_t len)
{
    while (len > 0) {
        int r = need_room(s);
        size_t n = r < 0 ? 0 : ring_chunk_size(s->out) - s->filled;

        if (r < 0)
            return r;
        n = n < len ? n : len;
        memcpy(s->room + s->filled, data, n);
        s->filled += n;
        data += n;
        len -= n;
    }
    return 0;
}

static int copy_archive(struct archive *a, struct stream *s, struct err *reterr)
{
    struct archive_entry *e;
    const void *data;
    la_int64_t offset;
    size_t len;
    int r = archive_read_next_header(a, &e);

    while (r == ARCHIVE_OK) {
        r = archive_read_data_block(a, &data, &len, &offset);
        if (r == ARCHIVE_OK && copy_out(s, data, len) < 0)
            return -ECANCELED;
    }
    return r == ARCHIVE_EOF ? skip_input(s, reterr) : archive_broken(a, reterr);
}

static int run_archive(const struct decoder *d, struct stream *s, struct err *reterr)
{
    struct archive *a = archive_read_new();
    int r;

    if (!a)
        return err_sys(reterr, ENOMEM, "libarchive");
    d->filter(a);
    archive_read_support_format_raw(a);
    archive_read_support_format_empty(a);
    if (archive_read_open(a, s, NULL, give, NULL) != ARCHIVE_OK)
        r = archive_broken(a, reterr);
    else if (archive_filter_count(a) > FILTERS_MAX)
        r = broken(reterr, "archive is compressed more than once");
    else
        r = copy_archive(a, s, reterr);
    archive_read_free(a);
    return r;
}

/* ---- the choice ---- */

#define MAGIC(bytes) (bytes), sizeof(bytes) - 1

static const struct decoder decoders[] = {
#ifdef HAVE_ISAL
    {MAGIC("\x1f\x8b\x08"), run_gzip, NULL},
#else
    {MAGIC("\x1f\x8b\x08"), run_archive, archive_read_support_filter_gzip},
#endif
    {MAGIC("\x28\xb5\x2f\xfd"), run_zstd, NULL},
    {MAGIC("\xfd"
           "7zXZ"),
     run_xz, NULL},
    {MAGIC("BZh"), run_archive, archive_read_support_filter_bzip2},
};

const struct decoder *decode_find(const void *data, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(decoders); i++) {
        if (len >= decoders[i].magic_len &&
            memcmp(data, decoders[i].magic, decoders[i].magic_len) == 0)
            return &decoders[i];
    }
    return NULL;
}

int decode_run(const struct decoder *d, struct ring *in, unsigned reader, struct ring *out,
               struct err *reterr)
{
    struct stream s = {.in = in, .out = out, .reader = reader, .next = (const unsigned char *)""};
    int r = d->run(d, &s, reterr);

    if (s.room && s.filled > 0 && r >= 0)
        ring_put(out, s.filled);
    if (r == -ECANCELED)
        err_set(reterr, ERR_SYSTEM, ECANCELED, "cancelled");
    return r;
}
