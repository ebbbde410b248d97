/* The HOST operations that make a container's cgroups. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cgroup_impl.h"
#include "devfilter.h"
#include "json.h"
#include "netclass.h"
#include "str.h"

struct build {
    const struct cgroup *cg;
    const struct cgroup_spec *spec;
    struct plan *plan;
    char *dir[CGROUP_HIERARCHIES_MAX]; /* owned; NULL: not used */
};

static void build_done(struct build *b)
{
    for (size_t i = 0; i < CGROUP_HIERARCHIES_MAX; i++)
        free(b->dir[i]);
}

static const char *dir_of(const struct build *b, enum cgroup_controller c)
{
    return b->cg->where[c] < 0 ? NULL : b->dir[b->cg->where[c]];
}

static void add_write(struct build *b, const char *dir, const char *file, const char *value,
                      bool optional)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", dir, file);
    plan_add(b->plan, PLAN_CGROUP_WRITE, optional, 0, 0, 0, path, value, NULL);
}

static void emit_write(void *arg, enum cgroup_controller c, const char *file, const char *value)
{
    struct build *b = arg;
    const char *dir = dir_of(b, c);

    if (dir)
        add_write(b, dir, file, value, false);
}

/* Each mkdir costs some 30 us, so hierarchies that give a container nothing are left out: those of
 * cpuset, hugetlb, rdma, net_cls and net_prio on v1 without a setting.  perf_event has none: to be
 * in it is the use of it (perf stat --for-each-cgroup).  A privileged container may write to what
 * it is shown, so it has its own of each. cgroup2 is always there: cgroup.kill, CLONE_INTO_CGROUP.
 */
static bool is_used(const struct cgroup *cg, const struct cgroup_spec *spec,
                    const struct cgroup_hierarchy *h)
{
    unsigned used = CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_CPUACCT) |
                    CGROUP_BIT(CGROUP_MEMORY) | CGROUP_BIT(CGROUP_DEVICES) |
                    CGROUP_BIT(CGROUP_FREEZER) | CGROUP_BIT(CGROUP_BLKIO) |
                    CGROUP_BIT(CGROUP_PIDS) | CGROUP_BIT(CGROUP_PERF_EVENT);

    used |= cgroup_wanted(cg, spec->host_config);
    return h->v2 || h->named || spec->all_devices || h->controllers & used;
}

/* cpuset.cpus and cpuset.mems of the parent, before any process joins; own settings follow. */
static void fill_cpuset(struct build *b, const struct cgroup_hierarchy *h, const char *dir,
                        const char *parent)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    _cleanup_free_ char *from = xasprintf("%s%s", h->mount, parent);

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        _cleanup_free_ char *value = cgroup_read(from, files[i]);

        if (!value)
            continue;
        value[strcspn(value, "\n")] = '\0';
        add_write(b, dir, files[i], value, false);
    }
}

/* An update may want one of these later: what is executed then must go there, too. */
static void add_later(struct build *b, const struct cgroup_hierarchy *h, const char *parent)
{
    _cleanup_free_ char *dir = NULL;

    if (!(h->controllers & cgroup_optional()))
        return;
    dir = cgroup_dir(b->cg, h, parent, b->spec->id);
    plan_add(b->plan, PLAN_CGROUP_MKDIR, PLAN_CGROUP_JOIN | PLAN_CGROUP_LATER, 0, 0, 0, dir, NULL);
}

static void make_dirs(struct build *b, const char *parent)
{
    for (unsigned i = 0; i < b->cg->layout.n; i++) {
        const struct cgroup_hierarchy *h = &b->cg->layout.hierarchy[i];

        if (!is_used(b->cg, b->spec, h)) {
            add_later(b, h, parent);
            continue;
        }
        b->dir[i] = cgroup_dir(b->cg, h, parent, b->spec->id);
        plan_add(b->plan, PLAN_CGROUP_MKDIR, PLAN_CGROUP_JOIN | (h->v2 ? PLAN_CGROUP_V2 : 0), 0, 0,
                 0, b->dir[i], NULL);
        if (!h->v2 && h->controllers & CGROUP_BIT(CGROUP_CPUSET))
            fill_cpuset(b, h, b->dir[i], parent);
    }
}

