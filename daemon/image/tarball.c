#include "tarball.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "fd.h"
#include "mem.h"

#define BLOCK 512
#define OCTAL_MAX 077777777777 /* what 11 digits hold: 8 GiB - 1 */

struct piece {
    char *data; /* owned; NULL: of fd */
    int fd;     /* owned */
    int64_t len;
};

struct tarball {
    struct piece *pieces; /* owned */
    size_t n, room;
    int64_t size;
    size_t at; /* piece being sent */
    int64_t offset;
};

/* POSIX ustar (pax(1)); numbers that do not fit are base-256, as GNU tar writes them. */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};

_Static_assert(sizeof(struct header) == BLOCK, "tar header");

struct tarball *tarball_new(void)
{
    return xcalloc(1, sizeof(struct tarball));
}

void tarball_free(struct tarball *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++) {
        free(t->pieces[i].data);
        fd_close(t->pieces[i].fd);
    }
    free(t->pieces);
    free(t);
}

static void add(struct tarball *t, char *data, int fd, int64_t len)
{
    if (t->n == t->room) {
        t->room = t->room ? t->room * 2 : 32;
        t->pieces = xrealloc(t->pieces, t->room * sizeof(*t->pieces));
    }
    t->pieces[t->n++] = (struct piece){data, fd, len};
    t->size += len;
}

static void put_size(char field[12], int64_t size)
{
    if (size <= OCTAL_MAX) {
        snprintf(field, 12, "%011llo", (unsigned long long)size);
        return;
    }
    for (int i = 11; i > 0; i--, size >>= 8)
        field[i] = (char)(size & 0xff);
    field[0] = (char)0x80;
}

static void fill_header(struct header *h, const char *name, char type, unsigned mode, int64_t size)
{
    unsigned sum = 0;

    assert(strlen(name) <= TARBALL_NAME_MAX);
    memcpy(h->name, name, strlen(name));
    snprintf(h->mode, sizeof(h->mode), "%07o", mode);
    memcpy(h->uid, "0000000", 8);
    memcpy(h->gid, "0000000", 8);
    put_size(h->size, size);
    memcpy(h->mtime, "00000000000", 12);
    h->type = type;
    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    memset(h->checksum, ' ', sizeof(h->checksum));
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += ((unsigned char *)h)[i];
    snprintf(h->checksum, sizeof(h->checksum), "%06o", sum);
}

static int64_t padding(int64_t size)
{
    return (BLOCK - size % BLOCK) % BLOCK;
}

void tarball_add_dir(struct tarball *t, const char *name)
{
    struct header *h = xcalloc(1, sizeof(*h));

    fill_header(h, name, '5', 0755, 0);
    add(t, (char *)h, -EBADF, BLOCK);
}

void tarball_add_data(struct tarball *t, const char *name, const void *data, size_t len)
{
    size_t all = BLOCK + len + (size_t)padding((int64_t)len);
    char *p = xcalloc(1, all);

    fill_header((struct header *)p, name, '0', 0644, (int64_t)len);
    memcpy(p + BLOCK, data, len);
    add(t, p, -EBADF, (int64_t)all);
}

void tarball_add_file(struct tarball *t, const char *name, int fd, int64_t size)
{
    struct header *h = xcalloc(1, sizeof(*h));

    fill_header(h, name, '0', 0644, size);
    add(t, (char *)h, -EBADF, BLOCK);
    add(t, NULL, fd, size);
    if (padding(size))
        add(t, xcalloc(1, BLOCK), -EBADF, padding(size));
}

void tarball_end(struct tarball *t)
{
    add(t, xcalloc(2, BLOCK), -EBADF, INT64_C(2) * BLOCK);
}

int64_t tarball_size(const struct tarball *t)
{
    return t->size;
}

/* Bytes of the current piece, or negative errno. */
static ssize_t send_piece(const struct piece *p, int64_t offset, int sock, int64_t max)
{
    size_t len = (size_t)(p->len - offset < max ? p->len - offset : max);
    off_t from = (off_t)offset;
    ssize_t n = p->data ? send(sock, p->data + offset, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                        : sendfile(sock, p->fd, &from, len);

    if (n < 0)
        return -errno;
    /* A file that is shorter than its record: the archive cannot be finished. */
    return n == 0 ? -EIO : n;
}

int tarball_send(struct tarball *t, int sock, int64_t max)
{
    while (t->at < t->n) {
        const struct piece *p = &t->pieces[t->at];
        ssize_t n =
            t->offset < p->len ? max > 0 ? send_piece(p, t->offset, sock, max) : -EAGAIN : 0;

        if (n == -EINTR)
            continue;
        if (n < 0)
            return (int)n;
        t->offset += n;
        max -= n;
        if (t->offset == p->len) {
            t->at++;
            t->offset = 0;
        }
    }
    return 0;
}
