/* The life of a container's cgroup after the plan: freeze, list, kill, remove, update. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "json.h"
#include "path.h"
#include "scope.h"
#include "str.h"

#define WAIT_STEP_NS 1000000 /* 1 ms */
#define FREEZE_TRIES 5000
#define RMDIR_TRIES 50
#define END_TRIES 100
#define DEPTH_MAX 64 /* of sub-cgroups that a container made; deeper ones are left */
#define PIDS_MAX (1u << 22)

static void pause_step(void)
{
    nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_NS}, NULL);
}

/* Call fn for each directory below dir (depth first, dir itself last); stops at an error. */
static int walk(const char *dir, int depth, int (*fn)(const char *dir, void *arg), void *arg)
{
    DIR *d = depth < DEPTH_MAX ? opendir(dir) : NULL;
    struct dirent *e;
    int r = 0;

    while (d && r >= 0 && (e = readdir(d))) {
        _cleanup_free_ char *sub = NULL;

        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        sub = path_join(dir, e->d_name);
        r = walk(sub, depth + 1, fn, arg);
    }
    if (d)
        closedir(d);
    return r < 0 ? r : fn(dir, arg);
}

/* ---- freeze ---- */

/* 1: it is as wanted, 0: not yet, -ENOENT: the cgroup is gone. */
static int is_frozen(const struct cgroup_hierarchy *h, const char *dir, bool want)
{
    _cleanup_free_ char *state = NULL;

    if (h->v2) {
        int64_t frozen = cgroup_read_key(dir, "cgroup.events", "frozen", -1);

        return frozen < 0 ? -ENOENT : frozen == want;
    }
    state = cgroup_read(dir, "freezer.state");
    return state ? str_starts(state, want ? "FROZEN" : "THAWED") : -ENOENT;
}

static int write_frozen(const struct cgroup_hierarchy *h, const char *dir, bool frozen)
{
    int r = h->v2 ? cgroup_write(dir, "cgroup.freeze", frozen ? "1" : "0")
                  : cgroup_write(dir, "freezer.state", frozen ? "FROZEN" : "THAWED");

    return r == -ENODEV ? -ENOENT : r; /* it went between open and write */
}

int cgroup_is_frozen(const struct cgroup *cg, const char *parent, const char *id)
{
    const struct cgroup_hierarchy *h = cgroup_of(cg, CGROUP_FREEZER);
    _cleanup_free_ char *dir = NULL;

    if (!h)
        return -ENOTSUP;
    dir = cgroup_dir(cg, h, parent, id);
    return is_frozen(h, dir, true);
}

int cgroup_freeze(const struct cgroup *cg, const char *parent, const char *id, bool frozen,
                  struct err *reterr)
{
    const struct cgroup_hierarchy *h = cgroup_of(cg, CGROUP_FREEZER);
    _cleanup_free_ char *dir = NULL;
    int r;

    if (!h)
        return err_set(reterr, ERR_NOT_IMPLEMENTED, ENOTSUP, "no freezer cgroup is mounted");
    dir = cgroup_dir(cg, h, parent, id);
    for (int i = 0; i < FREEZE_TRIES; i++) {
        /* v1 may stay FREEZING for good when a task forks meanwhile; writing again restarts it. */
        r = i % 100 == 0 ? write_frozen(h, dir, frozen) : 0;
        if (r >= 0)
            r = is_frozen(h, dir, frozen);
        if (r < 0)
            return err_sys(reterr, -r, "%s cgroup %s", frozen ? "freeze" : "thaw", dir);
        if (r > 0)
            return 0;
        pause_step();
    }
    /* Half frozen would be worse than an error. */
    if (frozen)
        (void)cgroup_freeze(cg, parent, id, false, NULL);
    return err_sys(reterr, ETIMEDOUT, "%s cgroup %s", frozen ? "freeze" : "thaw", dir);
}

/* ---- processes ---- */

struct pid_list {
    pid_t *pids;
    size_t n, room;
};

