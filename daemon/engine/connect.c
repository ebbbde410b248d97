/* Connecting and disconnecting containers, running or not.  Leases on the loop, links on the pool,
 * the record on the loop again; one such change of a container at a time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fd.h"
#include "log.h"
#include "private.h"
#include "validate.h"

struct connect_job {
    struct container *container; /* a reference; for the loop only */
    struct net *net;             /* `users` keeps it */
    bool connects;
    struct endpoint endpoint;
    json_t *config;   /* what the client asked for; connect only */
    int netns_fd;     /* owned */
    pid_t pid;        /* whose it is */
    bool beside_host; /* its link has no end out here (macvlan) */
    bool wants_names; /* it has no name server yet, but needs one now */
    int control;      /* of its shim, owned; with wants_names */
    struct dns_sockets dns;
    struct endpoint_specs all; /* those that are up before */
    size_t old_gateway;        /* index into it, or n */
    struct endpoint_spec spec; /* of the one that comes or goes */
    struct endpoint_spec next; /* disconnect: the new gateway, if has_next */
    struct port_lease *ports;  /* owned */
    bool took_ports;           /* they were leased for this change */
    bool has_next;
    int next_r;
    engine_done_fn *done;
    void *arg;
    struct err err;
    int r;
};

static void job_free(struct connect_job *j)
{
    fd_close(j->netns_fd);
    fd_close(j->control);
    dns_sockets_close(&j->dns);
    endpoint_specs_done(&j->all);
    json_decref(j->config);
    free(j->ports);
    container_unref(j->container);
    free(j);
}

/* ---- on the pool ---- */

static int open_inside(struct connect_job *j)
{
    int fd = endpoint_open_socket(j->netns_fd);

    return fd < 0 ? err_sys(&j->err, -fd, "enter network namespace") : fd;
}

static bool has_ended(const struct connect_job *j)
{
    _cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", j->pid);
    struct stat now, then;

    return stat(path, &now) < 0 || fstat(j->netns_fd, &then) < 0 || now.st_ino != then.st_ino;
}

/* The shim deletes what is there when the process has ended; of what comes later nobody on the host
 * would know, if the namespace lives on. */
static void delete_late_link(struct connect_job *j, int fd)
{
    if (j->beside_host && has_ended(j))
        endpoint_down(&j->spec, ENDPOINT_DELETE_LINK, fd, NULL);
}

static int do_connect(struct connect_job *j, int fd)
{
    struct endpoint_spec *old = j->old_gateway < j->all.n ? &j->all.list[j->old_gateway] : NULL;
    int r = 0;

    if (old && j->spec.gateway) {
        old->gateway = false;
        r = endpoint_set_gateway(old, fd, &j->err);
    }
    if (r >= 0)
        r = endpoint_up(&j->spec, j->netns_fd, fd, &j->err);
    if (r >= 0 && j->wants_names) {
        r = resolver_open_sockets(j->netns_fd, j->control, &j->dns, &j->err);
        if (r < 0)
            endpoint_down(&j->spec, ENDPOINT_DELETE_LINK, fd, NULL);
    }
    if (r >= 0)
        delete_late_link(j, fd);
    if (r < 0 && old && j->spec.gateway) {
        old->gateway = true;
        endpoint_set_gateway(old, fd, NULL);
    }
    return r;
}

static int do_disconnect(struct connect_job *j, int fd)
{
    int r = endpoint_down(&j->spec, ENDPOINT_DELETE_LINK, fd, &j->err);

    if (r >= 0 && j->has_next)
        j->next_r = endpoint_set_gateway(&j->next, fd, &j->err);
    return r;
}

static void connect_run(void *arg)
{
    struct connect_job *j = arg;
    _cleanup_close_ int fd = open_inside(j);

    j->r = fd;
    if (fd >= 0)
        j->r = j->connects ? do_connect(j, fd) : do_disconnect(j, fd);
}

/* ---- /etc/hosts follows ---- */

struct hosts_job {
    struct container *container; /* a reference */
    struct container_files files;
    struct err err;
    int r;
};

static void hosts_run(void *arg)
{
    struct hosts_job *j = arg;

    j->r = container_files_write(&j->files, &j->err);
}

static void after_hosts(void *arg)
{
    struct hosts_job *j = arg;

    if (j->r < 0)
        log_warn("container %s: %s", j->container->id, j->err.message);
    container_files_done(&j->files);
    container_unref(j->container);
    free(j);
}

void container_hosts_refresh(struct container *c, bool resolv)
{
    struct hosts_job *j = xcalloc(1, sizeof(*j));

    j->container = container_ref(c);
    container_hosts_plan(c, resolv, &j->files);
    job_run(c->engine, hosts_run, after_hosts, j);
}

