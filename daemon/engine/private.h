/* The engine's insides, shared by its own files only. */
#pragma once

#include <stdatomic.h>
#include <sys/socket.h>

#include "buf.h"
#include "cgroup.h"
#include "db.h"
#include "dns.h"
#include "engine.h"
#include "events.h"
#include "image.h"
#include "ipam.h"
#include "json.h"
#include "map.h"
#include "match.h"
#include "network.h"
#include "networks.h"
#include "path.h"
#include "ports.h"
#include "protocol.h"
#include "runtime.h"
#include "storage.h"
#include "str.h"
#include "validate.h"

/* A pool job or stream that outlives a container keeps it by reference count; `gone` tells that
 * the row is deleted. */
enum container_status {
    STATUS_CREATED,
    STATUS_RUNNING,
    STATUS_PAUSED,
    STATUS_EXITED,
    STATUS_DEAD,
    STATUS_RESTARTING, /* down, and waiting for its restart policy's next try */
};

/* What a container has on one bridge network while it runs. */
struct endpoint {
    struct net *net; /* borrowed: it is not removed while it is in use */
    char id[ID_LEN + 1];
    uint32_t address;
    struct inet6 address6; /* prefix 0: none */
    uint8_t mac[MAC_LEN];
    char veth[IFNAMSIZ];
    char ifname[IFNAMSIZ]; /* inside */
    bool gateway;          /* of one at most: the default route, and where published ports lead */
};

#define ENDPOINTS_MAX 64 /* networks of a container */

/* Where a container's network comes from. */
enum net_mode { NET_BRIDGE, NET_HOST, NET_NONE, NET_CONTAINER };

/* The daemon's end of a shim's control socket. */
struct shim_conn {
    int fd;                  /* owned; -EBADF: not connected */
    pid_t pid;               /* of a shim that is our child, else 0 */
    uv_poll_t *poll;         /* owned until its close callback */
    struct shim_post *posts; /* owned; what it has no room for yet */
    size_t n_posts;
};

/* The last word of a container's health check. */
struct health {
    bool checked;            /* it has one, and was started with it */
    uint32_t status, streak; /* enum shim_health_status; failures in a row */
    json_t *log;             /* owned; of a run that is over, else in the shim's file */
};

/* Callers waiting for one operation on a container. */
struct pending {
    struct pending *next;
    engine_done_fn *done;
    void *arg;
};

struct exec;
struct attach_request;
struct stats_hub;

struct container {
    struct engine *engine;
    unsigned refs;
    bool gone; /* removed from the database */

    char id[ID_LEN + 1];
    char *name; /* without the slash */
    char image_id[ID_LEN + 1];
    char *image_ref; /* as the client gave it */
    int64_t created_ns;
    json_t *config;      /* as inspect shows it */
    json_t *host_config; /* the same */
    json_t *networking;  /* EndpointsConfig of the request, or NULL */
    json_t *points;      /* volumes and others' mounts (mounts.c), or NULL */
    bool tty, auto_remove;
    bool bare;     /* container_create_bare() */
    bool building; /* a build's, and nobody's once that is over */

    enum container_status status;
    bool starting;
    bool exiting;  /* has ended, what it had is being given back */
    bool cleaning; /* the run directory of the last start is being deleted */
    bool removing;
    bool connecting;               /* a network comes or goes, on the pool: one at a time */
    const struct endpoint *coming; /* what connects, the job's; NULL */
    bool exit_waits;               /* it has ended meanwhile */
    bool updating;                 /* its limits change: one request at a time */
    bool freezing;                 /* a pause or unpause is on the pool */
    bool thaw_next;                /* and what that freezes is thawed again, to be stopped */
    bool checkpointing;   /* a checkpoint of it is made, on the pool: one at a time, and no pause */
    bool frozen_for_us;   /* by a commit: whoever finds it so later thaws it */
    bool killed;          /* SIGKILL is sent: it must not be frozen before it has died of it */
    bool stopped_by_user; /* for restart policies: stop or kill came from a client */
    bool stopped_by_checkpoint; /* the same by the checkpoint being made, taken back if it fails */
    bool restarting; /* stop and start again as one operation: no auto-remove in between */
    bool lost;       /* its shim ended without a word: the cgroups are ours to remove */
    bool failing;    /* stopped because it was unhealthy: to its policy this is a failure */
    bool unsaved;    /* its row is older than what is here: it could not be written */
    int pid;
    int exit_code;
    bool oom_killed;
    bool oom_told;             /* there was an event of it already */
    struct shortage *shortage; /* while it runs with a limit of memory, or NULL */
    char *error;               /* of the last failed start, or NULL */
    int64_t started_ns, finished_ns;
    int restart_count;
    bool started_by_policy;     /* while starting: nobody asked for it but the restart policy */
    struct endpoint *endpoints; /* owned */
    size_t n_endpoints;
    struct port_lease *ports; /* owned; published while there is a gateway */
    size_t n_ports;
    struct dns_server *dns; /* its name server while it runs, or NULL */
    struct health health;

