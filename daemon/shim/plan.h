/* The plan: a flat, versioned list of set-up operations that the shim executes without thinking.
 *
 * The daemon's runtime/ turns a container's configuration into a plan (a pure function); the shim
 * maps the sealed memfd and walks it.  There is no nesting and no JSON: an operation has a code,
 * four numbers and some NUL-terminated strings (or one blob).  The shim trusts the daemon, but
 * still checks every bound: a truncated plan is an error, never an over-read.
 *
 * Stages.  HOST operations run in the shim before clone(2), in plan order.  ROOT operations run in
 * the container's init, in its new namespaces, in plan order, with paths resolved inside the
 * container's root.  LAST operations describe the final process; the shim applies them in the one
 * order the kernel allows, wherever they stand in the plan.  An exec plan holds LAST operations
 * (and PLAN_STDIO) only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define PLAN_MAGIC UINT32_C(0x314c5443) /* "CTL1" */
#define PLAN_VERSION 1
#define PLAN_SIZE_MAX (16u << 20)

enum plan_code {
    /* ---- HOST ---- */
    PLAN_RUN_DIR = 1,  /* s0 directory of shim.sock and exit */
    PLAN_STDIO,        /* a0 PLAN_STDIO_* flags, a1 rows, a2 columns (0: unknown) */
    PLAN_LOG,          /* s0 path of the log; a0 max bytes a file (0: unlimited), a1 files kept
                          (>= 1), a2 0: s0 is written, older ones are s0.1, s0.2...; else s0.N is
                          written, from N = a2 on, and N counts upwards.  a3 1 (with a2 0): the
                          daemon packs the older ones, to s0.1.gz, s0.2.gz.... Absent: no log is
                          kept */
    PLAN_CGROUP_MKDIR, /* s0 absolute directory, made and owned (removed at exit); parents exist.
                          a0 PLAN_CGROUP_* flags */
    PLAN_CGROUP_WRITE, /* s0 absolute file, s1 value; a0 1: failure is ignored */
    PLAN_CGROUP_BPF,   /* s0 v2 directory; blob: struct bpf_insn[] of a program (a0 bytes), a1 enum
                          plan_bpf */
    PLAN_OOM_FILE,     /* s0 file whose "oom_kill N" line tells of kills: v1 memory.oom_control, v2
                          memory.events */
    PLAN_NAMESPACE,    /* a0 one CLONE_NEW* flag; s0 "" for a new one, else a path like
                          /proc/PID/ns/net to join.  Not mentioned: the host's own.  A mount
                          namespace is always new */
    PLAN_IDMAP,        /* s0 uid_map text, s1 gid_map text; with a new user namespace only */
    PLAN_ROOTFS,       /* overlay: s0 upper, s1 work, s2... lowers, top first; a0 PLAN_ROOTFS_*.
                          s0 "": lowers alone, read-only.  s0 alone: that directory, with
                          PLAN_ROOTFS_IDMAP idmapped itself */
    PLAN_SANDBOX_FDS,  /* a0 1: send the network namespace fd and an rtnetlink socket made in it
                          with SHIM_CREATED */
    PLAN_LOG_SEND,     /* s0 a logger's socket: "/path", "udp:ADDRESS:PORT" or "tcp:...", s1 tag,
                          s2 host name or "", s3 lines of journald fields; a0 PLAN_LOG_JOURNALD...,
                          a1 syslog facility, a2 bytes it may be behind, a3 1: never wait for it */
    PLAN_RESTORE,      /* the processes come from a checkpoint: s0 criu's path, s1 the directory of
                          its images, s2 "PATH=...", s3 what the images call the network namespace,
                          s4 s5 s6 the standard streams ("pipe:[1]"), s7 s8 more options; "": nothing of that kind */
    PLAN_STOP,         /* a0 signal that asks the container to end, a1 seconds until it is killed
                          (-1: never), where PID 1 tells the shim to end: the host goes down */

