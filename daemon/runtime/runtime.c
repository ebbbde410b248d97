#include "runtime.h"

#include <errno.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "apparmor.h"
#include "capability.h"
#include "json.h"
#include "logconf.h"
#include "logsend.h"
#include "runtime_impl.h"
#include "str.h"
#include "validate.h"

static const char *const masked_paths[] = {
    "/proc/acpi",       "/proc/asound",        "/proc/interrupts",  "/proc/kcore",
    "/proc/keys",       "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
    "/proc/timer_list", "/proc/timer_stats",   "/sys/firmware",     "/sys/devices/virtual/powercap",
};

static const char *const readonly_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

void runtime_warn(json_t *warnings, const char *fmt, ...)
{
    char text[ERR_MESSAGE_MAX];
    va_list ap;

    if (!warnings)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    json_array_append_new(warnings, json_string(text));
}

/* ---- facts ---- */

/* Numbered from 0 and without gaps on all but the oddest machines. */
static unsigned memory_nodes(void)
{
    unsigned n = 0;
    char path[64];

    do
        snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", n);
    while (access(path, F_OK) == 0 && ++n);
    return n ? n : 1;
}

static void facts_read(struct runtime_facts *f)
{
    struct utsname uts;
    struct sysinfo si;
    unsigned major = 0, minor = 0;

    *f = (struct runtime_facts){.cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
                                .mems = memory_nodes()};
    for (int cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            f->caps |= CAP_BIT(cap);
    }
    if (sysinfo(&si) == 0)
        f->memory = (int64_t)si.totalram * si.mem_unit;
    if (uname(&uts) == 0 && sscanf(uts.release, "%u.%u", &major, &minor) == 2)
        f->kernel = major << 16 | minor;
    for (int i = 0; i < RLIMIT_NLIMITS; i++)
        (void)getrlimit((__rlimit_resource_t)i, &f->limits[i]);
    f->apparmor = apparmor_is_on();
    if (gethostname(f->hostname, sizeof(f->hostname) - 1) < 0)
        strcpy(f->hostname, "localhost");
}

/* A side channel (GHSA-6fw5-f8r9-fgfm) that only some machines have, one file set a CPU. */
static void add_thermal_paths(json_t *list)
{
    glob_t g;

    if (glob("/sys/devices/system/cpu/cpu*/thermal_throttle", 0, NULL, &g) != 0)
        return;
    for (size_t i = 0; i < g.gl_pathc; i++)
        json_array_append_new(list, json_string(g.gl_pathv[i]));
    globfree(&g);
}

struct runtime *runtime_new(const struct cgroup *cg, const struct runtime_facts *facts)
{
    struct runtime *rt = xcalloc(1, sizeof(*rt));

    rt->cg = cg;
    rt->facts = *facts;
    rt->masked = json_array();
    rt->readonly = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(masked_paths); i++)
        json_array_append_new(rt->masked, json_string(masked_paths[i]));
    for (size_t i = 0; i < ARRAY_SIZE(readonly_paths); i++)
        json_array_append_new(rt->readonly, json_string(readonly_paths[i]));
    pthread_mutex_init(&rt->lock, NULL);
    return rt;
}

int runtime_open(const struct cgroup *cg, struct runtime **ret, struct err *reterr)
{
    struct runtime_facts facts;

    (void)reterr;
    facts_read(&facts);
    *ret = runtime_new(cg, &facts);
    add_thermal_paths((*ret)->masked);
    return 0;
}

void runtime_close(struct runtime *rt)
{
    for (size_t i = 0; i < rt->cached; i++)
        filter_done(&rt->cache[i].filter);
    pthread_mutex_destroy(&rt->lock);
    json_decref(rt->masked);
    json_decref(rt->readonly);
    free(rt);
}

const struct runtime_facts *runtime_facts(const struct runtime *rt)
{
    return &rt->facts;
}

/* ---- seccomp ---- */

/* With the lock held; the filter stays the cache's.  A full cache forgets its last entry: the
 * first one is the default set. */
static int cache_get(struct runtime *rt, uint64_t caps, const struct filter **ret,
                     struct err *reterr)
{
    struct filter f;
    size_t at;
    int r;

    for (size_t i = 0; i < rt->cached; i++) {
        if (rt->cache[i].caps == caps) {
            *ret = &rt->cache[i].filter;
            return 0;
        }
    }
    r = filter_default(caps, rt->facts.kernel, &f, reterr);
    if (r < 0)
        return r;
    at = rt->cached < FILTER_CACHE_MAX ? rt->cached++ : FILTER_CACHE_MAX - 1;
    filter_done(&rt->cache[at].filter);
    rt->cache[at].caps = caps;
    rt->cache[at].filter = f;
    *ret = &rt->cache[at].filter;
    return 0;
}

static void add_filter(struct plan *plan, const struct filter *f)
{
    plan_add_blob(plan, PLAN_SECCOMP, f->insns, f->size, f->flags, NULL);
}