    struct shim_conn shim;
    struct pending *start_pending;
    struct pending *exit_pending;  /* stop, restart: told when it has ended */
    struct pending *clean_pending; /* a start that must wait for `cleaning` */
    struct pending *view_pending;  /* views that must wait: for a start, or for each other */
    bool view_held; /* a worker has its upper directory mounted: no start, no other */
    struct pending *remove_pending;
    struct pending *connect_pending; /* what must wait for `connecting` */
    struct pending *update_pending;  /* what must wait for `updating` */
    char *restore_from;   /* images of the checkpoint that the next start is from, or NULL; owned */
    json_t *restore_mark; /* what checkpoint.c keeps beside them; owned */
    bool remove_after_exit;
    bool remove_volumes; /* and the anonymous volumes with it */
    struct waiter *waiters;
    struct attach_request *attaches; /* arrived before the shim did */
    struct attach_line *attach_line; /* attach.c; NULL: nobody waits for the shim to read */
    struct exec *execs;
    struct log_stream *followers;
    struct cgroup_sampler *metrics_files; /* metrics.c; owned, NULL: none are open */
    unsigned log_settling;                /* 1: its files are being packed, 2: and then once more */
    int64_t backoff_ms;
    uv_timer_t *restart_timer;   /* with STATUS_RESTARTING; owned until its close callback */
    struct container *line_next; /* in the line of those whose policy starts them; the line's */
    bool in_line;
    uv_timer_t *kill_timer; /* while a stop waits; owned until its close callback */
};

/* The last containers that were removed at their exit: a client that lost its daemon meanwhile asks
 * the new one how they ended. */
#define REMOVED_KEPT 64

struct removed {
    char id[ID_LEN + 1];
    int code;
};

struct engine {
    struct engine_config config;
    struct removed removed[REMOVED_KEPT];
    unsigned n_removed; /* ever; the ring's next place is this modulo its size */
    struct {
        struct container *first, *last; /* a reference each */
        unsigned starting;
        bool advancing;
    } line; /* restart.c */
    uv_loop_t *loop;
    struct db *db;
    struct storage *storage;
    struct images *images;
    struct cgroup *cgroup;
    struct runtime *runtime;
    struct fabric *fabric;   /* NULL: no bridge yet, with --bridge=none */
    struct network *network; /* the default one, borrowed; NULL with --bridge=none */
    struct ports *ports;
    struct map nets; /* id -> struct net */
    struct net_create *net_queue, *net_creating;
    struct watch *watch;
    struct dns *dns; /* NULL until a container needs it */
    uint64_t names_generation;
    char table[NETWORK_TABLE_MAX];
    struct events *events;
    atomic_uint procview_users; /* written on the loop */
    struct stats_hub *stats;    /* NULL until somebody asks */
    size_t n_metrics_files;     /* containers that have some open */
    uv_timer_t *metrics_timer;  /* owned until its close callback; while there are such */
    struct map by_id;           /* id -> struct container (a reference each) */
    struct map by_name;         /* name -> the same, borrowed */
    struct map execs;           /* exec id -> struct exec, borrowed from its container */
    char *db_path;
    char *daemon_id;          /* meta: a UUID-like text */
    int kmsg;                 /* the kernel's log from our start on, -errno: not readable */
    int shim_fd;              /* sealed copy of the shim's executable */
    unsigned jobs;            /* on the pool, or in workers of content.c */
    struct content *contents; /* list */
    unsigned n_contents;
    struct commit *commits; /* list */
    struct build *builds;   /* list */
    unsigned n_builds;
    unsigned n_dumps; /* checkpoints being made, on the pool */
    pid_t *dying;     /* shims to be reaped; owned */
    size_t n_dying;
    uv_signal_t sigchld;
    bool closing;
    uv_timer_t checkpoint_timer;
    uv_idle_t deferred_idle;
    struct deferred *deferred;
};

