/* The ROOT stage: what the container's init mounts, makes and hides. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "json.h"
#include "runtime_impl.h"
#include "str.h"

#define MS_BASE (MS_NOSUID | MS_NOEXEC | MS_NODEV)
#define SHM_DEFAULT 67108864

static void add_mount(struct build *b, const char *type, const char *source, const char *target,
                      const char *data, uint64_t flags)
{
    plan_add(b->plan, PLAN_MOUNT, flags, 0, 0, 0, type, source, target, data, NULL);
}

static void add_bind(struct build *b, const char *from, const char *to, uint64_t flags)
{
    plan_add(b->plan, PLAN_BIND, flags, 0, 0, 0, from, to, NULL);
}

/* Has the user put something of his own there (or on a directory above it below /)? */
static bool is_overridden(const struct build *b, const char *target)
{
    for (size_t i = 0; i < b->mounts.n; i++) {
        const char *t = b->mounts.mounts[i].target;
        size_t n = strlen(t);

        if (strncmp(target, t, n) == 0 && (target[n] == '\0' || target[n] == '/'))
            return true;
    }
    return false;
}

static bool is_host(const struct build *b, enum runtime_ns which)
{
    return runtime_ns_mode(b->hc, which, NULL) == RUNTIME_NS_HOST;
}

/* proc, sysfs and mqueue may be mounted in a user namespace only if it owns the pid, network or ipc
 * namespace that they show; otherwise the host's mount is bound. */
static void add_proc(struct build *b)
{
    if (is_overridden(b, "/proc"))
        return;
    if (b->user_ns && is_host(b, RUNTIME_NS_PID))
        add_bind(b, "/proc", "/proc", PLAN_BIND_RECURSIVE);
    else
        add_mount(b, "proc", "proc", "/proc", "", MS_BASE);
}

static void add_sys(struct build *b)
{
    uint64_t readonly = b->privileged ? 0 : MS_RDONLY;

    if (is_overridden(b, "/sys"))
        return;
    if (b->user_ns && is_host(b, RUNTIME_NS_NET))
        add_bind(b, "/sys", "/sys", PLAN_BIND_RECURSIVE | PLAN_BIND_RDONLY_REC | PLAN_BIND_RDONLY);
    else
        add_mount(b, "sysfs", "sysfs", "/sys", "", MS_BASE | readonly);
}

/* What lxcfs has of the container's own. */
static void add_proc_view(struct build *b)
{
    static const char *const files[] = {
        "/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo",
        "/proc/stat",    "/proc/swaps",     "/proc/uptime",  "/sys/devices/system/cpu/online"};

    for (size_t i = 0; b->spec->proc_view && i < ARRAY_SIZE(files); i++) {
        _cleanup_free_ char *from = xasprintf("%s%s", b->spec->proc_view, files[i]);

        if (!is_overridden(b, files[i]))
            add_bind(b, from, files[i], 0);
    }
}

/* v1: a mount costs some 10 us, so a container is shown those hierarchies from which programs read
 * their limits and usage (JVM, Go and Python run-times, cadvisor); a privileged one, which may be
 * an engine itself, gets all. */
static bool is_shown(const struct build *b, const struct cgroup_mount *m)
{
    const unsigned read_by_programs = 1u << CGROUP_MEMORY | 1u << CGROUP_CPU |
                                      1u << CGROUP_CPUACCT | 1u << CGROUP_CPUSET |
                                      1u << CGROUP_PIDS | 1u << CGROUP_BLKIO;

    return b->privileged || (!m->v2 && m->controllers & read_by_programs);
}

/* The controllers of "cpu,cpuacct" are looked for under their own names, too. */
static void add_controller_links(struct build *b, const char *name)
{
    const char *p = name;

    if (!strchr(name, ','))
        return;
    while (*p) {
        size_t n = strcspn(p, ",");
        _cleanup_free_ char *link = xasprintf("/sys/fs/cgroup/%.*s", (int)n, p);

        plan_add(b->plan, PLAN_SYMLINK, 0, 0, 0, 0, name, link, NULL);
        p += n + (p[n] == ',');
    }
}

