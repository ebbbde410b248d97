#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "json.h"
#include "path.h"
#include "scope.h"
#include "str.h"
#include "unit.h"

/* Which file tells of which ability; v1 and v2 names. */
static const struct {
    enum cgroup_controller controller;
    const char *v1, *v2;
} features[FEATURES] = {
    [FEATURE_MEMORY] = {CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max"},
    [FEATURE_SWAP] = {CGROUP_MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max"},
    [FEATURE_RESERVATION] = {CGROUP_MEMORY, "memory.soft_limit_in_bytes", "memory.low"},
    [FEATURE_HIGH] = {CGROUP_MEMORY, NULL, "memory.high"},
    [FEATURE_KMEM] = {CGROUP_MEMORY, "memory.kmem.limit_in_bytes", NULL},
    [FEATURE_KMEM_TCP] = {CGROUP_MEMORY, "memory.kmem.tcp.limit_in_bytes", NULL},
    [FEATURE_SWAPPINESS] = {CGROUP_MEMORY, "memory.swappiness", NULL},
    [FEATURE_OOM_DISABLE] = {CGROUP_MEMORY, "memory.oom_control", NULL},
    [FEATURE_SHARES] = {CGROUP_CPU, "cpu.shares", "cpu.weight"},
    [FEATURE_CFS] = {CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max"},
    [FEATURE_BURST] = {CGROUP_CPU, "cpu.cfs_burst_us", "cpu.max.burst"},
    [FEATURE_RT] = {CGROUP_CPU, "cpu.rt_runtime_us", NULL},
    [FEATURE_CPUSET] = {CGROUP_CPUSET, "cpuset.cpus", "cpuset.cpus"},
    [FEATURE_PIDS] = {CGROUP_PIDS, "pids.max", "pids.max"},
    [FEATURE_BLK_WEIGHT] = {CGROUP_BLKIO, "blkio.weight", "io.weight"},
    [FEATURE_BLK_BFQ_WEIGHT] = {CGROUP_BLKIO, "blkio.bfq.weight", "io.bfq.weight"},
    [FEATURE_BLK_WEIGHT_DEVICE] = {CGROUP_BLKIO, "blkio.weight_device", "io.weight"},
    [FEATURE_BLK_BFQ_WEIGHT_DEVICE] = {CGROUP_BLKIO, "blkio.bfq.weight_device", "io.bfq.weight"},
    [FEATURE_BLK_THROTTLE] = {CGROUP_BLKIO, "blkio.throttle.read_bps_device", "io.max"},
    [FEATURE_NET_CLS] = {CGROUP_NET_CLS, "net_cls.classid", NULL},
    [FEATURE_NET_PRIO] = {CGROUP_NET_PRIO, "net_prio.ifpriomap", NULL},
};

char *cgroup_read(const char *dir, const char *file)
{
    _cleanup_free_ char *path = path_join(dir, file);
    char *text = NULL;

    return file_read(AT_FDCWD, path, CGROUP_FILE_MAX, &text) < 0 ? NULL : text;
}

int cgroup_write(const char *dir, const char *file, const char *value)
{
    _cleanup_free_ char *path = path_join(dir, file);

    return file_write(AT_FDCWD, path, value, strlen(value));
}

int64_t cgroup_read_int(const char *dir, const char *file)
{
    _cleanup_free_ char *text = cgroup_read(dir, file);

    if (!text)
        return -ENOENT;
    return str_starts(text, "max") ? INT64_MAX : strtoll(text, NULL, 10);
}

int64_t cgroup_read_key(const char *dir, const char *file, const char *key, int64_t def)
{
    _cleanup_free_ char *text = cgroup_read(dir, file);
    size_t n = strlen(key);

    for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        if (strncmp(p, key, n) == 0 && p[n] == ' ')
            return strtoll(p + n + 1, NULL, 10);
    }
    return def;
}

static char *scope_dir(const struct cgroup *cg, const struct cgroup_hierarchy *h, const char *slice,
                       const char *id)
{
    _cleanup_free_ char *path = NULL, *unit = scope_unit(cg, id);

    /* Checked at create; a container of a time with the other driver is in no slice. */
    if (scope_slice_path(slice, &path, NULL) < 0)
        return xasprintf("%s/%s/" SCOPE_CONTAINER, h->mount, unit);
    return xasprintf("%s%s/%s/" SCOPE_CONTAINER, h->mount, path, unit);
}

char *cgroup_dir(const struct cgroup *cg, const struct cgroup_hierarchy *h, const char *parent,
                 const char *id)
{
    if (cg->slice)
        return scope_dir(cg, h, str_empty(parent) ? cg->slice : parent, id);
    return xasprintf("%s%s%s/%s", h->mount, str_empty(parent) || *parent == '/' ? "" : "/",
                     str_empty(parent) ? cg->parent : parent, id);
}

int cgroup_parent_clean(const struct cgroup *cg, const char *parent, char **ret, struct err *reterr)
{
    _cleanup_free_ char *absolute = NULL, *path = NULL;
    int r;

    if (cg->slice) {
        r = scope_slice_path(str_empty(parent) ? cg->slice : parent, &path, reterr);
        if (r >= 0)
            *ret = xstrdup(str_empty(parent) ? cg->slice : parent);
        return r;
    }
    if (str_empty(parent)) {
        *ret = xstrdup(cg->parent);
        return 0;
    }
    absolute = xasprintf("/%s", parent);
    *ret = path_clean(absolute);
    if (streq(*ret, "/") || strlen(*ret) > 512 || strstr(parent, "..") || strchr(parent, '\n')) {
        free(TAKE_PTR(*ret));
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid cgroup parent: %s", parent);
    }
    return 0;
}

/* A new v1 cpuset has no cpus and mems and takes no process before it has. */
static int inherit_cpuset(const char *from, const char *to)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        _cleanup_free_ char *have = cgroup_read(to, files[i]), *value = NULL;
        int r;

        if (have && *have && *have != '\n')
            continue;
        value = cgroup_read(from, files[i]);
        if (!value)
            return -ENOENT;
        r = cgroup_write(to, files[i], value);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Controllers are handed down one by one: one that is busy or missing must not cost the others.
 * The root is exempt from the no-internal-process rule, and the cgroups below hold no processes. */
static void delegate_v2(const struct cgroup_hierarchy *h, const char *dir)
{
    static const struct {
        enum cgroup_controller c;
        const char *enable;
    } wanted[] = {
        {CGROUP_CPU, "+cpu"},   {CGROUP_CPUSET, "+cpuset"}, {CGROUP_MEMORY, "+memory"},
        {CGROUP_BLKIO, "+io"},  {CGROUP_PIDS, "+pids"},     {CGROUP_HUGETLB, "+hugetlb"},
        {CGROUP_RDMA, "+rdma"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        if (h->controllers & CGROUP_BIT(wanted[i].c))
            (void)cgroup_write(dir, "cgroup.subtree_control", wanted[i].enable);
    }
}

void cgroup_delegate(const struct cgroup *cg, const char *dir)
{
    delegate_v2(&cg->layout.hierarchy[cg->v2], dir);
}

static int make_parent_in(const struct cgroup_hierarchy *h, const char *parent)
{
    _cleanup_free_ char *upper = xstrdup(h->mount);

    for (const char *p = parent; *p == '/';) {
        size_t n = strcspn(p + 1, "/");
        _cleanup_free_ char *dir = xasprintf("%s/%.*s", upper, (int)n, p + 1);
        bool made = mkdir(dir, 0755) == 0;

        if (!made && errno != EEXIST)
            return -errno;
        if (h->controllers & CGROUP_BIT(CGROUP_CPUSET) && !h->v2) {
            int r = inherit_cpuset(upper, dir);

            if (r < 0)
                return r;
        }
        /* Gone from 6.x kernels where hierarchy is all there is; fails with children. */
        if (made && h->controllers & CGROUP_BIT(CGROUP_MEMORY) && !h->v2)
            (void)cgroup_write(dir, "memory.use_hierarchy", "1");
        if (h->v2)
            delegate_v2(h, upper);
        free(upper);
        upper = TAKE_PTR(dir);
        p += 1 + n;
    }
    if (h->v2)
        delegate_v2(h, upper);
    return 0;
}

int cgroup_make_parent(const struct cgroup *cg, const char *parent, struct err *reterr)
{
    for (unsigned i = 0; i < cg->layout.n; i++) {
        const struct cgroup_hierarchy *h = &cg->layout.hierarchy[i];
        int r = make_parent_in(h, parent);

        if (r < 0)
            return err_sys(reterr, -r, "make cgroup %s%s", h->mount, parent);
    }
    return 0;
}

/* Since Linux 5.16 a limit of kernel memory is refused, since 6.6 taken and forgotten
 * (mm/memcontrol-v1.c): only a number that is read back was kept.  This one limits nothing. */
static bool keeps_number(const char *dir, const char *file)
{
    const int64_t pebi = INT64_C(1) << 50;
    bool kept =
        cgroup_write(dir, file, "1125899906842624") >= 0 && cgroup_read_int(dir, file) == pebi;

    (void)cgroup_write(dir, file, "-1");
    return kept;
}

static void probe_kernel_memory(struct cgroup *cg)
{
    static const enum cgroup_feature which[] = {FEATURE_KMEM, FEATURE_KMEM_TCP};
    const struct cgroup_hierarchy *h = cgroup_of(cg, CGROUP_MEMORY);

    for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
        _cleanup_free_ char *dir = NULL;

        if (!cgroup_feature(cg, which[i]))
            continue;
        dir = path_join(h->mount, cg->parent);
        if (!keeps_number(dir, features[which[i]].v1))
            cg->features &= ~(1u << which[i]);
    }
}

static void probe_features(struct cgroup *cg)
{
    for (unsigned f = 0; f < FEATURES; f++) {
        const struct cgroup_hierarchy *h = cgroup_of(cg, features[f].controller);
        _cleanup_free_ char *path = NULL;
        const char *file;

        if (!h)
            continue;
        file = h->v2 ? features[f].v2 : features[f].v1;
        if (!file)
            continue;
        path = xasprintf("%s%s/%s", h->mount, cg->parent, file);
        if (access(path, F_OK) == 0)
            cg->features |= 1u << f;
    }
    probe_kernel_memory(cg);
}

static void index_controllers(struct cgroup *cg)
{
    cg->v2 = -1;
    for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++)
        cg->where[c] = -1;
    for (unsigned i = 0; i < cg->layout.n; i++) {
        if (cg->layout.hierarchy[i].v2)
            cg->v2 = (int)i;
        for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++) {
            if (cg->layout.hierarchy[i].controllers & CGROUP_BIT(c))
                cg->where[c] = (int)i;
        }
    }
}

