#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "fd.h"

#define ALIGN8(n) (((n) + 7) & ~(size_t)7)

static bool has_blob(unsigned code)
{
    return code == PLAN_CGROUP_BPF || code == PLAN_SECCOMP;
}

static int check_op(const struct plan_op *op, size_t left)
{
    const char *p, *end;

    if (left < sizeof(*op) || op->size < sizeof(*op) || op->size > left || op->size % 8)
        return -EINVAL;
    p = op->data;
    end = (const char *)op + op->size;
    for (unsigned i = 0; i < op->strings; i++) {
        const char *nul = memchr(p, '\0', (size_t)(end - p));

        if (!nul)
            return -EINVAL;
        p = nul + 1;
    }
    if (has_blob(op->code)) {
        p = plan_blob(op);
        if (p > end || op->arg[0] > (uint64_t)(end - p))
            return -EINVAL;
    }
    return 0;
}

int plan_check(const void *data, size_t size)
{
    const struct plan_header *h = data;
    const char *p = data;
    size_t left;

    if (size < sizeof(*h) || h->magic != PLAN_MAGIC || h->version != PLAN_VERSION ||
        h->size != size || size > PLAN_SIZE_MAX)
        return -EINVAL;
    p += sizeof(*h);
    left = size - sizeof(*h);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct plan_op *op = (const void *)p;

        if (check_op(op, left) < 0)
            return -EINVAL;
        p += op->size;
        left -= op->size;
    }
    return left == 0 ? 0 : -EINVAL;
}

const struct plan_op *plan_next(const void *data, const struct plan_op *op)
{
    const struct plan_header *h = data;
    const char *next = op ? (const char *)op + op->size : (const char *)(h + 1);

    return next < (const char *)data + h->size ? (const void *)next : NULL;
}

const struct plan_op *plan_find(const void *data, const struct plan_op *op, unsigned code)
{
    while ((op = plan_next(data, op))) {
        if (op->code == code)
            return op;
    }
    return NULL;
}

const char *plan_str(const struct plan_op *op, unsigned i)
{
    const char *p = op->data;

    if (i >= op->strings)
        return "";
    while (i-- > 0)
        p += strlen(p) + 1;
    return p;
}

const void *plan_blob(const struct plan_op *op)
{
    const char *p = op->data;

    for (unsigned i = 0; i < op->strings; i++)
        p += strlen(p) + 1;
    return (const char *)op + ALIGN8((size_t)(p - (const char *)op));
}

void plan_done(struct plan *p)
{
    buf_done(&p->buf);
    p->count = 0;
}

/* Appends the fixed part and returns its offset; finish_op() completes it. */
static size_t begin_op(struct plan *p, unsigned code, const uint64_t arg[4])
{
    struct plan_op op = {.code = (uint16_t)code};
    size_t at = p->buf.len;

    memcpy(op.arg, arg, sizeof(op.arg));
    buf_append(&p->buf, &op, sizeof(op));
    return at;
}

static void pad8(struct plan *p, size_t at)
{
    static const char zeros[8];

    buf_append(&p->buf, zeros, ALIGN8(p->buf.len - at) - (p->buf.len - at));
}

static void finish_op(struct plan *p, size_t at, size_t strings)
{
    struct plan_op op;

    pad8(p, at);
    memcpy(&op, p->buf.data + at, sizeof(op));
    op.strings = (uint16_t)strings;
    op.size = (uint32_t)(p->buf.len - at);
    memcpy(p->buf.data + at, &op, sizeof(op));
    p->count++;
}

void plan_add(struct plan *p, unsigned code, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
              ...)
{
    size_t at = begin_op(p, code, (uint64_t[]){a0, a1, a2, a3}), n = 0;
    const char *s;
    va_list ap;

    va_start(ap, a3);
    while ((s = va_arg(ap, const char *))) {
        buf_append(&p->buf, s, strlen(s) + 1);
        n++;
    }
    va_end(ap);
    finish_op(p, at, n);
}

/* The string counter has 16 bits: longer lists are split into several operations. */
void plan_add_strv(struct plan *p, unsigned code, uint64_t a0, char *const *strings)
{
    do {
        size_t at = begin_op(p, code, (uint64_t[]){a0, 0, 0, 0}), n = 0;

        for (; strings && *strings && n < UINT16_MAX; strings++, n++)
            buf_append(&p->buf, *strings, strlen(*strings) + 1);
        finish_op(p, at, n);
    } while (strings && *strings);
}

void plan_add_blob(struct plan *p, unsigned code, const void *data, size_t len, uint64_t a1,
                   const char *s0)
{
    size_t at = begin_op(p, code, (uint64_t[]){len, a1, 0, 0});

    if (s0)
        buf_append(&p->buf, s0, strlen(s0) + 1);
    pad8(p, at);
    buf_append(&p->buf, data, len);
    finish_op(p, at, s0 ? 1 : 0);
}

int plan_memfd(const struct plan *p)
{
    _cleanup_close_ int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct plan_header h = {.magic = PLAN_MAGIC, .version = PLAN_VERSION, .count = p->count};
    int r;

    if (fd < 0)
        return -errno;
    if (buf_size(&p->buf) > PLAN_SIZE_MAX - sizeof(h))
        return -E2BIG;
    h.size = (uint32_t)(sizeof(h) + buf_size(&p->buf));
    r = fd_write_all(fd, &h, sizeof(h));
    if (r >= 0)
        r = fd_write_all(fd, p->buf.data, p->buf.len);
    if (r >= 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        r = -errno;
    return r < 0 ? r : TAKE_FD(fd);
}