static void add_devices_v1(struct build *b, const char *dir)
{
    add_write(b, dir, "devices.deny", "a", false);
    for (size_t i = 0; i < b->spec->n_devices; i++) {
        const struct cgroup_device *d = &b->spec->devices[i];
        char text[CGROUP_DEVICE_TEXT];

        cgroup_device_format(d, text);
        /* v1 knows 'a' only as "everything"; otherwise both types are told one by one. */
        if (d->type == 'a') {
            text[0] = 'b';
            add_write(b, dir, d->allow ? "devices.allow" : "devices.deny", text, false);
            text[0] = 'c';
        }
        add_write(b, dir, d->allow ? "devices.allow" : "devices.deny", text, false);
    }
}

static int add_devices(struct build *b, struct err *reterr)
{
    const char *dir = dir_of(b, CGROUP_DEVICES);
    _cleanup_free_ struct bpf_insn *insns = NULL;
    int n;

    if (!dir || b->spec->all_devices)
        return 0;
    if (!cgroup_on_v2(b->cg, CGROUP_DEVICES)) {
        add_devices_v1(b, dir);
        return 0;
    }
    insns = xcalloc(DEVFILTER_INSNS_MAX, sizeof(*insns));
    n = devfilter_build(b->spec->devices, b->spec->n_devices, insns);
    if (n < 0)
        return err_set(reterr, ERR_INVALID, -n, "too many device rules");
    plan_add_blob(b->plan, PLAN_CGROUP_BPF, insns, (size_t)n * sizeof(*insns), PLAN_BPF_DEVICES,
                  dir);
    return 0;
}

static void add_class(struct build *b)
{
    int64_t class = json_get_int(b->spec->host_config, "NetClassId", 0);
    struct bpf_insn insns[NETCLASS_INSNS];

    if (class <= 0 || !netclass_by_program(b->cg))
        return;
    netclass_build((uint32_t) class, insns);
    plan_add_blob(b->plan, PLAN_CGROUP_BPF, insns, sizeof(insns), PLAN_BPF_SOCKETS,
                  b->dir[b->cg->v2]);
}

static void add_oom_file(struct build *b)
{
    const char *dir = dir_of(b, CGROUP_MEMORY);
    char path[4096];

    if (!dir)
        return;
    snprintf(path, sizeof(path), "%s/%s", dir,
             cgroup_on_v2(b->cg, CGROUP_MEMORY) ? "memory.events" : "memory.oom_control");
    plan_add(b->plan, PLAN_OOM_FILE, 0, 0, 0, 0, path, NULL);
}

int cgroup_plan(const struct cgroup *cg, const struct cgroup_spec *spec, struct plan *plan,
                json_t *warnings, struct err *reterr)
{
    _cleanup_(build_done) struct build b = {.cg = cg, .spec = spec, .plan = plan};
    _cleanup_free_ char *parent = NULL;
    int r;

    if (!str_is_filename(spec->id))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid container id");
    r = cgroup_parent_clean(cg, spec->parent, &parent, reterr);
    if (r >= 0 && !cg->slice && !str_empty(spec->parent))
        r = cgroup_make_parent(cg, parent, reterr);
    if (r < 0)
        return r;
    make_dirs(&b, parent);
    r = cgroup_limits(cg, spec->host_config, emit_write, &b, warnings, reterr);
    if (r >= 0)
        r = add_devices(&b, reterr);
    if (r >= 0)
        add_class(&b);
    if (r >= 0)
        add_oom_file(&b);
    return r;
}

int cgroup_mounts(const struct cgroup *cg, const struct cgroup_spec *spec,
                  struct cgroup_mounts *ret, struct err *reterr)
{
    _cleanup_free_ char *parent = NULL;
    int r = cgroup_parent_clean(cg, spec->parent, &parent, reterr);

    if (r < 0)
        return r;
    ret->n = cg->layout.n;
    for (unsigned i = 0; i < cg->layout.n; i++) {
        const struct cgroup_hierarchy *h = &cg->layout.hierarchy[i];

        ret->mount[i] = (struct cgroup_mount){
            .dir = is_used(cg, spec, h) ? cgroup_dir(cg, h, parent, spec->id) : xstrdup(h->mount),
            .name = h->name,
            .controllers = h->controllers,
            .v2 = h->v2,
        };
    }
    return 0;
}

void cgroup_mounts_done(struct cgroup_mounts *mounts)
{
    for (size_t i = 0; i < mounts->n; i++)
        free(mounts->mount[i].dir);
    mounts->n = 0;
}
