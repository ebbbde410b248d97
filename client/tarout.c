#include "tarout.h"

#include <stdio.h>
#include <string.h>

#include "str.h"

/* pax(1), "ustar Interchange Format". */
struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[8], user[32], group[32], major[8], minor[8], prefix[155], fill[12];
};

_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a header is one block");

#define ID_MAX 07777777
#define SIZE_MAX_USTAR INT64_C(077777777777)

static void put_octal(char *field, size_t room, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%0*llo", (int)room - 1, (long long)value);
    memcpy(field, text, room - 1); /* NUL stays behind it */
}

static void put_block(struct buf *out, const struct tar_entry *e, char type, int64_t size)
{
    struct ustar h = {.type = type};
    const unsigned char *bytes = (const unsigned char *)&h;
    unsigned sum = 0;
    bool dir = type == '5';

    /* What does not fit is in the pax header before. */
    snprintf(h.name, sizeof(h.name), "%.*s%s", (int)sizeof(h.name) - 2, e->path, dir ? "/" : "");
    if (e->target)
        memcpy(h.link, e->target, strnlen(e->target, sizeof(h.link)));
    put_octal(h.mode, sizeof(h.mode), e->mode & 07777);
    put_octal(h.uid, sizeof(h.uid), e->uid > ID_MAX ? 0 : e->uid);
    put_octal(h.gid, sizeof(h.gid), e->gid > ID_MAX ? 0 : e->gid);
    put_octal(h.size, sizeof(h.size), size > SIZE_MAX_USTAR ? 0 : size);
    put_octal(h.mtime, sizeof(h.mtime), e->mtime < 0 || e->mtime > SIZE_MAX_USTAR ? 0 : e->mtime);
    memcpy(h.magic, "ustar\00000", sizeof(h.magic));
    memset(h.checksum, ' ', sizeof(h.checksum));
    for (size_t i = 0; i < sizeof(h); i++)
        sum += bytes[i];
    put_octal(h.checksum, sizeof(h.checksum) - 1, sum);
    buf_append(out, &h, sizeof(h));
}

/* "LENGTH key=value\n", where the length counts itself. */
static void put_record(struct buf *out, const char *key, const void *value, size_t len)
{
    size_t rest = strlen(key) + len + 3, total = rest + 1;
    char text[32];

    while (rest + (size_t)snprintf(text, sizeof(text), "%zu", total) != total)
        total = rest + strlen(text);
    buf_printf(out, "%zu %s=", total, key);
    buf_append(out, value, len);
    buf_append(out, "\n", 1);
}

static void put_number(struct buf *out, const char *key, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    put_record(out, key, text, strlen(text));
}

static void put_pax(struct buf *out, const struct tar_entry *e, int64_t size)
{
    static const char path[] = "././@PaxHeader";
    struct tar_entry pax = {.path = path, .mode = 0644};
    _cleanup_buf_ struct buf records = {0};

    if (strlen(e->path) > sizeof(((struct ustar *)0)->name) - 2)
        put_record(&records, "path", e->path, strlen(e->path));
    if (e->target && strlen(e->target) > sizeof(((struct ustar *)0)->link))
        put_record(&records, "linkpath", e->target, strlen(e->target));
    if (e->uid > ID_MAX)
        put_number(&records, "uid", e->uid);
    if (e->gid > ID_MAX)
        put_number(&records, "gid", e->gid);
    if (size > SIZE_MAX_USTAR)
        put_number(&records, "size", size);
    if (e->capability)
        put_record(&records, "SCHILY.xattr.security.capability", e->capability, e->capability_len);
    if (buf_size(&records) == 0)
        return;
    put_block(out, &pax, 'x', (int64_t)buf_size(&records));
    buf_append(out, buf_head(&records), buf_size(&records));
    tar_pad(out, (int64_t)buf_size(&records));
}

void tar_header(struct buf *out, const struct tar_entry *e)
{
    char type = S_ISDIR(e->mode) ? '5' : S_ISLNK(e->mode) ? '2' : e->hard ? '1' : '0';
    int64_t size = type == '0' ? e->size : 0;

    put_pax(out, e, size);
    put_block(out, e, type, size);
}

void tar_pad(struct buf *out, int64_t size)
{
    static const char zeros[TAR_BLOCK];

    buf_append(out, zeros, (size_t)(-size & (TAR_BLOCK - 1)));
}

void tar_end(struct buf *out)
{
    static const char zeros[2 * TAR_BLOCK];

    buf_append(out, zeros, sizeof(zeros));
}
