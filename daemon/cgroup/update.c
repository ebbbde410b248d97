/* New limits for a running container: all of them, or none. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cgroup_impl.h"
#include "json.h"
#include "str.h"

#define WRITES_MAX 1024
#define VALUE_MAX 512

struct write {
    enum cgroup_controller controller;
    const char *file; /* static text */
    char *value;      /* owned */
    char *old;        /* owned; to go back to, NULL: unknown */
};

struct cgroup_change {
    const struct cgroup *cg; /* borrowed */
    char *parent, *id;       /* owned */
    struct write write[WRITES_MAX];
    size_t n;
    size_t done; /* that many are written */
    bool too_many;
};

static void free_writes(struct cgroup_change *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->write[i].value);
        free(c->write[i].old);
    }
    c->n = 0;
}

void cgroup_change_free(struct cgroup_change *c)
{
    free_writes(c);
    free(c->parent);
    free(c->id);
    free(c);
}

static struct cgroup_change *change_new(const struct cgroup *cg, const char *parent, const char *id)
{
    struct cgroup_change *c = xcalloc(1, sizeof(*c));

    c->cg = cg;
    c->parent = xstrdup(parent ? parent : "");
    c->id = xstrdup(id);
    return c;
}

static void add(void *arg, enum cgroup_controller controller, const char *file, const char *value)
{
    struct cgroup_change *c = arg;

    if (c->n == WRITES_MAX) {
        c->too_many = true;
        return;
    }
    c->write[c->n++] =
        (struct write){.controller = controller, .file = file, .value = xstrdup(value)};
}

/* What a line of a list speaks of: "8:0 " or "8:0 rbps=", "eth0 "; 0 for a plain value. */
static size_t subject(const char *file, const char *value)
{
    const char *eq;

    if (streq(file, "cpu.max") || !strchr(value, ' '))
        return 0;
    eq = strchr(value, '=');
    return eq ? (size_t)(eq + 1 - value) : (size_t)(strchr(value, ' ') + 1 - value);
}

/* The entry for the same file and, in lists, the same device; NULL if there is none. */
static const struct write *find(const struct cgroup_change *c, const struct write *w)
{
    size_t n = subject(w->file, w->value);

    for (size_t i = 0; i < c->n; i++) {
        const struct write *have = &c->write[i];

        if (have->controller == w->controller && streq(have->file, w->file) &&
            (n == 0 || strncmp(have->value, w->value, n) == 0))
            return have;
    }
    return NULL;
}

/* The value that takes a limit off: of one entry of a list, or of what is on or off. */
static char *neutral(const struct write *w)
{
    size_t n = subject(w->file, w->value);

    if (n == 0)
        return streq(w->file, "memory.oom_control") ? xstrdup("0") : NULL;
    if (w->value[n - 1] == '=')
        return xasprintf("%.*smax", (int)n, w->value);
    return xasprintf("%.*s%s", (int)n, w->value, str_starts(w->file, "io.") ? "default" : "0");
}

/* What the settings of `to` write and those of `from` did not, and what takes the others off. */
static int plan_change(struct cgroup_change *c, const json_t *from, const json_t *to,
                       struct err *reterr)
{
    struct cgroup_change *was = change_new(c->cg, c->parent, c->id);
    struct cgroup_change *will = change_new(c->cg, c->parent, c->id);
    /* What was valid once may be no more (a device that has gone): it needs no going back to. */
    int r = cgroup_limits(c->cg, to, add, will, NULL, reterr);

    (void)cgroup_limits(c->cg, from, add, was, NULL, NULL);
    for (size_t i = 0; r >= 0 && i < was->n; i++) {
        _cleanup_free_ char *off = neutral(&was->write[i]);

        if (off && !find(will, &was->write[i])) {
            add(c, was->write[i].controller, was->write[i].file, off);
            c->write[c->n - 1].old = xstrdup(was->write[i].value);
        }
    }
    for (size_t i = 0; r >= 0 && i < will->n; i++) {
        const struct write *w = &will->write[i], *old = find(was, w);

        if (old && streq(old->value, w->value))
            continue;
        add(c, w->controller, w->file, w->value);
        if (subject(w->file, w->value) > 0)
            c->write[c->n - 1].old = old ? xstrdup(old->value) : neutral(w);
    }
    if (r >= 0 && (c->too_many || was->too_many || will->too_many))
        r = err_set(reterr, ERR_INVALID, E2BIG, "too many limits at once");
    cgroup_change_free(was);
    cgroup_change_free(will);
    return r;
}

/* v1: memory may not pass memsw at any moment.  The plan's order (memory, memsw) is right for
 * lowering; raising memory above the memsw in force needs memsw first. */
