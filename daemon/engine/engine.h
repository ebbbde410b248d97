/* The use cases: everything the API can ask of the daemon.
 *
 * All functions are called on the loop thread and return at once; what takes time happens on the
 * thread pool or in a shim and ends in a callback on the loop thread, which may come before the
 * call returns where not said otherwise.  `ref` is what a client names a container by: full id,
 * name (with or without a leading slash) or a unique id prefix.  JSON results are new
 * references shaped as the Engine API wants them.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "err.h"
#include "mem.h"

struct engine;
struct images;

#define ENGINE_DATA_ROOT "/var/lib/containerd-lite"
#define ENGINE_EXEC_ROOT "/run/containerd-lite"

/* Strings are borrowed for the engine's life; NULL or 0 means the default. */
struct engine_config {
    const char *data_root; /* /var/lib/containerd-lite */
    const char *exec_root; /* /run/containerd-lite */
    const char *bridge;    /* --bridge: NULL own one, "none", or the name of an existing one */
    const char *bip;       /* --bip: "172.17.0.1/16" */
    const char *const *address_pools; /* "base=10.0.0.0/8,size=24"; NULL for Docker's */
    const char *default_ip;           /* --ip: of published ports; an IPv4 address */
    const char *cgroup_parent;
    bool systemd_cgroup; /* the driver: containers are in scopes, cgroup_parent is their slice */
    const char *storage_driver;
    const char *shim_path;                  /* executable files */
    const char *worker_path;                /* containerd-lite-layer */
    const char *images_dir;                 /* embedded images, NULL for none */
    const char *const *registry_mirrors;    /* NULL-terminated */
    const char *const *insecure_registries; /* the same */
    const char *registry_certs;             /* NULL for HOSTS_CERTS_DIR */
    const char *const *labels;              /* the same */
    const char *const *dns, *const *dns_search, *const *dns_options; /* of containers without */
    const char *log_driver;      /* of containers that name none; NULL for json-file */
    const char *const *log_opts; /* key=value, the same */
    bool default_proc_view;      /* --proc-view */
    bool default_init;           /* --init */
    bool publish_obeys_input;    /* the host's INPUT chain decides about published ports */
    bool experimental;           /* what info says */
    bool keep_dynmods;           /* leave the host's cgroup2 mount options alone */
    bool debug;
    int mtu;
    int64_t build_download_max; /* bytes that a build takes from one URL */
};

/* Opens or creates everything under the roots and reconciles database, shims and kernel.
 * Blocks (at start-up only). */
int engine_open(const struct engine_config *config, uv_loop_t *loop, struct engine **ret,
                struct err *reterr);
/* What may change while it runs; labels are borrowed like those of the configuration. */
void engine_reload(struct engine *e, const char *const *labels, bool debug);
/* Ends the daemon's part; containers, their network and shims stay.  Waits for pool jobs. */
void engine_close(struct engine *e);

/* Fill an empty store with the images of images_dir: 0 when there is nothing to do, 1 when done
 * will be called from the loop; serve after that. */
int engine_embed_images(struct engine *e, void (*done)(void *arg), void *arg);

struct images *engine_images(struct engine *e);

typedef void engine_done_fn(void *arg, const struct err *err /* NULL: success */);
typedef void engine_json_fn(void *arg, json_t *result /* stolen; NULL on failure */,
                            const struct err *err);

/* ---- containers ---- */

/* body: the create request (Config fields + HostConfig + NetworkingConfig), borrowed.  name may be
 * NULL.  *ret is {"Id", "Warnings"}. */
int engine_container_create(struct engine *e, const char *name, json_t *body, int api_version,
                            json_t **ret, struct err *reterr);
void engine_container_start(struct engine *e, const char *ref, engine_done_fn *done, void *arg);

#define ENGINE_TIMEOUT_DEFAULT INT64_MIN /* the container's StopTimeout, or 10 s */
/* timeout in seconds, -1: for ever; signal NULL: the container's StopSignal */
void engine_container_stop(struct engine *e, const char *ref, int64_t timeout, const char *signal,
                           engine_done_fn *done, void *arg);
void engine_container_restart(struct engine *e, const char *ref, int64_t timeout,
                              const char *signal, engine_done_fn *done, void *arg);
/* signal: name with or without SIG, or number; NULL or "": KILL */
void engine_container_kill(struct engine *e, const char *ref, const char *signal,
                           engine_done_fn *done, void *arg);