static int collect_pids(const char *dir, void *arg)
{
    _cleanup_free_ char *text = cgroup_read(dir, "cgroup.procs");
    struct pid_list *list = arg;

    for (char *p = text; p && *p;) {
        char *end;
        long pid = strtol(p, &end, 10);

        if (end == p || list->n == PIDS_MAX)
            break;
        if (list->n == list->room) {
            list->room = list->room ? list->room * 2 : 16;
            list->pids = xrealloc(list->pids, list->room * sizeof(*list->pids));
        }
        /* 0: a process outside of the reader's pid namespace */
        if (pid > 0)
            list->pids[list->n++] = (pid_t)pid;
        p = end + strspn(end, "\n");
    }
    return 0;
}

int cgroup_pids(const struct cgroup *cg, const char *parent, const char *id, pid_t **ret,
                size_t *ret_n)
{
    _cleanup_free_ char *dir = cgroup_dir(cg, cgroup_main_hierarchy(cg), parent, id);
    struct pid_list list = {0};

    if (access(dir, F_OK) < 0)
        return -errno;
    walk(dir, 0, collect_pids, &list);
    *ret = list.pids;
    *ret_n = list.n;
    return 0;
}

int cgroup_kill(const struct cgroup *cg, const char *parent, const char *id)
{
    const struct cgroup_hierarchy *h = cgroup_main_hierarchy(cg);
    _cleanup_free_ char *dir = cgroup_dir(cg, h, parent, id);
    int r = h->v2 ? cgroup_write(dir, "cgroup.kill", "1") : -ENOENT;

    if (r < 0) { /* v1 only, or before Linux 5.14 */
        _cleanup_free_ pid_t *pids = NULL;
        size_t n = 0;

        r = cgroup_pids(cg, parent, id, &pids, &n);
        for (size_t i = 0; i < n; i++)
            kill(pids[i], SIGKILL);
    }
    /* A v1 frozen task dies only after the thaw; a v2 one at once. */
    if (cgroup_of(cg, CGROUP_FREEZER) && !cgroup_on_v2(cg, CGROUP_FREEZER)) {
        _cleanup_free_ char *freezer = cgroup_path(cg, CGROUP_FREEZER, parent, id);

        (void)cgroup_write(freezer, "freezer.state", "THAWED");
    }
    return r == -ENOENT ? 0 : r;
}

/* ---- removal and listing ---- */

static int remove_one(const char *dir, void *arg)
{
    (void)arg;
    /* Busy for a moment after the last process is reaped, as long as it is being torn down. */
    for (int i = 0; i < RMDIR_TRIES; i++) {
        if (rmdir(dir) == 0 || errno == ENOENT)
            return 0;
        if (errno != EBUSY)
            return -errno;
        pause_step();
    }
    return -EBUSY;
}

int cgroup_remove(const struct cgroup *cg, const char *parent, const char *id)
{
    int result = 0;

    if (!str_is_filename(id))
        return -EINVAL;
    for (unsigned i = 0; i < cg->layout.n; i++) {
        _cleanup_free_ char *dir = cgroup_dir(cg, &cg->layout.hierarchy[i], parent, id);
        int r = access(dir, F_OK) < 0 ? 0 : walk(dir, 0, remove_one, NULL);

        if (r < 0)
            result = r;
    }
    return result;
}

int cgroup_end(const struct cgroup *cg, const char *parent, const char *id)
{
    int r = -EBUSY;

    for (int i = 0; i < END_TRIES && r < 0; i++) {
        (void)cgroup_kill(cg, parent, id);
        r = cgroup_remove(cg, parent, id);
    }
    return r;
}

static bool strv_has(char *const *v, const char *s)
{
    for (; v && *v; v++) {
        if (streq(*v, s))
            return true;
    }
    return false;
}

int cgroup_list(const struct cgroup *cg, char ***ret)
{
    char **names = NULL;

    if (cg->slice)
        return scope_list(cg, ret);
    for (unsigned i = 0; i < cg->layout.n; i++) {
        _cleanup_free_ char *dir = path_join(cg->layout.hierarchy[i].mount, cg->parent);
        DIR *d = opendir(dir);
        struct dirent *e;

        while (d && (e = readdir(d))) {
            if (e->d_type == DT_DIR && e->d_name[0] != '.' && !strv_has(names, e->d_name))
                names = strv_append(names, e->d_name);
        }
        if (d)
            closedir(d);
    }
    *ret = names;
    return 0;
}
