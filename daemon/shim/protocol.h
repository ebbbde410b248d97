/* What daemon and shim say to each other.
 *
 * One AF_UNIX SOCK_SEQPACKET connection at a time; each packet is one struct shim_msg, cut after
 * the part its type uses (shim_msg_size()), with descriptors by SCM_RIGHTS where said.  At birth
 * the shim has the connection as SHIM_FD_CONTROL; a daemon that comes later connects to
 * RUN_DIR/shim.sock (peer uid 0 only; a new connection replaces the old one) and is greeted with
 * SHIM_HELLO and one SHIM_EXEC_STATE per known exec.
 *
 * Life: the shim sets up, sends SHIM_CREATED and waits for SHIM_GO; then SHIM_STARTED or
 * SHIM_FAILED; SHIM_EXITED at the end.  If the connection ends before SHIM_GO the shim undoes
 * everything and exits: the start never happened.  After SHIM_GO the connection is a convenience.
 *
 * At exit, in this order: output drained into the log, cgroups and macvlan links removed, RUN_DIR/exit written
 * (temporary name, rename), SHIM_EXITED sent, attached clients' streams flushed and closed, shim
 * gone.  A failed start leaves no exit file.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

#define SHIM_FD_CONTROL 3
#define SHIM_FD_PLAN 4

/* RUN_DIR/exit: "CODE OOM FINISHED_NS STARTED_NS\n" in decimal; OOM is 0 or 1. */
#define SHIM_EXIT_FILE "exit"
#define SHIM_DROPPED_FILE "log-dropped"
#define SHIM_SOCKET "shim.sock"

#define SHIM_ATTACH_MAX 1024 /* clients a container; more are refused (connection closed) */
#define SHIM_EXEC_MAX 64 /* execs running or remembered; the oldest finished is forgotten first */
#define SHIM_DETACH_KEYS_MAX 16
#define SHIM_KEEP_FDS 2
#define SHIM_EARLY_MAX 4096 /* bytes a client sent right behind its request */

/* SHIM_FAILED says this: criu's log in the run directory tells more. */
#define SHIM_RESTORE_FAILED "criu restore failed"

enum shim_msg_type {
    /* daemon -> shim */
    SHIM_GO = 1,
    SHIM_ATTACH,      /* attach; 1 fd: the client's socket, the shim's from now on */
    SHIM_RESIZE,      /* exec_id ("" for the container), resize */
    SHIM_SIGNAL,      /* exec_id, signal: to the main process only */
    SHIM_EXEC,        /* exec_id, attach; fds: the plan, then the client's socket unless detached */
    SHIM_FORGET_EXEC, /* exec_id */
    SHIM_HEALTH,      /* health; 1 fd: the plan of the probe.  Before SHIM_GO */
    SHIM_HOLD,        /* signal: 1 before the container is frozen, 0 once it thaws: no probes */
    SHIM_KEEP,        /* 2 fds: sockets of the name server, UDP and TCP, for the next daemon */

    /* shim -> daemon */
    SHIM_HELLO = 64,  /* state */
    SHIM_CREATED,     /* state.pid; with PLAN_SANDBOX_FDS 2 fds: netns, rtnetlink socket */
    SHIM_STARTED,     /* state */
    SHIM_FAILED,      /* fail: before the program ran; the shim has cleaned up and leaves */
    SHIM_EXITED,      /* state */
    SHIM_EXEC_STATE,  /* exec_id, state: started or exited */
    SHIM_EXEC_FAILED, /* exec_id, fail */
    SHIM_DETACHED,    /* exec_id: a client left by detach keys or closed its connection */
    SHIM_WARNING,     /* fail.message: something was left out (a clamp), the start goes on */
    SHIM_HEALTH_IS,   /* health_is: it has changed; behind SHIM_HELLO if there is a probe */
    SHIM_LOG_ROTATED, /* a numbered log has a new file: the others are not written to any more */
    SHIM_KEPT,        /* 2 fds: what SHIM_KEEP brought; behind SHIM_HELLO if there is any */
};

