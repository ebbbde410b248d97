/* Handing clients' sockets to shims. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "fd.h"
#include "log.h"
#include "private.h"

#define ATTACHES_WAITING_MAX SHIM_ATTACH_MAX
#define SHIM_UNREAD_MAX (64 << 10) /* bytes of the kernel's that a shim has not read */
#define LINE_MS 2

static int parse_key(const char *s, size_t n, uint8_t *ret)
{
    if (n == 1) {
        *ret = (uint8_t)s[0];
        return 0;
    }
    if (n == 6 && memcmp(s, "ctrl-", 5) == 0) {
        char c = s[5];
        const char *special = "@[\\]^_", *p;

        if (c >= 'a' && c <= 'z') {
            *ret = (uint8_t)(c - 'a' + 1);
            return 0;
        }
        p = strchr(special, c);
        if (c && p) {
            *ret = c == '@' ? 0 : (uint8_t)(26 + (p - special));
            return 0;
        }
    }
    return -EINVAL;
}

int detach_keys_parse(const char *text, uint8_t ret[SHIM_DETACH_KEYS_MAX], uint32_t *ret_len,
                      struct err *reterr)
{
    const char *s = str_empty(text) ? "ctrl-p,ctrl-q" : text;

    *ret_len = 0;
    while (*s) {
        size_t n = strcspn(s, ",");

        if (*ret_len == SHIM_DETACH_KEYS_MAX || parse_key(s, n, &ret[*ret_len]) < 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "Invalid detach keys (%s)", text);
        (*ret_len)++;
        s += n;
        if (*s == ',')
            s++;
    }
    return 0;
}

void attach_requests_free(struct attach_request *list)
{
    while (list) {
        struct attach_request *a = list;

        list = a->next;
        fd_close(a->fd);
        free(a);
    }
}

int engine_container_attach_check(struct engine *e, const char *ref,
                                  const struct attach_options *options, bool *ret_tty,
                                  struct err *reterr)
{
    uint8_t keys[SHIM_DETACH_KEYS_MAX];
    struct container *c;
    uint32_t n;
    int r = registry_find(e, ref, &c, reterr);

    if (r >= 0)
        r = detach_keys_parse(options->detach_keys, keys, &n, reterr);
    if (r < 0)
        return r;
    if (c->status == STATUS_PAUSED)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "container %s is paused, unpause the container before attach", ref);
    if (c->status == STATUS_RESTARTING)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "container %s is restarting, wait until the container is running", ref);
    *ret_tty = c->tty;
    return 0;
}

/* ---- replaying the log before the live stream: attach with logs=1 ---- */

/* What docker-py finds behind the head of the answer in one read is lost to it
 * (daemon/shim/attach.c has the same for live output): the history waits for the head to be taken,
 * so long at most. */
#define GREETING_MS 1
#define GREETING_TRIES 50

/* Between two tries to send what the client had no room for. */
#define REPLAY_FIRST_MS 1
#define REPLAY_MAX_MS 200

struct replay {
    uv_timer_t timer; /* for the greeting, later for the rest */
    unsigned tries;
    struct buf rest; /* the log is not read on before it is sent */
    uint64_t wait_ms;
    bool broken;                 /* nobody takes the history any more */
    struct container *container; /* a reference */
    struct attach_options options;
    struct log_stream *log;
    struct attach_request *request; /* owned */
    bool stream;
    int64_t run_ns; /* when the run began that it is attached to; 0: it waits for one */
};

static void deliver(struct container *c, struct attach_request *a);

/* What cannot be sent stays in rest. */
static void replay_send(struct replay *rp)
{
    ssize_t n = rp->broken ? -1
                           : send(rp->request->fd, buf_head(&rp->rest), buf_size(&rp->rest),
                                  MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && !rp->broken && (errno == EAGAIN || errno == EINTR))
        return;
    rp->broken = n < 0;
    rp->wait_ms = REPLAY_FIRST_MS;
    buf_consume(&rp->rest, n < 0 ? buf_size(&rp->rest) : (size_t)n);
}

static void on_rest_sent(uv_handle_t *h)
{
    struct replay *rp = h->data;
    struct engine *e = rp->container->engine;

    log_stream_resume(rp->log);
    e->jobs--;
}

static void on_rest(uv_timer_t *t)
{
    struct replay *rp = t->data;

    rp->wait_ms = rp->wait_ms * 2 < REPLAY_MAX_MS ? rp->wait_ms * 2 : REPLAY_MAX_MS;
    rp->broken |= rp->container->engine->closing;
    replay_send(rp);
    if (buf_size(&rp->rest) > 0)
        uv_timer_start(t, on_rest, rp->wait_ms, 0);
    else
        uv_close((uv_handle_t *)t, on_rest_sent);
}