void engine_container_pause(struct engine *e, const char *ref, engine_done_fn *done, void *arg);
void engine_container_unpause(struct engine *e, const char *ref, engine_done_fn *done, void *arg);
void engine_container_remove(struct engine *e, const char *ref, bool force, bool volumes,
                             engine_done_fn *done, void *arg);
int engine_container_rename(struct engine *e, const char *ref, const char *name,
                            struct err *reterr);
int engine_container_resize(struct engine *e, const char *ref, uint16_t rows, uint16_t columns,
                            struct err *reterr);
/* Result is {"Warnings"}; changes limits and restart policy. */
void engine_container_update(struct engine *e, const char *ref, json_t *body, engine_json_fn *done,
                             void *arg);

void engine_container_inspect(struct engine *e, const char *ref, bool size, int api_version,
                              engine_json_fn *done, void *arg);
struct list_options {
    bool all;
    bool size;
    int64_t limit;   /* <= 0: none */
    json_t *filters; /* {"key": ["value", ...]}, borrowed, may be NULL; unknown keys are refused */
};
void engine_container_list(struct engine *e, const struct list_options *options,
                           engine_json_fn *done, void *arg);
void engine_container_top(struct engine *e, const char *ref, const char *ps_args,
                          engine_json_fn *done, void *arg);
/* Checkpoints.  dir: an absolute path of the daemon's host, NULL or "": the container's own.
 * body: {"CheckpointID", "CheckpointDir", "Exit"}; with Exit the container has ended at done. */
void engine_checkpoint_create(struct engine *e, const char *ref, const json_t *body,
                              engine_done_fn *done, void *arg);
/* Result is [{"Name"}]. */
void engine_checkpoint_list(struct engine *e, const char *ref, const char *dir,
                            engine_json_fn *done, void *arg);
void engine_checkpoint_remove(struct engine *e, const char *ref, const char *name, const char *dir,
                              engine_done_fn *done, void *arg);
/* engine_container_start() with the processes as they were. */
void engine_checkpoint_start(struct engine *e, const char *ref, const char *name, const char *dir,
                             engine_done_fn *done, void *arg);
/* filters: until, label, label!; result {"ContainersDeleted", "SpaceReclaimed"} */
void engine_container_prune(struct engine *e, json_t *filters, engine_json_fn *done, void *arg);

/* ---- system df ---- */

enum df_type { DF_CONTAINERS = 1, DF_IMAGES = 2, DF_VOLUMES = 4, DF_BUILD_CACHE = 8 };

/* types: a mask, 0 for all.  Lists as dockerd's, and with each what is used and what could be
 * reclaimed (ImageUsage ...: TotalCount, ActiveCount, TotalSize, Reclaimable). */
void engine_disk_usage(struct engine *e, unsigned types, engine_json_fn *done, void *arg);

/* ---- volumes ---- */

/* body: Name, Driver, DriverOpts, Labels; one that is there already is given back. */
int engine_volume_create(struct engine *e, const json_t *body, json_t **ret, struct err *reterr);
int engine_volume_inspect(struct engine *e, const char *name, json_t **ret, struct err *reterr);
/* {"Volumes", "Warnings"}; filters: name, label, driver, dangling */
int engine_volume_list(struct engine *e, const json_t *filters, json_t **ret, struct err *reterr);
/* force: a missing one is no error */
int engine_volume_remove(struct engine *e, const char *name, bool force, struct err *reterr);
/* Of those that nobody uses the anonymous ones, with all every one; filters: label, label!, all.
 * {"VolumesDeleted", "SpaceReclaimed"} */
void engine_volume_prune(struct engine *e, const json_t *filters, bool all, engine_json_fn *done,
                         void *arg);

/* ---- wait ---- */

struct waiter;
/* condition: NULL, "", "not-running", "next-exit" or "removed".  fn is called once, always from the
 * loop later on, with {"StatusCode":n[,"Error"]}, or with err; the waiter is gone then.  On success
 * of this call *ret may be cancelled until fn has been called. */
int engine_container_wait(struct engine *e, const char *ref, const char *condition,
                          engine_json_fn *fn, void *arg, struct waiter **ret, struct err *reterr);
void engine_wait_cancel(struct waiter *w);

/* ---- attach ---- */

struct attach_options {
    bool stdin_, stdout_, stderr_;
    bool stream;             /* false with logs: replay only */
    bool logs;               /* replay the log first */
    bool raw;                /* both streams without heads, terminal or not */
    const char *detach_keys; /* NULL: the default; "" or unknown text: error 400 */
};
/* May the client attach?  *ret_tty tells the content type. */
int engine_container_attach_check(struct engine *e, const char *ref,
                                  const struct attach_options *options, bool *ret_tty,
                                  struct err *reterr);