/* ---- on the loop ---- */

static int save(struct container *c, struct err *reterr)
{
    struct db *db = c->engine->db;
    int r = db_begin(db, reterr);

    if (r < 0)
        return r;
    r = record_save_config(c, reterr);
    if (r >= 0 && container_is_up(c))
        r = record_save_state(c, reterr);
    if (r >= 0)
        r = db_commit(db, reterr);
    if (r < 0)
        db_rollback(db);
    return r;
}

static void forget_ports(struct container *c)
{
    free(TAKE_PTR(c->ports));
    c->n_ports = 0;
}

static void drop_ports(struct container *c)
{
    ports_release(c->engine->ports, c->id, NULL);
    forget_ports(c);
}

static void set_gateway(struct container *c, struct endpoint *gateway)
{
    for (size_t i = 0; i < c->n_endpoints; i++)
        c->endpoints[i].gateway = &c->endpoints[i] == gateway;
}

static void connected(struct connect_job *j)
{
    struct container *c = j->container;
    struct endpoint *ep;
    struct err err;

    if (j->r < 0) {
        ipam_release(j->net->ipam, c->id, NULL);
        json_object_del(c->networking, j->net->name);
        if (j->took_ports)
            drop_ports(c);
        return;
    }
    ep = endpoint_append(c, &j->endpoint);
    if (ep->gateway)
        set_gateway(c, ep);
    if (container_is_up(c))
        resolver_serve(c, &j->dns);
    if (save(c, &err) < 0)
        log_error("container %s: %s", c->id, err.message);
    net_event(j->net, "connect", c->id);
}

static void disconnected(struct connect_job *j)
{
    struct container *c = j->container;
    struct endpoint *ep = container_endpoint(c, j->net);
    struct err err;

    if (j->r < 0 && j->took_ports)
        drop_ports(c);
    if (j->r < 0 || !ep)
        return;
    if (j->next_r < 0)
        log_error("container %s: no default route any more: %s", c->id, j->err.message);
    endpoint_remove(c, ep);
    ipam_release(j->net->ipam, c->id, NULL);
    json_object_del(c->networking, j->net->name);
    if (j->spec.gateway)
        set_gateway(c, endpoint_choose_gateway(c));
    if (!container_gateway(c) && c->n_ports > 0)
        drop_ports(c);
    if (save(c, &err) < 0)
        log_error("container %s: %s", c->id, err.message);
    net_event(j->net, "disconnect", c->id);
}

static void after_connect(void *arg)
{
    struct connect_job *j = arg;
    struct container *c = j->container;

    c->connecting = false;
    c->coming = NULL;
    j->net->users--;
    if (j->connects)
        connected(j);
    else
        disconnected(j);
    if (j->r >= 0 && container_is_up(c))
        container_hosts_refresh(c, j->wants_names);
    j->done(j->arg, j->r < 0 ? &j->err : NULL);
    if (c->exit_waits)
        container_exit_continue(c);
    pending_finish(&c->connect_pending, NULL);
    job_free(j);
}

/* The namespace of the container's process, for certain: it still runs after the opening.  -ESRCH:
 * it has ended. */
static int open_netns(struct container *c, struct err *reterr)
{
    _cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", c->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int saved = errno;

    shim_sync(c);
    /* Its end may be seen here before the shim has told it. */
    if (!container_is_up(c) || (fd < 0 && (saved == ENOENT || saved == ESRCH))) {
        fd_close(fd);
        return -ESRCH;
    }
    return fd < 0 ? err_sys(reterr, saved, "open %s", path) : fd;
}

static struct connect_job *job_new(struct container *c, struct net *net, int netns_fd,
                                   engine_done_fn *done, void *arg)
{
    struct connect_job *j = xcalloc(1, sizeof(*j));

    j->container = container_ref(c);
    j->net = net;
    j->netns_fd = netns_fd;
    j->pid = c->pid;
    j->beside_host = !net_publishes(net);
    j->control = -EBADF;
    j->dns = DNS_SOCKETS_NONE;
    j->done = done;
    j->arg = arg;
    endpoint_specs_of(c, &j->all);
    j->ports = xmalloc((c->n_ports + 1) * sizeof(*j->ports));
    if (c->n_ports > 0)
        memcpy(j->ports, c->ports, c->n_ports * sizeof(*j->ports));
    return j;
}

static void job_start(struct connect_job *j)
{
    j->container->connecting = true;
    j->net->users++;
    job_run(j->container->engine, connect_run, after_connect, j);
}

