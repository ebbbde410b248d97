#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "session.h"
#include "str.h"

/* How long a daemon that is being restarted may stay away while we wait for a container. */
#define DAEMON_AWAY_MAX_MS 60000
#define RETRY_MS 100

static struct request wait_request(const struct waiter *w)
{
    return (struct request){.method = "POST", .path = w->path};
}

int waiter_send(struct waiter *w, struct client *c, struct err *reterr)
{
    struct request req = wait_request(w);

    w->conn = CONN_INIT;
    w->answered = false;
    return client_send(c, &req, true, &w->conn, reterr);
}

int waiter_receive(struct waiter *w, struct client *c, struct err *reterr)
{
    struct request req = wait_request(w);
    int r = client_receive(c, &req, &w->conn, reterr);

    w->answered = r == 0;
    return r;
}

static void take_status(struct waiter *w)
{
    _cleanup_free_ char *text = buf_take_str(&w->body);
    _cleanup_json_ json_t *reply = json_loads(text, 0, NULL);
    const char *message = json_get_str(json_get(reply, "Error"), "Message", NULL);

    w->done = true;
    w->status = json_get_int(reply, "StatusCode", 125);
    if (!str_empty(message)) {
        fprintf(stderr, "Error waiting for container: %s\n", message);
        w->status = 125;
    }
}

/* The exit may have come while nobody could tell us: asked again, "next-exit" would wait for one
 * that never comes. */
static void not_next_but_this(struct waiter *w)
{
    const char *query = strchr(w->path, '?');
    char *path;

    if (!query || !streq(query, "?condition=next-exit"))
        return;
    path = xasprintf("%.*s?condition=not-running", (int)(query - w->path), w->path);
    free(w->path);
    w->path = path;
}

/* The daemon went away.  Containers outlive it, so ask again once it is back. */
static int lost(struct waiter *w)
{
    int64_t now = time_monotonic_ns() / 1000000;

    conn_done(&w->conn);
    buf_done(&w->body);
    if (!w->lost_at)
        w->lost_at = now;
    not_next_but_this(w);
    if (now - w->lost_at > DAEMON_AWAY_MAX_MS)
        return -ETIMEDOUT;
    w->retry_at = now + RETRY_MS;
    return 0;
}

/* The question goes out; the answer is poll's to tell, for the daemon may be slow to come back. */
static int ask_again(struct waiter *w, struct client *c, struct err *reterr)
{
    struct err why = {0};
    int r;

    if (time_monotonic_ns() / 1000000 < w->retry_at)
        return 0;
    r = waiter_send(w, c, &why);
    if (r < 0 && why.kind == ERR_UNAVAILABLE && lost(w) == 0)
        return 0;
    if (r < 0)
        *reterr = why;
    return r;
}

static int take_head(struct waiter *w, struct client *c, struct err *reterr)
{
    struct err why = {0};
    int r = waiter_receive(w, c, &why);

    if (r < 0 && why.kind == ERR_UNAVAILABLE && lost(w) == 0)
        return 0;
    if (r < 0) {
        *reterr = why;
        return r;
    }
    w->lost_at = w->retry_at = 0;
    return 1;
}

int waiter_step(struct waiter *w, struct client *c, struct err *reterr)
{
    int r;

    if (w->conn.fd < 0)
        return ask_again(w, c, reterr);
    if (!w->answered) {
        r = take_head(w, c, reterr);
        /* What came along with the head is in our buffer, where poll(2) does not see it. */
        if (r <= 0 || buf_size(&w->conn.in) == 0)
            return r < 0 ? r : 0;
    }
    r = conn_read_body(&w->conn, &w->body, reterr);
    if (r < 0)
        return lost(w) < 0 ? r : 0;
    if (r == 0 || w->conn.body.state == BODY_DONE)
        take_status(w);
    return 0;
}

int waiter_finish(struct waiter *w, struct client *c, struct err *reterr)
{
    while (!w->done) {
        int r = waiter_step(w, c, reterr);

        if (r < 0)
            return r;
        if (w->conn.fd < 0)
            poll(NULL, 0, RETRY_MS);
    }
    return 0;
}

void waiter_done(struct waiter *w)
{
    conn_done(&w->conn);
    buf_done(&w->body);
    free(w->path);
    w->path = NULL;
}
