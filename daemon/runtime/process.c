/* The LAST stage: identity, limits and program of the final process. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "capability.h"
#include "json.h"
#include "runtime_impl.h"
#include "str.h"

#define PATH_DEFAULT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int runtime_rlimit_parse(const char *name)
{
    static const struct {
        const char *name;
        int resource;
    } table[] = {
        {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
        {"data", RLIMIT_DATA},         {"fsize", RLIMIT_FSIZE},
        {"locks", RLIMIT_LOCKS},       {"memlock", RLIMIT_MEMLOCK},
        {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
        {"nofile", RLIMIT_NOFILE},     {"nproc", RLIMIT_NPROC},
        {"rss", RLIMIT_RSS},           {"rtprio", RLIMIT_RTPRIO},
        {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
        {"stack", RLIMIT_STACK},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (strcasecmp(table[i].name, name) == 0)
            return table[i].resource;
    }
    return -EINVAL;
}

/* -1 is unlimited in Docker's JSON, and RLIM_INFINITY is what -1 becomes. */
static void add_rlimits(struct build *b)
{
    const json_t *list = json_get(b->hc, "Ulimits"), *item;
    bool may_raise = b->rt->facts.caps & CAP_BIT(CAP_SYS_RESOURCE);
    size_t i;

    json_array_foreach (list, i, item) {
        const char *name = json_get_str(item, "Name", "");
        int resource = runtime_rlimit_parse(name);
        uint64_t soft = (uint64_t)json_get_int(item, "Soft", 0);
        uint64_t hard = (uint64_t)json_get_int(item, "Hard", 0);
        uint64_t limit;

        if (resource < 0)
            continue;
        limit = b->rt->facts.limits[resource].rlim_max;
        if (!may_raise && hard > limit) {
            runtime_warn(b->warnings,
                         "ulimit %s: the host's hard limit %llu cannot be raised without "
                         "CAP_SYS_RESOURCE; it is kept.",
                         name, (unsigned long long)limit);
            hard = limit;
            soft = soft > hard ? hard : soft;
        }
        plan_add(b->plan, PLAN_RLIMIT, (uint64_t)resource, soft, hard, 0, NULL);
    }
}

static void warn_missing(struct build *b, uint64_t missing)
{
    for (int cap = 0; missing >> cap; cap++) {
        if (missing & CAP_BIT(cap))
            runtime_warn(b->warnings,
                         "%s is not available on this host and is left out of the container.",
                         caps_name(cap));
    }
}

static void add_caps(struct plan *plan, uint64_t bounding, uint64_t effective)
{
    /* Inheritable stays empty: CVE-2022-24769. */
    plan_add(plan, PLAN_CAPS, bounding, effective, 0, 0, NULL);
}

static void add_apparmor(const struct runtime *rt, const json_t *host_config, struct plan *plan)
{
    const char *profile = runtime_apparmor(rt, host_config);

    if (*profile && !streq(profile, "unconfined"))
        plan_add(plan, PLAN_APPARMOR, 0, 0, 0, 0, profile, NULL);
}

/* ---- environment ---- */

static size_t key_len(const char *entry)
{
    return strcspn(entry, "=");
}

static ssize_t env_find(char *const *env, const char *entry)
{
    size_t n = key_len(entry);

    for (ssize_t i = 0; env && env[i]; i++) {
        if (key_len(env[i]) == n && strncmp(env[i], entry, n) == 0)
            return i;
    }
    return -1;
}

/* "K=V" replaces or adds, "K" takes away. */
static char **env_apply(char **env, const char *entry)
{
    ssize_t at = env_find(env, entry);

    if (!strchr(entry, '=')) {
        if (at >= 0) {
            free(env[at]);
            for (; env[at]; at++)
                env[at] = env[at + 1];
        }
        return env;
    }
    if (at < 0)
        return strv_append(env, entry);
    free(env[at]);
    env[at] = xstrdup(entry);
    return env;
}

static char **env_apply_list(char **env, const json_t *list)
{
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        if (json_is_string(item))
            env = env_apply(env, json_string_value(item));
    }
    return env;
}

static char **container_env(const json_t *config, const char *hostname, bool tty)
{
    char **env = strv_append(NULL, PATH_DEFAULT);
    _cleanup_free_ char *host = xasprintf("HOSTNAME=%s", hostname);

    env = strv_append(env, host);
    if (tty)
        env = strv_append(env, "TERM=xterm");
    return env_apply_list(env, json_get(config, "Env"));
}

/* ---- user, program ---- */

static void add_user(struct plan *plan, const char *user, const json_t *groups)
{
    char **v = strv_append(NULL, user);
    const json_t *item;
    size_t i;

    json_array_foreach (groups, i, item) {
        if (json_is_string(item))
            v = strv_append(v, json_string_value(item));
    }
    plan_add_strv(plan, PLAN_USER, 0, v);
    strv_free(v);
}

/* A container's working directory is made, an exec's must be there. */
static void add_program(struct plan *plan, char *const *argv, char *const *env, const char *cwd,
                        bool make_cwd)
{
    plan_add(plan, PLAN_CWD, make_cwd, 0, 0, 0, *cwd ? cwd : "/", NULL);
    plan_add_strv(plan, PLAN_ENV, 0, env);
    plan_add_strv(plan, PLAN_ARGV, 0, argv);
}

static const char *effective_hostname(const struct build *b)
{
    const char *name = json_get_str(b->spec->config, "Hostname", "");

    return *name ? name : b->rt->facts.hostname;
}

