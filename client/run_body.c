#include "run_body.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "mounts.h"
#include "ports.h"
#include "run_network.h"
#include "str.h"
#include "tty.h"

#define LIST_FILE_MAX ((size_t)16 << 20)

/* ---- files of NAME=VALUE lines ---- */

static int take_line(char *line, int number, bool environment, char ***list, struct err *reterr)
{
    const char *eq;
    const char *own;
    _cleanup_free_ char *entry = NULL;

    line += strspn(line, " \t");
    line[strcspn(line, "\r")] = '\0';
    if (!*line || *line == '#')
        return 0;
    eq = strchr(line, '=');
    if (eq == line)
        return err_set(reterr, ERR_INVALID, EINVAL, "no variable name on line '%s'", line);
    for (const char *c = line; *c && c != eq; c++) {
        if (isspace((unsigned char)*c))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "poorly formatted environment: variable '%.*s' contains whitespaces",
                           (int)(eq ? (size_t)(eq - line) : strlen(line)), line);
    }
    (void)number;
    if (eq || !environment) {
        *list = strv_append(*list, line);
    } else if ((own = getenv(line))) {
        entry = xasprintf("%s=%s", line, own);
        *list = strv_append(*list, entry);
    }
    return 0;
}

static int read_list_file(const char *path, bool environment, char ***list, struct err *reterr)
{
    _cleanup_free_ char *text = NULL;
    ssize_t n = file_read(AT_FDCWD, path, LIST_FILE_MAX, &text);
    char *save = NULL;
    int number = 0, r = 0;

    if (n < 0)
        return err_set(reterr, ERR_INVALID, (int)-n, "open %s: %s", path, err_text((int)-n));
    for (char *line = strtok_r(text, "\n", &save); line && r == 0;
         line = strtok_r(NULL, "\n", &save))
        r = take_line(line, ++number, environment, list, reterr);
    return r;
}

int run_body_env(json_t **body, char *const *files, char *const *env, struct err *reterr)
{
    char **list = NULL;
    int r = 0;

    for (size_t i = 0; files && files[i] && r == 0; i++)
        r = read_list_file(files[i], true, &list, reterr);
    for (size_t i = 0; env && env[i] && r == 0; i++)
        list = strv_append(list, env[i]);
    if (r == 0 && list)
        json_put_path(body, "Env", OPT_SET, json_from_strv(list));
    strv_free(list);
    return r;
}

static int add_labels(json_t **body, const struct run_options *o, struct err *reterr)
{
    char **list = NULL;
    int r = 0;

    for (size_t i = 0; o->label_files && o->label_files[i] && r == 0; i++)
        r = read_list_file(o->label_files[i], false, &list, reterr);
    for (size_t i = 0; o->labels && o->labels[i]; i++)
        list = strv_append(list, o->labels[i]);
    for (size_t i = 0; list && list[i] && r == 0; i++) {
        json_t *one = NULL;

        r = value_key_value(list[i], &one, reterr);
        json_put_path(body, "Labels", OPT_MERGE, one);
    }
    strv_free(list);
    return r;
}

/* ---- streams, command ---- */

static void add_streams(json_t **body, const struct run_options *o)
{
    bool in = false, out = false, err = false;

    for (size_t i = 0; o->attach && o->attach[i]; i++) {
        in |= streq(o->attach[i], "stdin");
        out |= streq(o->attach[i], "stdout");
        err |= streq(o->attach[i], "stderr");
    }
    if (!o->attach && !o->detach) {
        out = err = true;
        in = o->interactive;
    }
    json_put_path(body, "AttachStdin", OPT_SET, json_boolean(in));
    json_put_path(body, "AttachStdout", OPT_SET, json_boolean(out));
    json_put_path(body, "AttachStderr", OPT_SET, json_boolean(err));
    json_put_path(body, "Tty", OPT_SET, json_boolean(o->tty));
    json_put_path(body, "OpenStdin", OPT_SET, json_boolean(o->interactive));
    json_put_path(body, "StdinOnce", OPT_SET, json_boolean(o->interactive && in));
}

static void add_console_size(json_t **body, const struct run_options *o)
{
    struct tty_size size;

    if (o->tty && tty_get_size(&size))
        json_put_path(body, "HostConfig.ConsoleSize", OPT_SET,
                      json_pack("[i, i]", (int)size.rows, (int)size.columns));
}

static int add_command(json_t **body, const struct run_options *o, char *const *args, int n_args,
                       struct err *reterr)
{
    json_t *image = NULL, *word = NULL;
    int r = value_string(args[0], &image, reterr);

