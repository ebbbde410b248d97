/* The small commands on containers. */
#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "commands.h"
#include "json.h"
#include "run_body.h"
#include "run_values.h"
#include "str.h"
#include "table.h"
#include "url.h"

/* No --timeout given. */
#define TIMEOUT_UNSET INT64_MIN

const struct stop_options stop_defaults = {.timeout = TIMEOUT_UNSET};

const struct opt stop_opts[] = {
    OPT_STRING("signal", 's', struct stop_options, signal, "Signal to send to the container"),
    OPT_INT("time", 0, struct stop_options, timeout, NULL),
    OPT_INT("timeout", 't', struct stop_options, timeout,
            "Seconds to wait before killing the container"),
    OPT_END,
};

const struct opt kill_opts[] = {
    OPT_STRING("signal", 's', struct stop_options, signal, "Signal to send to the container"),
    OPT_END,
};

const struct opt rm_opts[] = {
    OPT_BOOL("force", 'f', struct rm_options, force,
             "Force the removal of a running container (uses SIGKILL)"),
    OPT_BOOL("link", 'l', struct rm_options, link, "Remove the specified link"),
    OPT_BOOL("volumes", 'v', struct rm_options, volumes,
             "Remove anonymous volumes associated with the container"),
    OPT_END,
};

static char *stop_url(const struct invocation *inv, const char *fmt, const char *name)
{
    const struct stop_options *o = inv->options;
    char *url = url_format(fmt, name);
    _cleanup_free_ char *t = NULL;

    url_add(&url, "signal", str_empty(o->signal) ? NULL : o->signal);
    if (o->timeout != TIMEOUT_UNSET) {
        t = xasprintf("%lld", (long long)o->timeout);
        url_add(&url, "t", t);
    }
    return url;
}

static char *stop_path(const struct invocation *inv, const char *name)
{
    return stop_url(inv, "/containers/%s/stop", name);
}

static char *restart_path(const struct invocation *inv, const char *name)
{
    return stop_url(inv, "/containers/%s/restart", name);
}

static char *kill_path(const struct invocation *inv, const char *name)
{
    return stop_url(inv, "/containers/%s/kill", name);
}

static char *pause_path(const struct invocation *inv, const char *name)
{
    (void)inv;
    return url_format("/containers/%s/pause", name);
}

static char *unpause_path(const struct invocation *inv, const char *name)
{
    (void)inv;
    return url_format("/containers/%s/unpause", name);
}

static char *rm_path(const struct invocation *inv, const char *name)
{
    const struct rm_options *o = inv->options;
    char *url = url_format("/containers/%s", name + (*name == '/'));

    url_add_bool(&url, "force", o->force);
    url_add_bool(&url, "link", o->link);
    url_add_bool(&url, "v", o->volumes);
    return url;
}

int cmd_stop(struct invocation *inv)
{
    return batch_run(inv, "POST", stop_path, false);
}

int cmd_restart(struct invocation *inv)
{
    return batch_run(inv, "POST", restart_path, false);
}

int cmd_kill(struct invocation *inv)
{
    return batch_run(inv, "POST", kill_path, false);
}

int cmd_pause(struct invocation *inv)
{
    return batch_run(inv, "POST", pause_path, false);
}

int cmd_unpause(struct invocation *inv)
{
    return batch_run(inv, "POST", unpause_path, false);
}

int cmd_rm(struct invocation *inv)
{
    const struct rm_options *o = inv->options;

    return batch_run(inv, "DELETE", rm_path, o->force);
}

int cmd_rename(struct invocation *inv)
{
    _cleanup_free_ char *url = NULL;
    struct err e = {0};

    if (!*inv->args[0] || !*inv->args[1]) {
        fprintf(stderr, "Error: Neither old nor new names may be empty\n");
        return 1;
    }
    url = url_format("/containers/%s/rename", inv->args[0]);
    url_add(&url, "name", inv->args[1]);
    if (client_post(inv->client, url, NULL, NULL, &e) == 0)
        return 0;
    cli_print_error(&e);
    fprintf(stderr, "Error: failed to rename container named %s\n", inv->args[0]);
    return 1;
}

/* One after the other, as the codes come out in the order of the arguments. */
int cmd_wait(struct invocation *inv)
{
    int failed = 0;

    for (int i = 0; i < inv->n_args; i++) {
        _cleanup_free_ char *url = url_format("/containers/%s/wait", inv->args[i]);
        _cleanup_json_ json_t *reply = NULL;
        struct err e = {0};
        int r = client_post(inv->client, url, NULL, &reply, &e);
        const char *message = json_get_str(json_get(reply, "Error"), "Message", NULL);

        if (r == 0 && str_empty(message)) {
            printf("%lld\n", (long long)json_get_int(reply, "StatusCode", 0));
            fflush(stdout);
            continue;
        }
        fprintf(stderr, "%s\n", r < 0 ? e.message : message);
        failed = 1;
    }
    return failed;
}

