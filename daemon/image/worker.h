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
    int64_t bytes;         /* of files, or the number of changes */
    int64_t length;        /* of the input, or of the tar that was made */
    struct err err;
};

struct worker_options {
    uv_loop_t *loop;
    const char *path;    /* of the executable */
    const char *command; /* "unpack", "split", "pack", "changes", "archive" */
    /* All descriptors are borrowed: the caller closes them after worker_start(). */
    int in_fd;  /* -EBADF: none */
    int out_fd; /* pack, changes, archive: gets the tar or the records; else unused */
    int dir_fd;
    const int *lower_fds; /* pack, changes: the layers below dir_fd, top first */
    size_t n_lowers;
    const char *const *args; /* more of the command line, NULL-terminated; may be NULL */
    bool blob;               /* unpack: hash the input too */
    bool keep;               /* unpack: and copy it to keep_fd, borrowed too */
    int keep_fd;
    bool tell;   /* pack: out_fd is followed: wrote() is called, result has no digests */
    bool follow; /* unpack: in_fd still grows; follow_fd, an eventfd, says how far it is valid */
    int follow_fd;
    const char *tree; /* unpack: how the layer is kept (storage_layer_begin), or NULL */
    int parent_fd;    /* with tree: the directory of the layer below, -EBADF: none */
    void *arg;
    void (*progress)(void *arg, int64_t bytes); /* may be NULL */
    /* split and --tell; may be NULL: name, below dir_fd, begins like a layer and will have size
     * bytes; so many are there.  Both are the worker's word, nobody has looked at it. */
    void (*file)(void *arg, const char *name, int64_t size);
    void (*wrote)(void *arg, int64_t bytes);
    /* Exactly once after a successful start, when process and pipe are gone; the worker with it. */
    void (*done)(void *arg, const struct worker_result *result);
};

int worker_start(const struct worker_options *opt, struct worker **ret, struct err *reterr);
void worker_kill(struct worker *w); /* done() still comes */