int runtime_add_filter(struct runtime *rt, const struct secopt *so, uint64_t caps,
                       struct plan *plan, struct err *reterr)
{
    const struct filter *shared = NULL;
    struct filter own;
    int r;

    if (so->seccomp_unconfined)
        return 0;
    if (so->seccomp_json) {
        r = filter_custom(so->seccomp_json, caps, rt->facts.kernel, &own, reterr);
        if (r < 0)
            return r;
        add_filter(plan, &own);
        filter_done(&own);
        return 0;
    }
    pthread_mutex_lock(&rt->lock);
    r = cache_get(rt, caps, &shared, reterr);
    if (r >= 0)
        add_filter(plan, shared);
    pthread_mutex_unlock(&rt->lock);
    return r;
}

int runtime_warm(struct runtime *rt, struct err *reterr)
{
    const struct filter *f;
    int r;

    pthread_mutex_lock(&rt->lock);
    r = cache_get(rt, caps_default & rt->facts.caps, &f, reterr);
    pthread_mutex_unlock(&rt->lock);
    return r;
}

/* ---- AppArmor ---- */

const char *runtime_apparmor(const struct runtime *rt, const json_t *host_config)
{
    return rt->facts.apparmor ? apparmor_profile(host_config) : "";
}

int runtime_prepare_apparmor(const struct runtime *rt, const char *profile, struct err *reterr)
{
    return rt->facts.apparmor && streq(profile, APPARMOR_DEFAULT) ? apparmor_load_default(reterr)
                                                                  : 0;
}

/* ---- the plan ---- */

static void add_idmap(struct build *b)
{
    char map[64];

    if (!b->user_ns || b->spec->ns_path[RUNTIME_NS_USER])
        return;
    snprintf(map, sizeof(map), "0 %u %u\n", b->spec->idmap_base, b->spec->idmap_size);
    plan_add(b->plan, PLAN_IDMAP, 0, 0, 0, 0, map, map, NULL);
}

static void add_namespaces(struct build *b)
{
    static const struct {
        enum runtime_ns which;
        uint64_t flag;
    } table[] = {
        /* The user namespace first: the others shall be owned by it. */
        {RUNTIME_NS_USER, CLONE_NEWUSER}, {RUNTIME_NS_PID, CLONE_NEWPID},
        {RUNTIME_NS_IPC, CLONE_NEWIPC},   {RUNTIME_NS_UTS, CLONE_NEWUTS},
        {RUNTIME_NS_NET, CLONE_NEWNET},   {RUNTIME_NS_CGROUP, CLONE_NEWCGROUP},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        enum runtime_ns which = table[i].which;
        const char *path = b->spec->ns_path[which];

        /* A cgroup file system can be mounted only by the owner of the cgroup namespace. */
        if (!path && which == RUNTIME_NS_CGROUP && b->user_ns)
            path = "";
        if (!path &&
            (which == RUNTIME_NS_USER ? !b->user_ns
                                      : runtime_ns_mode(b->hc, which, NULL) == RUNTIME_NS_HOST))
            continue;
        plan_add(b->plan, PLAN_NAMESPACE, table[i].flag, 0, 0, 0, path ? path : "", NULL);
    }
    add_idmap(b);
}

static void add_stdio(struct build *b)
{
    const json_t *size = json_get(b->hc, "ConsoleSize");
    struct log_limits log;
    unsigned rows = b->spec->rows, columns = b->spec->columns;
    uint64_t flags = 0;

    if (!rows && !columns && json_array_size(size) == 2) {
        rows = (unsigned)json_integer_value(json_array_get(size, 0));
        columns = (unsigned)json_integer_value(json_array_get(size, 1));
    }
    if (json_get_bool(b->spec->config, "Tty", false))
        flags |= PLAN_STDIO_TTY;
    if (json_get_bool(b->spec->config, "OpenStdin", false))
        flags |= PLAN_STDIO_STDIN;
    if (json_get_bool(b->spec->config, "StdinOnce", false))
        flags |= PLAN_STDIO_STDIN_ONCE;
    plan_add(b->plan, PLAN_STDIO, flags, rows, columns, 0, NULL);
    log_send_plan(json_get(b->hc, "LogConfig"),
                  &(struct log_names){b->spec->id, b->spec->name ? b->spec->name : "",
                                      json_get_str(b->spec->config, "Image", "")},
                  b->plan);
    if (!b->spec->log_path)
        return;
    if (log_limits_parse(json_get(b->hc, "LogConfig"), &log, NULL) < 0)
        log_limits_parse(NULL, &log, NULL); /* of an older daemon */
    plan_add(b->plan, PLAN_LOG, log.size, log.files, b->spec->log_number,
             log.compress && b->spec->log_number == 0, b->spec->log_path, NULL);
}

