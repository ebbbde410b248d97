#include "loggzip.h"

#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "mem.h"
#include "symbols.h"

#define LIBRARY "libz.so.1"
#define LEVEL 6      /* gzip(1)'s, and dockerd's */
#define RAW (-15)    /* deflate without a head: that is ours */
#define MEMORY 8     /* zlib's default */
#define EXTRA_LEN 20 /* the extra field: its subfield's id, length and 16 bytes */
#define SUBFIELD_LEN 16

/* ID1 ID2, deflate, FEXTRA, no time, nothing special, unknown system; length of the extra field,
 * our subfield and its length. */
static const unsigned char head_begin[16] = {
    0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, EXTRA_LEN, 0, 'C', 'L', SUBFIELD_LEN, 0};

static struct {
    int (*deflateInit2_)(z_streamp, int, int, int, int, int, const char *, int);
    int (*deflate)(z_streamp, int);
    int (*deflateEnd)(z_streamp);
    int (*inflateInit2_)(z_streamp, int, const char *, int);
    int (*inflate)(z_streamp, int);
    int (*inflateEnd)(z_streamp);
    uLong (*crc32)(uLong, const Bytef *, uInt);
} zlib;

#define MEMBER(name)                                                                               \
    {                                                                                              \
#name, offsetof(typeof(zlib), name)                                                        \
    }

static const struct symbol members[] = {MEMBER(deflateInit2_), MEMBER(deflate), MEMBER(deflateEnd),
                                        MEMBER(inflateInit2_), MEMBER(inflate), MEMBER(inflateEnd),
                                        MEMBER(crc32)};

static bool loaded;

static void load(void)
{
    void *lib = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);

    loaded = lib && !symbols_load(lib, members, ARRAY_SIZE(members), &zlib);
}

int gzip_need_library(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return loaded ? 0 : -ELIBACC;
}

static void put32(char *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static uint32_t get32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

/* What cannot be packed grows by five bytes in 16 KiB, zlib's technical notes say. */
size_t gzip_room(size_t plain)
{
    return GZIP_HEAD + GZIP_TAIL + plain + plain / 1024 + 64;
}

int gzip_pack(char *out, size_t room, const void *plain, size_t len, uint64_t origin)
{
    z_stream z = {.next_in = (Bytef *)plain,
                  .avail_in = (uInt)len,
                  .next_out = (Bytef *)out + GZIP_HEAD,
                  .avail_out = (uInt)(room - GZIP_HEAD - GZIP_TAIL)};
    bool whole;
    char *end;

    if (zlib.deflateInit2_(&z, LEVEL, Z_DEFLATED, RAW, MEMORY, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                           (int)sizeof(z)) != Z_OK)
        return -EIO;
    whole = zlib.deflate(&z, Z_FINISH) == Z_STREAM_END;
    zlib.deflateEnd(&z);
    if (!whole)
        return -EIO;
    end = (char *)z.next_out;
    put32(end, (uint32_t)zlib.crc32(0, plain, (uInt)len));
    put32(end + 4, (uint32_t)len);
    memcpy(out, head_begin, sizeof(head_begin));
    put32(out + 16, (uint32_t)(end + GZIP_TAIL - out));
    put32(out + 20, (uint32_t)len);
    put32(out + 24, (uint32_t)origin);
    put32(out + 28, (uint32_t)(origin >> 32));
    return (int)(end + GZIP_TAIL - out);
}

int gzip_parse(const char head[GZIP_HEAD], struct gzip_member *ret)
{
    if (memcmp(head, head_begin, sizeof(head_begin)) != 0)
        return -EBADMSG;
    *ret = (struct gzip_member){get32(head + 16), get32(head + 20),
                                get32(head + 24) | (uint64_t)get32(head + 28) << 32};
    return ret->packed > GZIP_HEAD + GZIP_TAIL ? 0 : -EBADMSG;
}

int gzip_unpack(const struct gzip_member *m, const char *data, void *out)
{
    const char *tail = data + m->packed - GZIP_TAIL;
    z_stream z = {.next_in = (Bytef *)data + GZIP_HEAD,
                  .avail_in = m->packed - GZIP_HEAD - GZIP_TAIL,
                  .next_out = out,
                  .avail_out = m->plain};
    bool whole;

    if (zlib.inflateInit2_(&z, RAW, ZLIB_VERSION, (int)sizeof(z)) != Z_OK)
        return -EBADMSG;
    whole = zlib.inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_out == 0;
    zlib.inflateEnd(&z);
    return whole && get32(tail + 4) == m->plain && get32(tail) == zlib.crc32(0, out, m->plain)
               ? 0
               : -EBADMSG;
}