/* Each shows the container's own cgroup as its root, whether or not it has a cgroup namespace.  The
 * tmpfs is small because it is writable until the container is gone. */
static int add_cgroups_v1(struct build *b)
{
    _cleanup_(cgroup_mounts_done) struct cgroup_mounts mounts = {0};
    struct cgroup_spec cs = runtime_cgroup_spec(b);
    uint64_t flags = MS_BASE | (b->privileged ? 0 : MS_RDONLY);
    int r = cgroup_mounts(b->rt->cg, &cs, &mounts, b->reterr);

    if (r < 0)
        return r;
    add_mount(b, "tmpfs", "tmpfs", "/sys/fs/cgroup", "mode=755,size=64k", MS_BASE);
    for (size_t i = 0; i < mounts.n; i++) {
        const struct cgroup_mount *m = &mounts.mount[i];
        _cleanup_free_ char *target = NULL;

        if (!is_shown(b, m))
            continue;
        target = xasprintf("/sys/fs/cgroup/%s", m->name);
        plan_add(b->plan, PLAN_CGROUP_BIND, flags, 0, 0, 0, m->dir, target, NULL);
        add_controller_links(b, m->name);
    }
    return 0;
}

static int add_cgroups(struct build *b)
{
    if (!b->rt->cg || is_overridden(b, "/sys/fs/cgroup"))
        return 0;
    if (!cgroup_is_unified(b->rt->cg))
        return add_cgroups_v1(b);
    /* Shows the root of the mounter's cgroup namespace. */
    add_mount(b, "cgroup2", "cgroup", "/sys/fs/cgroup", "",
              MS_BASE | (b->privileged ? 0 : MS_RDONLY));
    return 0;
}

/* The other container's, cloned out of its mount namespace: /proc/PID/ns/ipc tells which. */
static void add_shared_shm(struct build *b)
{
    const char *ipc = b->spec->ns_path[RUNTIME_NS_IPC];
    _cleanup_free_ char *mnt = xasprintf("%.*smnt", (int)(strlen(ipc) - strlen("ipc")), ipc);

    plan_add(b->plan, PLAN_BIND, PLAN_BIND_RECURSIVE, 0, 0, 0, "/dev/shm", "/dev/shm", mnt, NULL);
}

static void add_ipc(struct build *b)
{
    enum runtime_ns_mode mode = runtime_ns_mode(b->hc, RUNTIME_NS_IPC, NULL);
    int64_t size = json_get_int(b->hc, "ShmSize", SHM_DEFAULT);
    char data[64];

    if (!is_overridden(b, "/dev/mqueue")) {
        /* Shows the queues of the IPC namespace it is mounted in, the host's too. */
        add_mount(b, "mqueue", "mqueue", "/dev/mqueue", "", MS_BASE);
    }
    if (is_overridden(b, "/dev/shm") || mode == RUNTIME_NS_NONE)
        return;
    snprintf(data, sizeof(data), "mode=1777,size=%lld", (long long)(size > 0 ? size : SHM_DEFAULT));
    if (mode == RUNTIME_NS_HOST)
        add_bind(b, "/dev/shm", "/dev/shm", PLAN_BIND_RECURSIVE);
    else if (mode == RUNTIME_NS_CONTAINER)
        add_shared_shm(b);
    else
        add_mount(b, "tmpfs", "shm", "/dev/shm", data, MS_BASE);
}

static void add_devices(struct build *b)
{
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
        {"pts/ptmx", "/dev/ptmx"},
    };

    for (size_t i = 0; i < b->devices.n; i++) {
        const struct device *d = &b->devices.devices[i];

        if (is_overridden(b, d->path))
            continue;
        plan_add(b->plan, PLAN_DEVICE, d->mode, d->rdev, d->uid, d->gid, d->path, d->host, NULL);
    }
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        plan_add(b->plan, PLAN_SYMLINK, 0, 0, 0, 0, links[i][0], links[i][1], NULL);
    if (json_get_bool(b->spec->config, "Tty", false))
        plan_add(b->plan, PLAN_CONSOLE, 0, 0, 0, 0, "/dev/console", NULL);
}