struct cgroup_spec runtime_cgroup_spec(const struct build *b)
{
    return (struct cgroup_spec){
        .id = b->spec->id,
        .parent = json_get_str(b->hc, "CgroupParent", ""),
        .host_config = b->hc,
        .devices = b->devices.rules,
        .n_devices = b->devices.n_rules,
        .all_devices = b->privileged,
    };
}

static int add_cgroup(struct build *b)
{
    struct cgroup_spec cs = runtime_cgroup_spec(b);

    /* The limits' warnings were told when the container was created. */
    return b->rt->cg ? cgroup_plan(b->rt->cg, &cs, b->plan, NULL, b->reterr) : 0;
}

static void add_rootfs(struct build *b)
{
    const struct runtime_spec *s = b->spec;
    uint64_t flags = b->user_ns ? PLAN_ROOTFS_IDMAP : 0;
    char **v = NULL;

    v = strv_append(v, s->upper);
    if (s->lowers)
        v = strv_append(v, s->work);
    for (size_t i = 0; s->lowers && s->lowers[i]; i++)
        v = strv_append(v, s->lowers[i]);
    /* What is removed at exit need not survive a crash of the host: no syncing. */
    if (json_get_bool(b->hc, "AutoRemove", false))
        flags |= PLAN_ROOTFS_VOLATILE;
    plan_add_strv(b->plan, PLAN_ROOTFS, flags, v);
    strv_free(v);
}

static int check_spec(struct build *b)
{
    static const char *const keys[] = {[RUNTIME_NS_PID] = "PidMode",
                                       [RUNTIME_NS_IPC] = "IpcMode",
                                       [RUNTIME_NS_NET] = "NetworkMode"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (keys[i] && runtime_ns_mode(b->hc, (enum runtime_ns)i, NULL) == RUNTIME_NS_CONTAINER &&
            !b->spec->ns_path[i])
            return err_set(b->reterr, ERR_SYSTEM, EINVAL, "no namespace to join for %s %s", keys[i],
                           json_get_str(b->hc, keys[i], ""));
    }
    return 0;
}

static int parse_all(struct build *b)
{
    int r = check_spec(b);

    if (r >= 0)
        r = secopt_parse(b->hc, &b->security, b->reterr);
    if (r >= 0)
        r = mount_list_parse(b->hc, &b->mounts, b->reterr);
    if (r < 0)
        return r;
    mount_list_settle(&b->mounts, b->spec->points);
    return device_list_build(b->hc, &b->devices, b->reterr);
}

/* As `stop` does it. */
static void add_stop(struct build *b)
{
    int signo = signal_parse(json_get_str(b->spec->config, "StopSignal", "TERM"), NULL);
    int64_t seconds = json_get_int(b->spec->config, "StopTimeout", 10);

    plan_add(b->plan, PLAN_STOP, (uint64_t)(signo < 0 ? SIGTERM : signo),
             (uint64_t)(seconds > INT32_MAX ? INT32_MAX : seconds), 0, 0, NULL);
}

static int plan_all(struct build *b)
{
    int r = parse_all(b);

    if (r < 0)
        return r;
    plan_add(b->plan, PLAN_RUN_DIR, 0, 0, 0, 0, b->spec->run_dir, NULL);
    add_stop(b);
    add_stdio(b);
    r = add_cgroup(b);
    if (r < 0)
        return r;
    add_namespaces(b);
    add_rootfs(b);
    if (b->spec->sandbox_fds)
        plan_add(b->plan, PLAN_SANDBOX_FDS, 1, 0, 0, 0, NULL);
    r = rootfs_plan(b);
    return r < 0 ? r : process_plan(b);
}

static void build_done(struct build *b)
{
    mount_list_done(&b->mounts);
    device_list_done(&b->devices);
}

int runtime_plan(struct runtime *rt, const struct runtime_spec *spec, struct plan *plan,
                 json_t *warnings, struct err *reterr)
{
    _cleanup_(build_done) struct build b = {
        .rt = rt,
        .spec = spec,
        .hc = spec->host_config,
        .plan = plan,
        .warnings = warnings,
        .reterr = reterr,
        .privileged = json_get_bool(spec->host_config, "Privileged", false),
        .user_ns = spec->idmap_base || spec->ns_path[RUNTIME_NS_USER],
    };

    return plan_all(&b);
}

int runtime_view_plan(struct runtime *rt, const struct runtime_spec *spec, struct plan *plan,
                      struct err *reterr)
{
    _cleanup_(build_done) struct build b = {.rt = rt,
                                            .spec = spec,
                                            .hc = spec->host_config,
                                            .plan = plan,
                                            .reterr = reterr,
                                            .user_ns = spec->idmap_base};
    int r = mount_list_parse(b.hc, &b.mounts, reterr);

    if (r < 0)
        return r;
    mount_list_settle(&b.mounts, spec->points);
    add_idmap(&b);
    add_rootfs(&b);
    rootfs_plan_view(&b);
    return 0;
}