/* A piece of a frame would make nonsense of all that follows: the history waits for its client. */
static void replay_later(struct replay *rp)
{
    struct engine *e = rp->container->engine;

    e->jobs++;
    rp->wait_ms = REPLAY_FIRST_MS;
    uv_timer_init(e->loop, &rp->timer);
    rp->timer.data = rp;
    uv_timer_start(&rp->timer, on_rest, rp->wait_ms, 0);
}

/* The one that the client came to; the next is another's. */
static bool run_is_over(const struct replay *rp)
{
    const struct container *c = rp->container;

    return rp->run_ns > 0 && (!container_is_up(c) || c->started_ns != rp->run_ns);
}

static bool on_replay(void *arg, const void *data, size_t len)
{
    struct replay *rp = arg;
    struct attach_request *a = rp->request;

    if (data) {
        buf_append(&rp->rest, data, len);
        replay_send(rp);
        if (buf_size(&rp->rest) > 0)
            replay_later(rp);
        return buf_size(&rp->rest) == 0;
    }
    if (rp->stream && !run_is_over(rp))
        deliver(rp->container, a);
    else
        attach_requests_free(a);
    container_unref(rp->container);
    buf_done(&rp->rest);
    free(rp);
    return false;
}

static void replay_log(struct replay *rp)
{
    const struct attach_options *o = &rp->options;
    struct container *c = rp->container;
    struct log_options lo = {.stdout_ = o->stdout_,
                             .stderr_ = o->stderr_,
                             .raw = o->raw,
                             .tail = -1,
                             /* the stream goes on where the history ends */
                             .catch_up = rp->stream};
    bool tty;

    if (engine_logs_open(c->engine, c->id, &lo, on_replay, rp, &tty, &rp->log, NULL) < 0)
        on_replay(rp, NULL, 0);
}

static void on_greeted(uv_handle_t *h)
{
    struct replay *rp = h->data;
    struct engine *e = rp->container->engine;

    replay_log(rp);
    e->jobs--;
}

/* Bytes that the client has not read; unix(7) sockets count those as not sent. */
static bool is_unread(int fd)
{
    int unread = 0;

    return ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0;
}

static void on_greeting(uv_timer_t *t)
{
    struct replay *rp = t->data;

    if (is_unread(rp->request->fd) && ++rp->tries < GREETING_TRIES &&
        !rp->container->engine->closing)
        return;
    uv_timer_stop(t);
    uv_close((uv_handle_t *)t, on_greeted);
}

static void replay(struct container *c, const struct attach_options *o, struct attach_request *a)
{
    struct replay *rp = xcalloc(1, sizeof(*rp));

    *rp = (struct replay){
        .container = container_ref(c), .options = *o, .request = a, .stream = o->stream};
    rp->run_ns = container_is_up(c) ? c->started_ns : 0;
    rp->options.detach_keys = NULL; /* the caller's */
    if (!is_unread(a->fd)) {
        replay_log(rp);
        return;
    }
    c->engine->jobs++;
    uv_timer_init(c->engine->loop, &rp->timer);
    rp->timer.data = rp;
    uv_timer_start(&rp->timer, on_greeting, GREETING_MS, GREETING_MS);
}

/* ---- */