/* ---- shortage.c ---- */

void shortage_open(struct engine *e); /* once, before any container runs */
/* Of one that runs: watch its memory, if that has a limit, until unwatch. */
void shortage_watch(struct container *c);
void shortage_unwatch(struct container *c);
/* The event for what was not told while it ran; with oom_killed set, before it counts as down. */
void shortage_at_exit(struct container *c);

/* ---- registry.c ---- */

struct container *container_new(struct engine *e);
struct container *container_ref(struct container *c);
void container_unref(struct container *c);
DEFINE_FREEP(struct container *, container_unref)
/* Into the maps; they take the caller's reference. */
void registry_add(struct engine *e, struct container *c);
void registry_remove(struct engine *e, struct container *c);
/* By id, name or unique prefix of an id; borrowed. */
int registry_find(struct engine *e, const char *ref, struct container **ret, struct err *reterr);
/* All containers, newest first, NULL-terminated, borrowed; caller frees the array. */
struct container **registry_sorted(struct engine *e);
/* Directory of a container under the exec root / data root; caller frees. */
char *container_run_dir(const struct container *c);
char *container_dir(const struct container *c, const char *leaf);
static inline bool container_is_up(const struct container *c)
{
    return c->status == STATUS_RUNNING || c->status == STATUS_PAUSED;
}
/* Up, or about to be again by its restart policy: what lists call running. */
static inline bool container_is_active(const struct container *c)
{
    return container_is_up(c) || c->status == STATUS_RESTARTING;
}
enum net_mode container_net_mode(const struct container *c);
/* Are there interfaces of its own, or of the container that it joined?  The host's are neither. */
bool container_has_network(const struct container *c);

/* ---- create.c ---- */

/* A container of the image for its files alone: no volumes, no network, never to be started; it is
 * borrowed from the registry. */
int container_create_bare(struct engine *e, const char *image_id, struct container **ret,
                          struct err *reterr);

/* ---- build.c ---- */

void builds_cancel(struct engine *e);
/* Is it what some stage has come to?  (images_hooks) */
bool builds_have_image(void *arg, const char *image_id);

/* ---- records.c: rows ---- */

int record_insert(struct container *c, const struct image *img, struct err *reterr);
int record_save_state(struct container *c, struct err *reterr);
int record_rename(struct container *c, const char *name, struct err *reterr);
int record_save_config(struct container *c, struct err *reterr);
int record_delete(struct container *c, struct err *reterr);
int records_load(struct engine *e, struct err *reterr);
int meta_get(struct db *db, const char *key, char **ret, struct err *reterr);
int meta_put(struct db *db, const char *key, const char *value, struct err *reterr);

/* ---- jobs.c ---- */

/* Run fn on the pool, then after on the loop.  The engine counts jobs so that it can end. */
int job_run(struct engine *e, void (*fn)(void *arg), void (*after)(void *arg), void *arg);
/* Run fn from the loop, later. */
void engine_defer(struct engine *e, void (*fn)(void *arg), void *arg);

void pending_add(struct pending **list, engine_done_fn *done, void *arg);
void pending_finish(struct pending **list, const struct err *err);

/* ---- state.c ---- */

void container_event(struct container *c, const char *action, json_t *extra);
void network_event(struct container *c, const char *action);
/* The error of what needs a running container. */
int container_not_running(const struct container *c, struct err *reterr);
/* The process is running / has ended; state is what the shim or its exit file told. */
void container_started(struct container *c, const struct shim_state *state);
void container_exited(struct container *c, const struct shim_state *state);
/* What the database had no room for when it happened. */
void containers_save_again(struct engine *e);