    /* ---- ROOT ---- */
    PLAN_PROPAGATION = 32, /* a0 MS_{PRIVATE,SLAVE,SHARED}: of the container's "/" (default
                              MS_PRIVATE) */
    PLAN_MOUNT,    /* s0 type, s1 source, s2 target, s3 data, s4 "" or a path inside the file system
                      that is shown instead of all of it; a0 MS_* flags, a1 1: failure ignored,
                      a2 1: mounted on the host side, by the host's network and privileges; a3 1: it
                      has the mode of the directory that it covers, if there is one; the target is
                      made if absent */
    PLAN_BIND,     /* s0 host path, s1 target, s2 "" or the mount namespace (/proc/PID/ns/mnt) in
                      which s0 is meant, s3 "" or a path below s0 that is bound instead, found
                      without leaving s0; a0 PLAN_BIND_* flags, a1 MS_* propagation (with MS_REC), 0:
                      MS_PRIVATE|MS_REC.  Taken with open_tree(2) on the host side; the     target (file
                      or     directory as the source) is made if absent */
    PLAN_DEVICE,   /* s0 path; a0 mode with S_IFMT, a1 makedev, a2 uid, a3 gid.  With a user
                      namespace: bind of the host's node (s1 its host path) instead of mknod */
    PLAN_SYMLINK,  /* s0 target, s1 link path; existing is fine */
    PLAN_MKDIR,    /* s0 path, a0 mode, existing is fine */
    PLAN_CONSOLE,  /* with a TTY: the pty slave becomes s0 (/dev/console) */
    PLAN_PIVOT,    /* enter the root; the old one is detached.  Earlier ROOT operations resolve
                      below the new root, later ones in it */
    PLAN_MASK,     /* s0 path: /dev/null over a file, an empty read-only tmpfs over a directory;
                      missing is fine */
    PLAN_READONLY, /* s0 path: read-only bind over itself; missing is fine.  "/" makes the root
                      read-only (last) */
    PLAN_SYSCTL,   /* s0 name with dots, s1 value */
    PLAN_HOSTNAME, /* s0 */
    PLAN_DOMAINNAME,  /* s0 */
    PLAN_CGROUP_BIND, /* s0 host path of a cgroup, s1 target directory; a0 MS_* flags.  Unlike
                         PLAN_BIND it is taken once the processes are in their cgroups */

    /* ---- LAST ---- */
    PLAN_RLIMIT = 64,   /* a0 RLIMIT_*, a1 soft, a2 hard; without CAP_SYS_RESOURCE clamped to the
                           hard limit in force */
    PLAN_OOM_SCORE_ADJ, /* a0 int64; clamped when it may not be lowered */
    PLAN_USER, /* s0 "user[:group]", names looked up in the root's /etc/passwd and /etc/group;
                  s1... additional groups (names or numbers); "" is root.  Sets HOME if unset */
    PLAN_CAPS, /* a0 bounding, a1 permitted = effective, a2 inheritable, a3 ambient masks; for a
                  user other than root permitted and effective end up as ambient */
    PLAN_NO_NEW_PRIVS,
    PLAN_SECCOMP,  /* blob: struct sock_filter[]; a0 bytes, a1 SECCOMP_FILTER_FLAG_* */
    PLAN_CWD,      /* s0, made if absent (a0 1) */
    PLAN_ENV,      /* s0... "K=V"; adds up over several operations */
    PLAN_ARGV,     /* s0...; s0 is looked up in PATH of PLAN_ENV when it has no slash */
    PLAN_INIT,     /* be the container's PID 1: run argv as a child, forward signals, reap */
    PLAN_UMASK,    /* a0 */
    PLAN_APPARMOR, /* s0 name of the profile */
};

