#include "run_values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bytesize.h"
#include "csv.h"
#include "options.h"
#include "str.h"

static bool is_ip(const char *s)
{
    unsigned char addr[16];

    return inet_pton(AF_INET, s, addr) == 1 || inet_pton(AF_INET6, s, addr) == 1;
}

int value_capability(const char *value, json_t **ret_json, struct err *reterr)
{
    _cleanup_free_ char *name = xasprintf(
        "%s%s", strncasecmp(value, "CAP_", 4) == 0 || strcasecmp(value, "ALL") == 0 ? "" : "CAP_",
        value);

    for (char *c = name; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return value_string(name, ret_json, reterr);
}

int value_attach(const char *value, json_t **ret_json, struct err *reterr)
{
    static const char *const streams[] = {"stdin", "stdout", "stderr"};

    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        if (strcasecmp(value, streams[i]) == 0)
            return value_string(streams[i], ret_json, reterr);
    }
    return err_set(reterr, ERR_INVALID, EINVAL, "valid streams are STDIN, STDOUT and STDERR");
}

int value_add_host(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *sep = strchr(value, '=');
    _cleanup_free_ char *ip = NULL, *entry = NULL;
    size_t n;

    if (!sep)
        sep = strchr(value, ':');
    if (!sep || sep == value)
        return err_set(reterr, ERR_INVALID, EINVAL, "bad format for add-host: \"%s\"", value);
    n = strlen(sep + 1);
    ip = n > 2 && sep[1] == '[' && sep[n] == ']' ? xstrndup(sep + 2, n - 2) : xstrdup(sep + 1);
    if (!streq(ip, "host-gateway") && !is_ip(ip))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid IP address in add-host: \"%s\"", ip);
    entry = xasprintf("%.*s:%s", (int)(sep - value), value, ip);
    return value_string(entry, ret_json, reterr);
}

int value_ip(const char *value, json_t **ret_json, struct err *reterr)
{
    if (!is_ip(value))
        return err_set(reterr, ERR_INVALID, EINVAL, "IP address is not correctly formatted: %s",
                       value);
    return value_string(value, ret_json, reterr);
}

int value_domain(const char *value, json_t **ret_json, struct err *reterr)
{
    size_t n = strlen(value);
    bool ok = n > 0 && n < 255 && !strstr(value, "..") && (*value != '.' || n == 1);

    for (const char *c = value; *c; c++)
        ok = ok && (isalnum((unsigned char)*c) || strchr("-_.", *c));
    if (!ok)
        return err_set(reterr, ERR_INVALID, EINVAL, "%s is not a valid domain", value);
    return value_string(value, ret_json, reterr);
}

/* A name alone takes its value from our own environment, if it is there. */
int value_env(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *own;
    _cleanup_free_ char *entry = NULL;

    if (!*value || *value == '=')
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid environment variable: %s", value);
    own = strchr(value, '=') ? NULL : getenv(value);
    entry = own ? xasprintf("%s=%s", value, own) : xstrdup(value);
    return value_string(entry, ret_json, reterr);
}

int value_link(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *colon = strchr(value, ':');

    if (!*value)
        return err_set(reterr, ERR_INVALID, EINVAL, "empty string specified for links");
    if (colon && strchr(colon + 1, ':'))
        return err_set(reterr, ERR_INVALID, EINVAL, "bad format for links: %s", value);
    return value_string(value, ret_json, reterr);
}

static int ulimit_values(const char *text, int64_t *soft, int64_t *hard)
{
    size_t n = strcspn(text, ":");
    _cleanup_free_ char *first = xstrndup(text, n);

    if (str_parse_i64(first, -1, INT64_MAX, soft) < 0)
        return -EINVAL;
    *hard = *soft;
    return text[n] ? str_parse_i64(text + n + 1, -1, INT64_MAX, hard) : 0;
}