/* ---- waits.c ---- */

enum wait_event { WAIT_EXIT, WAIT_START_FAILED, WAIT_REMOVED };
void waits_fire(struct container *c, enum wait_event event, const struct err *err);
/* Internal: call done at the container's exit (from inside waits_fire). */

/* ---- start.c / stop.c / remove.c ---- */

/* done may be NULL: failures are logged then. */
void container_start(struct container *c, engine_done_fn *done, void *arg);
/* The container is down: delete row and files, tell everyone. */
void container_remove_finish(struct container *c);
int container_signal(struct container *c, int signo, struct err *reterr);
/* Its stop signal (or the one named), SIGKILL when the time is over: seconds, negative: never,
 * ENGINE_TIMEOUT_DEFAULT: its own. */
int container_stop(struct container *c, int64_t timeout, const char *signal, struct err *reterr);

/* ---- endpoints.c ---- */

/* NULL if it is not on that network; the gateway: NULL if there is none.  Valid until the next
 * change. */
struct endpoint *container_endpoint(const struct container *c, const struct net *net);
struct endpoint *container_gateway(const struct container *c);
/* Is a port of all addresses reachable at those of IPv6, too? */
bool container_port_on_ipv6(const struct container *c, const struct port_lease *port);
/* What the client asked for on that network, or NULL; borrowed. */
json_t *container_endpoint_config(const struct container *c, const char *network);
/* Leases for all networks it wants, and its ports: c->endpoints; all or nothing. */
int endpoints_take(struct container *c, struct err *reterr);
/* Inside a transaction: the ports that the container publishes. */
int endpoints_take_ports(struct container *c, struct err *reterr);
/* Give back all (rows). */
void endpoints_release(struct container *c);
/* Whether what a request says of an endpoint can be had on that usable network, if nobody else has
 * it by then. */
int endpoint_check(const struct net *net, const json_t *config, struct err *reterr);
/* Inside a transaction: an endpoint on one more network; not appended yet. */
int endpoint_take(struct container *c, struct net *net, struct endpoint *ret, struct err *reterr);
struct endpoint *endpoint_append(struct container *c, const struct endpoint *ep);
void endpoint_remove(struct container *c, struct endpoint *ep);
struct endpoint *endpoint_choose_gateway(const struct container *c);
/* Would a further network take the default route over? */
bool endpoint_takes_gateway(const struct container *c, const struct net *net);

struct endpoint_specs {
    struct endpoint_spec *list; /* owned */
    struct port_lease *ports;   /* owned */
    size_t n;
};
/* Borrows the container's ports. */
void endpoint_spec_of(const struct container *c, const struct endpoint *ep,
                      struct endpoint_spec *ret);
void endpoint_specs_of(const struct container *c, struct endpoint_specs *ret); /* copies */
void endpoint_specs_done(struct endpoint_specs *specs);

/* ---- links.c ---- */

/* Do the containers run that it is linked to? */
int links_check(const struct container *c, struct err *reterr);
void links_add_hosts(const struct container *c, struct buf *out);
/* A container has started: those that are linked to it learn its address. */
void links_follow(struct container *target);

/* ---- connect.c ---- */

/* Write /etc/hosts of a running container again, and /etc/resolv.conf if told so. */
void container_hosts_refresh(struct container *c, bool resolv);

/* Go on with an exit that came while a network was connected. */
void container_exit_continue(struct container *c);

/* Delete what storage moved to its trash, on the pool; takes over trash. */
void trash_delete(struct engine *e, char *trash);

/* A user namespace of a container's own is made of this many ids. */
#define IDMAP_SIZE 65536
/* First host id of the one that the container has had from its first start on; 0: none. */
int container_idmap(struct container *c, uint32_t *ret_base, struct err *reterr);

/* ---- layers.c ---- */

/* chain is borrowed; root: host id of the container's root; size: its limit, 0 where nothing is to
 * be made. */
struct rootfs_spec rootfs_spec_of(const char *id, char *const *chain, uid_t root, int64_t size);

/* Of what it may write, in bytes; 0: none. */
int64_t container_size_limit(const struct container *c);

