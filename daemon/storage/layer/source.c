#include "source.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "decode.h"
#include "fd.h"
#include "input.h"
#include "layer_protocol.h"
#include "sha.h"
#include "str.h"

/* The tar's ring is the longer one: writing files stalls now and then. */
#define CHUNK_SIZE (256 * 1024)
#define INPUT_CHUNKS 4
#define TAR_CHUNKS 12
#define STACK_SIZE (512 * 1024)

/* Of either ring: the one who goes on with the data, and the one who hashes it. */
enum { READER_DATA, READER_HASH };
enum { THREAD_INPUT, THREAD_INPUT_HASH, THREAD_DECODE, THREAD_TAR_HASH, THREADS };

struct source {
    struct source_options opt;
    struct ring *in, *out; /* owned */
    struct ring *data;     /* one of them: the uncompressed stream */
    struct archive *tar;   /* owned: reads from data */
    struct sha hashes[2];  /* owned; of what goes through in, and out */
    struct input input;
    const struct decoder *decoder; /* NULL: not compressed */
    struct thread {
        struct source *src;
        pthread_t id;
        sem_t go;    /* it may look whether */
        bool wanted; /* it is to run at all */
    } threads[THREADS];
    unsigned n_threads;
    sem_t ready;         /* a thread is there */
    int stop_fd;         /* owned */
    bool held;           /* the tar reader's chunk is to be released */
    bool dry;            /* the tar reader has had all there is */
    bool ended;          /* there is no end of the archive to come */
    int64_t wanted, got; /* bytes of the entry's content */
    int64_t unpacked;
};

