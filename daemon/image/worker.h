/* One run of containerd-lite-layer (layer_protocol.h) on the loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "err.h"
#include "str.h"

struct worker;

struct worker_result {
    int status; /* 0 or negative errno; err says why */
    char diff_id[ID_LEN + 1];
    char blob[ID_LEN + 1]; /* digest of the input as it came; "" unless asked for */
    int64_t bytes;
    struct err err;
};

struct worker_options {
    uv_loop_t *loop;
    const char *path;    /* of the executable */
    const char *command; /* "unpack", "split" */
    int in_fd, dir_fd;   /* borrowed: the caller closes them after worker_start() */
    bool blob;           /* unpack: hash the input too */
    bool keep;           /* unpack: and copy it to keep_fd, borrowed likewise */
    int keep_fd;
    void *arg;
    void (*progress)(void *arg, int64_t bytes); /* may be NULL */
    /* Exactly once after a successful start, when process and pipe are gone; the worker with it. */
    void (*done)(void *arg, const struct worker_result *result);
};

int worker_start(const struct worker_options *opt, struct worker **ret, struct err *reterr);
void worker_kill(struct worker *w); /* done() still comes */