    if (r < 0)
        return err_wrap(reterr, "image name");
    json_put_path(body, "Image", OPT_SET, image);
    for (int i = 1; i < n_args; i++) {
        r = value_string(args[i], &word, reterr);
        if (r < 0)
            return err_wrap(reterr, "argument %d", i);
        json_put_path(body, "Cmd", OPT_APPEND, word);
    }
    if (o->entrypoint)
        json_put_path(body, "Entrypoint", OPT_APPEND, json_string(o->entrypoint));
    return 0;
}

/* ---- checks and smaller parts ---- */

static int check_modes(json_t **body, const struct run_options *o, struct err *reterr)
{
    const struct {
        const char *value, *option, *what, *path;
        bool ok;
    } modes[] = {
        {o->pid_mode, "pid", "PID", "HostConfig.PidMode",
         o->pid_mode && (str_starts(o->pid_mode, "container:"))},
        {o->uts_mode, "uts", "UTS", "HostConfig.UTSMode",
         o->uts_mode && str_starts(o->uts_mode, "container:")},
        {o->userns_mode, "userns", "USER", "HostConfig.UsernsMode",
         o->userns_mode && str_starts(o->userns_mode, "auto")},
        {o->cgroupns_mode, "cgroupns", "CGROUP", "HostConfig.CgroupnsMode",
         o->cgroupns_mode && streq(o->cgroupns_mode, "private")},
    };

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (str_empty(modes[i].value))
            continue;
        if (!modes[i].ok && !streq(modes[i].value, "host"))
            return err_set(reterr, ERR_INVALID, EINVAL, "--%s: invalid %s mode", modes[i].option,
                           modes[i].what);
        json_put_path(body, modes[i].path, OPT_SET, json_string(modes[i].value));
    }
    return 0;
}

static int add_health(json_t **body, const struct run_options *o, struct err *reterr)
{
    static const struct {
        const char *member, *option;
    } times[] = {{"Interval", "interval"},
                 {"Timeout", "timeout"},
                 {"StartPeriod", "start-period"},
                 {"StartInterval", "start-interval"}};
    json_t *health = json_object_get(*body, "Healthcheck");

    if (o->no_healthcheck) {
        if (health || !str_empty(o->health_cmd))
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "--no-healthcheck conflicts with --health-* options");
        json_put_path(body, "Healthcheck.Test", OPT_SET, json_pack("[s]", "NONE"));
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        if (json_get_int(health, times[i].member, 0) < 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "--health-%s cannot be negative",
                           times[i].option);
    }
    if (!str_empty(o->health_cmd))
        json_put_path(body, "Healthcheck.Test", OPT_SET,
                      json_pack("[s, s]", "CMD-SHELL", o->health_cmd));
    return 0;
}

static int seccomp_profile(const char *path, json_t **body, struct err *reterr)
{
    _cleanup_free_ char *text = NULL, *compact = NULL, *option = NULL;
    _cleanup_json_ json_t *profile = NULL;
    ssize_t n = file_read(AT_FDCWD, path, LIST_FILE_MAX, &text);
    json_error_t why;

    if (n < 0)
        return err_set(reterr, ERR_INVALID, (int)-n,
                       "opening seccomp profile (%s) failed: open %s: %s", path, path,
                       err_text((int)-n));
    profile = json_loads(text, 0, &why);
    if (!profile)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "compacting json for seccomp profile (%s) failed: %s", path, why.text);
    compact = json_to_str(profile);
    option = xasprintf("seccomp=%s", compact);
    json_put_path(body, "HostConfig.SecurityOpt", OPT_APPEND, json_string(option));
    return 0;
}

static int add_security(json_t **body, const char *opt, struct err *reterr)
{
    const char *sep = strpbrk(opt, strchr(opt, '=') ? "=" : ":");

    if (!sep && !streq(opt, "no-new-privileges"))
        return err_set(reterr, ERR_INVALID, EINVAL, "Invalid --security-opt: \"%s\"", opt);
    if (streq(opt, "systempaths=unconfined")) {
        json_put_path(body, "HostConfig.MaskedPaths", OPT_SET, json_array());
        json_put_path(body, "HostConfig.ReadonlyPaths", OPT_SET, json_array());
        return 0;
    }
    if (sep && sep - opt == 7 && str_starts(opt, "seccomp") && !streq(sep + 1, "unconfined") &&
        !streq(sep + 1, "builtin"))
        return seccomp_profile(sep + 1, body, reterr);
    json_put_path(body, "HostConfig.SecurityOpt", OPT_APPEND, json_string(opt));
    return 0;
}