static void order_memory(struct cgroup_change *c)
{
    _cleanup_free_ char *dir = cgroup_path(c->cg, CGROUP_MEMORY, c->parent, c->id);

    for (size_t i = 0; i + 1 < c->n; i++) {
        int64_t memsw, wanted;

        if (!streq(c->write[i].file, "memory.limit_in_bytes") ||
            !streq(c->write[i + 1].file, "memory.memsw.limit_in_bytes"))
            continue;
        memsw = cgroup_read_int(dir, "memory.memsw.limit_in_bytes");
        wanted = strtoll(c->write[i].value, NULL, 10);
        if (memsw >= 0 && (wanted > memsw || wanted < 0)) {
            struct write tmp = c->write[i];

            c->write[i] = c->write[i + 1];
            c->write[i + 1] = tmp;
        }
        return;
    }
}

/* A container started without a setting of it has no directory of its own in some v1 hierarchies
 * (cgroup_wanted()). */
static int ensure_dir(const struct cgroup_change *c, enum cgroup_controller controller)
{
    static const char *const inherited[] = {"cpuset.cpus", "cpuset.mems"};
    _cleanup_free_ char *dir = cgroup_path(c->cg, controller, c->parent, c->id), *up = xstrdup(dir);
    _cleanup_free_ pid_t *pids = NULL;
    size_t n = 0;
    int r;

    r = cgroup_pids(c->cg, c->parent, c->id, &pids, &n);
    if (r < 0)
        return r;
    if (mkdir(dir, 0755) < 0)
        return errno == EEXIST ? 0 : -errno;
    *strrchr(up, '/') = '\0';
    for (size_t i = 0; controller == CGROUP_CPUSET && i < ARRAY_SIZE(inherited); i++) {
        _cleanup_free_ char *value = cgroup_read(up, inherited[i]);

        if (value)
            (void)cgroup_write(dir, inherited[i], value);
    }
    for (size_t i = 0; i < n; i++) {
        char text[16];

        snprintf(text, sizeof(text), "%d", pids[i]);
        (void)cgroup_write(dir, "cgroup.procs", text); /* it may have ended meanwhile */
    }
    return 0;
}

static int ensure_dirs(const struct cgroup_change *c, const json_t *to, struct err *reterr)
{
    unsigned wanted = cgroup_wanted(c->cg, to);

    for (unsigned i = 0; i < CGROUP_CONTROLLERS; i++) {
        int r = wanted & CGROUP_BIT(i) && !cgroup_on_v2(c->cg, i) ? ensure_dir(c, i) : 0;

        if (r < 0)
            return err_sys(reterr, -r, "make a cgroup for %s", c->id);
    }
    return 0;
}

/* What a plain file holds now, as it can be written back; NULL if it cannot be read. */
static char *in_force(const char *dir, const char *file)
{
    char *text;

    if (streq(file, "memory.oom_control"))
        return xasprintf("%d", cgroup_read_key(dir, file, "oom_kill_disable", 0) > 0);
    text = cgroup_read(dir, file);
    /* An empty cpuset is written as an empty line: a write of no bytes is none. */
    if (text && text[0] && text[0] != '\n')
        text[strcspn(text, "\n")] = '\0';
    return text;
}

static int write_one(struct cgroup_change *c, struct write *w, struct err *reterr)
{
    _cleanup_free_ char *dir = cgroup_path(c->cg, w->controller, c->parent, c->id);
    int r;

    if (!w->old)
        w->old = in_force(dir, w->file);
    r = cgroup_write(dir, w->file, w->value);
    return r < 0
               ? err_sys(reterr, -r, "failed to write \"%s\": write %s/%s", w->value, dir, w->file)
               : 0;
}

int cgroup_change_revert(struct cgroup_change *c)
{
    int result = 0;

    while (c->done > 0) {
        const struct write *w = &c->write[--c->done];
        _cleanup_free_ char *dir = cgroup_path(c->cg, w->controller, c->parent, c->id);
        int r = w->old ? cgroup_write(dir, w->file, w->old) : -ENODATA;

        if (r < 0)
            result = r;
    }
    return result;
}

int cgroup_change_apply(const struct cgroup *cg, const char *parent, const char *id,
                        const json_t *from, const json_t *to, struct cgroup_change **ret,
                        struct err *reterr)
{
    struct cgroup_change *c = change_new(cg, parent, id);
    int r = plan_change(c, from, to, reterr);

    if (r >= 0 && c->n > 0)
        r = ensure_dirs(c, to, reterr);
    if (r >= 0)
        order_memory(c);
    while (r >= 0 && c->done < c->n) {
        r = write_one(c, &c->write[c->done], reterr);
        c->done += r >= 0;
    }
    if (r < 0) {
        (void)cgroup_change_revert(c); /* the first error is the one to tell */
        cgroup_change_free(c);
        return r;
    }
    *ret = c;
    return 0;
}