static int use_slice(struct cgroup *cg, const char *slice, struct err *reterr)
{
    _cleanup_free_ char *path = NULL;
    int r;

    if (!slice)
        return 0;
    if (!cgroup_is_unified(cg))
        return err_set(reterr, ERR_NOT_IMPLEMENTED, ENOTSUP,
                       "cgroup driver systemd: this host has more than cgroup v2 (have: cgroupfs)");
    r = unit_check(reterr);
    if (r >= 0)
        r = scope_slice_path(slice, &path, reterr);
    if (r >= 0)
        cg->slice = xstrdup(slice);
    return r;
}

int cgroup_open(struct cgroup_layout *layout, const char *parent, const char *slice,
                struct cgroup **ret, struct err *reterr)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = xcalloc(1, sizeof(*cg));
    int r;

    cg->layout = *layout;
    *layout = (struct cgroup_layout){0};
    index_controllers(cg);
    if (str_empty(parent))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid cgroup parent: \"\"");
    r = cgroup_parent_clean(cg, parent, &cg->parent, reterr);
    if (r < 0)
        return r;
    r = use_slice(cg, slice, reterr);
    if (r < 0)
        return r;
    cgroup_join_named(cg);
    r = cgroup_make_parent(cg, cg->parent, reterr);
    if (r < 0)
        return r;
    probe_features(cg);
    cgroup_shims_prepare(cg);
    *ret = TAKE_PTR(cg);
    return 0;
}