int source_new(const struct source_options *opt, struct source **ret, struct err *reterr)
{
    _cleanup_(source_freep) struct source *src = xcalloc(1, sizeof(*src));

    src->opt = *opt;
    src->stop_fd = -EBADF;
    sem_init(&src->ready, 0, 0);
    for (unsigned i = 0; i < THREADS; i++)
        sem_init(&src->threads[i].go, 0, 0);
    src->in = ring_new(INPUT_CHUNKS, CHUNK_SIZE);
    src->out = ring_new(TAR_CHUNKS, CHUNK_SIZE);
    src->tar = archive_read_new();
    if (!src->tar)
        return err_sys(reterr, ENOMEM, "libarchive");
    archive_read_support_format_tar(src->tar);
    archive_read_support_format_empty(src->tar);
    for (unsigned i = 0; i < ARRAY_SIZE(src->hashes); i++) {
        int r = sha_init(&src->hashes[i], reterr);

        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(src);
    return 0;
}

/* ---- the threads ---- */

static void hash_ring(struct ring *ring, struct sha *hash)
{
    const void *data;
    size_t len;

    while (ring_get(ring, READER_HASH, &data, &len, NULL) > 0) {
        sha_update(hash, data, len);
        ring_release(ring, READER_HASH);
    }
}

static void run_input(struct source *src)
{
    input_run(&src->input);
}

static void run_input_hash(struct source *src)
{
    hash_ring(src->in, &src->hashes[0]);
}

static void run_decode(struct source *src)
{
    struct err e;
    int r = decode_run(src->decoder, src->in, READER_DATA, src->out, &e);

    ring_end(src->out, r < 0 ? &e : NULL);
}

static void run_tar_hash(struct source *src)
{
    hash_ring(src->out, &src->hashes[1]);
}

static void (*const runners[THREADS])(struct source *src) = {
    [THREAD_INPUT] = run_input,
    [THREAD_INPUT_HASH] = run_input_hash,
    [THREAD_DECODE] = run_decode,
    [THREAD_TAR_HASH] = run_tar_hash,
};

static void *run_thread(void *arg)
{
    struct thread *t = arg;

    sem_post(&t->src->ready);
    while (sem_wait(&t->go) < 0)
        ;
    if (t->wanted)
        runners[t - t->src->threads](t->src);
    return NULL;
}

static void run(struct source *src, unsigned thread)
{
    src->threads[thread].wanted = true;
    sem_post(&src->threads[thread].go);
}

int source_threads(struct source *src, struct err *reterr)
{
    pthread_attr_t attr;
    int r = 0;

    src->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (src->stop_fd < 0)
        return err_sys(reterr, errno, "eventfd");
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    while (r == 0 && src->n_threads < THREADS) {
        struct thread *t = &src->threads[src->n_threads];

        t->src = src;
        r = pthread_create(&t->id, &attr, run_thread, t);
        src->n_threads += r == 0;
    }
    pthread_attr_destroy(&attr);
    for (unsigned i = 0; i < src->n_threads; i++) {
        while (sem_wait(&src->ready) < 0)
            ;
    }
    return r > 0 ? err_sys(reterr, r, "start thread") : 0;
}

/* Those that were not wanted end at once, the others when their rings do. */
static void join_threads(struct source *src)
{
    for (unsigned i = 0; i < src->n_threads; i++) {
        if (!src->threads[i].wanted)
            sem_post(&src->threads[i].go);
    }
    while (src->n_threads > 0)
        pthread_join(src->threads[--src->n_threads].id, NULL);
}

static void stop_threads(struct source *src)
{
    uint64_t one = 1;

    ring_stop(src->in);
    ring_stop(src->out);
    fd_write_all(src->stop_fd, &one, sizeof(one));
    join_threads(src);
}

void source_free(struct source *src)
{
    if (src->n_threads > 0)
        stop_threads(src);
    archive_read_free(src->tar);
    for (unsigned i = 0; i < ARRAY_SIZE(src->hashes); i++)
        sha_done(&src->hashes[i]);
    if (src->in)
        ring_free(src->in);
    if (src->out)
        ring_free(src->out);
    fd_close(src->stop_fd);
    sem_destroy(&src->ready);
    for (unsigned i = 0; i < THREADS; i++)
        sem_destroy(&src->threads[i].go);
    free(src);
}

/* ---- the tar ---- */

static int source_fail(struct source *src, const char *what, struct err *reterr)
{
    const char *text = archive_error_string(src->tar);
    int errnum = archive_errno(src->tar);

    /* libarchive numbers its own findings -1 and up from 79: they are all about bad input. */
    if (errnum <= 0 || errnum > 133)
        errnum = EBADMSG;
    return err_set(reterr, ERR_INVALID, errnum, "%s: %s", what, text ? text : "broken archive");
}

/* A bomb is cut while it is still small. */
static int check_expansion(struct source *src, struct err *reterr)
{
    if (src->unpacked < LAYER_FREE_BYTES ||
        src->unpacked / LAYER_MAX_EXPANSION <= source_length(src))
        return 1;
    return err_set(reterr, ERR_INVALID, EFBIG, "archive expands to more than %d times its size",
                   LAYER_MAX_EXPANSION);
}

static int pull_chunk(struct source *src, const void **ret, size_t *ret_len, struct err *reterr)
{
    int r;

    if (src->held)
        ring_release(src->data, READER_DATA);
    r = ring_get(src->data, READER_DATA, ret, ret_len, reterr);
    src->held = r > 0;
    src->dry = r == 0;
    if (r <= 0)
        return r;
    src->unpacked += (int64_t)*ret_len;
    return check_expansion(src, reterr);
}

/* libarchive's read callback. */
static la_ssize_t pull(struct archive *tar, void *arg, const void **ret)
{
    struct err e;
    size_t len = 0;
    int r = pull_chunk(arg, ret, &len, &e);

    if (r < 0)
        archive_set_error(tar, -r, "%s", e.message);
    return r < 0 ? -1 : (la_ssize_t)len;
}

/* Start the threads that this archive needs. */
static void go(struct source *src)
{
    bool hash_in = src->decoder ? src->opt.blob : src->opt.hashed || src->opt.blob;
    bool hash_out = src->decoder && src->opt.hashed;

    if (hash_in)
        run(src, THREAD_INPUT_HASH);
    else
        ring_leave(src->in, READER_HASH);
    if (hash_out)
        run(src, THREAD_TAR_HASH);
    else
        ring_leave(src->out, READER_HASH);
    if (src->decoder)
        run(src, THREAD_DECODE);
    src->data = src->decoder ? src->out : src->in;
}

static int check_inner(struct source *src, struct err *reterr)
{
    const void *data;
    size_t len;
    int r = ring_get(src->data, READER_DATA, &data, &len, reterr);

    if (r > 0 && decode_find(data, len))
        r = err_set(reterr, ERR_INVALID, EBADMSG, "archive is compressed more than once");
    return r;
}

int source_start(struct source *src, struct err *reterr)
{
    const void *data;
    size_t len = 0;
    int r;

    src->input = (struct input){.ring = src->in,
                                .keep_fd = src->opt.keep_fd,
                                .follow_fd = src->opt.follow_fd,
                                .stop_fd = src->stop_fd,
                                .max = src->opt.max_raw};
    run(src, THREAD_INPUT);
    /* Seen, not taken: the next to ask as the same reader gets it again. */
    r = ring_get(src->in, READER_DATA, &data, &len, reterr);
    if (r < 0)
        return r;
    src->decoder = r > 0 ? decode_find(data, len) : NULL;
    go(src);
    r = src->decoder ? check_inner(src, reterr) : 0;
    if (r < 0)
        return r;
    if (archive_read_open(src->tar, src, NULL, pull, NULL) != ARCHIVE_OK)
        return source_fail(src, "read archive", reterr);
    return 0;
}

int source_next(struct source *src, struct archive_entry **ret, struct err *reterr)
{
    int r = src->ended ? ARCHIVE_EOF : archive_read_next_header(src->tar, ret);

    if (r == ARCHIVE_EOF)
        return 0;
    /* ARCHIVE_WARN: a name that is no UTF-8, an unknown pax key: the entry is usable. */
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
        return source_fail(src, "read archive", reterr);
    src->wanted = archive_entry_size(*ret);
    src->got = 0;
    return 1;
}

int source_data(struct source *src, const char *name, const void **ret, size_t *ret_len,
                int64_t *ret_offset, struct err *reterr)
{
    la_int64_t offset = 0;
    int r = archive_read_data_block(src->tar, ret, ret_len, &offset);

    if (r == ARCHIVE_OK) {
        src->got = offset + (int64_t)*ret_len;
        *ret_offset = offset;
        return 1;
    }
    if (r == ARCHIVE_EOF)
        return 0;
    /* libarchive misses the padding; nothing of the file is missing. */
    src->ended = r == ARCHIVE_FATAL && src->dry && src->got == src->wanted;
    return src->ended ? 0 : source_fail(src, name, reterr);
}

/* The digests cover the padding after the end-of-archive mark, and what follows the compressed
 * stream; they are there when the threads are through. */
static int drain(struct source *src, struct err *reterr)
{
    const void *data;
    size_t len;
    int r;

    do
        r = pull_chunk(src, &data, &len, reterr);
    while (r > 0);
    if (r < 0)
        return r;
    join_threads(src);
    return 0;
}

int source_finish(struct source *src, char ret_hex[65], char ret_blob[65], struct err *reterr)
{
    int r = drain(src, reterr);

    if (r >= 0 && ret_hex && src->opt.hashed)
        r = sha_hex(&src->hashes[src->decoder != NULL], ret_hex, reterr);
    if (r < 0 || !ret_blob)
        return r;
    if (src->opt.blob && src->decoder)
        return sha_hex(&src->hashes[0], ret_blob, reterr);
    /* Without compression both digests are of the same bytes. */
    snprintf(ret_blob, SHA_HEX, "%s", src->opt.blob && ret_hex ? ret_hex : "-");
    return 0;
}

int64_t source_length(struct source *src)
{
    return atomic_load(&src->input.bytes);
}
