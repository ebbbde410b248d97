/* A process of the container that the shim has started: its main process or an exec, with the
 * streams, the state told to the daemon, and what is going on with it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "loop.h"
#include "protocol.h"

/* The main process, the execs from 1 up to TASK_PROBE, and the health check's. */
#define TASK_PROBE (1 + SHIM_EXEC_MAX)
#define TASK_MAX (TASK_PROBE + 1)
#define TASK_STDIN_MAX 16384 /* bytes of input waiting for the process */
#define TASK_READ_MAX (64u << 10)
/* How long an exec's streams stay open when others hold them after its end (as Docker does). */
#define TASK_LINGER_MS 2000

enum task_stream { TASK_STDOUT, TASK_STDERR };

struct task {
    bool used;
    bool started;   /* the program runs or ran */
    bool failed;    /* fail tells why not */
    bool killed;    /* by us, before it could begin: the reason is elsewhere */
    bool reaped;    /* state.code is valid */
    bool done;      /* told to the daemon, streams closed */
    bool stdin_eof; /* close stdin when the buffer is empty */
    bool paused;    /* output is not read: a client is too far behind */
    bool restoring; /* pid is criu's, which is making the process */
    bool probe;     /* the health check's: the daemon does not know of it */
    char id[ID_LEN + 1];
    pid_t pid;
    int pidfd;
    uint64_t flags; /* PLAN_STDIO_* */
    struct watch sync;
    struct watch out[2]; /* stdout (or the pty), stderr */
    struct watch in;
    uint32_t in_head, in_len; /* of the task's ring of waiting input */
    int64_t linger_until;     /* mono ms; 0: not lingering */
    struct shim_state state;
    struct shim_fail fail;
};

struct task *task_main(void);  /* always there */
struct task *task_probe(void); /* its slot, as new */
struct task *task_find(const char *id);
struct task *task_by_pid(pid_t pid);
struct task *task_at(int i); /* 0..TASK_MAX-1, NULL if unused */
/* A free slot with this id; forgets the oldest finished one if need be; NULL: all are busy. */
struct task *task_new(const char *id);
void task_free(struct task *t);

/* Called when a task may have come to its end: reaped, or its streams closed. */
extern void (*task_on_change)(struct task *t);

/* Pipes for a task without TTY.  child gets the ends to pass on, which the caller closes. */
int task_open_pipes(struct task *t, int child[3]);
/* The pty master has come (owned from now on). */
void task_use_pty(struct task *t, int master);
void task_resize(struct task *t, uint16_t rows, uint16_t columns);

/* Read what is there now, at most a pipe's worth for each stream. */
void task_drain(struct task *t);
bool task_has_output(const struct task *t); /* a stream is still open */
void task_close_output(struct task *t);
void task_pause(struct task *t, bool pause);

size_t task_stdin_room(const struct task *t);
void task_stdin_put(struct task *t, const char *data, size_t len); /* len <= room */
void task_stdin_close(struct task *t);                             /* after what waits */

/* Give back buffer memory that a burst of output has touched; true if there was any. */
bool task_trim(void);