int value_ulimit(const char *value, json_t **ret_json, struct err *reterr)
{
    static const char *const names[] = {
        "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
        "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
    const char *eq = strchr(value, '=');
    _cleanup_free_ char *name = NULL;
    int64_t soft, hard;
    size_t i;

    if (!eq)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid ulimit argument: %s", value);
    name = xstrndup(value, (size_t)(eq - value));
    for (i = 0; i < ARRAY_SIZE(names) && !streq(names[i], name); i++)
        ;
    if (i == ARRAY_SIZE(names))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid ulimit type: %s", name);
    if (ulimit_values(eq + 1, &soft, &hard) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "strconv.ParseInt: parsing \"%s\": invalid "
                       "syntax",
                       eq + 1);
    if (hard != -1 && (soft > hard || soft == -1))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "ulimit soft limit must be less than or equal to hard limit: %lld > %lld",
                       (long long)soft, (long long)hard);
    *ret_json = json_pack("{s:s, s:I, s:I}", "Name", name, "Hard", (json_int_t)hard, "Soft",
                          (json_int_t)soft);
    return 0;
}

/* Only what is private to a container's own namespaces may be set. */
int value_sysctl(const char *value, json_t **ret_json, struct err *reterr)
{
    static const char *const exact[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                        "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                        "kernel.shmmni", "kernel.shm_rmid_forced"};
    const char *eq = strchr(value, '=');
    size_t len = eq ? (size_t)(eq - value) : 0;
    bool ok = eq && (str_starts(value, "net.") || str_starts(value, "fs.mqueue."));

    for (size_t i = 0; i < ARRAY_SIZE(exact); i++)
        ok = ok || (strlen(exact[i]) == len && strncmp(exact[i], value, len) == 0);
    if (!ok)
        return err_set(reterr, ERR_INVALID, EINVAL, "sysctl '%s' is not allowed", value);
    return value_key_value(value, ret_json, reterr);
}

int value_device_rule(const char *value, json_t **ret_json, struct err *reterr)
{
    regex_t re;
    int no;

    if (regcomp(&re, "^[acb] ([0-9]+|\\*):([0-9]+|\\*) [rwm]{1,3}$", REG_EXTENDED | REG_NOSUB) != 0)
        abort();
    no = regexec(&re, value, 0, NULL, 0);
    regfree(&re);
    if (no)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid device cgroup format '%s'", value);
    return value_string(value, ret_json, reterr);
}

/* "/dev/x:value": the path (to be freed); *ret_value points behind the colon. */
static char *device_path(const char *value, const char **ret_value, struct err *reterr)
{
    const char *colon = strchr(value, ':');

    if (!colon || colon == value || strchr(colon + 1, ':')) {
        err_set(reterr, ERR_INVALID, EINVAL, "bad format: %s", value);
        return NULL;
    }
    if (!str_starts(value, "/dev/")) {
        err_set(reterr, ERR_INVALID, EINVAL, "bad format for device path: %s", value);
        return NULL;
    }
    *ret_value = colon + 1;
    return xstrndup(value, (size_t)(colon - value));
}

int value_device_weight(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *text;
    _cleanup_free_ char *path = device_path(value, &text, reterr);
    uint64_t weight;

    if (!path)
        return -EINVAL;
    if (str_parse_u64(text, 1000, &weight) < 0 || (weight > 0 && weight < 10))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid weight for device: %s", value);
    *ret_json = json_pack("{s:s, s:I}", "Path", path, "Weight", (json_int_t)weight);
    return 0;
}

int value_device_bps(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *text;
    _cleanup_free_ char *path = device_path(value, &text, reterr);
    struct err ignored;
    int64_t rate;

    if (!path)
        return -EINVAL;
    if (bytesize_parse(text, &rate, &ignored) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid rate for device: %s. The correct format is "
                       "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is "
                       "optional and can be kb, mb, or gb",
                       value);
    *ret_json = json_pack("{s:s, s:I}", "Path", path, "Rate", (json_int_t)rate);
    return 0;
}

int value_device_iops(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *text;
    _cleanup_free_ char *path = device_path(value, &text, reterr);
    uint64_t rate;

    if (!path)
        return -EINVAL;
    if (str_parse_u64(text, INT64_MAX, &rate) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid rate for device: %s. The correct format is "
                       "<device-path>:<number>. Number must be a positive integer",
                       value);
    *ret_json = json_pack("{s:s, s:I}", "Path", path, "Rate", (json_int_t)rate);
    return 0;
}

/* ---- limits that Docker has no options for ---- */

int value_hugetlb_limit(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *colon = strchr(value, ':');
    struct err ignored;
    int64_t limit;

    if (!colon || colon == value || bytesize_parse(colon + 1, &limit, &ignored) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "bad format for hugetlb-limit: %s (wanted: 2MB:BYTES)", value);
    *ret_json = json_pack("{s:s%, s:I}", "PageSize", value, (size_t)(colon - value), "Limit",
                          (json_int_t)limit);
    return 0;
}

int value_net_priority(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *colon = strchr(value, ':');
    uint64_t priority;

    if (!colon || colon == value || str_parse_u64(colon + 1, UINT32_MAX, &priority) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "bad format for net-prio: %s (wanted: INTERFACE:NUMBER)", value);
    *ret_json = json_pack("{s:s%, s:I}", "Interface", value, (size_t)(colon - value), "Priority",
                          (json_int_t)priority);
    return 0;
}

static bool rdma_count(const char *text, size_t len, json_t *limit)
{
    static const char *const names[][2] = {{"hca_handle=", "HcaHandles"},
                                           {"hca_object=", "HcaObjects"}};
    _cleanup_free_ char *part = xstrndup(text, len);

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        uint64_t n;

        if (!str_starts(part, names[i][0]))
            continue;
        if (str_parse_u64(part + strlen(names[i][0]), UINT32_MAX, &n) < 0)
            return false;
        json_object_set_new(limit, names[i][1], json_integer((json_int_t)n));
        return true;
    }
    return false;
}

