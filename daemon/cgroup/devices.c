/* New device rules for a running container. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "devfilter.h"
#include "fd.h"

#define PROGRAMS_MAX 64

static int sys_bpf(int cmd, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* ---- v1 ---- */

/* "c 1:3 rwm" with * for any number. */
void cgroup_device_format(const struct cgroup_device *d, char text[CGROUP_DEVICE_TEXT])
{
    char major[12] = "*", minor[12] = "*", access[4] = "", *p = access;

    if (d->major >= 0)
        snprintf(major, sizeof(major), "%d", d->major);
    if (d->minor >= 0)
        snprintf(minor, sizeof(minor), "%d", d->minor);
    if (d->access & CGROUP_DEV_READ)
        *p++ = 'r';
    if (d->access & CGROUP_DEV_WRITE)
        *p++ = 'w';
    if (d->access & CGROUP_DEV_MKNOD)
        *p++ = 'm';
    *p = '\0';
    snprintf(text, CGROUP_DEVICE_TEXT, "%c %s:%s %s", d->type, major, minor, access);
}

/* v1 knows 'a' only as "everything"; otherwise both types are told one by one. */
static int write_rule(const char *dir, const char *file, const struct cgroup_device *rule)
{
    static const char types[] = "bc";
    int r = 0;

    for (const char *t = types; r >= 0 && *t; t++) {
        struct cgroup_device d = *rule;
        char text[CGROUP_DEVICE_TEXT];

        if (rule->type != 'a' && rule->type != *t)
            continue;
        d.type = *t;
        cgroup_device_format(&d, text);
        r = cgroup_write(dir, file, text);
    }
    return r;
}

static bool has(const struct cgroup_devices *list, const struct cgroup_device *rule)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct cgroup_device *d = &list->rules[i];

        if (d->type == rule->type && d->major == rule->major && d->minor == rule->minor &&
            d->access == rule->access && d->allow == rule->allow)
            return true;
    }
    return false;
}

/* What goes is denied first; that may take away some of what stays, which is then allowed again. */
static int update_v1(const char *dir, const struct cgroup_devices *from,
                     const struct cgroup_devices *to)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < from->n; i++) {
        if (!has(to, &from->rules[i]))
            r = write_rule(dir, from->rules[i].allow ? "devices.deny" : "devices.allow",
                           &from->rules[i]);
    }
    for (size_t i = 0; r >= 0 && i < to->n; i++)
        r = write_rule(dir, to->rules[i].allow ? "devices.allow" : "devices.deny", &to->rules[i]);
    return r;
}

/* ---- v2 ---- */

static int load_program(const struct cgroup_devices *list)
{
    _cleanup_free_ struct bpf_insn *insns = xcalloc(DEVFILTER_INSNS_MAX, sizeof(*insns));
    int n = devfilter_build(list->rules, list->n, insns);
    union bpf_attr load = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insn_cnt = (uint32_t)n,
        .insns = (uint64_t)(uintptr_t)insns,
        .license = (uint64_t)(uintptr_t) "Apache-2.0",
    };
    int fd;

    if (n < 0)
        return n;
    fd = sys_bpf(BPF_PROG_LOAD, &load);
    return fd < 0 ? -errno : fd;
}

/* The one program that is attached to this very cgroup. */
static int attached_program(int dir)
{
    uint32_t ids[PROGRAMS_MAX] = {0};
    union bpf_attr query = {.query = {.target_fd = (uint32_t)dir,
                                      .attach_type = BPF_CGROUP_DEVICE,
                                      .prog_ids = (uint64_t)(uintptr_t)ids,
                                      .prog_cnt = PROGRAMS_MAX}};
    union bpf_attr get = {0};
    int fd;

    if (sys_bpf(BPF_PROG_QUERY, &query) < 0)
        return -errno;
    if (query.query.prog_cnt != 1)
        return -ENOENT;
    get.prog_id = ids[0];
    fd = sys_bpf(BPF_PROG_GET_FD_BY_ID, &get);
    return fd < 0 ? -errno : fd;
}

/* In place of the old one: at no moment are there none or two (Linux 5.6). */
static int update_v2(const char *path, const struct cgroup_devices *to)
{
    _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int old = -EBADF, new = -EBADF;
    union bpf_attr attach = {.target_fd = (uint32_t)dir,
                             .attach_type = BPF_CGROUP_DEVICE,
                             .attach_flags = BPF_F_ALLOW_MULTI | BPF_F_REPLACE};

    if (dir < 0)
        return -errno;
    old = attached_program(dir);
    if (old < 0)
        return old;
    new = load_program(to);
    if (new < 0)
        return new;
    attach.attach_bpf_fd = (uint32_t) new;
    attach.replace_bpf_fd = (uint32_t)old;
    return sys_bpf(BPF_PROG_ATTACH, &attach) < 0 ? -errno : 0;
}

int cgroup_devices_update(const struct cgroup *cg, const char *parent, const char *id,
                          const struct cgroup_devices *from, const struct cgroup_devices *to)
{
    _cleanup_free_ char *dir = cgroup_path(cg, CGROUP_DEVICES, parent, id);
    int r;

    if (!dir)
        return -ENOENT;
    if (cgroup_on_v2(cg, CGROUP_DEVICES))
        return update_v2(dir, to);
    r = update_v1(dir, from, to);
    if (r < 0)
        (void)update_v1(dir, to, from);
    return r;
}
