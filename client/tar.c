#include "tar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

/* Offsets and sizes of ustar's fields (pax(1p)). */
enum {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_LINK = 157,
    AT_MAGIC = 257,
    AT_MAJOR = 329,
    AT_MINOR = 337,
    AT_PREFIX = 345,
    NAME_SIZE = 100,
    PREFIX_SIZE = 155,
    SMALL = 8,  /* mode, ids, device numbers */
    LARGE = 12, /* size, time */
};

void tar_entry_done(struct tar_entry *e)
{
    free(e->name);
    free(e->link);
    *e = (struct tar_entry){0};
}

/* ---- writing ---- */

/* false if it does not fit. */
static bool put_octal(char *at, size_t size, int64_t value)
{
    if (value < 0 || value >= 1LL << (3 * (size - 1)))
        return false;
    snprintf(at, size, "%0*llo", (int)size - 1, (unsigned long long)value);
    return true;
}

static void put_text(char *at, size_t size, const char *text)
{
    memcpy(at, text, strnlen(text, size));
}

static void seal(char block[TAR_BLOCK])
{
    unsigned sum = 0;

    memcpy(block + AT_MAGIC, "ustar\00000", 8);
    memset(block + AT_SUM, ' ', SMALL);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += (unsigned char)block[i];
    snprintf(block + AT_SUM, 7, "%06o", sum);
}

static unsigned digits(size_t n)
{
    unsigned d = 1;

    while (n >= 10) {
        n /= 10;
        d++;
    }
    return d;
}

/* "LENGTH KEY=VALUE\n", where the length counts itself. */
static void pax_add(struct buf *pax, const char *key, const void *value, size_t len)
{
    size_t rest = strlen(key) + len + 3, n = rest + digits(rest);

    if (digits(n) > digits(rest))
        n++;
    buf_printf(pax, "%zu %s=", n, key);
    buf_append(pax, value, len);
    buf_append(pax, "\n", 1);
}

static void pax_add_number(struct buf *pax, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    pax_add(pax, key, text, strlen(text));
}

static void put_number(struct buf *pax, char *at, size_t size, const char *key, int64_t value)
{
    if (put_octal(at, size, value))
        return;
    put_octal(at, size, 0);
    pax_add_number(pax, key, value);
}

static void append_pax(struct buf *out, const struct buf *pax)
{
    char block[TAR_BLOCK] = "PaxHeaders/entry", zeros[TAR_BLOCK] = {0};

    put_octal(block + AT_MODE, SMALL, 0644);
    put_octal(block + AT_UID, SMALL, 0);
    put_octal(block + AT_GID, SMALL, 0);
    put_octal(block + AT_SIZE, LARGE, (int64_t)buf_size(pax));
    put_octal(block + AT_MTIME, LARGE, 0);
    block[AT_TYPE] = 'x';
    seal(block);
    buf_append(out, block, sizeof(block));
    buf_append(out, buf_head(pax), buf_size(pax));
    buf_append(out, zeros, tar_padding((int64_t)buf_size(pax)));
}

void tar_put_header(struct buf *out, const struct tar_entry *e)
{
    _cleanup_buf_ struct buf pax = {0};
    char block[TAR_BLOCK] = {0};

    put_text(block + AT_NAME, NAME_SIZE, e->name);
    if (strlen(e->name) > NAME_SIZE)
        pax_add(&pax, "path", e->name, strlen(e->name));
    put_text(block + AT_LINK, NAME_SIZE, e->link ? e->link : "");
    if (e->link && strlen(e->link) > NAME_SIZE)
        pax_add(&pax, "linkpath", e->link, strlen(e->link));
    put_octal(block + AT_MODE, SMALL, e->mode & 07777);
    put_number(&pax, block + AT_UID, SMALL, "uid", e->uid);
    put_number(&pax, block + AT_GID, SMALL, "gid", e->gid);
    put_number(&pax, block + AT_SIZE, LARGE, "size", e->size);
    put_number(&pax, block + AT_MTIME, LARGE, "mtime", e->mtime);
    put_octal(block + AT_MAJOR, SMALL, e->major);
    put_octal(block + AT_MINOR, SMALL, e->minor);
    if (e->capability_len > 0)
        pax_add(&pax, "SCHILY.xattr.security.capability", e->capability, e->capability_len);
    block[AT_TYPE] = e->type;
    seal(block);
    if (buf_size(&pax) > 0)
        append_pax(out, &pax);
    buf_append(out, block, sizeof(block));
}

void tar_pad(struct buf *out, int64_t size)
{
    static const char zeros[TAR_BLOCK];

    buf_append(out, zeros, tar_padding(size));
}