/* After the upgrade: the engine owns fd from here in every case.  extra: bytes that the client
 * sent right behind its request (first bytes of stdin). */
void engine_container_attach(struct engine *e, const char *ref,
                             const struct attach_options *options, int fd, const void *extra,
                             size_t extra_len);

/* DELETE with link=1: "CONTAINER/ALIAS" is no longer a name of what it stands for. */
int engine_link_remove(struct engine *e, const char *name, struct err *reterr);

/* ---- logs ---- */

struct log_options {
    bool stdout_, stderr_, follow, timestamps, details;
    bool raw;                   /* without the heads of a multiplexed stream */
    bool catch_up;              /* and what is written until all is read; follow does that anyway */
    int64_t since_ns, until_ns; /* 0: unlimited */
    int64_t tail;               /* lines, < 0: all */
};
struct log_stream;
/* Called on the loop thread with bytes ready to be sent (framed unless raw or of a TTY);
 * data NULL: the end, and the stream is gone.  Returning false pauses until log_stream_resume(). */
typedef bool engine_log_fn(void *arg, const void *data, size_t len);
/* *ret_tty: bytes are raw.  Nothing is called from inside. */
int engine_logs_open(struct engine *e, const char *ref, const struct log_options *options,
                     engine_log_fn *fn, void *arg, bool *ret_tty, struct log_stream **ret,
                     struct err *reterr);
void log_stream_resume(struct log_stream *s);
void log_stream_close(struct log_stream *s); /* the reader lost interest; fn is not called again */

/* ---- what is in a container ---- */

enum content_kind {
    CONTENT_TAR,     /* its root file system as processes in it see it, without what is mounted */
    CONTENT_CHANGES, /* what it changed in its image: 'A', 'C' or 'D', an absolute path, a NUL */
};

enum archive_action {
    ARCHIVE_STAT, /* one record of layer_protocol.h */
    ARCHIVE_GET,  /* that, then a tar */
    ARCHIVE_PUT,  /* no bytes */
};
struct archive_request {
    enum archive_action action;
    const char *path; /* in the container, as it sees its files */
    int in_fd;        /* put: the archive, borrowed; else -EBADF */
    bool keep_kind;   /* put: a directory is never replaced by a file, nor a file by a directory */
    bool as_user;     /* put: everything is given to the user that the container runs as */
};
struct content;
struct content_callbacks {
    void *arg;
    /* Bytes as they come, borrowed.  Returning false pauses until engine_content_resume(). */
    bool (*data)(void *arg, const void *data, size_t len);
    /* Once, and the content is gone; err NULL: all was told. */
    void (*done)(void *arg, const struct err *err);
};
/* Nothing is called from inside.  A container that runs goes on meanwhile. */
int engine_content_open(struct engine *e, const char *ref, enum content_kind kind,
                        const struct content_callbacks *cb, struct content **ret,
                        struct err *reterr);
/* The same for some files of it, those in its volumes too.  A put into a container that does not
 * run holds up its start until it is done. */
int engine_archive_open(struct engine *e, const char *ref, const struct archive_request *req,
                        const struct content_callbacks *cb, struct content **ret,
                        struct err *reterr);
void engine_content_resume(struct content *s);
void engine_content_close(struct content *s); /* the reader lost interest: no callback afterwards */

struct commit_options {
    const char *repo, *tag; /* NULL or "": without a name */
    const char *author, *comment;
    const char *const *changes; /* Dockerfile instructions, NULL-terminated; may be NULL */
    bool pause;                 /* freeze it while it is read, if it runs */
    const json_t *step; /* of a build: a Config, whose Cmd the history tells; the body is all
                           that the image's is to be.  NULL: none */
};
/* body: a Config that the container's is merged into, {} for the container's alone; borrowed.
 * Result: {"Id"}.  NULL: done() was called already; else valid until it is. */
struct commit;
struct commit *engine_container_commit(struct engine *e, const char *ref,
                                       const struct commit_options *o, const json_t *body,
                                       engine_json_fn *done, void *arg);
/* Nobody wants it any more: done() is called from inside, or soon, with an error. */
void engine_commit_cancel(struct commit *k);

/* ---- stats ---- */

struct stats_options {
    bool stream;   /* one sample a second; else one, after a second of watching */
    bool one_shot; /* without stream: at once, with nothing to compare to */
};
struct stats_stream;
/* line: a JSON object and "\n"; NULL: the end, and *ret is gone.  On the loop, never from inside
 * engine_stats_open(). */
