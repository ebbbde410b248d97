/* What the files about checkpoints share: the job that each request is, and what makes a directory
 * a checkpoint.  checkpoint.c makes them, checkpoint_list.c lists and removes them,
 * checkpoint_start.c starts containers from them. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"
#include "private.h"

#define CHECKPOINT_NAME_MAX 128
/* Beside the images: what makes a directory a checkpoint, once it has its name.
 * {"Version", "Container", "Image", "Created", "Streams": ["pipe:[1]", ...], "Network"} */
#define CHECKPOINT_MARK "containerd-lite.json"
#define CHECKPOINT_MARK_VERSION 1

struct checkpoint_job {
    struct container *container; /* a reference; for the loop only */
    char *dir, *name;            /* owned */
    bool elsewhere;              /* the directory is the client's choice, not the container's own */
    char *made;                  /* owned; a dump: the name, then the path where it is made */
    pid_t pid;
    int pidfd; /* owned; of a dump: its number may be somebody else's by now */
    bool leave_running;
    bool dir_is_new;
    bool busy;          /* a checkpoint of it is being made */
    int64_t started_ns; /* which run of the container is meant */
    char container_name[CHECKPOINT_NAME_MAX];
    json_t *mark; /* of a dump */
    json_t *list; /* of a listing */
    engine_done_fn *done;
    engine_json_fn *done_list;
    void *arg;
    struct err err;
    int r;
};

/* Loop.  A job about this container's checkpoints in its own directory or dir, absolute; it holds a
 * reference on the container. */
int checkpoint_job_new(struct engine *e, const char *ref, const char *dir,
                       struct checkpoint_job **ret, struct err *reterr);
void checkpoint_job_free(struct checkpoint_job *j);
/* It is about this checkpoint, and done() is told of its end; with r < 0 that is err now, and the
 * job (NULL: there is none) is gone: false. */
bool checkpoint_job_named(struct checkpoint_job *j, const char *name, int r, const struct err *err,
                          engine_done_fn *done, void *arg);

int checkpoint_check_name(const char *name, struct err *reterr);
/* Refuses a container that criu cannot dump, or that a restore could not give back. */
int checkpoint_check_possible(const struct container *c, struct err *reterr);

/* Any thread.  *ret: what is in the mark, the caller's; -errno if it is no checkpoint.  No link is
 * followed: the directory may be in a container's hands. */
int checkpoint_read_mark(int dirfd, const char *checkpoint, json_t **ret);
/* Any thread.  Who can change what is in the directory decides what is restored, and what a removal
 * removes: ERR_INVALID if others can.  There are no links in its path afterwards. */
int checkpoint_check_dir(struct checkpoint_job *j, struct err *reterr);
/* Any thread.  The mark of the job's checkpoint, once the directory is checked; ERR_NOT_FOUND. */
int checkpoint_find(struct checkpoint_job *j, json_t **ret, struct err *reterr);
/* Any thread.  Give what a daemon left that was killed while criu went on its name. */
void checkpoint_adopt_finished(const struct checkpoint_job *j);