struct rootfs_fds {
    int *fds; /* directories, top first: what the container wrote comes before the layers below */
    size_t n;
    char maps[2]
             [48]; /* arguments of the worker about what the first is, and who wrote it; "": none */
};

/* fds is lent: it is closed after the call; NULL with err. */
typedef void rootfs_fds_fn(void *arg, struct rootfs_fds *fds, const struct err *err);

enum rootfs_use {
    ROOTFS_MERGED,  /* all directories, to read them as one */
    ROOTFS_CHANGES, /* the same, to compare the first with those below */
    ROOTFS_LAYER,   /* what it takes to pack what the container wrote */
};

/* Open them in the pool; done is called once, later. */
int container_open_rootfs(struct container *c, enum rootfs_use use, rootfs_fds_fn *done, void *arg,
                          struct err *reterr);
void rootfs_fds_done(struct rootfs_fds *f);

/* ---- view.c: a container's files as it sees them, for a worker ---- */

struct view {
    int fd;    /* its mount namespace, or a plan; lent: closed after the call */
    bool plan; /* it does not run */
    bool held; /* container_release_view() when the worker is gone */
};
typedef void view_fn(void *arg, const struct view *view, const struct err *err);
/* done is called once, later; view NULL with err. */
int container_open_view(struct container *c, bool writing, view_fn *done, void *arg,
                        struct err *reterr);
void container_release_view(struct container *c);
/* A start has ended, either way. */
void container_views_retry(struct container *c);

/* ---- content.c ---- */

void contents_cancel(struct engine *e);

/* ---- commit.c ---- */

void commits_cancel(struct engine *e);

/* ---- mounts.c ---- */

/* Inside a transaction: fill c->points, making the volumes that are not there; their names are
 * added to *made (strv). */
int mounts_settle(struct container *c, char ***made, struct err *reterr);
/* After the container's row: it holds its volumes. */
int mounts_hold(struct container *c, struct err *reterr);
/* In a copy of c->points, for a start: a volume in memory that another container has is taken from
 * there, so that both have the same. */
void mounts_find_donors(const struct container *c, json_t *points);
/* Points that are to be filled from the image if empty: a new array of copies, or left alone. */
void mounts_fills(const struct container *c, json_t **ret);
void mounts_event(struct container *c, const char *action); /* "mount", "unmount" */

/* ---- servers.c ---- */

/* Replace the names of servers in the file systems of these points (c->points; borrowed until then)
 * by addresses.  done comes from the loop, at once where there are no names. */
void servers_look_up(struct engine *e, json_t *points, engine_done_fn *done, void *arg);

/* ---- volumes.c ---- */

struct volume_row;
/* The volume of this name, or a new one (1); name NULL or "": a new anonymous one. */
int volume_ensure(struct engine *e, const char *name, const char *driver, const json_t *options,
                  const json_t *labels, struct volume_row *ret, struct err *reterr);
/* The directory that is mounted; caller frees. */
char *volume_source(struct engine *e, const struct volume_row *row);
/* {"Type","Device","Options"} of one that is mounted in each container that has it; else NULL. */
json_t *volume_filesystem(const struct volume_row *row);
/* Its "o", if it is another directory of the host's; else NULL. */
json_t *volume_bind_options(const struct volume_row *row);
/* It is a directory of somebody else's. */
bool volume_is_elsewhere(const struct volume_row *row);
void volume_event(struct engine *e, const char *action, const char *name);
/* The transaction that made them was undone / is done. */
void volumes_undo(struct engine *e, char *const *made);
void volumes_made(struct engine *e, char *const *made);
/* At start: what a killed daemon left half-made or half-removed. */
void volumes_reconcile(struct engine *e);
/* Delete volumes that nobody holds; failures are logged. */
void volumes_drop(struct engine *e, char *const *names);

/* ---- restart.c ---- */

/* Milliseconds to wait before the next try: last_ms is the pause before (0: there was none), run_ns
 * how long the container ran after it. */
