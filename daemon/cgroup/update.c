/* New limits for a running container. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cgroup_impl.h"
#include "json.h"
#include "str.h"

#define UPDATE_WRITES_MAX 64

struct update {
    const struct cgroup *cg;
    const char *parent, *id;
    size_t n;
    struct {
        enum cgroup_controller controller;
        const char *file; /* static text */
        char value[512];
    } write[UPDATE_WRITES_MAX];
};

static void emit_update(void *arg, enum cgroup_controller c, const char *file, const char *value)
{
    struct update *u = arg;

    if (u->n == UPDATE_WRITES_MAX)
        return;
    u->write[u->n].controller = c;
    u->write[u->n].file = file;
    snprintf(u->write[u->n].value, sizeof(u->write[u->n].value), "%s", value);
    u->n++;
}

/* v1: memory may not pass memsw at any moment.  The plan's order (memory, memsw) is right for
 * lowering; raising memory above the memsw in force needs memsw first. */
static void order_memory(struct update *u)
{
    _cleanup_free_ char *dir = cgroup_path(u->cg, CGROUP_MEMORY, u->parent, u->id);

    for (size_t i = 0; i + 1 < u->n; i++) {
        int64_t memsw, wanted;

        if (!streq(u->write[i].file, "memory.limit_in_bytes") ||
            !streq(u->write[i + 1].file, "memory.memsw.limit_in_bytes"))
            continue;
        memsw = cgroup_read_int(dir, "memory.memsw.limit_in_bytes");
        wanted = strtoll(u->write[i].value, NULL, 10);
        if (memsw >= 0 && (wanted > memsw || wanted < 0)) {
            __typeof__(u->write[0]) tmp = u->write[i];

            u->write[i] = u->write[i + 1];
            u->write[i + 1] = tmp;
        }
        return;
    }
}

/* A container that was started without cpuset settings has no cpuset of its own on v1. */
static int ensure_cpuset(const struct cgroup *cg, const char *parent, const char *id)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    _cleanup_free_ char *dir = cgroup_path(cg, CGROUP_CPUSET, parent, id), *up = xstrdup(dir);
    _cleanup_free_ pid_t *pids = NULL;
    size_t n = 0;

    if (mkdir(dir, 0755) < 0)
        return errno == EEXIST ? 0 : -errno;
    *strrchr(up, '/') = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        _cleanup_free_ char *value = cgroup_read(up, files[i]);

        if (value)
            (void)cgroup_write(dir, files[i], value);
    }
    cgroup_pids(cg, parent, id, &pids, &n);
    for (size_t i = 0; i < n; i++) {
        char text[16];

        snprintf(text, sizeof(text), "%d", pids[i]);
        (void)cgroup_write(dir, "cgroup.procs", text); /* it may have ended meanwhile */
    }
    return 0;
}

int cgroup_update(const struct cgroup *cg, const char *parent, const char *id, const json_t *delta,
                  json_t *warnings, struct err *reterr)
{
    _cleanup_free_ struct update *u = xcalloc(1, sizeof(*u));
    int r;

    u->cg = cg;
    u->parent = parent;
    u->id = id;
    r = cgroup_limits(cg, delta, emit_update, u, warnings, reterr);
    if (r < 0)
        return r;
    order_memory(u);
    if (cgroup_wants_cpuset(cg, delta) && !cgroup_on_v2(cg, CGROUP_CPUSET)) {
        r = ensure_cpuset(cg, parent, id);
        if (r < 0)
            return err_sys(reterr, -r, "make cpuset of %s", id);
    }
    for (size_t i = 0; i < u->n; i++) {
        _cleanup_free_ char *dir = cgroup_path(cg, u->write[i].controller, parent, id);

        r = cgroup_write(dir, u->write[i].file, u->write[i].value);
        if (r < 0)
            return err_sys(reterr, -r, "write %s to %s/%s", u->write[i].value, dir,
                           u->write[i].file);
    }
    return 0;
}