typedef void engine_stats_fn(void *arg, const char *line, size_t len);
/* Without stream there is one sample, and of a container that is down it holds the id and name
 * only; a stream goes on until the container is removed. */
int engine_stats_open(struct engine *e, const char *ref, const struct stats_options *options,
                      engine_stats_fn *fn, void *arg, struct stats_stream **ret,
                      struct err *reterr);
void engine_stats_close(
    struct stats_stream *s); /* the reader lost interest: fn is not called again */

/* ---- metrics ---- */

#define METRICS_CONTAINERS_MAX 4096 /* running ones that are told; more are left out */
#define METRICS_TEXT_MAX (32 << 20) /* bytes; a family that would not fit is left out */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Figures of the daemon and of each running container in the text format of Prometheus
 * (prometheus.io/docs/instrumenting/exposition_formats), named as dockerd's and cAdvisor's.
 * text is the caller's to free. */
typedef void engine_text_fn(void *arg, char *text, size_t len);
void engine_metrics(struct engine *e, engine_text_fn *done, void *arg);

/* ---- exec ---- */

/* *ret: {"Id"} */
int engine_exec_create(struct engine *e, const char *ref, json_t *body, json_t **ret,
                       struct err *reterr);
/* Before the upgrade: does it exist, may it start?  *ret_tty is the create's Tty. */
int engine_exec_start_check(struct engine *e, const char *id, bool detach, bool *ret_tty,
                            struct err *reterr);
/* fd: the client's socket, owned by the engine from here, -1 if detached; rows, columns 0: unknown.
 * framed: 8-byte headers.  Without fd done (may be NULL with fd) tells when it runs. */
void engine_exec_start(struct engine *e, const char *id, int fd, const void *extra,
                       size_t extra_len, bool framed, uint16_t rows, uint16_t columns,
                       engine_done_fn *done, void *arg);
int engine_exec_resize(struct engine *e, const char *id, uint16_t rows, uint16_t columns,
                       struct err *reterr);
int engine_exec_inspect(struct engine *e, const char *id, json_t **ret, struct err *reterr);

/* ---- events ---- */

struct event_subscription;
/* Whole lines, each a JSON object with "\n" behind it: several while the journal is replayed, then
 * NULL once, then one by one as they happen.  Returning false during the replay pauses it until
 * engine_events_resume(). */
typedef bool engine_event_fn(void *arg, const char *lines, size_t len);
/* Replays what since and until (ns, inclusive; 0: unset) ask for from the journal, which outlives
 * the daemon; without either there is no replay, and fn gets its NULL from inside the call.  With
 * until the caller ends the stream itself at that time, not before that NULL. */
int engine_events_subscribe(struct engine *e, int64_t since_ns, int64_t until_ns, json_t *filters,
                            engine_event_fn *fn, void *arg, struct event_subscription **ret,
                            struct err *reterr);
void engine_events_resume(struct event_subscription *s);
void engine_events_unsubscribe(struct event_subscription *s);
/* The last line for a reader who is so many bytes behind; caller frees. */
char *engine_events_cut_line(size_t behind);
/* Are these filters known? */
int engine_events_check(struct engine *e, const json_t *filters, struct err *reterr);
uv_loop_t *engine_loop(struct engine *e);

/* ---- system ---- */

json_t *engine_info(struct engine *e);
json_t *engine_version(struct engine *e);

/* ---- networks ---- */

/* filters: name, id, driver, scope, type, label, dangling */
int engine_network_list(struct engine *e, const json_t *filters, json_t **ret, struct err *reterr);
int engine_network_inspect(struct engine *e, const char *ref, json_t **ret, struct err *reterr);
/* body: the create request, borrowed for the call; {"Id", "Warning"} */
void engine_network_create(struct engine *e, const json_t *body, engine_json_fn *done, void *arg);
void engine_network_remove(struct engine *e, const char *ref, engine_done_fn *done, void *arg);
/* All that no container uses; filters: until, label, label!.  {"NetworksDeleted"} */
void engine_network_prune(struct engine *e, const json_t *filters, engine_json_fn *done, void *arg);
/* body: {"Container", "EndpointConfig"} / {"Container", "Force"}; of a container that is down it
 * is what the next start does. */
void engine_network_connect(struct engine *e, const char *ref, const json_t *body,
                            engine_done_fn *done, void *arg);
void engine_network_disconnect(struct engine *e, const char *ref, const json_t *body,
                               engine_done_fn *done, void *arg);
