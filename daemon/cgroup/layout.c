/* What is mounted where. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "path.h"
#include "str.h"

static const char *const controller_names[CGROUP_CONTROLLERS] = {
    [CGROUP_CPU] = "cpu",         [CGROUP_CPUACCT] = "cpuacct",
    [CGROUP_CPUSET] = "cpuset",   [CGROUP_MEMORY] = "memory",
    [CGROUP_DEVICES] = "devices", [CGROUP_FREEZER] = "freezer",
    [CGROUP_BLKIO] = "blkio",     [CGROUP_PIDS] = "pids",
    [CGROUP_HUGETLB] = "hugetlb", [CGROUP_PERF_EVENT] = "perf_event",
    [CGROUP_NET_CLS] = "net_cls", [CGROUP_NET_PRIO] = "net_prio",
    [CGROUP_RDMA] = "rdma",
};

static unsigned controller_bit(const char *name, size_t len)
{
    for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++) {
        if (strlen(controller_names[c]) == len && memcmp(controller_names[c], name, len) == 0)
            return CGROUP_BIT(c);
    }
    return 0;
}

/* Controllers named in a list with any of the separators. */
static unsigned controllers_in(const char *list, const char *separators)
{
    unsigned bits = 0;

    while (*list) {
        size_t n = strcspn(list, separators);

        bits |= controller_bit(list, n);
        list += n;
        list += strspn(list, separators);
    }
    return bits;
}

/* cgroup2's own files stand for controllers that have no name there: cpuacct is part of cpu, the
 * freezer of the core, devices are a BPF program; "io" is what v1 calls blkio. */
static unsigned v2_controllers(const char *mount)
{
    _cleanup_free_ char *list = cgroup_read(mount, "cgroup.controllers");
    unsigned bits = list ? controllers_in(list, " \n") : 0;

    if (list && (str_starts(list, "io ") || str_starts(list, "io\n") || strstr(list, " io")))
        bits |= CGROUP_BIT(CGROUP_BLKIO);
    if (bits & CGROUP_BIT(CGROUP_CPU))
        bits |= CGROUP_BIT(CGROUP_CPUACCT);
    return bits | CGROUP_BIT(CGROUP_FREEZER) | CGROUP_BIT(CGROUP_DEVICES);
}

/* mountinfo writes blank, tab, newline and backslash as \ooo (proc(5)). */
static char *unescape(const char *s, size_t len)
{
    char *out = xmalloc(len + 1), *p = out;

    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\\' && i + 3 < len && s[i + 1] >= '0' && s[i + 1] <= '3') {
            *p++ = (char)((s[i + 1] - '0') << 6 | (s[i + 2] - '0') << 3 | (s[i + 3] - '0'));
            i += 3;
        } else {
            *p++ = s[i];
        }
    }
    *p = '\0';
    return out;
}

/* v1's super options less those that are no controllers: "rw,cpu,cpuacct" to "cpu,cpuacct". */
static char *controller_options(const char *super)
{
    char *out = xcalloc(1, strlen(super) + 1);

    while (*super) {
        size_t n = strcspn(super, ",\n ");

        if (controller_bit(super, n)) {
            if (*out)
                strcat(out, ",");
            strncat(out, super, n);
        }
        super += n;
        super += strspn(super, ",\n ");
    }
    return out;
}

static void add_hierarchy(struct cgroup_layout *l, char *mount, const char *super, bool v2)
{
    struct cgroup_hierarchy h = {.mount = mount, .v2 = v2};
    unsigned taken = 0;

    for (unsigned i = 0; i < l->n; i++) {
        if (!l->hierarchy[i].v2)
            taken |= l->hierarchy[i].controllers;
        /* The same hierarchy mounted twice: the first mount point serves. */
        if (v2 && l->hierarchy[i].v2)
            goto skip;
    }
    h.controllers = v2 ? v2_controllers(mount) : controllers_in(super, ",\n ");
    if (!v2 && (h.controllers == 0 || h.controllers & taken))
        goto skip;
    if (l->n == CGROUP_HIERARCHIES_MAX)
        goto skip;
    h.name = xstrdup(strrchr(mount, '/') ? strrchr(mount, '/') + 1 : mount);
    h.options = v2 ? xstrdup("") : controller_options(super);
    l->hierarchy[l->n++] = h;
    return;
skip:
    free(mount);
}

/* ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [TAGS...] - TYPE SOURCE SUPEROPTIONS */
static void parse_mount(struct cgroup_layout *l, const char *line)
{
    const char *sep = strstr(line, " - "), *p = line, *type, *super;
    bool v2;

    if (!sep)
        return;
    type = sep + 3;
    v2 = str_starts(type, "cgroup2 ");
    if (!v2 && !str_starts(type, "cgroup "))
        return;
    for (int i = 0; i < 4; i++) {
        p = strchr(p, ' ');
        if (!p || p > sep)
            return;
        p++;
    }
    super = strrchr(type, ' ');
    if (!v2 && super && strstr(super, "name=systemd") && !l->named_mount)
        l->named_mount = unescape(p, strcspn(p, " "));
    else if (super)
        add_hierarchy(l, unescape(p, strcspn(p, " ")), super + 1, v2);
}

/* Controllers switched off on the kernel's command line (cgroup_disable=) or unknown. */
static unsigned enabled_controllers(const char *text)
{
    unsigned bits = 0;

    while (*text) {
        char name[64];
        int hierarchy, count, enabled;

        if (*text != '#' &&
            sscanf(text, "%63s %d %d %d", name, &hierarchy, &count, &enabled) == 4 && enabled)
            bits |= controller_bit(name, strlen(name));
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return bits;
}

/* A controller on v1 is not on v2; one that the kernel has switched off is nowhere. */
static void settle(struct cgroup_layout *l, const char *cgroups)
{
    unsigned v1 = 0;

    for (unsigned i = 0; i < l->n; i++) {
        if (!l->hierarchy[i].v2)
            v1 |= l->hierarchy[i].controllers;
    }
    for (unsigned i = 0; i < l->n; i++) {
        struct cgroup_hierarchy *h = &l->hierarchy[i];

        if (h->v2)
            h->controllers &= ~v1;
        else if (cgroups)
            h->controllers &= enabled_controllers(cgroups);
    }
}

int cgroup_detect(const char *mountinfo_path, const char *cgroups_path, struct cgroup_layout *ret,
                  struct err *reterr)
{
    _cleanup_free_ char *mounts = NULL, *cgroups = NULL;
    struct cgroup_layout l = {0};
    char *line, *save = NULL;
    ssize_t r;

    r = file_read(AT_FDCWD, mountinfo_path, 16u << 20, &mounts);
    if (r < 0)
        return err_sys(reterr, (int)-r, "read %s", mountinfo_path);
    /* Absent with CONFIG_PROC_PID_CGROUP alone or in future kernels: mountinfo must do. */
    (void)file_read(AT_FDCWD, cgroups_path, CGROUP_FILE_MAX, &cgroups);
    for (line = strtok_r(mounts, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        parse_mount(&l, line);
    settle(&l, cgroups);
    if (l.n == 0) {
        cgroup_layout_done(&l);
        return err_set(reterr, ERR_SYSTEM, ENOENT, "no cgroup hierarchy is mounted");
    }
    *ret = l;
    return 0;
}

void cgroup_layout_done(struct cgroup_layout *layout)
{
    for (unsigned i = 0; i < layout->n; i++) {
        free(layout->hierarchy[i].mount);
        free(layout->hierarchy[i].name);
        free(layout->hierarchy[i].options);
    }
    free(layout->named_mount);
    *layout = (struct cgroup_layout){0};
}