/* There was no gateway, or none that publishes (macvlan): now it can. */
static int take_first_ports(struct container *c, const struct endpoint *next, struct err *reterr)
{
    struct endpoint *now = container_gateway(c);
    size_t before = now ? (size_t)(now - c->endpoints) : c->n_endpoints, last = c->n_endpoints;
    int r;

    set_gateway(c, endpoint_append(c, next));
    r = endpoints_take_ports(c, reterr);
    endpoint_remove(c, &c->endpoints[last]);
    if (before < last)
        c->endpoints[before].gateway = true;
    return r;
}

static int take(struct container *c, struct net *net, struct endpoint *ret, struct err *reterr)
{
    struct db *db = c->engine->db;
    bool has_ports = c->n_ports > 0;
    int r = db_begin(db, reterr);

    if (r < 0)
        return r;
    r = endpoint_take(c, net, ret, reterr);
    ret->gateway = endpoint_takes_gateway(c, net);
    if (r >= 0 && ret->gateway && !has_ports)
        r = take_first_ports(c, ret, reterr);
    if (r >= 0)
        r = db_commit(db, reterr);
    if (r < 0) {
        db_rollback(db);
        if (!has_ports)
            forget_ports(c);
    }
    return r;
}

/* These take the namespace over. */
static void connect_running(struct container *c, struct net *net, int fd, engine_done_fn *done,
                            void *arg)
{
    struct connect_job *j;
    struct endpoint ep;
    bool has_ports = c->n_ports > 0;
    struct err err;

    if (take(c, net, &ep, &err) < 0) {
        fd_close(fd);
        json_object_del(c->networking, net->name);
        done(arg, &err);
        return;
    }
    j = job_new(c, net, fd, done, arg);
    j->connects = true;
    j->took_ports = !has_ports && c->n_ports > 0;
    j->endpoint = ep;
    c->coming = &j->endpoint;
    j->wants_names = net_has_names(net) && !c->dns && c->shim.fd >= 0;
    if (j->wants_names)
        j->control = fcntl(c->shim.fd, F_DUPFD_CLOEXEC, 0);
    endpoint_spec_of(c, &ep, &j->spec);
    if (ep.gateway)
        j->spec.ports = j->ports;
    j->old_gateway =
        container_gateway(c) ? (size_t)(container_gateway(c) - c->endpoints) : j->all.n;
    job_start(j);
}

/* Of a gateway that comes in the place of one that could not publish.  That it is left without
 * ports is no reason to keep it where it was. */
static void take_late_ports(struct container *c)
{
    struct db *db = c->engine->db;
    struct err err;
    int r = db_begin(db, &err);

    if (r >= 0) {
        r = endpoints_take_ports(c, &err);
        if (r >= 0)
            r = db_commit(db, &err);
        if (r < 0)
            db_rollback(db);
    }
    if (r >= 0)
        return;
    forget_ports(c);
    log_error("container %s: its ports are not published: %s", c->id, err.message);
}

/* The gateway once this endpoint is gone. */
static bool choose_next(struct container *c, struct endpoint *ep, struct endpoint *ret)
{
    struct endpoint gone = *ep, *next;

    endpoint_remove(c, ep); /* for the choice only */
    next = endpoint_choose_gateway(c);
    if (next) {
        next->gateway = true;
        if (c->n_ports == 0)
            take_late_ports(c);
        *ret = *next;
        next->gateway = false;
    }
    endpoint_append(c, &gone);
    return next;
}

static void disconnect_running(struct container *c, struct net *net, int fd, engine_done_fn *done,
                               void *arg)
{
    struct endpoint *ep = container_endpoint(c, net), gone = *ep, next;
    bool has_ports = c->n_ports > 0, has_next = false;
    struct connect_job *j;

    if (gone.gateway)
        has_next = choose_next(c, ep, &next);
    j = job_new(c, net, fd, done, arg);
    j->took_ports = !has_ports && c->n_ports > 0;
    endpoint_spec_of(c, &gone, &j->spec);
    if (gone.gateway)
        j->spec.ports = j->ports;
    if (j->took_ports)
        j->spec.n_ports = 0; /* it never had them */
    if (has_next) {
        endpoint_spec_of(c, &next, &j->next);
        j->next.ports = j->ports;
        j->has_next = true;
    }
    job_start(j);
}

/* ---- requests ---- */

struct request {
    struct engine *engine;
    char *network, *container;
    json_t *body;
    bool connects;
    engine_done_fn *done;
    void *arg;
};

static void begin(struct request *q);

static void request_end(struct request *q, const struct err *err)
{
    q->done(q->arg, err);
    free(q->network);
    free(q->container);
    json_decref(q->body);
    free(q);
}

/* That what it waited for has failed is no concern of this request; that we end is. */
static void again(void *arg, const struct err *err)
{
    struct request *q = arg;

    if (err && q->engine->closing)
        request_end(q, err);
    else
        begin(q);
}

