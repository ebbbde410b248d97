/* A context from a URL: an archive, or a Dockerfile alone. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "build_impl.h"
#include "fd.h"
#include "url_file.h"

#define REMOTE "remote" /* in the stage */
#define SNIFFED 512

/* How archives begin; tar has its name further behind. */
static const struct {
    size_t at;
    const char *bytes;
    size_t len;
} magics[] = {{0, "\x1f\x8b", 2},
              {0, "BZh", 3},
              {0,
               "\xfd"
               "7zXZ",
               5},
              {0, "\x28\xb5\x2f\xfd", 4},
              {257, "ustar", 5}};

static bool is_archive(const char *data, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
        if (magics[i].at + magics[i].len <= len &&
            memcmp(data + magics[i].at, magics[i].bytes, magics[i].len) == 0)
            return true;
    }
    return false;
}

/* What is no archive is the Dockerfile, and all there is. */
static void sniff_run(void *arg)
{
    struct build *b = arg;
    _cleanup_close_ int fd = openat(b->stage.fd, REMOTE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char data[SNIFFED];
    ssize_t n = fd < 0 ? -1 : pread(fd, data, sizeof(data), 0);

    if (n >= 0 && is_archive(data, (size_t)n))
        b->remote_fd = TAKE_FD(fd);
    else if (n < 0 || renameat(b->stage.fd, REMOTE, b->stage.fd, BUILD_CONTEXT "/Dockerfile") < 0)
        err_sys(&b->err, errno, "read the context");
}

static void sniff_after(void *arg)
{
    struct build *b = arg;
    _cleanup_close_ int fd = TAKE_FD(b->remote_fd);
    struct err e = b->err;
    int r = e.kind != ERR_NONE ? -EIO : 0;

    if (!build_release(b))
        return;
    b->err.kind = ERR_NONE;
    if (r >= 0 && fd < 0) {
        json_object_set_new(b->opt, "dockerfile", json_string("Dockerfile"));
        build_read(b);
    } else if (r >= 0) {
        r = build_unpack(b, fd, &e);
    }
    if (r < 0)
        build_fail(b, &e);
}

static void on_progress(void *arg, json_t *obj)
{
    struct build *b = arg;

    if (!build_option(b, "quiet"))
        build_output(b, json_incref(obj));
}

static void on_fetched(void *arg, const struct err *err)
{
    struct build *b = arg;
    struct err e;

    b->fetch = NULL;
    if (!build_release(b))
        return;
    if (err) {
        e = *err;
        err_wrap(&e, "unable to download the context");
        build_fail(b, &e);
        return;
    }
    build_hold(b);
    job_run(b->engine, sniff_run, sniff_after, b);
}

int build_remote(struct build *b, const char *url, struct err *reterr)
{
    struct url_file_callbacks cb = {.arg = b, .progress = on_progress, .done = on_fetched};
    int fd =
        openat(b->stage.fd, REMOTE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_sys(reterr, errno, "create %s", REMOTE);
    b->fetch = url_file_fetch(b->engine->images, url, fd, b->engine->config.build_download_max, &cb,
                              reterr);
    if (!b->fetch)
        return -EINVAL;
    build_hold(b);
    return 0;
}
