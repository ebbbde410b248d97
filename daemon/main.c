#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "engine.h"
#include "fd.h"
#include "listen.h"
#include "log.h"
#include "manager.h"
#include "options.h"
#include "path.h"
#include "routes.h"
#include "server.h"
#include "str.h"

#define LOCK_TRIES 20
#define LOCK_PAUSE_US 25000

struct program {
    int argc;
    char **argv;
    struct options options;
    uv_loop_t loop;
    uv_signal_t term, interrupt, hangup;
    uv_timer_t watchdog;
    struct engine *engine;
    struct http_server *server;
    int listen[LISTEN_MAX];
    int n_listen;
    int lock; /* on the data root */
    bool serving, pidfile_written;
    char *shim, *worker, *images; /* owned */
};

/* ---- where our other files are ---- */

/* Beside our own executable (a build tree), or where they are installed. */
static char *find_program(const char *dir, const char *name)
{
    char *path = path_join(dir, name);

    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return xasprintf("%s/../libexec/containerd-lite/%s", dir, name);
}

static int find_files(struct program *p, struct err *reterr)
{
    char exe[4096], *slash;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (n < 0)
        return err_sys(reterr, errno, "cannot find our own executable");
    exe[n] = '\0';
    slash = strrchr(exe, '/');
    *slash = '\0';
    p->shim = find_program(exe, "containerd-lite-shim");
    p->worker = find_program(exe, "containerd-lite-layer");
    p->images = xasprintf("%s/../share/containerd-lite/images", exe);
    return 0;
}

/* ---- start ---- */

/* Two daemons on one data root would ruin it. */
static int lock_root(struct program *p, struct err *reterr)
{
    _cleanup_free_ char *path = path_join(p->options.data_root, "lock");
    int r = path_mkdir_p(p->options.data_root, 0711);

    if (r < 0)
        return err_sys(reterr, -r, "cannot make directory %s", p->options.data_root);
    p->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (p->lock < 0)
        return err_sys(reterr, errno, "cannot open %s", path);
    /* A daemon that was killed while it spawned lives on in the lock that the child of its vfork()
     * holds until it executes. */
    for (int i = 0; (r = flock(p->lock, LOCK_EX | LOCK_NB)) < 0 && i < LOCK_TRIES; i++)
        usleep(LOCK_PAUSE_US);
    if (r < 0)
        return err_set(reterr, ERR_CONFLICT, EBUSY, "another daemon uses data root %s",
                       p->options.data_root);
    return 0;
}

static int write_pidfile(struct program *p, struct err *reterr)
{
    char text[32];
    int n, r;

    if (!p->options.pidfile)
        return 0;
    n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    r = file_replace(AT_FDCWD, p->options.pidfile, text, (size_t)n, 0644, 0);
    if (r < 0)
        return err_sys(reterr, -r, "cannot write %s", p->options.pidfile);
    p->pidfile_written = true;
    return 0;
}

static int open_engine(struct program *p, struct err *reterr)
{
    const struct options *o = &p->options;
    struct engine_config c = {.data_root = o->data_root,
                              .exec_root = o->exec_root,
                              .bridge = o->bridge,
                              .bip = o->bip,
                              .default_ip = o->ip,
                              .address_pools = (const char *const *)o->address_pools,
                              .cgroup_parent = o->cgroup_parent,
                              .systemd_cgroup = o->systemd_cgroup,
                              .storage_driver = o->storage_driver,
                              .shim_path = p->shim,
                              .worker_path = p->worker,
                              .images_dir = p->images,
                              .registry_mirrors = (const char *const *)o->registry_mirrors,
                              .insecure_registries = (const char *const *)o->insecure_registries,
                              .registry_certs = o->registry_certs,
                              .dns = (const char *const *)o->dns,
                              .dns_search = (const char *const *)o->dns_search,
                              .dns_options = (const char *const *)o->dns_options,
                              .labels = (const char *const *)o->labels,
                              .log_driver = o->log_driver,
                              .log_opts = (const char *const *)o->log_opts,
                              .default_init = o->init,
                              .publish_obeys_input = o->publish_obeys_input,
                              .default_proc_view = o->proc_view,
                              .keep_dynmods = o->no_favordynmods,
                              .experimental = o->experimental,
                              .debug = o->debug,
                              .mtu = o->mtu,
                              .build_download_max = o->build_download_max};

    return engine_open(&c, &p->loop, &p->engine, reterr);
}

static void stop(struct program *p)
{
    if (p->serving) {
        manager_notify("STOPPING=1");
        http_server_stop(p->server, NULL, NULL);
        p->serving = false;
    }
    uv_stop(&p->loop);
}

static void on_signal(uv_signal_t *s, int signo)
{
    log_info("signal %d: stopping; containers go on", signo);
    stop(s->data);
}

/* ---- reload ---- */

static void set_log_level(const struct options *o)
{
    enum log_level level = LOG_LVL_INFO;

    log_level_parse(o->log_level, &level);
    log_set_level(level);
}