int value_rdma_limit(const char *value, json_t **ret_json, struct err *reterr)
{
    const char *colon = strchr(value, ':'), *p = colon;
    json_t *limit = json_pack("{s:s%}", "Device", value, colon ? (size_t)(colon - value) : 0);
    bool ok = colon && colon > value;

    while (ok && *p) {
        size_t n = strcspn(++p, ",");

        ok = rdma_count(p, n, limit);
        p += n;
    }
    if (!ok) {
        json_decref(limit);
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "bad format for rdma-limit: %s (wanted: DEVICE:hca_handle=N,hca_object=N)",
                       value);
    }
    *ret_json = limit;
    return 0;
}

static int gpu_count(const char *s, json_int_t *ret, struct err *reterr)
{
    int64_t n;

    if (streq(s, "all")) {
        *ret = -1;
        return 0;
    }
    if (str_parse_i64(s, INT32_MIN, INT32_MAX, &n) < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid count (%s): value must be either \"all\" or an integer", s);
    *ret = n;
    return 0;
}

static int gpu_field(json_t **request, const char *field, bool only, struct err *reterr)
{
    const char *eq = strchr(field, '=');
    json_int_t count = 0;
    char **list;
    int r = 0;

    if (!eq || str_starts(field, "count=")) {
        if (!eq && !only)
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "invalid field '%s' must be a key=value "
                           "pair",
                           field);
        r = gpu_count(eq ? eq + 1 : field, &count, reterr);
        if (r == 0)
            json_put_path(request, "Count", OPT_SET, json_integer(count));
        return r;
    }
    list = split_at(eq + 1, ',');
    for (size_t i = 0; list[i] && r == 0; i++) {
        if (str_starts(field, "driver="))
            json_put_path(request, "Driver", OPT_SET, json_string(eq + 1));
        else if (str_starts(field, "device="))
            json_put_path(request, "DeviceIDs", OPT_APPEND, json_string(list[i]));
        else if (str_starts(field, "capabilities="))
            json_put_path(request, "caps", OPT_APPEND, json_string(list[i]));
        else
            r = err_set(reterr, ERR_INVALID, EINVAL, "unexpected key '%.*s' in '%s'",
                        (int)(eq - field), field, field);
    }
    strv_free(list);
    return r;
}

int value_gpus(const char *value, json_t **ret_json, struct err *reterr)
{
    char **fields = csv_split(value);
    json_t *request = json_object(), *caps;
    int r = fields ? 0 : err_set(reterr, ERR_INVALID, EINVAL, "extraneous or missing \" in field");

    for (size_t i = 0; fields && fields[i] && r == 0; i++)
        r = gpu_field(&request, fields[i], !fields[1], reterr);
    strv_free(fields);
    if (r < 0) {
        json_decref(request);
        return r;
    }
    json_put_path(&request, "caps", OPT_APPEND, json_string("gpu"));
    caps = json_incref(json_object_get(request, "caps"));
    json_object_del(request, "caps");
    json_object_set_new(request, "Capabilities", json_pack("[o]", caps));
    *ret_json = request;
    return 0;
}