/* gid 5 is "tty" by convention of all distributions; absent from a small user mapping. */
static void add_dev(struct build *b)
{
    bool has_gid = !b->user_ns || b->spec->idmap_size == 0 || b->spec->idmap_size > 5;

    if (is_overridden(b, "/dev"))
        return;
    add_mount(b, "tmpfs", "tmpfs", "/dev", "mode=755,size=65536k", MS_NOSUID | MS_STRICTATIME);
    if (!is_overridden(b, "/dev/pts"))
        add_mount(b, "devpts", "devpts", "/dev/pts",
                  has_gid ? "newinstance,ptmxmode=0666,mode=0620,gid=5"
                          : "newinstance,ptmxmode=0666,mode=0620",
                  MS_NOSUID | MS_NOEXEC);
    add_ipc(b);
    add_devices(b);
}

/* ---- the user's mounts ---- */

static void add_user_bind(struct build *b, const struct mount_spec *m)
{
    unsigned long propagation = m->propagation ? m->propagation : MS_PRIVATE | MS_REC;
    uint64_t flags = 0;

    flags |= m->flags & MS_NOSUID ? PLAN_BIND_NOSUID : 0;
    flags |= m->flags & MS_NODEV ? PLAN_BIND_NODEV : 0;
    flags |= m->flags & MS_NOEXEC ? PLAN_BIND_NOEXEC : 0;
    if (m->recursive)
        flags |= PLAN_BIND_RECURSIVE;
    if (m->make_source)
        flags |= PLAN_BIND_MKSOURCE;
    /* A volume's files have the container's ids, whichever range of the host's it runs with. */
    if (m->type == MOUNT_VOLUME && b->user_ns)
        flags |= PLAN_BIND_IDMAP;
    if (m->readonly) {
        flags |= PLAN_BIND_RDONLY;
        /* Shared or slave mounts below must stay as their other side has them. */
        if (m->recursive && m->readonly_recursive && propagation & MS_PRIVATE)
            flags |= PLAN_BIND_RDONLY_REC;
    }
    if (m->subpath || m->donor)
        plan_add(b->plan, PLAN_BIND, flags, propagation, 0, 0, m->source, m->target,
                 m->donor ? m->donor : "", m->subpath, NULL);
    else
        plan_add(b->plan, PLAN_BIND, flags, propagation, 0, 0, m->source, m->target, NULL);
}

static bool has_mode(const char *data)
{
    return str_starts(data, "mode=") || strstr(data, ",mode=");
}

static void add_user_mount(struct build *b, const struct mount_spec *m)
{
    if (m->type == MOUNT_TMPFS)
        plan_add(b->plan, PLAN_MOUNT, m->flags, 0, 0, !has_mode(m->data), "tmpfs", "tmpfs",
                 m->target, m->data, NULL);
    else if (m->fstype && !m->donor)
        /* A server is reached by the host's network, a device mounted with the host's privileges;
         * a tmpfs belongs to the container's own root. */
        plan_add(b->plan, PLAN_MOUNT, m->flags | (m->readonly ? MS_RDONLY : 0), 0,
                 !streq(m->fstype, "tmpfs"), 0, m->fstype, m->device, m->target, m->data,
                 m->subpath, NULL);
    else
        add_user_bind(b, m);
}

static void add_files(struct build *b)
{
    const struct {
        const char *source, *target;
    } files[] = {
        {b->spec->resolv_conf, "/etc/resolv.conf"},
        {b->spec->hostname, "/etc/hostname"},
        {b->spec->hosts, "/etc/hosts"},
    };
    bool readonly = json_get_bool(b->hc, "ReadonlyRootfs", false);

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (files[i].source && !mount_list_find(&b->mounts, files[i].target))
            add_bind(b, files[i].source, files[i].target, readonly ? PLAN_BIND_RDONLY : 0);
    }
}

/* Sorted by depth: what lies in /etc comes after a mount on /etc, and so do the three files. */
static void add_user_mounts(struct build *b)
{
    bool files_done = false;

    for (size_t i = 0; i < b->mounts.n; i++) {
        const struct mount_spec *m = &b->mounts.mounts[i];

        if (!files_done && strchr(m->target + 1, '/') && !streq(m->target, "/etc")) {
            add_files(b);
            files_done = true;
        }
        add_user_mount(b, m);
    }
    if (!files_done)
        add_files(b);
}