void tar_end(struct buf *out)
{
    static const char zeros[2 * TAR_BLOCK];

    buf_append(out, zeros, sizeof(zeros));
}

/* ---- reading ---- */

void tar_reader_done(struct tar_reader *t)
{
    buf_done(&t->in);
}

static int malformed(struct err *reterr)
{
    return err_set(reterr, ERR_SYSTEM, EBADMSG, "invalid tar header");
}

/* 1 when n bytes are there, 0 if there is not one more, else an error. */
static int need(struct tar_reader *t, size_t n, struct err *reterr)
{
    while (buf_size(&t->in) < n) {
        int r = t->fill(t->arg, &t->in, reterr);

        if (r < 0)
            return r;
        if (r == 0 && buf_size(&t->in) == 0)
            return 0;
        if (r == 0)
            return err_set(reterr, ERR_SYSTEM, EPIPE, "unexpected EOF");
    }
    return 1;
}

static void consume(struct tar_reader *t, size_t n)
{
    buf_consume(&t->in, n);
    t->total += (int64_t)n;
}

ssize_t tar_data(struct tar_reader *t, const char **ret, struct err *reterr)
{
    size_t n;
    int r;

    if (t->left == 0)
        return 0;
    r = need(t, 1, reterr);
    if (r <= 0)
        return r < 0 ? r : err_set(reterr, ERR_SYSTEM, EPIPE, "unexpected EOF");
    n = buf_size(&t->in);
    n = (int64_t)n < t->left ? n : (size_t)t->left;
    /* Consumed bytes stay where they are until the buffer is filled again. */
    *ret = buf_head(&t->in);
    consume(t, n);
    t->left -= (int64_t)n;
    return (ssize_t)n;
}

static int skip(struct tar_reader *t, struct err *reterr)
{
    const char *data;
    ssize_t n;
    int r;

    while ((n = tar_data(t, &data, reterr)) > 0)
        ;
    if (n < 0 || t->padding == 0)
        return (int)n;
    r = need(t, t->padding, reterr);
    if (r > 0)
        consume(t, t->padding);
    t->padding = 0;
    return r < 0 ? r : 0;
}

/* Octal digits, or GNU's base 256; -1: neither. */
static int64_t get_number(const char *at, size_t size)
{
    uint64_t v = 0;

    if ((unsigned char)*at & 0x80) {
        for (size_t i = 1; i < size; i++) {
            if (v >> 55)
                return -1;
            v = v << 8 | (unsigned char)at[i];
        }
        return (unsigned char)*at == 0x80 ? (int64_t)v : -1;
    }
    while (size > 0 && *at == ' ')
        at++, size--;
    for (; size > 0 && *at >= '0' && *at <= '7'; at++, size--) {
        if (v >> 60)
            return -1;
        v = v << 3 | (uint64_t)(*at - '0');
    }
    return size == 0 || !*at || *at == ' ' ? (int64_t)v : -1;
}

static bool sum_is_right(const char *block)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= AT_SUM && i < AT_SUM + SMALL ? ' ' : (unsigned char)block[i];
    return get_number(block + AT_SUM, SMALL) == (int64_t)sum;
}

static bool is_zero(const char *block)
{
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        if (block[i])
            return false;
    }
    return true;
}

static void set(char **to, const char *from, size_t len)
{
    free(*to);
    *to = xstrndup(from, len);
}

/* What an extension says of the next entry. */
struct extension {
    char *name, *link;
    int64_t size, uid, gid, mtime; /* INT64_MIN: it does not say */
};

static void pax_take(struct extension *x, const char *key, const char *value, size_t len)
{
    const struct {
        const char *key;
        int64_t *to;
    } numbers[] = {{"size", &x->size}, {"uid", &x->uid}, {"gid", &x->gid}, {"mtime", &x->mtime}};

    if (streq(key, "path"))
        set(&x->name, value, len);
    else if (streq(key, "linkpath"))
        set(&x->link, value, len);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        /* A fraction of a second is nothing to us. */
        if (streq(key, numbers[i].key))
            *numbers[i].to = strtoll(value, NULL, 10);
    }
}

static int pax_parse(struct extension *x, char *data, size_t len)
{
    while (len > 0) {
        char *space = memchr(data, ' ', len), *equals;
        size_t n = space ? strtoul(data, NULL, 10) : 0;

        if (n < 5 || n > len || space >= data + n || data[n - 1] != '\n')
            return -EBADMSG;
        equals = memchr(space, '=', (size_t)(data + n - space));
        if (!equals)
            return -EBADMSG;
        *equals = '\0';
        data[n - 1] = '\0';
        pax_take(x, space + 1, equals + 1, (size_t)(data + n - 1 - (equals + 1)));
        data += n;
        len -= n;
    }
    return 0;
}