int process_plan(struct build *b)
{
    const json_t *config = b->spec->config;
    _cleanup_(strv_freep) char **argv = runtime_argv(config);
    _cleanup_(strv_freep) char **env =
        container_env(config, effective_hostname(b), json_get_bool(config, "Tty", false));
    uint64_t caps, missing;
    int r;

    if (!argv)
        return err_set(b->reterr, ERR_INVALID, EINVAL, "no command specified");
    add_rlimits(b);
    plan_add(b->plan, PLAN_OOM_SCORE_ADJ, (uint64_t)json_get_int(b->hc, "OomScoreAdj", 0), 0, 0, 0,
             NULL);
    add_user(b->plan, json_get_str(config, "User", ""), json_get(b->hc, "GroupAdd"));
    r = caps_resolve(b->hc, b->rt->facts.caps, &caps, &missing, b->reterr);
    if (r < 0)
        return r;
    warn_missing(b, missing);
    add_caps(b->plan, caps, caps);
    add_apparmor(b->rt, b->hc, b->plan);
    if (b->security.no_new_privileges)
        plan_add(b->plan, PLAN_NO_NEW_PRIVS, 0, 0, 0, 0, NULL);
    if (!b->privileged) {
        r = runtime_add_filter(b->rt, &b->security, caps, b->plan, b->reterr);
        if (r < 0)
            return r;
    }
    if (json_get_bool(b->hc, "Init", false))
        plan_add(b->plan, PLAN_INIT, 0, 0, 0, 0, NULL);
    plan_add(b->plan, PLAN_UMASK, 0022, 0, 0, 0, NULL);
    add_program(b->plan, argv, env, json_get_str(config, "WorkingDir", ""), true);
    return 0;
}

/* ---- exec ---- */

static void add_exec_stdio(struct plan *plan, const struct runtime_exec_spec *spec, bool tty)
{
    const json_t *size = json_get(spec->exec, "ConsoleSize");
    unsigned rows = spec->rows, columns = spec->columns;
    uint64_t flags = tty ? PLAN_STDIO_TTY : 0;

    if (!rows && !columns && json_array_size(size) == 2) {
        rows = (unsigned)json_integer_value(json_array_get(size, 0));
        columns = (unsigned)json_integer_value(json_array_get(size, 1));
    }
    if (json_get_bool(spec->exec, "AttachStdin", false))
        flags |= PLAN_STDIO_STDIN | PLAN_STDIO_STDIN_ONCE;
    plan_add(plan, PLAN_STDIO, flags, rows, columns, 0, NULL);
}

static char **exec_env(const struct runtime_exec_spec *spec, const char *hostname, bool tty)
{
    char **env = container_env(spec->config, hostname, tty);

    return env_apply_list(env, json_get(spec->exec, "Env"));
}

/* The main process's capabilities; a privileged exec has all that the host has, and no filter, but
 * for a container that is itself confined by no_new_privs that stays. */
static int add_exec_security(struct runtime *rt, const struct runtime_exec_spec *spec,
                             struct plan *plan, struct err *reterr)
{
    bool privileged = json_get_bool(spec->exec, "Privileged", false);
    struct secopt so;
    uint64_t caps, missing;
    int r = secopt_parse(spec->host_config, &so, reterr);

    if (r >= 0)
        r = caps_resolve(spec->host_config, rt->facts.caps, &caps, &missing, reterr);
    if (r < 0)
        return r;
    if (privileged)
        caps = caps_all() & rt->facts.caps;
    add_caps(plan, caps, caps);
    add_apparmor(rt, spec->host_config, plan); /* of a privileged one, too, as the stock engine */
    if (so.no_new_privileges)
        plan_add(plan, PLAN_NO_NEW_PRIVS, 0, 0, 0, 0, NULL);
    if (privileged || json_get_bool(spec->host_config, "Privileged", false))
        return 0;
    return runtime_add_filter(rt, &so, caps, plan, reterr);
}

int runtime_exec_plan(struct runtime *rt, const struct runtime_exec_spec *spec, struct plan *plan,
                      json_t *warnings, struct err *reterr)
{
    bool tty = json_get_bool(spec->exec, "Tty", false);
    const char *hostname = json_get_str(spec->config, "Hostname", "");
    const char *user = json_get_str(spec->exec, "User", "");
    const char *cwd = json_get_str(spec->exec, "WorkingDir", "");
    _cleanup_(strv_freep) char **argv = json_get_strv(spec->exec, "Cmd");
    _cleanup_(strv_freep) char **env =
        exec_env(spec, *hostname ? hostname : rt->facts.hostname, tty);
    struct build b = {.rt = rt, .hc = spec->host_config, .plan = plan, .warnings = warnings};
    int r;

    if (!argv)
        return err_set(reterr, ERR_INVALID, EINVAL, "No exec command specified");
    add_exec_stdio(plan, spec, tty);
    add_rlimits(&b);
    plan_add(plan, PLAN_OOM_SCORE_ADJ, (uint64_t)json_get_int(b.hc, "OomScoreAdj", 0), 0, 0, 0,
             NULL);
    add_user(plan, *user ? user : json_get_str(spec->config, "User", ""),
             json_get(spec->host_config, "GroupAdd"));
    r = add_exec_security(rt, spec, plan, reterr);
    if (r < 0)
        return r;
    plan_add(plan, PLAN_UMASK, 0022, 0, 0, 0, NULL);
    add_program(plan, argv, env, *cwd ? cwd : json_get_str(spec->config, "WorkingDir", ""), false);
    return 0;
}