enum plan_bpf {
    PLAN_BPF_DEVICES, /* BPF_PROG_TYPE_CGROUP_DEVICE, attached with BPF_F_ALLOW_MULTI */
    PLAN_BPF_SOCKETS, /* BPF_PROG_TYPE_CGROUP_SOCK, as they are made, BPF_F_ALLOW_OVERRIDE */
};

enum plan_log_format { PLAN_LOG_JOURNALD = 1, PLAN_LOG_RFC3164, PLAN_LOG_RFC5424 };

enum {
    PLAN_STDIO_TTY = 1 << 0,
    PLAN_STDIO_STDIN = 1 << 1,      /* OpenStdin: keep a pipe or pty for stdin; else /dev/null */
    PLAN_STDIO_STDIN_ONCE = 1 << 2, /* close stdin when the first attached client's ends */

    PLAN_ROOTFS_IDMAP = 1 << 0, /* lowers are idmapped by PLAN_IDMAP (upper and work belong to the
                                   mapped root) */
    PLAN_ROOTFS_VOLATILE = 1 << 1, /* the upper directory need not survive a crash of the host (a
                                      container that is removed at its end): nothing is synced */

    PLAN_CGROUP_JOIN = 1 << 0,  /* the processes belong here */
    PLAN_CGROUP_V2 = 1 << 1,    /* a cgroup2 directory: cgroup.kill, CLONE_INTO_CGROUP */
    PLAN_CGROUP_LATER = 1 << 2, /* not made at the start; the daemon may make it for a new limit,
                                   and from then on processes belong here */

    PLAN_BIND_RDONLY = 1 << 0,
    PLAN_BIND_RECURSIVE = 1 << 1,
    PLAN_BIND_MKSOURCE = 1 << 2, /* the source directory is made on the host if absent */
    PLAN_BIND_IDMAP = 1 << 3,    /* idmapped by PLAN_IDMAP */
    PLAN_BIND_NOSUID = 1 << 4,
    PLAN_BIND_NODEV = 1 << 5,
    PLAN_BIND_NOEXEC = 1 << 6,
    PLAN_BIND_RDONLY_REC = 1 << 7, /* read-only for the mounts below, too */
};

struct plan_header {
    uint32_t magic;
    uint32_t version;
    uint32_t size; /* of everything, this header included */
    uint32_t count;
};

/* Operations follow each other, each padded to 8 bytes. */
struct plan_op {
    uint16_t code; /* enum plan_code */
    uint16_t strings;
    uint32_t size; /* of this operation with header and padding */
    uint64_t arg[4];
    char data[]; /* the strings one after another, then the blob */
};

/* ---- reading (both sides; no heap) ---- */

/* Check header, bounds and termination of everything once; 0 or -EINVAL. */
int plan_check(const void *data, size_t size);
/* The operation after op (NULL: the first), or NULL at the end.  Only on a checked plan. */
const struct plan_op *plan_next(const void *data, const struct plan_op *op);
/* First operation with this code after op (NULL: from the start), or NULL. */
const struct plan_op *plan_find(const void *data, const struct plan_op *op, unsigned code);
/* String i, or "" beyond the last. */
const char *plan_str(const struct plan_op *op, unsigned i);
/* The blob behind the strings; arg[0] bytes (checked by plan_check for blob codes). */
const void *plan_blob(const struct plan_op *op);

/* ---- building (daemon) ---- */

struct plan {
    struct buf buf;
    uint32_t count;
};

void plan_done(struct plan *p);
/* Strings end with NULL. */
void plan_add(struct plan *p, unsigned code, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
              ... /* const char *, NULL */) __attribute__((sentinel));
void plan_add_strv(struct plan *p, unsigned code, uint64_t a0, char *const *strings);
void plan_add_blob(struct plan *p, unsigned code, const void *data, size_t len, uint64_t a1,
                   const char *s0 /* or NULL */);
/* A sealed memfd with the finished plan (O_CLOEXEC), or -errno.  The plan itself is unchanged. */
int plan_memfd(const struct plan *p);