static int take_extension(struct tar_reader *t, char type, struct extension *x, struct err *reterr)
{
    _cleanup_free_ char *data = NULL;
    size_t size = (size_t)t->left;
    int r;

    if (t->left > TAR_EXTENSION_MAX)
        return malformed(reterr);
    r = need(t, size, reterr);
    if (r <= 0)
        return r < 0 ? r : malformed(reterr);
    data = xmalloc(size + 1);
    memcpy(data, buf_head(&t->in), size);
    data[size] = '\0';
    if (type == 'x' && pax_parse(x, data, size) < 0)
        return malformed(reterr);
    if (type == 'L')
        set(&x->name, data, strlen(data));
    if (type == 'K')
        set(&x->link, data, strlen(data));
    return 0;
}

static char *ustar_name(const char *block)
{
    const char *prefix = block + AT_PREFIX;

    if (memcmp(block + AT_MAGIC, "ustar\0", 6) != 0 || !*prefix)
        return xstrndup(block + AT_NAME, strnlen(block + AT_NAME, NAME_SIZE));
    return xasprintf("%.*s/%.*s", PREFIX_SIZE, prefix, NAME_SIZE, block + AT_NAME);
}

static int64_t either(int64_t extended, int64_t plain)
{
    return extended != INT64_MIN ? extended : plain;
}

static int take_entry(struct tar_reader *t, const char *block, struct extension *x,
                      struct tar_entry *ret, struct err *reterr)
{
    int64_t mode = get_number(block + AT_MODE, SMALL);

    *ret = (struct tar_entry){.type = block[AT_TYPE] ? block[AT_TYPE] : (char)TAR_FILE};
    ret->name = x->name ? TAKE_PTR(x->name) : ustar_name(block);
    ret->link = x->link ? TAKE_PTR(x->link)
                        : xstrndup(block + AT_LINK, strnlen(block + AT_LINK, NAME_SIZE));
    ret->mode = (mode_t)(mode & 07777);
    ret->uid = (uint32_t)either(x->uid, get_number(block + AT_UID, SMALL));
    ret->gid = (uint32_t)either(x->gid, get_number(block + AT_GID, SMALL));
    ret->size = either(x->size, get_number(block + AT_SIZE, LARGE));
    ret->mtime = either(x->mtime, get_number(block + AT_MTIME, LARGE));
    ret->major = (unsigned)get_number(block + AT_MAJOR, SMALL);
    ret->minor = (unsigned)get_number(block + AT_MINOR, SMALL);
    /* Only files have data, whatever a header claims. */
    if (ret->type != TAR_FILE && ret->type != '7')
        ret->size = 0;
    if (ret->size < 0 || mode < 0 || !*ret->name) {
        tar_entry_done(ret);
        return malformed(reterr);
    }
    t->left = ret->size;
    t->padding = tar_padding(ret->size);
    return 1;
}

static int read_header(struct tar_reader *t, char block[TAR_BLOCK], struct err *reterr)
{
    int r = need(t, TAR_BLOCK, reterr);

    if (r <= 0)
        return r;
    memcpy(block, buf_head(&t->in), TAR_BLOCK);
    consume(t, TAR_BLOCK);
    if (is_zero(block))
        return 0;
    return sum_is_right(block) ? 1 : malformed(reterr);
}

/* To the end of the input, for the count and so that the sender is not cut off. */
static int finish(struct tar_reader *t, struct err *reterr)
{
    int r;

    do {
        consume(t, buf_size(&t->in));
        r = t->fill(t->arg, &t->in, reterr);
    } while (r > 0);
    return r;
}

int tar_next(struct tar_reader *t, struct tar_entry *ret, struct err *reterr)
{
    struct extension x = {
        .size = INT64_MIN, .uid = INT64_MIN, .gid = INT64_MIN, .mtime = INT64_MIN};
    char block[TAR_BLOCK];
    bool extended = false;
    int r;

    while ((r = skip(t, reterr)) >= 0 && (r = read_header(t, block, reterr)) > 0) {
        char type = block[AT_TYPE];

        if (!memchr("xgLK", type, 4)) {
            r = take_entry(t, block, &x, ret, reterr);
            break;
        }
        extended = true;
        t->left = get_number(block + AT_SIZE, LARGE);
        t->padding = t->left < 0 ? 0 : tar_padding(t->left);
        r = t->left < 0 ? malformed(reterr) : take_extension(t, type, &x, reterr);
        if (r < 0)
            break;
    }
    free(x.name);
    free(x.link);
    if (r == 0 && extended)
        return malformed(reterr);
    return r == 0 ? finish(t, reterr) : r;
}
