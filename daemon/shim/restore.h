/* A container's processes from a checkpoint.  The shim's child makes ready what lies outside of the
 * images (cgroups, the network namespace, the root and what is bound into it, the standard
 * streams) and becomes criu(8), which makes the processes: the first of them as the shim's child
 * (--restore-sibling).  Nothing is ever mounted but in that child's own mount namespace. */
#pragma once

#include "stage.h"
#include "task.h"

/* ---- in the child ---- */

/* Attach the detached mount s->root, and a place for what comes next. */
int restore_stage_root(struct stage *s, struct err *reterr);
/* What was mounted at path in the container when it was dumped. */
int restore_stage_mount(struct stage *s, int fd, const char *path, struct err *reterr);
/* A masked path, if it was a file. */
int restore_stage_null(struct stage *s, const char *path, struct err *reterr);
/* Wait for SYNC_GO and become criu; only returns on failure. */
int restore_run(struct stage *s, struct err *reterr);

/* ---- in the shim ---- */

/* criu has ended: from now on t is the process that it has made.  status as of wait(2). */
int restore_adopt(struct task *t, const void *plan, int status, struct err *reterr);