static void request_done(void *arg, const struct err *err)
{
    request_end(arg, err);
}

static int check(const struct container *c, const struct net *net, bool connects,
                 struct err *reterr)
{
    enum net_mode mode = container_net_mode(c);

    if (c->removing || c->remove_after_exit)
        return err_set(reterr, ERR_CONFLICT, EBUSY,
                       "Container %s is marked for removal and cannot be connected or "
                       "disconnected to the network",
                       c->id);
    if (net->kind == NET_KIND_HOST || (mode == NET_HOST && !connects))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "container cannot be disconnected from host network or connected to host "
                       "network");
    if (mode == NET_CONTAINER || mode == NET_HOST)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "container sharing network namespace with another container or host cannot "
                       "be connected to any other network");
    if (mode == NET_NONE || net->kind == NET_KIND_NULL)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "container cannot be connected to multiple networks with one of the "
                       "networks in private (none) mode");
    return net_check_usable(net, reterr);
}

static int check_connect(const struct container *c, const struct net *net, const json_t *config,
                         struct err *reterr)
{
    if (container_endpoint(c, net))
        return err_set(reterr, ERR_FORBIDDEN, EEXIST,
                       "endpoint with name %s already exists in network %s", c->name, net->name);
    if (json_object_size(c->networking) >= ENDPOINTS_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG,
                       "a container can be connected to at most %d networks", ENDPOINTS_MAX);
    return endpoint_check(net, config, reterr);
}

static void do_request(struct request *q, struct container *c, struct net *net)
{
    json_t *config = json_get(q->body, "EndpointConfig");
    _cleanup_close_ int fd = -EBADF;
    struct err err;
    int r;

    if (container_is_up(c)) {
        fd = open_netns(c, &err);
        if (fd == -ESRCH) {
            pending_add(&c->exit_pending, again, q);
            return;
        }
        if (fd < 0) {
            request_end(q, &err);
            return;
        }
    }
    if (!c->networking) { /* of a container that was made before there were other networks */
        c->networking = json_object();
        json_object_set_new(c->networking, json_get_str(c->host_config, "NetworkMode", "bridge"),
                            json_object());
    }
    if (q->connects) {
        r = check_connect(c, net, config, &err);
        if (r >= 0)
            json_object_set_new(c->networking, net->name,
                                json_is_object(config) ? json_deep_copy(config) : json_object());
    } else {
        r = container_endpoint_config(c, net->name)
                ? 0
                : err_set(&err, ERR_FORBIDDEN, ENOENT,
                          "container %s is not connected to the network %s", c->id, net->name);
    }
    if (r >= 0 && container_is_up(c) && (q->connects || container_endpoint(c, net))) {
        (q->connects ? connect_running : disconnect_running)(c, net, TAKE_FD(fd), request_done, q);
        return;
    }
    if (r >= 0 && !q->connects)
        json_object_del(c->networking, net->name);
    if (r >= 0)
        r = save(c, &err);
    request_end(q, r < 0 ? &err : NULL);
}

static void begin(struct request *q)
{
    struct container *c;
    struct net *net;
    struct err err;

    if (registry_find(q->engine, q->container, &c, &err) < 0 ||
        net_find(q->engine, q->network, &net, &err) < 0 || check(c, net, q->connects, &err) < 0) {
        request_end(q, &err);
        return;
    }
    if (c->connecting)
        pending_add(&c->connect_pending, again, q);
    else if (c->starting)
        pending_add(&c->start_pending, again, q);
    else if (c->exiting)
        pending_add(&c->exit_pending, again, q);
    else
        do_request(q, c, net);
}

static void request(struct engine *e, const char *ref, const json_t *body, bool connects,
                    engine_done_fn *done, void *arg)
{
    const char *container = json_get_str(body, "Container", "");
    struct request *q;
    struct err err;
    int r = validate_connect_types(body, &err);

    if (r >= 0 && !*container)
        r = err_set(&err, ERR_INVALID, EINVAL, "no container specified");
    if (r < 0) {
        done(arg, &err);
        return;
    }
    q = xcalloc(1, sizeof(*q));
    *q = (struct request){.engine = e,
                          .network = xstrdup(ref),
                          .container = xstrdup(container),
                          .body = json_deep_copy(body),
                          .connects = connects,
                          .done = done,
                          .arg = arg};
    begin(q);
}

void engine_network_connect(struct engine *e, const char *ref, const json_t *body,
                            engine_done_fn *done, void *arg)
{
    request(e, ref, body, true, done, arg);
}

void engine_network_disconnect(struct engine *e, const char *ref, const json_t *body,
                               engine_done_fn *done, void *arg)
{
    request(e, ref, body, false, done, arg);
}
