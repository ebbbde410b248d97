/* Messages to a shim that has not read those before: they wait here, in their order, until its
 * socket takes more. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fd.h"
#include "private.h"

/* Behind what the socket holds, some 200.  An operator's signal is taken where nothing else is. */
#define POSTS_MAX 256
#define SIGNALS_MAX 64

struct shim_post {
    struct shim_post *next;
    struct shim_msg m;
    int fds[FD_PASS_MAX]; /* owned */
    size_t n;
};

static void post_free(struct shim_post *p)
{
    while (p->n > 0)
        fd_close(p->fds[--p->n]);
    free(p);
}

void shim_posts_free(struct shim_conn *s)
{
    while (s->posts) {
        struct shim_post *p = s->posts;

        s->posts = p->next;
        post_free(p);
    }
    s->n_posts = 0;
}

static int copy_fds(struct shim_post *p, const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

        if (fd < 0)
            return -errno;
        p->fds[p->n++] = fd;
    }
    return 0;
}

/* Of the sizes of a terminal that nobody has looked at yet the last one counts. */
static bool replaces(const struct shim_post *last, const struct shim_msg *m)
{
    return last && m->type == SHIM_RESIZE && last->m.type == SHIM_RESIZE &&
           streq(last->m.exec_id, m->exec_id);
}

static int wait_in_line(struct shim_conn *s, const struct shim_msg *m, const int *fds, size_t n)
{
    struct shim_post *last = s->posts, *p;
    int r;

    while (last && last->next)
        last = last->next;
    if (replaces(last, m)) {
        last->m.resize = m->resize;
        return 0;
    }
    if (s->n_posts >= POSTS_MAX + (m->type == SHIM_SIGNAL ? SIGNALS_MAX : 0))
        return -EAGAIN;
    p = xcalloc(1, sizeof(*p));
    p->m = *m;
    r = n > FD_PASS_MAX ? -EINVAL : copy_fds(p, fds, n);
    if (r < 0) {
        post_free(p);
        return r;
    }
    *(last ? &last->next : &s->posts) = p;
    s->n_posts++;
    return 0;
}

int shim_post(struct container *c, const struct shim_msg *m, const int *fds, size_t n)
{
    int r = c->shim.fd < 0 ? -EPIPE : c->shim.posts ? -EAGAIN : shim_send(c->shim.fd, m, fds, n);

    if (r != -EAGAIN || !c->shim.poll)
        return r;
    r = wait_in_line(&c->shim, m, fds, n);
    shim_watch(c);
    return r;
}

int shim_post_failed(struct container *c, int r, const char *what, struct err *reterr)
{
    if (r != -EPIPE && r != -ECONNRESET)
        return err_sys(reterr, -r, "cannot %s container %s", what, c->id);
    shim_sync(c); /* it ended a moment ago */
    return container_not_running(c, reterr);
}

/* A connection that is over is noticed where it is read. */
void shim_posts_send(struct container *c)
{
    struct shim_conn *s = &c->shim;

    while (s->posts) {
        struct shim_post *p = s->posts;

        if (shim_send(s->fd, &p->m, p->fds, p->n) == -EAGAIN)
            break;
        s->posts = p->next;
        s->n_posts--;
        post_free(p);
    }
    shim_watch(c);
}
