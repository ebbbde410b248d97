/* The layers of an image archive on their way to directories.  Which of its files are layers, and
 * of which image, an archive tells at its end: what begins like one is unpacked while it comes, and
 * dropped if nobody asks for it.  Loop thread. */
#pragma once

#include "image_job.h"

#define LOAD_PARALLEL 3 /* workers at a time, each with up to 32 MiB */

struct load_layers;

/* dir: of the archive's files, in the job's stage. */
struct load_layers *load_layers_new(struct image_job *job, const char *dir);
/* Whatever is under way is killed; the directories of layers are gone when that is. */
void load_layers_free(struct load_layers *ll);

/* What the worker that splits the archive says; see worker.h. */
void load_layers_file(struct load_layers *ll, const char *name, int64_t size);
void load_layers_wrote(struct load_layers *ll, int64_t bytes);

/* l: of the job's plan, with its file in the archive; below: the one that it lies on, NULL: none.
 * 1: it is done: load_layers_take(); 0: ready(job, NULL or an error) follows; negative errno.  One
 * at a time. */
int load_layers_get(struct load_layers *ll, struct load_layer *l, const struct load_layer *below,
                    void (*ready)(struct image_job *job, const struct err *err),
                    struct err *reterr);
/* The layer that load_layers_get() was about: checked against what the archive says of it, it joins
 * those that the job made.  Its directory stays until load_layers_free(). */
int load_layers_take(struct load_layers *ll, struct load_layer *l, struct err *reterr);
/* ready() will not be called any more; true if it would have been. */
bool load_layers_cancel(struct load_layers *ll);
