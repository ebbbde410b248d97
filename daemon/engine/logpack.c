#include "logpack.h"

#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "loggzip.h"
#include "mem.h"
#include "symbols.h"

#define LIBRARY "libzstd.so.1"
#define LEVEL 3
#define GZIP_MAGIC 0x8b1fu
#define FRAME_MAGIC 0xfd2fb528u
#define SKIP_MAGIC 0x184d2a5eu
#define TABLE_MAGIC 0x8f92eab1u
#define TABLE_HEAD 8 /* magic and size of the skippable frame */
#define TABLE_ROW 8  /* packed size, plain size */
#define TABLE_FOOT 9 /* rows, descriptor, magic */

struct place {
    uint64_t packed, plain; /* offsets */
};

struct log_index {
    bool gzip;
    uint32_t n;
    struct place *at; /* n + 1 */
    uint32_t held;    /* the frame that is decoded; n: none */
    char *frame, *packed;
};

/* ---- the library ---- */

static struct {
    size_t (*compress)(void *out, size_t room, const void *in, size_t len, int level);
    size_t (*decompress)(void *out, size_t room, const void *in, size_t len);
    unsigned (*isError)(size_t code);
    size_t (*compressBound)(size_t len);
} zstd;

#define MEMBER(name)                                                                               \
    {                                                                                              \
        "ZSTD_" #name, offsetof(typeof(zstd), name)                                                \
    }

static const struct symbol members[] = {MEMBER(compress), MEMBER(decompress), MEMBER(isError),
                                        MEMBER(compressBound)};

static bool loaded;

static void load(void)
{
    void *lib = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);

    loaded = lib && !symbols_load(lib, members, ARRAY_SIZE(members), &zstd);
}

static int need_library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return loaded ? 0 : -ELIBACC;
}

/* ---- reading ---- */

static ssize_t read_plain(int fd, void *data, size_t len, int64_t offset)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, (char *)data + done, len - done, offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static uint32_t get32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static void index_free(struct log_index *x)
{
    if (!x)
        return;
    free(x->at);
    free(x->frame);
    free(x->packed);
    free(x);
}

static void index_freep(struct log_index **x)
{
    index_free(*x);
}

/* The rows of the table; what they say must come to exactly the file. */
static int take_rows(struct log_index *x, const char *rows, uint64_t end)
{
    x->at = xcalloc(x->n + 1, sizeof(*x->at));
    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t packed = get32(rows + i * TABLE_ROW), plain = get32(rows + i * TABLE_ROW + 4);

        if (plain == 0 || plain > PACK_FRAME || packed > 2 * PACK_FRAME)
            return -EBADMSG;
        x->at[i + 1] = (struct place){x->at[i].packed + packed, x->at[i].plain + plain};
    }
    x->held = x->n;
    return x->at[x->n].packed == end ? 0 : -EBADMSG;
}

static int read_index(int fd, int64_t size, struct log_index **ret)
{
    _cleanup_(index_freep) struct log_index *x = xcalloc(1, sizeof(*x));
    _cleanup_free_ char *table = NULL;
    char foot[TABLE_FOOT];
    int64_t len;
    int r;

    if (size < TABLE_HEAD + TABLE_FOOT ||
        read_plain(fd, foot, sizeof(foot), size - TABLE_FOOT) != TABLE_FOOT ||
        get32(foot + 5) != TABLE_MAGIC || foot[4] != 0)
        return -EBADMSG;
    x->n = get32(foot);
    len = TABLE_HEAD + (int64_t)x->n * TABLE_ROW + TABLE_FOOT;
    if (x->n > PACK_FRAMES_MAX || len > size)
        return -EBADMSG;
    table = xmalloc((size_t)len);
    if (read_plain(fd, table, (size_t)len, size - len) != len || get32(table) != SKIP_MAGIC ||
        get32(table + 4) != len - TABLE_HEAD)
        return -EBADMSG;
    r = take_rows(x, table + TABLE_HEAD, (uint64_t)(size - len));
    if (r >= 0)
        *ret = TAKE_PTR(x);
    return r;
}

