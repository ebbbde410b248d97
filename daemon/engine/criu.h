/* Driving criu(8): dumping a container's processes, and what a restore needs to be told.
 *
 * Everything here may run on any thread and waits for what it starts: jobs of the pool.  What
 * criu's options mean is told by criu(8) of version 3.17.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"
#include "mem.h"

#define CRIU_LOG_MAX (64u << 10) /* bytes of a log's end that are looked at */
#define CRIU_STREAMS 3
#define CRIU_NETNS_KEY "containerd-lite-net" /* what the network namespace is called in images */
#define CRIU_DUMP_LOG "dump.log"
#define CRIU_FINISHED "stats-dump"
#define CRIU_RESTORE_LOG "restore.log"
#define CRIU_RESTORE_OUTPUT "restore.out" /* what it says before it has a log */
#define CRIU_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The program, looked up in PATH; ERR_SYSTEM if it is not installed.  Caller frees. */
int criu_find(char **ret, struct err *reterr);
/* Can it work with this kernel? */
int criu_check(const char *program, struct err *reterr);

struct criu_dump {
    const char *program;
    pid_t pid;          /* the container's first process */
    const char *images; /* an empty directory */
    bool leave_running;
};

/* What a restore has to give back in their place; "" for what it has not. */
struct criu_outside {
    char *stream[CRIU_STREAMS]; /* "pipe:[INODE]"; owned */
    bool network;               /* the network namespace is not the host's */
};
void criu_outside_done(struct criu_outside *o);

/* Of the process that is about to be dumped. */
int criu_look_outside(pid_t pid, struct criu_outside *ret, struct err *reterr);

/* On failure the processes go on, and the images are incomplete.  CRIU_FINISHED is the last file of
 * images that are complete, with or without somebody who waits for it. */
int criu_dump(const struct criu_dump *d, struct err *reterr);

/* The administrator's file of further options, for both dump and restore; "": there is none. */
const char *criu_config(void);
/* An option for both: how to keep the network silent meanwhile; "": as criu does by itself. */
const char *criu_network_lock(void);

/* Make an error of what criu has logged in dir/name, in front of which stands what failed. */
int criu_explain(const char *dir, const char *name, const char *what, struct err *reterr);

/* ---- pure functions, for the above and for tests ---- */

/* The first messages of a log's error lines, "; " between them; NULL if there are none.  Caller
 * frees. */
char *criu_errors(const char *log);

/* The mount points of a container (its mountinfo) that criu must not make anew: what the host has
 * mounted as well (its mountinfo), and file systems that cannot be made again from nothing.  strv.
 */
char **criu_external_mounts(const char *theirs, const char *ours);