void cgroup_close(struct cgroup *cg)
{
    cgroup_layout_done(&cg->layout);
    for (size_t i = 0; i < ARRAY_SIZE(cg->shims); i++)
        free(cg->shims[i]);
    free(cg->parent);
    free(cg->slice);
    free(cg);
}

int cgroup_remove_parent(const struct cgroup *cg)
{
    int result = 0;

    for (size_t i = 0; i < ARRAY_SIZE(cg->shims); i++) {
        if (cg->shims[i])
            rmdir(cg->shims[i]);
    }
    for (unsigned i = 0; i < cg->layout.n; i++) {
        _cleanup_free_ char *dir = path_join(cg->layout.hierarchy[i].mount, cg->parent);

        if (rmdir(dir) < 0 && errno != ENOENT)
            result = -errno;
    }
    return result;
}

/* The super options of the cgroup2 line in /proc/self/mounts text; NULL if there is none. */
static char *cgroup2_options(const char *mounts)
{
    const char *p = strstr(mounts, " cgroup2 ");

    if (!p)
        return NULL;
    p += strlen(" cgroup2 ");
    return xstrndup(p, strcspn(p, " \n"));
}

/* fsconfig(2) and not mount(MS_REMOUNT), which would also reset the mount's nosuid, nodev, noexec.
 * A reconfiguration sets exactly the options it names: those in force are named again. */