/* Add the member at *at, which moves on behind it. */
static int take_member(struct log_index *x, int fd, int64_t size)
{
    const struct place *from = &x->at[x->n];
    char head[GZIP_HEAD];
    struct gzip_member m;

    if (x->n == PACK_FRAMES_MAX ||
        read_plain(fd, head, sizeof(head), (int64_t)from->packed) != GZIP_HEAD ||
        gzip_parse(head, &m) < 0 || m.plain == 0 || m.plain > PACK_FRAME ||
        m.packed > 2 * PACK_FRAME || m.packed > (uint64_t)size - from->packed)
        return -EBADMSG;
    if ((x->n & (x->n + 1)) == 0) /* its room doubles */
        x->at = xrealloc(x->at, (2 * (size_t)x->n + 3) * sizeof(*x->at));
    x->at[x->n + 1] = (struct place){x->at[x->n].packed + m.packed, x->at[x->n].plain + m.plain};
    x->n++;
    return 0;
}

static int read_members(int fd, int64_t size, struct log_index **ret)
{
    _cleanup_(index_freep) struct log_index *x = xcalloc(1, sizeof(*x));

    x->gzip = true;
    x->at = xcalloc(1, sizeof(*x->at));
    while (x->at[x->n].packed < (uint64_t)size) {
        int r = take_member(x, fd, size);

        if (r < 0)
            return r;
    }
    x->held = x->n;
    *ret = TAKE_PTR(x);
    return 0;
}

static struct log_index *empty_index(void)
{
    struct log_index *x = xcalloc(1, sizeof(*x));

    x->at = xcalloc(1, sizeof(*x->at));
    return x;
}

int log_file_use(struct log_file *f, int fd)
{
    char magic[4] = "";
    struct stat st;
    bool gzip, zstandard;
    int r = 0;

    log_file_done(f);
    f->fd = fd;
    if (fd < 0 || read_plain(fd, magic, sizeof(magic), 0) != sizeof(magic))
        return 0;
    gzip = (get32(magic) & 0xffff) == GZIP_MAGIC;
    zstandard = get32(magic) == FRAME_MAGIC;
    if ((gzip || zstandard) && fstat(fd, &st) < 0)
        r = -errno;
    else if (gzip || zstandard)
        r = (gzip ? read_members : read_index)(fd, st.st_size, &f->index);
    if (r < 0)
        f->index = empty_index();
    return r;
}

void log_file_done(struct log_file *f)
{
    f->fd = fd_close(f->fd);
    index_free(TAKE_PTR(f->index));
}

int64_t log_file_size(const struct log_file *f)
{
    struct stat st;

    if (f->index)
        return (int64_t)f->index->at[f->index->n].plain;
    return fstat(f->fd, &st) < 0 ? 0 : st.st_size;
}

static int unpack(const struct log_index *x, size_t packed, size_t plain)
{
    struct gzip_member m = {(uint32_t)packed, (uint32_t)plain, 0};

    if (x->gzip)
        return gzip_unpack(&m, x->packed, x->frame);
    return zstd.decompress(x->frame, PACK_FRAME, x->packed, packed) == plain ? 0 : -EBADMSG;
}

/* Decode frame i. */
static int hold(struct log_file *f, uint32_t i)
{
    struct log_index *x = f->index;
    const struct place *p = &x->at[i];
    size_t packed = p[1].packed - p->packed, plain = p[1].plain - p->plain;
    int r = x->gzip ? gzip_need_library() : need_library();

    if (x->held == i || r < 0)
        return r;
    if (!x->frame) {
        x->frame = xmalloc(PACK_FRAME);
        x->packed = xmalloc(2 * PACK_FRAME);
    }
    x->held = x->n;
    if (read_plain(f->fd, x->packed, packed, (int64_t)p->packed) != (ssize_t)packed ||
        unpack(x, packed, plain) < 0)
        return -EBADMSG;
    x->held = i;
    return 0;
}