/* RUN_DIR/health: a struct shim_health_head and its entries, oldest first, each followed by its
 * bytes of output.  Written anew (temporary name, rename) after every probe. */
#define SHIM_HEALTH_FILE "health"
#define SHIM_HEALTH_KEPT 5
#define SHIM_HEALTH_OUTPUT_MAX 4096
#define SHIM_DURATION_MAX 32

enum shim_health_status { SHIM_HEALTH_STARTING, SHIM_HEALTH_HEALTHY, SHIM_HEALTH_UNHEALTHY };

struct shim_health_head {
    uint32_t status; /* enum shim_health_status */
    uint32_t streak; /* failures in a row */
    uint32_t entries;
};

struct shim_health_entry {
    int64_t start_ns, end_ns; /* CLOCK_REALTIME */
    int32_t code;             /* -1: it timed out, or did not begin */
    uint32_t len;             /* of the output */
};

/* How the probe is run; the defaults are filled in. */
struct shim_health {
    int64_t interval_ms, timeout_ms, start_period_ms, start_interval_ms;
    uint32_t retries;
    char timeout_text[SHIM_DURATION_MAX]; /* as people read it: "1m30s" */
};

enum shim_phase { SHIM_PHASE_CREATED = 1, SHIM_PHASE_RUNNING, SHIM_PHASE_EXITED };

enum {
    SHIM_ATTACH_STDIN = 1 << 0,
    SHIM_ATTACH_STDOUT = 1 << 1,
    SHIM_ATTACH_STDERR = 1 << 2,
    SHIM_ATTACH_FRAMED = 1 << 3, /* 8-byte stream headers */
};

struct shim_state {
    int32_t phase; /* enum shim_phase */
    int32_t pid;   /* host pid of the process, 0 after exit */
    int32_t code;  /* 0..255; 128+n for signal n */
    int32_t oom;
    int64_t started_ns; /* CLOCK_REALTIME */
    int64_t finished_ns;
};

struct shim_attach {
    uint32_t flags;
    uint32_t detach_len; /* 0: no detaching */
    uint8_t detach_keys[SHIM_DETACH_KEYS_MAX];
    uint32_t early_len; /* the message is cut behind these: they are the first bytes of stdin */
    uint8_t early[SHIM_EARLY_MAX];
};

struct shim_fail {
    int32_t code; /* 126, 127 or 128: the exit code clients are given */
    int32_t errnum;
    char message[ERR_MESSAGE_MAX]; /* e.g. exec: "foo": executable file not found in $PATH */
};

struct shim_msg {
    uint32_t type; /* enum shim_msg_type */
    uint32_t signal;
    char exec_id[ID_LEN + 1]; /* "" : the container's main process */
    union {
        struct shim_state state;
        struct shim_attach attach;
        struct {
            uint16_t rows, columns;
        } resize;
        struct shim_fail fail;
        struct shim_health health;
        struct {
            uint32_t status, streak;
        } health_is;
    };
};

/* Bytes of the packet with this type: the part of the union it uses and no more. */
static inline size_t shim_msg_size(uint32_t type)
{
    switch (type) {
    case SHIM_ATTACH:
    case SHIM_EXEC:
        return offsetof(struct shim_msg, attach) + sizeof(struct shim_attach);
    case SHIM_RESIZE:
        return offsetof(struct shim_msg, resize) + 2 * sizeof(uint16_t);
    case SHIM_HELLO:
    case SHIM_CREATED:
    case SHIM_STARTED:
    case SHIM_EXITED:
    case SHIM_EXEC_STATE:
        return offsetof(struct shim_msg, state) + sizeof(struct shim_state);
    case SHIM_FAILED:
    case SHIM_EXEC_FAILED:
    case SHIM_WARNING:
        return offsetof(struct shim_msg, fail) + sizeof(struct shim_fail);
    case SHIM_HEALTH:
        return offsetof(struct shim_msg, health) + sizeof(struct shim_health);
    case SHIM_HEALTH_IS:
        return offsetof(struct shim_msg, health_is) + 2 * sizeof(uint32_t);
    default:
        return offsetof(struct shim_msg, state);
    }
}
