/* /proc with the container's own limits, by lxcfs(1). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

struct container;
struct engine;

/* The label of a request is as good as the option.  Not that of an image: who made it has no say in
 * what runs on the host. */
void procview_settle(const json_t *config, json_t *host_config);
bool procview_wanted(const struct container *c);
/* Where it is mounted; caller frees. */
char *procview_dir(const struct engine *e);

/* Pool thread; the container is counted already.  Have it served at dir; *ret_pid: of an lxcfs that
 * was started for it, to be reaped on the loop whenever it ends; 0: none. */
int procview_ensure(const char *dir, pid_t *ret_pid, struct err *reterr);

/* Loop thread.  A container that wants it is about to start / has ended. */
void procview_count(struct engine *e);
void procview_ended(struct engine *e);