/* The frame with this byte, which there is. */
static uint32_t frame_of(const struct log_index *x, uint64_t offset)
{
    uint32_t low = 0, high = x->n;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (x->at[middle].plain <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

ssize_t log_file_read(struct log_file *f, void *data, size_t len, int64_t offset)
{
    struct log_index *x = f->index;
    uint64_t at = (uint64_t)offset, end;
    size_t done = 0;

    if (!x)
        return read_plain(f->fd, data, len, offset);
    end = x->at[x->n].plain;
    while (done < len && at < end) {
        uint32_t i = frame_of(x, at);
        uint64_t n = x->at[i + 1].plain - at;
        int r = hold(f, i);

        if (r < 0)
            return r;
        n = n < len - done ? n : len - done;
        memcpy((char *)data + done, x->frame + (at - x->at[i].plain), n);
        done += n;
        at += n;
    }
    return (ssize_t)done;
}

/* ---- packing ---- */

static void put32(struct buf *b, uint32_t v)
{
    v = htole32(v);
    buf_append(b, &v, sizeof(v));
}

/* Frames to out, a row for each to rows. */
static int pack_frames(int in, int out, struct buf *rows)
{
    size_t room = zstd.compressBound(PACK_FRAME);
    _cleanup_free_ char *plain = xmalloc(PACK_FRAME), *packed = xmalloc(room);
    ssize_t n;
    int r = 0;

    for (int64_t at = 0; r >= 0 && (n = read_plain(in, plain, PACK_FRAME, at)) != 0; at += n) {
        size_t len;

        if (n < 0)
            return (int)n;
        if (buf_size(rows) / TABLE_ROW == PACK_FRAMES_MAX)
            return -EFBIG;
        len = zstd.compress(packed, room, plain, (size_t)n, LEVEL);
        if (zstd.isError(len))
            return -EIO;
        put32(rows, (uint32_t)len);
        put32(rows, (uint32_t)n);
        r = fd_write_all(out, packed, len);
    }
    return r;
}

int log_file_gzip(int in, int out, uint64_t origin)
{
    size_t room = gzip_room(PACK_FRAME);
    _cleanup_free_ char *plain = xmalloc(PACK_FRAME), *packed = xmalloc(room);
    int r = gzip_need_library();
    ssize_t n;

    for (int64_t at = 0; r >= 0; at += n) {
        n = read_plain(in, plain, PACK_FRAME, at);
        if (n <= 0)
            return (int)n;
        r = gzip_pack(packed, room, plain, (size_t)n, origin);
        if (r >= 0)
            r = fd_write_all(out, packed, (size_t)r);
    }
    return r;
}

static int write_packed(int in, int out)
{
    _cleanup_buf_ struct buf rows = {0}, table = {0};
    int r = pack_frames(in, out, &rows);

    if (r < 0)
        return r;
    put32(&table, SKIP_MAGIC);
    put32(&table, (uint32_t)buf_size(&rows) + TABLE_FOOT);
    buf_append(&table, buf_head(&rows), buf_size(&rows));
    put32(&table, (uint32_t)(buf_size(&rows) / TABLE_ROW));
    buf_append(&table, "", 1);
    put32(&table, TABLE_MAGIC);
    return fd_write_all(out, buf_head(&table), buf_size(&table));
}

static int replace(int dirfd, const char *name, const char *temporary, int in)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    _cleanup_close_ int out = openat(dirfd, temporary, flags, 0640);
    struct stat st;
    int r;

    if (out < 0 || fstat(in, &st) < 0)
        return -errno;
    r = write_packed(in, out);
    if (r < 0)
        return r;
    if (futimens(out, (struct timespec[]){st.st_mtim, st.st_mtim}) < 0 || fdatasync(out) < 0 ||
        renameat(dirfd, temporary, dirfd, name) < 0)
        return -errno;
    return 0;
}

int log_file_pack(int dirfd, const char *name, const char *temporary, struct err *reterr)
{
    _cleanup_close_ int in = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char magic[4] = "";
    int r = in < 0 ? -errno : need_library();

    if (r == -ELIBACC)
        return err_set(reterr, ERR_UNAVAILABLE, -r, "logs stay as they are: no " LIBRARY);
    if (r < 0)
        return err_sys(reterr, -r, "cannot pack %s", name);
    /* An empty file has no frame by which it could be told. */
    if (read_plain(in, magic, sizeof(magic), 0) <= 0 || get32(magic) == FRAME_MAGIC)
        return 0;
    r = replace(dirfd, name, temporary, in);
    if (r < 0) {
        unlinkat(dirfd, temporary, 0);
        return err_sys(reterr, -r, "cannot pack %s", name);
    }
    return 0;
}
