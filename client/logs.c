#include "logs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "mux.h"
#include "str.h"
#include "url.h"

const struct logs_options logs_defaults = {.tail = "all"};

const struct opt logs_opts[] = {
    OPT_BOOL("details", 0, struct logs_options, details, "Show extra details provided to logs"),
    OPT_BOOL("follow", 'f', struct logs_options, follow, "Follow log output"),
    OPT_STRING("since", 0, struct logs_options, since,
               "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. "
               "\"42m\" for 42 minutes)"),
    OPT_STRING("tail", 'n', struct logs_options, tail,
               "Number of lines to show from the end of the logs (default \"all\")"),
    OPT_BOOL("timestamps", 't', struct logs_options, timestamps, "Show timestamps"),
    OPT_STRING("until", 0, struct logs_options, until,
               "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. "
               "\"42m\" for 42 minutes)"),
    OPT_END,
};

/* Lines of one stream that came together are written together. */
struct output {
    struct buf lines;
    int fd;
};

static int output_flush(struct output *o)
{
    int r = fd_write_all(o->fd, buf_head(&o->lines), buf_size(&o->lines));

    buf_consume(&o->lines, buf_size(&o->lines));
    return r;
}

static int output_add(void *arg, enum mux_stream stream, const char *data, size_t len)
{
    struct output *o = arg;
    int fd = stream == MUX_STDERR ? STDERR_FILENO : STDOUT_FILENO, r = 0;

    if (fd != o->fd)
        r = output_flush(o);
    o->fd = fd;
    buf_append(&o->lines, data, len);
    return r;
}

static int add_time(char **url, const char *key, const char *value, struct err *reterr)
{
    _cleanup_free_ char *stamp = NULL;

    if (str_empty(value))
        return 0;
    stamp = parse_timestamp(value, time_now_ns(), reterr);
    if (!stamp)
        return err_wrap(reterr, "invalid value for \"%s\"", key);
    url_add(url, key, stamp);
    return 0;
}

/* Framed or raw?  From 1.42 on the reply says so; before, the container has to be asked. */
static int is_framed(struct client *c, const char *name, const struct conn *conn, bool *ret,
                     struct err *reterr)
{
    _cleanup_free_ char *url = NULL;
    _cleanup_json_ json_t *info = NULL;
    int r;

    *ret = streq(conn->head.content_type, "application/vnd.docker.multiplexed-stream");
    if (*ret || client_version_at_least(c, "1.42"))
        return 0;
    url = url_format("/containers/%s/json", name);
    r = client_get(c, url, &info, reterr);
    *ret = !json_get_bool(json_get(info, "Config"), "Tty", false);
    return r;
}

static int copy_logs(struct conn *conn, bool framed, struct err *reterr)
{
    struct mux mux = {0};
    struct output out = {.fd = STDOUT_FILENO};
    struct buf data = {0};
    int r;

    while ((r = conn_read_body(conn, &data, reterr)) > 0) {
        int w = framed ? mux_feed(&mux, buf_head(&data), buf_size(&data), output_add, &out)
                       : fd_write_all(STDOUT_FILENO, buf_head(&data), buf_size(&data));

        if (w >= 0)
            w = output_flush(&out);
        buf_consume(&data, buf_size(&data));
        if (w < 0) {
            r = err_sys(reterr, -w, "write");
            break;
        }
    }
    buf_done(&out.lines);
    buf_done(&data);
    return r;
}

int logs_open(struct invocation *inv, const char *name, struct conn *ret, bool *ret_framed,
              struct err *reterr)
{
    const struct logs_options *o = inv->options;
    _cleanup_free_ char *url = url_format("/containers/%s/logs", name);
    struct request req = {.method = "GET"};
    int r;

    url_add_bool(&url, "details", o->details);
    url_add_bool(&url, "follow", o->follow);
    r = add_time(&url, "since", o->since, reterr);
    url_add(&url, "stderr", "1");
    url_add(&url, "stdout", "1");
    url_add(&url, "tail", o->tail);
    url_add_bool(&url, "timestamps", o->timestamps);
    if (r == 0)
        r = add_time(&url, "until", o->until, reterr);
    req.path = url;
    if (r == 0)
        r = client_open(inv->client, &req, ret, reterr);
    return r < 0 ? r : is_framed(inv->client, name, ret, ret_framed, reterr);
}

int cmd_logs(struct invocation *inv)
{
    _cleanup_conn_ struct conn conn = CONN_INIT;
    struct err e = {0};
    bool framed;
    int r;

    if (inv->n_args > 1) {
        r = logs_many(inv, &e);
        return r < 0 ? cli_fail(inv, &e) : 0;
    }
    r = logs_open(inv, inv->args[0], &conn, &framed, &e);
    if (r == 0)
        r = copy_logs(&conn, framed, &e);
    return r < 0 ? cli_fail(inv, &e) : 0;
}