int64_t restart_backoff(int64_t last_ms, int64_t run_ns);
/* It has ended: does its policy start it again? */
bool restart_wanted(const struct container *c);
/* A stop or kill has been sent by a client. */
void restart_stopped_by_user(struct container *c);
/* A client starts it: tries are counted from zero. */
void restart_by_user(struct container *c);
void restart_schedule(struct container *c);
/* A start that failed with err and c->exit_code: true if it was the policy's and is tried again. */
bool restart_try_again(struct container *c, const struct err *err);
/* Back to STATUS_EXITED, if it was waiting. */
void restart_cancel(struct container *c);
/* The same by a client's stop or kill: waiters are told. */
int restart_stop(struct container *c, struct err *reterr);
/* Its health check failed: ended, for its policy to start it again, if that was asked for. */
void restart_unhealthy(struct container *c);
/* The label of that meaning, of the container itself: an image has no say in it. */
void restart_settle_label(const json_t *labels, json_t *host_config);
/* The daemon has started: what was waiting for its turn waits again, what its policy wants up is
 * started. */
void restart_resume(struct container *c);
/* The engine ends: nobody in the line is started any more. */
void restart_close(struct engine *e);

/* ---- metrics.c ---- */

/* It has ended: its files are not read any more. */
void metrics_forget(struct container *c);
/* Close the files of all. */
void metrics_close(struct engine *e);

/* ---- shims.c ---- */

int shims_prepare(struct engine *e, struct err *reterr); /* engine->shim_fd */
/* Any thread.  Spawn a shim for the plan; *ret_fd is the daemon's end. */
int shim_spawn(int exe_fd, int plan_fd, const char *id, int *ret_fd, pid_t *ret_pid,
               struct err *reterr);
/* Reap a shim that is about to exit, now or when SIGCHLD says so. */
void shim_reap(struct engine *e, pid_t pid);
void shims_sigchld(struct engine *e);
void shim_attach_early(struct shim_attach *a, const void *data, size_t len);
/* Any thread.  -EAGAIN if the socket is full. */
int shim_send(int fd, const struct shim_msg *m, const int *fds, size_t n);
/* Adopt a connected socket: messages are handled on the loop from now on. */
void shim_adopt(struct container *c, int fd, pid_t pid);
void shim_drop(struct container *c);
/* Handle what has arrived already, so that answers are not older than what clients have seen. */
void shim_sync(struct container *c);
/* Wake up for what there is to read, and to write if something waits. */
void shim_watch(struct container *c);

/* ---- shim_post.c ---- */

/* As shim_send(), to a connected shim; what it has no room for is sent later, and the descriptors
 * copied for that.  -EAGAIN: too much waits already; -EPIPE: there is none. */
int shim_post(struct container *c, const struct shim_msg *m, const int *fds, size_t n);
/* Says why a shim did not take a message: `r` of shim_post(), `what` was wanted.  Where it has hung
 * up that is the container's end, which is handled here: records of it may be gone after this.
 * Returns what err_set() does. */
int shim_post_failed(struct container *c, int r, const char *what, struct err *reterr);
/* There may be room now. */
void shim_posts_send(struct container *c);
void shim_posts_free(struct shim_conn *s);

/* ---- attach.c ---- */

int detach_keys_parse(const char *text, uint8_t ret[SHIM_DETACH_KEYS_MAX], uint32_t *ret_len,
                      struct err *reterr);
struct attach_request {
    struct attach_request *next;
    int fd; /* owned */
    struct shim_attach attach;
};
void attach_requests_free(struct attach_request *list);

/* ---- execs.c ---- */

void exec_message(struct container *c, const struct shim_msg *m);
void execs_container_gone(struct container *c);
json_t *execs_ids(const struct container *c);

/* ---- health.c ---- */

/* What a start gives to the shim; plan_done() its plan. */
struct health_check {
    bool wanted;
    struct plan plan;
    struct shim_health how;
};
int health_plan(const struct container *c, struct health_check *ret, json_t *warnings,
                struct err *reterr);
int health_send(const struct health_check *h, int control, struct err *reterr); /* any thread */
void health_started(struct container *c, const struct health_check *h);
void health_exited(struct container *c);
void health_message(struct container *c, const struct shim_msg *m);
/* No probes from before a pause (on) until after the thaw. */
void health_hold(struct container *c, bool on);
/* "starting", "healthy", "unhealthy"; "none" without a check. */
const char *health_name(const struct container *c);
/* State.Health of inspect; NULL without a check. */
json_t *health_inspect(const struct container *c);
json_t *health_to_json(const struct container *c); /* NULL without a check */
void health_from_json(struct container *c, const json_t *o);