static void apply(struct program *p, struct options *fresh)
{
    char **labels = p->options.labels;

    set_log_level(fresh);
    engine_reload(p->engine, (const char *const *)fresh->labels, fresh->debug);
    p->options.labels = TAKE_PTR(fresh->labels);
    strv_free(labels);
}

static void on_hangup(uv_signal_t *s, int signo)
{
    struct program *p = s->data;
    struct options fresh = {0};
    struct timespec now;
    char text[64];
    struct err err;

    (void)signo;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    manager_notify(text);
    if (options_parse(p->argc, p->argv, &fresh, &err) < 0) {
        log_error("the configuration stays as it was: %s", err.message);
    } else {
        apply(p, &fresh);
        log_info("read the configuration again: labels, debug and log level");
    }
    options_done(&fresh);
    if (p->serving)
        manager_notify("READY=1");
}

/* From the loop: it is the loop that may hang. */
static void on_watchdog(uv_timer_t *t)
{
    (void)t;
    manager_notify("WATCHDOG=1");
}

static void watch(struct program *p)
{
    int64_t us = manager_watchdog_us();

    uv_timer_init(&p->loop, &p->watchdog);
    /* Half the time, as sd_watchdog_enabled(3) says; never in a row. */
    if (us > 0)
        uv_timer_start(&p->watchdog, on_watchdog, 0, us < 4000 ? 2 : (uint64_t)us / 2000);
}

/* ---- service ---- */

static void serve(void *arg)
{
    struct program *p = arg;
    struct err err;

    if (http_server_new(&p->loop, p->listen, (size_t)p->n_listen, http_routes, p->engine,
                        &p->server, &err) < 0) {
        log_error("%s", err.message);
        uv_stop(&p->loop);
        return;
    }
    p->serving = true;
    if (p->options.experimental)
        http_server_set_experimental(p->server);
    manager_notify("READY=1");
    log_info("containerd-lite %s serves %s", CTL_VERSION, p->options.hosts[0]);
}

static void handle_signal(struct program *p, uv_signal_t *s, int signo, uv_signal_cb handler)
{
    uv_signal_init(&p->loop, s);
    s->data = p;
    uv_signal_start(s, handler, signo);
}

static int start(struct program *p, struct err *reterr)
{
    int r = find_files(p, reterr);

    if (r >= 0)
        r = lock_root(p, reterr);
    if (r >= 0)
        r = write_pidfile(p, reterr);
    if (r >= 0)
        r = p->n_listen = listen_open(p->options.hosts, p->listen, reterr);
    if (r >= 0)
        r = open_engine(p, reterr);
    if (r < 0)
        return r;
    handle_signal(p, &p->term, SIGTERM, on_signal);
    handle_signal(p, &p->interrupt, SIGINT, on_signal);
    handle_signal(p, &p->hangup, SIGHUP, on_hangup);
    watch(p);
    /* Nobody is told that there is no image while the first one is being unpacked. */
    if (engine_embed_images(p->engine, serve, p) == 0)
        serve(p);
    return 0;
}

/* ---- end ---- */

static void finish(struct program *p)
{
    if (p->engine) {
        uv_close((uv_handle_t *)&p->term, NULL);
        uv_close((uv_handle_t *)&p->interrupt, NULL);
        uv_close((uv_handle_t *)&p->hangup, NULL);
        uv_close((uv_handle_t *)&p->watchdog, NULL);
        engine_close(p->engine);
    }
    if (p->n_listen > 0)
        listen_unlink(p->options.hosts);
    if (p->pidfile_written)
        unlink(p->options.pidfile);
    fd_close(p->lock);
    uv_loop_close(&p->loop);
    free(p->shim);
    free(p->worker);
    free(p->images);
}

static void prepare_process(const struct options *o)
{
    struct rlimit files;

    set_log_level(o);
    signal(SIGPIPE, SIG_IGN);
    umask(0022);
    /* A container costs a few descriptors: take what we may. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    /* Few threads that allocate little: one arena keeps the daemon small. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
}

int main(int argc, char **argv)
{
    struct program p = {.argc = argc, .argv = argv, .lock = -EBADF};
    struct err err;
    bool failed;

    if (options_parse(argc, argv, &p.options, &err) < 0) {
        fprintf(stderr, "containerd-lite: %s\nSee 'containerd-lite --help'.\n", err.message);
        return 1;
    }
    if (p.options.help || p.options.version || p.options.validate) {
        if (p.options.help)
            options_usage();
        else if (p.options.version)
            printf("containerd-lite version %s\n", CTL_VERSION);
        else
            puts("configuration OK");
        options_done(&p.options);
        return 0;
    }
    prepare_process(&p.options);
    uv_loop_init(&p.loop);
    failed = start(&p, &err) < 0;
    if (failed)
        log_error("%s", err.message);
    else
        uv_run(&p.loop, UV_RUN_DEFAULT);
    failed = failed || !p.server;
    finish(&p);
    options_done(&p.options);
    return failed ? 1 : 0;
}
