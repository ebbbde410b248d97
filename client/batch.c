#include "batch.h"

#include <stdio.h>

struct task {
    char *path;
    struct conn conn;
    struct err err;
    int sent;
};

static int collect(struct client *c, const char *method, struct task *t)
{
    struct request req = {.method = method, .path = t->path};
    int r = t->sent;

    if (r == 0)
        r = client_receive(c, &req, &t->conn, &t->err);
    /* One that failed because its version was too new is worth a second, ordinary try. */
    if (r < 0 && t->err.kind == ERR_INVALID)
        r = client_open(c, &req, &t->conn, &t->err);
    conn_release(c, &t->conn);
    return r;
}

static int run_some(const struct invocation *inv, const char *method, batch_path path,
                    bool missing_ok, int from, int to)
{
    struct task tasks[BATCH_AT_ONCE];
    int failed = 0;

    for (int i = from; i < to; i++) {
        struct task *t = &tasks[i - from];
        struct request req;

        *t = (struct task){.path = path(inv, inv->args[i]), .conn = CONN_INIT};
        req = (struct request){.method = method, .path = t->path};
        t->sent = client_send(inv->client, &req, i > from, &t->conn, &t->err);
    }
    for (int i = from; i < to; i++) {
        struct task *t = &tasks[i - from];

        if (collect(inv->client, method, t) < 0) {
            fflush(stdout);
            cli_print_error(&t->err);
            failed |= !missing_ok || t->err.kind != ERR_NOT_FOUND;
        } else {
            printf("%s\n", inv->args[i]);
        }
        conn_done(&t->conn);
        free(t->path);
    }
    return failed;
}

static int run(const struct invocation *inv, const char *method, batch_path path, bool missing_ok,
               int at_once)
{
    int failed = 0;

    for (int i = 0; i < inv->n_args; i += at_once)
        failed |= run_some(inv, method, path, missing_ok, i,
                           i + at_once < inv->n_args ? i + at_once : inv->n_args);
    return failed;
}

int batch_run(const struct invocation *inv, const char *method, batch_path path, bool missing_ok)
{
    return run(inv, method, path, missing_ok, BATCH_AT_ONCE);
}

int batch_run_in_order(const struct invocation *inv, const char *method, batch_path path,
                       bool missing_ok)
{
    return run(inv, method, path, missing_ok, 1);
}
