/* A long operation: steps in workers and in the pool, one stage, one end. */
#pragma once

#include "image_private.h"
#include "manifest.h"
#include "worker.h"

struct image_job {
    struct images *im; /* borrowed */
    struct image_job *next, **prev_next;
    struct image_job_callbacks cb;
    bool cancelled;
    struct err err; /* of the first failure, kind ERR_NONE while there is none */
    struct stage stage;
    struct worker *worker; /* running, borrowed: frees itself */

    struct load_plan plan;    /* what is to be recorded */
    size_t image, layer;      /* the one being unpacked */
    struct load_layer **made; /* layers unpacked here, owned vector of borrowed */
    size_t n_made;
    bool quiet;
    int64_t input_size;    /* of what the worker reads, for progress */
    char *import_name;     /* owned: canonical tag of an import or NULL */
    json_t *import_config; /* owned: config without diff ids */
    const char *event;
    char parent[ID_LEN + 1]; /* the image that it was made of by a build or a commit; "": none */
    bool step;               /* of a build */

    uv_work_t work;
    int (*pool)(struct image_job *job, struct err *reterr);
    void (*then)(struct image_job *job);
    void (*recorded)(struct image_job *job);

    /* Of what the worker splits, worker.h; may be NULL. */
    void (*on_file)(struct image_job *job, const char *name, int64_t size);
    void (*on_wrote)(struct image_job *job, int64_t bytes);
    /* Of an operation that has more than one worker; may be NULL. */
    void *data;
    void (*on_cancel)(struct image_job *job); /* calls image_job_finish() when all is still */
    void (*on_free)(struct image_job *job);
};

/* Join the store's list; the stage is made here. */
int image_job_new(struct images *im, const struct image_job_callbacks *cb, struct image_job **ret,
                  struct err *reterr);
/* Run pool() on a pool thread, then then() on the loop unless it failed or the job was cancelled.
 */
void image_job_pool(struct image_job *job, int (*pool)(struct image_job *job, struct err *reterr),
                    void (*then)(struct image_job *job));
/* Run a worker on stage/<dir>, made here; then as above.  opt: command, in_fd, blob and keep. */
int image_job_worker(struct image_job *job, const struct worker_options *opt, const char *dir,
                     void (*done)(struct image_job *job, const struct worker_result *result),
                     struct err *reterr);
/* The same on the directory that opt names. */
int image_job_run(struct image_job *job, const struct worker_options *opt,
                  void (*done)(struct image_job *job, const struct worker_result *result),
                  struct err *reterr);
/* Describe stage/<file>, whose digest is known, as a blob to be kept. */
int image_job_kept(struct image_job *job, const char *file, const char *digest,
                   struct load_blob *ret, struct err *reterr);
/* Media type of a layer that begins like the file. */
const char *load_media_type(int fd);
/* The same with "unpack" on stage/<dir>/diff, on top of the layer `below` (NULL: a lowest one),
 * which this job has made (its stage or dir are set) or the store has. */
int image_job_unpack(struct image_job *job, const struct worker_options *opt, const char *dir,
                     const struct load_layer *below,
                     void (*done)(struct image_job *job, const struct worker_result *result),
                     struct err *reterr);
/* Make stage/<dir>, 0755; an O_DIRECTORY descriptor. */
int image_job_dir(struct image_job *job, const char *dir, struct err *reterr);
void image_job_fail(struct image_job *job, const struct err *err);
/* 1: the store has the layer and the bytes it came in (fills l->size); without those, which make
 * it possible to send it on, it is taken as missing and comes again.  0 or -errno. */
int images_has_layer(struct images *im, struct load_layer *l, struct err *reterr);
/* Remove the stage in the pool, call done, free. */
void image_job_finish(struct image_job *job);
void image_job_progress(struct image_job *job, json_t *obj); /* takes obj */
/* So many bytes of the current layer are read. */
void image_job_loading(struct image_job *job, int64_t bytes);
/* A worker sees its directory as "/", and tells nothing but text: which disk is full or broken. */
void image_job_name_disk(const struct image_job *job, struct err *e);
/* then() on the loop as soon as no other job runs: at once, or from inside the end of the last one.
 * One job at a time may wait. */
void image_job_alone(struct image_job *job, void (*then)(struct image_job *job));
/* The common end: sync, rename the made layers, record the plan, events, finish. */
void image_job_commit(struct image_job *job, void (*recorded)(struct image_job *job));
