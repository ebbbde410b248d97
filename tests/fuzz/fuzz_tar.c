/* The tar of a container's files as the client reads it. */
#include "fuzz.h"
#include "tar.h"

struct input {
    const char *data;
    size_t len, step;
};

static int feed(void *arg, struct buf *in, struct err *reterr)
{
    struct input *i = arg;
    size_t n = i->len < i->step ? i->len : i->step;

    (void)reterr;
    buf_append(in, i->data, n);
    i->data += n;
    i->len -= n;
    return n > 0;
}

/* The same archive gives the same entries, in whatever pieces it comes. */
static uint64_t read_all(const char *data, size_t size, size_t step)
{
    struct input in = {data, size, step};
    struct tar_reader t = {.fill = feed, .arg = &in};
    uint64_t seen = 0;
    struct err err;
    int r = 1;

    while (r > 0) {
        _cleanup_tar_entry_ struct tar_entry e = {0};
        const char *piece;
        ssize_t n = 0;

        r = tar_next(&t, &e, &err);
        if (r > 0)
            seen += strlen(e.name) + strlen(e.link) + (unsigned char)e.type;
        while (r > 0 && (n = tar_data(&t, &piece, &err)) > 0)
            seen += (uint64_t)n;
    }
    promise(t.total <= (int64_t)size);
    tar_reader_done(&t);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole = read_all((const char *)data, size, size ? size : 1);

    promise(read_all((const char *)data, size, 300) == whole);
    return 0;
}