/* ---- after the pivot ---- */

static void add_default_sysctls(struct build *b)
{
    static const char *const defaults[][2] = {
        /* Unprivileged processes may serve low ports and ping in a network of their own. */
        {"net.ipv4.ip_unprivileged_port_start", "0"},
        {"net.ipv4.ping_group_range", "0 2147483647"},
    };
    const json_t *asked = json_get(b->hc, "Sysctls");
    /* A mapping lacks group 2147483647. */
    size_t n = b->user_ns ? 1 : ARRAY_SIZE(defaults);

    if (is_host(b, RUNTIME_NS_NET) || b->spec->ns_path[RUNTIME_NS_NET])
        return;
    for (size_t i = 0; i < n; i++) {
        if (!json_get(asked, defaults[i][0]))
            plan_add(b->plan, PLAN_SYSCTL, 0, 0, 0, 0, defaults[i][0], defaults[i][1], NULL);
    }
}

static int add_sysctls(struct build *b)
{
    json_t *list = json_get(b->hc, "Sysctls"), *value;
    const char *name;

    add_default_sysctls(b);
    json_object_foreach (list, name, value) {
        const char *refusal = runtime_sysctl_refusal(b->hc, name);

        if (refusal)
            return err_set(b->reterr, ERR_INVALID, EINVAL, "sysctl \"%s\" %s", name, refusal);
        plan_add(b->plan, PLAN_SYSCTL, 0, 0, 0, 0, name, json_string_value(value), NULL);
    }
    return 0;
}

static void add_names(struct build *b)
{
    const char *hostname = json_get_str(b->spec->config, "Hostname", "");
    const char *domain = json_get_str(b->spec->config, "Domainname", "");

    if (is_host(b, RUNTIME_NS_UTS))
        return;
    if (*hostname)
        plan_add(b->plan, PLAN_HOSTNAME, 0, 0, 0, 0, hostname, NULL);
    if (*domain)
        plan_add(b->plan, PLAN_DOMAINNAME, 0, 0, 0, 0, domain, NULL);
}

static void add_paths(struct build *b, unsigned code, const char *key, const json_t *defaults)
{
    const json_t *list = json_get(b->hc, key), *item;
    size_t i;

    /* null (absent) means the defaults, [] means none. */
    if (b->privileged || b->security.systempaths_unconfined)
        return;
    if (!json_is_array(list))
        list = defaults;
    json_array_foreach (list, i, item) {
        if (json_is_string(item))
            plan_add(b->plan, code, 0, 0, 0, 0, json_string_value(item), NULL);
    }
}

int rootfs_plan(struct build *b)
{
    int r;

    add_proc(b);
    add_dev(b);
    add_sys(b);
    add_proc_view(b);
    r = add_cgroups(b);
    if (r < 0)
        return r;
    add_user_mounts(b);
    plan_add(b->plan, PLAN_PIVOT, 0, 0, 0, 0, NULL);
    r = add_sysctls(b);
    if (r < 0)
        return r;
    add_names(b);
    add_paths(b, PLAN_READONLY, "ReadonlyPaths", b->rt->readonly);
    add_paths(b, PLAN_MASK, "MaskedPaths", b->rt->masked);
    if (json_get_bool(b->hc, "ReadonlyRootfs", false))
        plan_add(b->plan, PLAN_READONLY, 0, 0, 0, 0, "/", NULL);
    return 0;
}

void rootfs_plan_view(struct build *b)
{
    for (size_t i = 0; i < b->mounts.n; i++) {
        const struct mount_spec *m = &b->mounts.mounts[i];

        /* What is in memory is gone by now. */
        if (m->type != MOUNT_TMPFS && !(m->fstype && streq(m->fstype, "tmpfs")))
            add_user_mount(b, m);
    }
    if (json_get_bool(b->hc, "ReadonlyRootfs", false))
        plan_add(b->plan, PLAN_READONLY, 0, 0, 0, 0, "/", NULL);
}