json_t *restart_policy(const char *spec, struct err *reterr)
{
    size_t n = strcspn(spec, ":");
    _cleanup_free_ char *name = xstrndup(spec, n);
    int64_t max = 0;

    if (spec[n] && n == 0) {
        err_set(reterr, ERR_INVALID, EINVAL,
                "invalid restart policy format: no policy provided before colon");
        return NULL;
    }
    if (spec[n] && str_parse_i64(spec + n + 1, INT32_MIN, INT32_MAX, &max) < 0) {
        err_set(reterr, ERR_INVALID, EINVAL,
                "invalid restart policy format: maximum retry count must be an integer");
        return NULL;
    }
    return json_pack("{s:s, s:I}", "Name", name, "MaximumRetryCount", (json_int_t)max);
}

static int add_restart(json_t **body, const struct run_options *o, struct err *reterr)
{
    json_t *policy;
    const char *name;

    json_put_path(body, "HostConfig.AutoRemove", OPT_SET, json_boolean(o->rm));
    if (str_empty(o->restart))
        return 0;
    policy = restart_policy(o->restart, reterr);
    if (!policy)
        return -EINVAL;
    name = json_get_str(policy, "Name", "");
    json_put_path(body, "HostConfig.RestartPolicy", OPT_SET, policy);
    if (o->rm && *name && !streq(name, "no"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "conflicting options: cannot specify both --restart and --rm");
    return 0;
}

static int add_map(json_t **body, const char *path, char *const *list, struct err *reterr)
{
    for (size_t i = 0; list && list[i]; i++) {
        json_t *one = NULL;
        int r = value_key_value(list[i], &one, reterr);

        if (r < 0)
            return r;
        json_put_path(body, path, OPT_MERGE, one);
    }
    return 0;
}

static int add_logging(json_t **body, const struct run_options *o, struct err *reterr)
{
    if (o->log_driver && streq(o->log_driver, "none") && o->log_opts)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid logging opts for driver none");
    if (o->log_driver)
        json_put_path(body, "HostConfig.LogConfig.Type", OPT_SET, json_string(o->log_driver));
    return add_map(body, "HostConfig.LogConfig.Config", o->log_opts, reterr);
}

static int add_limits(json_t **body, const struct run_options *o, struct err *reterr)
{
    if (o->swappiness < -1 || o->swappiness > 100)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid value: %lld. Valid memory swappiness range is 0-100",
                       (long long)o->swappiness);
    if (o->swappiness >= 0)
        json_put_path(body, "HostConfig.MemorySwappiness", OPT_SET, json_integer(o->swappiness));
    for (size_t i = 0; o->storage && o->storage[i]; i++) {
        if (!strchr(o->storage[i], '='))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid storage option");
    }
    return add_map(body, "HostConfig.StorageOpt", o->storage, reterr);
}

static int add_each(json_t **body, char *const *list,
                    int (*add)(json_t **, const char *, struct err *), struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; list && list[i] && r == 0; i++)
        r = add(body, list[i], reterr);
    return r;
}

static int add_lists(json_t **body, const struct run_options *o, struct err *reterr)
{
    int r = add_each(body, o->volumes, mounts_add_volume, reterr);

    if (r == 0)
        r = add_each(body, o->publish, ports_publish, reterr);
    if (r == 0)
        r = add_each(body, o->expose, ports_expose, reterr);
    if (r == 0)
        r = add_each(body, o->devices, mounts_add_device, reterr);
    if (r == 0)
        r = add_each(body, o->security, add_security, reterr);
    for (size_t i = 0; o->tmpfs && o->tmpfs[i]; i++)
        mounts_add_tmpfs(body, o->tmpfs[i]);
    return r;
}

int run_body_build(json_t **body, const struct run_options *o, char *const *args, int n_args,
                   struct err *reterr)
{
    int (*const steps[])(json_t **, const struct run_options *, struct err *) = {
        add_limits, add_lists,   add_labels,  check_modes,
        add_health, add_restart, add_logging, run_network_add,
    };
    int r = 0;

    add_streams(body, o);
    add_console_size(body, o);
    r = add_command(body, o, args, n_args, reterr);
    if (r == 0)
        r = run_body_env(body, o->env_files, o->env, reterr);
    for (size_t i = 0; i < ARRAY_SIZE(steps) && r == 0; i++)
        r = steps[i](body, o, reterr);
    return r;
}