static bool has_hung_up(int fd)
{
    struct pollfd p = {.fd = fd};

    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

/* Those who gave up waiting make room: nobody reads their sockets until the start. */
static bool keep_for_start(struct container *c, struct attach_request *a)
{
    struct attach_request **p = &c->attaches;
    size_t n = 0;

    while (*p) {
        struct attach_request *old = *p;

        if (has_hung_up(old->fd)) {
            *p = TAKE_PTR(old->next);
            attach_requests_free(old);
        } else {
            p = &old->next;
            n++;
        }
    }
    if (n >= ATTACHES_WAITING_MAX)
        return false;
    *p = a;
    return true;
}

/* ---- when the shim has more to read already ---- */

/* Many clients at once would fill its socket, on which it is also told to end the container: they
 * wait here for it to read. */
struct attach_line {
    uv_timer_t timer;
    struct container *container;  /* a reference */
    struct attach_request *first; /* owned */
    size_t n;
};

static bool is_behind(const struct container *c)
{
    int unread = 0;

    return ioctl(c->shim.fd, SIOCOUTQ, &unread) == 0 && unread > SHIM_UNREAD_MAX;
}

/* The shim owns what could be sent. */
static void hand_over(struct container *c, const struct attach_request *a)
{
    struct shim_msg m = {.type = SHIM_ATTACH, .attach = a->attach};
    int r = shim_post(c, &m, &a->fd, 1);

    if (r < 0)
        log_error("container %s: attach: %s", c->id, err_text(-r));
}

static void on_line_closed(uv_handle_t *h)
{
    struct attach_line *line = h->data;
    struct engine *e = line->container->engine;

    container_unref(line->container);
    free(line);
    e->jobs--;
}

/* Who waits for one that has ended sees the end. */
static void on_line(uv_timer_t *t)
{
    struct attach_line *line = t->data;
    struct container *c = line->container;
    bool up = container_is_up(c) && c->shim.fd >= 0 && !c->engine->closing;

    while (line->first && !(up && is_behind(c))) {
        struct attach_request *a = line->first;

        if (up)
            hand_over(c, a);
        line->first = TAKE_PTR(a->next);
        line->n--;
        attach_requests_free(a);
    }
    if (line->first)
        return;
    c->attach_line = NULL;
    uv_timer_stop(t);
    uv_close((uv_handle_t *)t, on_line_closed);
}

static bool wait_in_line(struct container *c, struct attach_request *a)
{
    struct attach_line *line = c->attach_line;
    struct attach_request **p;

    if (!line) {
        line = c->attach_line = xcalloc(1, sizeof(*line));
        line->container = container_ref(c);
        c->engine->jobs++;
        uv_timer_init(c->engine->loop, &line->timer);
        line->timer.data = line;
        uv_timer_start(&line->timer, on_line, LINE_MS, LINE_MS);
    }
    if (line->n >= ATTACHES_WAITING_MAX)
        return false;
    for (p = &line->first; *p; p = &(*p)->next)
        ;
    *p = a;
    line->n++;
    return true;
}

/* Running: to the shim; not yet: kept for it; over: the client sees the end at once. */
static void deliver(struct container *c, struct attach_request *a)
{
    if (container_is_up(c) && c->shim.fd >= 0) {
        if (!c->attach_line && !is_behind(c))
            hand_over(c, a);
        else if (wait_in_line(c, a))
            return;
        else
            log_warn("container %s: too many clients attach at once", c->id);
    } else if (!c->exiting && !c->removing && !c->gone) {
        if (keep_for_start(c, a))
            return;
        log_warn("container %s: too many clients wait for its start", c->id);
    }
    attach_requests_free(a);
}

void engine_container_attach(struct engine *e, const char *ref,
                             const struct attach_options *options, int fd, const void *extra,
                             size_t extra_len)
{
    struct attach_request *a;
    struct container *c;

    if (registry_find(e, ref, &c, NULL) < 0) {
        fd_close(fd);
        return;
    }
    shim_sync(c);
    a = xcalloc(1, sizeof(*a));
    a->fd = fd;
    a->attach.flags = (options->stdin_ ? SHIM_ATTACH_STDIN : 0u) |
                      (options->stdout_ ? SHIM_ATTACH_STDOUT : 0u) |
                      (options->stderr_ ? SHIM_ATTACH_STDERR : 0u) |
                      (c->tty || options->raw ? 0u : SHIM_ATTACH_FRAMED);
    if (c->tty && detach_keys_parse(options->detach_keys, a->attach.detach_keys,
                                    &a->attach.detach_len, NULL) < 0)
        a->attach.detach_len = 0;
    shim_attach_early(&a->attach, extra, extra_len);
    container_event(c, "attach", NULL);
    if (options->logs)
        replay(c, options, a);
    else
        deliver(c, a);
}

int engine_container_resize(struct engine *e, const char *ref, uint16_t rows, uint16_t columns,
                            struct err *reterr)
{
    struct shim_msg m = {.type = SHIM_RESIZE};
    char height[8], width[8];
    struct container *c;
    int r = registry_find(e, ref, &c, reterr);

    if (r < 0)
        return r;
    shim_sync(c);
    if (!container_is_up(c))
        return container_not_running(c, reterr);
    m.resize.rows = rows;
    m.resize.columns = columns;
    r = shim_post(c, &m, NULL, 0);
    if (r < 0)
        return shim_post_failed(c, r, "resize the terminal of", reterr);
    snprintf(height, sizeof(height), "%u", rows);
    snprintf(width, sizeof(width), "%u", columns);
    container_event(c, "resize", json_pack("{s:s, s:s}", "height", height, "width", width));
    return 0;
}