int cmd_top(struct invocation *inv)
{
    _cleanup_free_ char *url = url_format("/containers/%s/top", inv->args[0]), *ps_args = NULL;
    _cleanup_json_ json_t *reply = NULL;
    struct table t = {.min_width = 20, .padding = 3};
    struct buf out = {0}, joined = {0};
    struct err e = {0};
    json_t *process, *cell;
    size_t i, k;

    for (int a = 1; a < inv->n_args; a++)
        buf_printf(&joined, "%s%s", a > 1 ? " " : "", inv->args[a]);
    ps_args = buf_take_str(&joined);
    url_add(&url, "ps_args", *ps_args ? ps_args : NULL);
    if (client_get(inv->client, url, &reply, &e) < 0)
        return cli_fail(inv, &e);
    json_array_foreach (json_get(reply, "Titles"), k, cell)
        buf_printf(&t.text, "%s%s", k ? "\t" : "", json_string_value(cell));
    buf_append_str(&t.text, "\n");
    json_array_foreach (json_get(reply, "Processes"), i, process) {
        json_array_foreach (process, k, cell)
            buf_printf(&t.text, "%s%s", k ? "\t" : "", json_string_value(cell));
        buf_append_str(&t.text, "\n");
    }
    table_flush(&t, &out);
    fwrite(buf_head(&out), 1, buf_size(&out), stdout);
    buf_done(&out);
    return 0;
}

static void print_bindings(const char *port, const json_t *bindings, bool prefix)
{
    for (size_t i = 0; i < json_array_size(bindings); i++) {
        const json_t *b = json_array_get(bindings, i);
        const char *ip = json_get_str(b, "HostIp", "");

        printf(strchr(ip, ':') ? "%s%s[%s]:%s\n" : "%s%s%s:%s\n", prefix ? port : "",
               prefix ? " -> " : "", ip, json_get_str(b, "HostPort", ""));
    }
}

int cmd_port(struct invocation *inv)
{
    _cleanup_free_ char *url = url_format("/containers/%s/json", inv->args[0]), *wanted = NULL;
    _cleanup_json_ json_t *info = NULL;
    json_t *ports, *bindings;
    const char *port;
    struct err e = {0};

    if (client_get(inv->client, url, &info, &e) < 0)
        return cli_fail(inv, &e);
    ports = json_at(info, "NetworkSettings.Ports");
    if (inv->n_args == 1) {
        json_object_foreach (ports, port, bindings)
            print_bindings(port, bindings, true);
        return 0;
    }
    wanted = xasprintf(strchr(inv->args[1], '/') ? "%s" : "%s/tcp", inv->args[1]);
    bindings = json_object_get(ports, wanted);
    if (json_array_size(bindings) == 0) {
        fprintf(stderr, "Error: No public port '%s' published for %s\n", inv->args[1],
                inv->args[0]);
        return 1;
    }
    print_bindings(wanted, bindings, false);
    return 0;
}

int cmd_diff(struct invocation *inv)
{
    static const char kinds[] = "CAD";
    _cleanup_free_ char *url = url_format("/containers/%s/changes", inv->args[0]);
    _cleanup_json_ json_t *list = NULL;
    struct err e = {0};
    json_t *item;
    size_t i;

    if (client_get(inv->client, url, &list, &e) < 0)
        return cli_fail(inv, &e);
    json_array_foreach (list, i, item) {
        int64_t kind = json_get_int(item, "Kind", 0);

        printf("%c %s\n", kind >= 0 && kind < 3 ? kinds[kind] : '?',
               json_get_str(item, "Path", ""));
    }
    return 0;
}

/* ---- update ---- */