int cgroup_favor_dynmods(const struct cgroup *cg)
{
    _cleanup_free_ char *mounts = NULL, *have = NULL;
    _cleanup_close_ int fd = -EBADF;
    char *option, *save = NULL;
    ssize_t r;

    if (cg->v2 < 0)
        return -ENOENT;
    r = file_read(AT_FDCWD, "/proc/self/mounts", 16u << 20, &mounts);
    if (r < 0)
        return (int)r;
    have = cgroup2_options(mounts);
    if (!have)
        return -ENOENT;
    fd = fspick(AT_FDCWD, cg->layout.hierarchy[cg->v2].mount, FSPICK_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (option = strtok_r(have, ",", &save); option; option = strtok_r(NULL, ",", &save)) {
        if (streq(option, "favordynmods"))
            return 0;
        /* rw, relatime and other words of the mount are refused here, and that is fine. */
        (void)fsconfig(fd, FSCONFIG_SET_FLAG, option, NULL, 0);
    }
    if (fsconfig(fd, FSCONFIG_SET_FLAG, "favordynmods", NULL, 0) < 0 ||
        fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
        return -errno;
    return 0;
}

bool cgroup_has(const struct cgroup *cg, enum cgroup_controller c)
{
    return cg->where[c] >= 0;
}

bool cgroup_is_unified(const struct cgroup *cg)
{
    return cg->layout.n == 1 && cg->v2 == 0;
}

const char *cgroup_parent(const struct cgroup *cg)
{
    return cg->parent;
}

const char *cgroup_driver(const struct cgroup *cg)
{
    return cg->slice ? "systemd" : "cgroupfs";
}

json_t *cgroup_info(const struct cgroup *cg)
{
    return json_pack(
        "{s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:s,s:s}", "MemoryLimit",
        cgroup_feature(cg, FEATURE_MEMORY), "SwapLimit", cgroup_feature(cg, FEATURE_SWAP),
        "CpuCfsPeriod", cgroup_feature(cg, FEATURE_CFS), "CpuCfsQuota",
        cgroup_feature(cg, FEATURE_CFS), "CPUShares", cgroup_feature(cg, FEATURE_SHARES), "CPUSet",
        cgroup_feature(cg, FEATURE_CPUSET), "PidsLimit", cgroup_feature(cg, FEATURE_PIDS),
        "OomKillDisable", cgroup_feature(cg, FEATURE_OOM_DISABLE), "CgroupDriver",
        cgroup_driver(cg), "CgroupVersion", cgroup_is_unified(cg) ? "2" : "1");
}

char *cgroup_path(const struct cgroup *cg, enum cgroup_controller c, const char *parent,
                  const char *id)
{
    const struct cgroup_hierarchy *h = cgroup_of(cg, c);

    return h ? cgroup_dir(cg, h, parent, id) : NULL;
}

const struct cgroup_hierarchy *cgroup_main_hierarchy(const struct cgroup *cg)
{
    static const enum cgroup_controller order[] = {CGROUP_PIDS, CGROUP_FREEZER, CGROUP_MEMORY,
                                                   CGROUP_CPU};

    if (cg->v2 >= 0)
        return &cg->layout.hierarchy[cg->v2];
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        if (cg->where[order[i]] >= 0)
            return cgroup_of(cg, order[i]);
    }
    return &cg->layout.hierarchy[0];
}