/* ---- logs.c ---- */

/* NULL: the driver keeps none; caller frees.  For the driver `local` what its files' names begin
 * with, logset.h. */
char *container_log_path(const struct container *c);
/* LogPath of inspect: NULL if it is not for others to read. */
char *container_log_shown(const struct container *c);
/* Of the file that a start goes on with, 0: it has no number. */
uint64_t container_log_number(const struct container *c);
/* logdetails.c: "key=value,key2=value2 ", " " if there are none; owned by the caller. */
char *log_details(const struct container *c);
/* Files that are full are packed on the pool, if they are. */
void logs_settle(struct container *c);

void logs_container_exited(struct container *c);
/* What no log has of the output of the run whose directory this is; 0 if all is there.  Any thread.
 */
void log_dropped_read(const char *run_dir, int64_t *ret_lines, int64_t *ret_bytes);

/* ---- stats.c ---- */

void stats_hub_free(struct stats_hub *hub); /* its readers are gone, and no job runs */
/* It has ended: let go of its network namespace. */
void stats_forget(struct container *c);
/* Those of its cgroup are others than before. */
void stats_limits_changed(struct container *c);

/* ---- reconcile.c ---- */

int reconcile(struct engine *e, struct err *reterr);
/* Its shim tells a new daemon how it is, which the record calls running. */
void container_said_hello(struct container *c, const struct shim_state *state);

/* ---- inspect.c ---- */

/* aged.c: a checked body of a create loses what its version (141 for 1.41) did not have. */
int create_body_age(json_t *body, int api, struct err *reterr);
json_t *inspect_networks(const struct container *c, int api_version);
const char *status_name(const struct container *c);
int64_t container_image_size(const struct container *c); /* 0 if the image is gone */

/* ---- nameindex.c: who goes by which name ---- */

struct named_address {
    uint32_t address;
    struct inet6 address6; /* prefix 0: none */
};

struct named {
    struct named_address *list; /* owned */
    size_t n;
};

/* A container began or ended, came to a network or went, or has another name. */
void names_changed(struct engine *e);
/* Any case; NULL: nobody.  Borrowed until the next change. */
const struct named *name_index_find(struct net *net, const char *name);
/* The container that has an address (in network order), or NULL.  Borrowed as above. */
const char *name_index_owner(struct net *net, int family, const void *address);
void name_index_free(struct name_index *index);

/* ---- resolver.c: name servers ---- */

/* Is it on a network whose containers have names? */
bool resolver_wanted(const struct container *c);
/* Serve the container; takes the sockets over.  None: nothing is done. */
void resolver_serve(struct container *c, struct dns_sockets *sockets);
void resolver_stop(struct container *c);
/* Delete the container's macvlan links, in the background: its shim, which does that, was killed.
 */
void resolver_delete_links(struct container *c);
void resolver_close(struct engine *e);
/* Make the sockets, and have the shim at the other end of control keep them.  Any thread. */
int resolver_open_sockets(int netns_fd, int control, struct dns_sockets *ret, struct err *reterr);

/* ---- resolvconf.c ---- */

char *container_resolv_conf(const struct container *c, bool own_netns);
/* A list of HostConfig, else the daemon's; caller frees, NULL: empty. */
char **container_dns_setting(const struct container *c, const char *key,
                             const char *const *fallback);

/* ---- files.c: hosts, hostname, resolv.conf ---- */

struct container_files {
    char *dir;                       /* owned */
    char *hosts, *hostname, *resolv; /* contents, owned; NULL: not ours to write */
};
void container_files_plan(struct container *c, struct container_files *ret);
/* Of a running one whose networks have changed: /etc/hosts, and /etc/resolv.conf if it has just got
 * a name server. */
void container_hosts_plan(struct container *c, bool resolv, struct container_files *ret);
int container_files_write(const struct container_files *f, struct err *reterr); /* any thread */
void container_files_done(struct container_files *f);