const struct opt update_opts[] = {
    OPT_JSON("blkio-weight", 0, "uint16", value_uint16, "BlkioWeight",
             "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
    OPT_JSON("cpu-burst", 0, "int", value_int, "CpuBurst",
             "Let unused CPU CFS quota be used later, up to this many microseconds"),
    OPT_JSON("cpu-period", 0, "int", value_int, "CpuPeriod",
             "Limit CPU CFS (Completely Fair Scheduler) period"),
    OPT_JSON("cpu-quota", 0, "int", value_int, "CpuQuota",
             "Limit CPU CFS (Completely Fair Scheduler) quota"),
    OPT_JSON("cpu-rt-period", 0, "int", value_int, "CpuRealtimePeriod",
             "Limit the CPU real-time period in microseconds"),
    OPT_JSON("cpu-rt-runtime", 0, "int", value_int, "CpuRealtimeRuntime",
             "Limit the CPU real-time runtime in microseconds"),
    OPT_JSON("cpu-shares", 'c', "int", value_int, "CpuShares", "CPU shares (relative weight)"),
    OPT_JSON("cpus", 0, "decimal", value_cpus, "NanoCpus", "Number of CPUs"),
    OPT_JSON("cpuset-cpus", 0, "string", value_string, "CpusetCpus",
             "CPUs in which to allow execution (0-3, 0,1)"),
    OPT_JSON("cpuset-mems", 0, "string", value_string, "CpusetMems",
             "MEMs in which to allow execution (0-3, 0,1)"),
    OPT_JSON_LIST("device-cgroup-rule", 0, "list", value_device_rule, "DeviceCgroupRules",
                  "Allow devices by these rules in place of those given before"),
    OPT_JSON_LIST("device-read-bps", 0, "list", value_device_bps, "BlkioDeviceReadBps",
                  "Limit read rate (bytes per second) from a device"),
    OPT_JSON_LIST("device-read-iops", 0, "list", value_device_iops, "BlkioDeviceReadIOps",
                  "Limit read rate (IO per second) from a device"),
    OPT_JSON_LIST("device-write-bps", 0, "list", value_device_bps, "BlkioDeviceWriteBps",
                  "Limit write rate (bytes per second) to a device"),
    OPT_JSON_LIST("device-write-iops", 0, "list", value_device_iops, "BlkioDeviceWriteIOps",
                  "Limit write rate (IO per second) to a device"),
    OPT_JSON_LIST("hugetlb-limit", 0, "list", value_hugetlb_limit, "HugepageLimits",
                  "Limit the use of huge pages, as SIZE:BYTES"),
    OPT_JSON("kernel-memory", 0, "bytes", value_bytes, "KernelMemory",
             "Kernel memory limit (deprecated)"),
    OPT_JSON("memory", 'm', "bytes", value_bytes, "Memory", "Memory limit"),
    OPT_JSON("memory-high", 0, "bytes", value_bytes, "MemoryHigh",
             "Memory use from which on the container is slowed down (cgroup v2)"),
    OPT_JSON("memory-reservation", 0, "bytes", value_bytes, "MemoryReservation",
             "Memory soft limit"),
    OPT_JSON("memory-swap", 0, "bytes", value_bytes_swap, "MemorySwap",
             "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
    OPT_JSON("pids-limit", 0, "int", value_int, "PidsLimit",
             "Tune container pids limit (set -1 for unlimited)"),
    OPT_STRING("restart", 0, struct update_options, restart,
               "Restart policy to apply when a container exits"),
    OPT_JSON("restart-on-unhealthy", 0, NULL, value_bool, "RestartOnUnhealthy",
             "Restart the container by its policy when its health check fails"),
    OPT_END,
};

static int update_one(struct invocation *inv, const char *name, json_t **warnings,
                      struct err *reterr)
{
    _cleanup_free_ char *url = url_format("/containers/%s/update", name);
    _cleanup_json_ json_t *reply = NULL;
    int r = client_post(inv->client, url, inv->body, &reply, reterr);

    if (r == 0)
        json_array_extend(*warnings, json_get(reply, "Warnings"));
    return r;
}

int cmd_update(struct invocation *inv)
{
    const struct update_options *o = inv->options;
    _cleanup_json_ json_t *warnings = json_array();
    struct err e = {0};
    int failed = 0;

    if (o->restart) {
        json_t *policy = restart_policy(o->restart, &e);

        if (!policy)
            return cli_fail(inv, &e);
        json_put_path(&inv->body, "RestartPolicy", OPT_SET, policy);
    }
    if (!inv->body) {
        fprintf(stderr, "you must provide one or more flags when using this command\n");
        return 1;
    }
    for (int i = 0; i < inv->n_args; i++) {
        if (update_one(inv, inv->args[i], &warnings, &e) < 0) {
            cli_print_error(&e);
            failed = 1;
        } else {
            printf("%s\n", inv->args[i]);
        }
    }
    for (size_t i = 0; i < json_array_size(warnings); i++)
        fprintf(stderr, "%s\n", json_string_value(json_array_get(warnings, i)));
    return failed;
}
