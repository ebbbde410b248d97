#include "validate.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "capability.h"
#include "json.h"
#include "logsend.h"
#include "path.h"
#include "runtime_impl.h"
#include "str.h"

#define HOSTNAME_MAX 63
#define CPUSET_MAX 8192             /* dockerd's bound on numbers of processors and memory nodes */
#define HEALTH_INTERVAL_MIN 1000000 /* 1 ms in ns */

struct check {
    const struct runtime *rt;
    const json_t *config, *hc;
    unsigned api;
    json_t *warnings;
    struct err *reterr;
    bool update; /* of a container that has limits already */
};

#define INVALID(c, ...) err_set((c)->reterr, ERR_INVALID, EINVAL, __VA_ARGS__)

/* ---- Config ---- */

/* RFC 1123: labels of letters, digits and inner hyphens.  Docker's daemon lets anything through
 * and then fails at start; its CLI checks. */
static bool is_hostname(const char *s)
{
    size_t label = 0;

    if (strlen(s) > HOSTNAME_MAX)
        return false;
    for (; *s; s++) {
        if (*s == '.' ? label == 0 || s[-1] == '-'
                      : !isalnum((unsigned char)*s) && *s != '_' && (*s != '-' || label == 0))
            return false;
        label = *s == '.' ? 0 : label + 1;
    }
    return label > 0 && s[-1] != '-';
}

static int check_names(struct check *c)
{
    const char *host = json_get_str(c->config, "Hostname", "");
    const char *domain = json_get_str(c->config, "Domainname", "");

    if (*host && !is_hostname(host))
        return INVALID(c, "invalid hostname format: %s", host);
    if (*domain && !is_hostname(domain))
        return INVALID(c, "invalid domainname format: %s", domain);
    return 0;
}

static int check_env(const json_t *env, struct err *reterr)
{
    const json_t *item;
    size_t i;

    json_array_foreach (env, i, item) {
        const char *s = json_is_string(item) ? json_string_value(item) : "";

        if (!*s || *s == '=')
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid environment variable: %s", s);
    }
    return 0;
}

static int check_workdir(const char *dir, struct err *reterr)
{
    if (*dir && *dir != '/')
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "the working directory '%s' is invalid, it needs to be an absolute path",
                       dir);
    return 0;
}

/* Newlines and colons would reach /etc/passwd look-ups (CVE-2022-4318). */
static int check_user(const char *user, struct err *reterr)
{
    if (strpbrk(user, "\n\r") || strlen(user) > 512)
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid user: %s", user);
    return 0;
}

static int check_health(struct check *c)
{
    static const char *const durations[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};
    const json_t *health = json_get(c->config, "Healthcheck");

    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        int64_t n = json_get_int(health, durations[i], 0);

        if (n != 0 && n < HEALTH_INTERVAL_MIN)
            return INVALID(c, "%s in Healthcheck cannot be less than 1ms", durations[i]);
    }
    if (json_get_int(health, "Retries", 0) < 0)
        return INVALID(c, "Retries in Healthcheck cannot be negative");
    return 0;
}

static int check_volumes(struct check *c)
{
    json_t *volumes = json_get(c->config, "Volumes"), *value;
    const char *path;

    json_object_foreach (volumes, path, value) {
        _cleanup_free_ char *clean = path_clean(path);

        if (*path != '/' || streq(clean, "/"))
            return INVALID(c, "invalid volume specification: '%s'", path);
    }
    return 0;
}

static int check_config(struct check *c)
{
    const char *signal = json_get_str(c->config, "StopSignal", "");
    int r = check_names(c);

    if (r >= 0)
        r = check_env(json_get(c->config, "Env"), c->reterr);
    if (r >= 0)
        r = check_workdir(json_get_str(c->config, "WorkingDir", ""), c->reterr);
    if (r >= 0)
        r = check_user(json_get_str(c->config, "User", ""), c->reterr);
    if (r >= 0 && *signal && signal_parse(signal, NULL) < 0)
        r = INVALID(c, "Invalid signal: %s", signal);
    if (r >= 0)
        r = check_health(c);
    return r < 0 ? r : check_volumes(c);
}

/* ---- resources ---- */

static int check_memory(struct check *c)
{
    int64_t memory = json_get_int(c->hc, "Memory", 0), swap = json_get_int(c->hc, "MemorySwap", 0);
    int64_t swappiness = json_get_int(c->hc, "MemorySwappiness", -1);
    int64_t reservation = json_get_int(c->hc, "MemoryReservation", 0);
    int64_t high = json_get_int(c->hc, "MemoryHigh", 0);

    if (memory != 0 && memory < VALIDATE_MEMORY_MIN)
        return INVALID(c, "Minimum memory limit allowed is 6MB");
    if (memory > 0 && swap > 0 && swap < memory)
        return INVALID(c, "Minimum memoryswap limit should be larger than memory limit, see usage");
    if (memory == 0 && swap > 0 && !c->update)
        return INVALID(c, "You should always set the Memory limit when using Memoryswap limit, see "
                          "usage");
    if (swappiness < -1 || swappiness > 100)
        return INVALID(c, "Invalid value: %lld, valid memory swappiness range is 0-100",
                       (long long)swappiness);
    if (reservation > 0 && reservation < VALIDATE_MEMORY_MIN)
        return INVALID(c, "Minimum memory reservation allowed is 6MB");
    if (memory > 0 && reservation > memory)
        return INVALID(c, "Minimum memory limit can not be less than memory reservation limit, see "
                          "usage");
    if (high != 0 && high < VALIDATE_MEMORY_MIN)
        return INVALID(c, "Minimum memory high limit allowed is 6MB");
    return 0;
}

/* Gone from the API since 1.42; older clients are told so. */
static int check_kernel_memory(struct check *c)
{
    int64_t kernel = json_get_int(c->hc, "KernelMemory", 0);

    if (c->api >= 42 || kernel <= 0)
        return 0;
    if (kernel < VALIDATE_MEMORY_MIN)
        return INVALID(c, "Minimum kernel memory limit allowed is 6MB");
    runtime_warn(c->warnings, "Specifying a kernel memory limit is deprecated and will be removed "
                              "in a future release.");
    return 0;
}

static int check_cpu(struct check *c)
{
    int64_t nano = json_get_int(c->hc, "NanoCpus", 0), cpus = (int64_t)c->rt->facts.cpus;
    int64_t period = json_get_int(c->hc, "CpuPeriod", 0),
            quota = json_get_int(c->hc, "CpuQuota", 0);
    int64_t rt_period = json_get_int(c->hc, "CpuRealtimePeriod", 0);

    if (nano > 0 && period > 0)
        return INVALID(c, "Conflicting options: Nano CPUs and CPU Period cannot both be set");
    if (nano > 0 && quota > 0)
        return INVALID(c, "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    if (nano < 0 || nano > cpus * 1000000000)
        return INVALID(c,
                       "Range of CPUs is from 0.01 to %lld.00, as there are only %lld CPUs "
                       "available",
                       (long long)cpus, (long long)cpus);
    if (period != 0 && (period < 1000 || period > 1000000))
        return INVALID(c, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s "
                          "(i.e. 1000000)");
    if (quota > 0 && quota < 1000)
        return INVALID(c, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
    if (rt_period > 0 && json_get_int(c->hc, "CpuRealtimeRuntime", 0) > rt_period)
        return INVALID(c, "cpu real-time runtime cannot be higher than cpu real-time period");
    if (json_get_int(c->hc, "CpuBurst", 0) < 0)
        return INVALID(c, "CPU cfs burst can not be less than 0");
    return 0;
}

/* "0-3,7".  Largest number, or -1: malformed. */
static int64_t number_set_max(const char *s)
{
    int64_t max = 0;

    while (*s) {
        size_t n = strcspn(s, ",");
        char part[32], *dash;
        int64_t low, high;

        if (n == 0 || n >= sizeof(part))
            return -1;
        memcpy(part, s, n);
        part[n] = '\0';
        dash = strchr(part, '-');
        if (dash)
            *dash = '\0';
        if (str_parse_i64(part, 0, INT32_MAX, &low) < 0 ||
            str_parse_i64(dash ? dash + 1 : part, low, INT32_MAX, &high) < 0)
            return -1;
        max = high > max ? high : max;
        s += n;
        if (*s == ',' && !*++s)
            return -1;
    }
    return max;
}

/* Docker names a lone number as such: "0" and not "0-0". */
static int check_set(struct check *c, const char *key, const char *noun, const char *plural,
                     unsigned there)
{
    const char *set = json_get_str(c->hc, key, "");
    int64_t max = number_set_max(set);

    if (max < 0)
        return INVALID(c, "Invalid value %s for cpuset %s: invalid format: %s", set, noun, set);
    if (max > CPUSET_MAX)
        return INVALID(c, "Invalid value %s for cpuset %s: value of out range, maximum is %d", set,
                       noun, CPUSET_MAX);
    if (!*set || max < there)
        return 0;
    if (there == 1)
        return INVALID(c, "Requested %s are not available - requested %s, available: 0", plural,
                       set);
    return INVALID(c, "Requested %s are not available - requested %s, available: 0-%u", plural, set,
                   there - 1);
}

static int check_cpusets(struct check *c)
{
    int r = check_set(c, "CpusetCpus", "cpus", "CPUs", c->rt->facts.cpus);

    return r < 0 ? r : check_set(c, "CpusetMems", "mems", "memory nodes", c->rt->facts.mems);
}

static int check_ulimits(struct check *c)
{
    const json_t *list = json_get(c->hc, "Ulimits"), *item;
    size_t i;

    json_array_foreach (list, i, item) {
        const char *name = json_get_str(item, "Name", "");
        int64_t soft = json_get_int(item, "Soft", 0), hard = json_get_int(item, "Hard", 0);

        if (runtime_rlimit_parse(name) < 0)
            return INVALID(c, "invalid ulimit type: %s", name);
        if (soft < -1 || hard < -1 || (hard != -1 && (soft > hard || soft == -1)))
            return INVALID(c,
                           "ulimit soft limit must be less than or equal to hard limit: %lld > "
                           "%lld",
                           (long long)soft, (long long)hard);
    }
    return 0;
}

static int check_device_rules(struct check *c)
{
    const json_t *rules = json_get(c->hc, "DeviceCgroupRules"), *item;
    struct cgroup_device rule;
    size_t i;

    json_array_foreach (rules, i, item) {
        if (!device_rule_parse(json_string_value(item), &rule))
            return INVALID(c, "invalid device cgroup rule format: '%s'", json_string_value(item));
    }
    return 0;
}

static int check_devices(struct check *c)
{
    const json_t *devices = json_get(c->hc, "Devices"), *item;
    size_t i;

    json_array_foreach (devices, i, item) {
        const char *host = json_get_str(item, "PathOnHost", "");
        const char *path = json_get_str(item, "PathInContainer", host);
        const char *access = json_get_str(item, "CgroupPermissions", "");

        if (*host != '/')
            return INVALID(c, "'%s' is not an absolute path", host);
        if (*path && *path != '/')
            return INVALID(c, "'%s' is not an absolute path", path);
        if (*access && !device_access_parse(access))
            return INVALID(c, "invalid device mode: %s", access);
    }
    if (json_array_size(json_get(c->hc, "DeviceRequests")) > 0)
        return err_set(
            c->reterr, ERR_NOT_IMPLEMENTED, ENOSYS,
            "could not select device driver \"%s\" with capabilities: []",
            json_get_str(json_array_get(json_get(c->hc, "DeviceRequests"), 0), "Driver", ""));
    return 0;
}

static int check_resources(struct check *c)
{
    static int (*const checks[])(struct check *) = {check_memory,  check_kernel_memory,
                                                    check_cpu,     check_cpusets,
                                                    check_ulimits, check_device_rules};

    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        int r = checks[i](c);

        if (r < 0)
            return r;
    }
    if (json_get_int(c->hc, "ShmSize", 0) < 0)
        return INVALID(c, "SHM size can not be less than 0");
    if (json_get_int(c->hc, "IOMaximumBandwidth", 0) > 0)
        return INVALID(c, "Invalid QoS settings: linux does not support configuration of maximum "
                          "bandwidth");
    if (json_get_int(c->hc, "IOMaximumIOps", 0) > 0)
        return INVALID(c, "Invalid QoS settings: linux does not support configuration of maximum "
                          "IOPs");
    if (json_get_int(c->hc, "CpuPercent", 0) > 0)
        runtime_warn(c->warnings, "linux does not support CPU percent. Percent discarded.");
    return 0;
}

/* ---- HostConfig ---- */

static int check_restart(struct check *c)
{
    const json_t *policy = json_get(c->hc, "RestartPolicy");
    const char *name = json_get_str(policy, "Name", "");
    int64_t retries = json_get_int(policy, "MaximumRetryCount", 0);
    bool counts = streq(name, "on-failure");

    if (!counts && *name && !streq(name, "no") && !streq(name, "always") &&
        !streq(name, "unless-stopped"))
        return INVALID(c, "invalid restart policy '%s'", name);
    if (retries != 0 && !counts)
        return INVALID(c, "maximum retry count cannot be used with restart policy '%s'",
                       *name ? name : "no");
    if (retries < 0)
        return INVALID(c, "maximum retry count cannot be negative");
    if (json_get_bool(c->hc, "AutoRemove", false) && *name && !streq(name, "no"))
        return INVALID(c, "can't create 'AutoRemove' container with restart policy");
    if (!c->update && json_get_bool(c->hc, "RestartOnUnhealthy", false) &&
        (!*name || streq(name, "no")))
        return INVALID(c, "RestartOnUnhealthy needs a restart policy");
    return 0;
}

static int check_modes(struct check *c)
{
    static const struct {
        enum runtime_ns which;
        const char *key, *text;
    } table[] = {
        {RUNTIME_NS_PID, "PidMode", "invalid PID mode: %s"},
        {RUNTIME_NS_IPC, "IpcMode", "invalid IPC mode: %s"},
        {RUNTIME_NS_UTS, "UTSMode", "invalid UTS mode: %s"},
        {RUNTIME_NS_USER, "UsernsMode", "invalid user namespace mode: %s"},
        {RUNTIME_NS_CGROUP, "CgroupnsMode", "invalid cgroup namespace mode: %s"},
        {RUNTIME_NS_NET, "NetworkMode",
         "Invalid network mode: invalid container format container:<name|id>%.0s"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const char *mode = json_get_str(c->hc, table[i].key, "");

        if (runtime_ns_mode(c->hc, table[i].which, NULL) == RUNTIME_NS_INVALID) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            return INVALID(c, table[i].text, mode);
#pragma GCC diagnostic pop
        }
    }
    return 0;
}

static int check_mode_conflicts(struct check *c)
{
    bool host_net = runtime_ns_mode(c->hc, RUNTIME_NS_NET, NULL) == RUNTIME_NS_HOST;
    bool joined = runtime_ns_mode(c->hc, RUNTIME_NS_NET, NULL) == RUNTIME_NS_CONTAINER;
    const char *hostname = json_get_str(c->config, "Hostname", "");

    if (joined && *hostname)
        return INVALID(c, "conflicting options: hostname and the network mode");
    if (*hostname && runtime_ns_mode(c->hc, RUNTIME_NS_UTS, NULL) == RUNTIME_NS_HOST)
        return INVALID(c, "conflicting options: hostname and the UTS mode");
    if (joined && json_object_size(json_get(c->hc, "PortBindings")) > 0)
        return INVALID(c,
                       "conflicting options: port publishing and the container type network mode");
    if (host_net && json_object_size(json_get(c->hc, "PortBindings")) > 0)
        runtime_warn(c->warnings, "Published ports are discarded when using host network mode");
    return 0;
}

const char *runtime_sysctl_refusal(const json_t *hc, const char *name)
{
    static const char *const ipc[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                      "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                      "kernel.shmmni", "kernel.shm_rmid_forced"};
    bool is_ipc = str_starts(name, "fs.mqueue.");

    if (!*name || *name == '.' || strstr(name, "..") || strlen(name) > 255 ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")])
        return "is not a valid name";
    for (size_t i = 0; i < ARRAY_SIZE(ipc); i++)
        is_ipc |= streq(ipc[i], name);
    if (is_ipc)
        return runtime_ns_mode(hc, RUNTIME_NS_IPC, NULL) == RUNTIME_NS_HOST
                   ? "is not allowed in the hosts ipc namespace"
                   : NULL;
    if (str_starts(name, "net."))
        return runtime_ns_mode(hc, RUNTIME_NS_NET, NULL) == RUNTIME_NS_HOST
                   ? "not allowed in host network namespace"
                   : NULL;
    if (streq(name, "kernel.domainname") &&
        runtime_ns_mode(hc, RUNTIME_NS_UTS, NULL) != RUNTIME_NS_HOST)
        return NULL;
    return "is not in a separate kernel namespace";
}

static int check_sysctls(struct check *c)
{
    json_t *list = json_get(c->hc, "Sysctls"), *value;
    const char *name;

    json_object_foreach (list, name, value) {
        const char *refusal = runtime_sysctl_refusal(c->hc, name);
        const char *text = json_is_string(value) ? json_string_value(value) : "\n";

        if (refusal)
            return INVALID(c, "sysctl \"%s\" %s", name, refusal);
        for (; *text; text++) {
            if (iscntrl((unsigned char)*text) && *text != '\t')
                return INVALID(c, "sysctl \"%s\": invalid character in its value", name);
        }
    }
    return 0;
}

static int check_log(struct check *c)
{
    return log_driver_check(json_get(c->hc, "LogConfig"), c->reterr);
}

static int check_caps(struct check *c)
{
    uint64_t have, missing;
    int r = caps_resolve(c->hc, c->rt->facts.caps, &have, &missing, c->reterr);

    for (int cap = 0; r >= 0 && missing >> cap; cap++) {
        if (missing & CAP_BIT(cap))
            runtime_warn(c->warnings,
                         "%s is not available on this host and is left out of the container.",
                         caps_name(cap));
    }
    return r;
}

static int check_security(struct check *c)
{
    struct secopt so;
    int r = secopt_parse(c->hc, &so, c->reterr);
    struct filter f;

    if (r < 0)
        return r;
    if (so.apparmor && !streq(so.apparmor, "unconfined") && !c->rt->facts.apparmor)
        runtime_warn(c->warnings, "AppArmor profiles are not supported. Profile discarded.");
    if (so.ignored_label)
        runtime_warn(c->warnings, "SELinux labels are not supported. Label discarded.");
    if (so.seccomp_json) {
        /* Told now rather than at start, with a broken container left behind. */
        r = filter_custom(so.seccomp_json, caps_default, c->rt->facts.kernel, &f, c->reterr);
        if (r >= 0)
            filter_done(&f);
    }
    return r;
}

/* What would be without effect.  Only a create is asked: those that are there are as they are. */
static int check_mount_extras(struct check *c)
{
    static const char *const extras[][2] = {
        {"bind", "VolumeOptions"}, {"volume", "BindOptions"}, {"tmpfs", "BindOptions"}};
    const json_t *mounts = json_get(c->hc, "Mounts"), *m;
    size_t i;

    json_array_foreach (mounts, i, m) {
        const char *type = json_get_str(m, "Type", "");

        for (size_t k = 0; k < ARRAY_SIZE(extras); k++) {
            if (streq(type, extras[k][0]) && json_is_object(json_get(m, extras[k][1])))
                return INVALID(c,
                               "invalid mount config for type \"%s\": field %s must not be "
                               "specified",
                               type, extras[k][1]);
        }
        if (streq(type, "volume") && !*json_get_str(m, "Source", "") &&
            json_get_bool(m, "ReadOnly", false))
            return INVALID(c, "invalid mount config for type \"volume\": must not set ReadOnly "
                              "mode when using anonymous volumes");
    }
    return 0;
}

/* Words of a Binds entry's mode that its kind of mount does not have. */
static int check_mode(struct check *c, const struct mount_spec *m)
{
    bool volume = m->type == MOUNT_VOLUME;

    if (volume ? !m->propagation : m->type != MOUNT_BIND || !m->nocopy)
        return 0;
    return INVALID(c,
                   "invalid volume specification: '%s:%s:%s': invalid mount config for type "
                   "\"%s\": field %s must not be specified",
                   volume ? m->name : m->source, m->target, m->mode, volume ? "volume" : "bind",
                   volume ? "BindOptions" : "VolumeOptions");
}

/* A Binds source is made if absent, a Mounts source must be there. */
static int check_mounts(struct check *c)
{
    _cleanup_mounts_ struct mount_list list = {0};
    int r = mount_list_parse(c->hc, &list, c->reterr);
    unsigned binds = 0;
    struct stat st;

    for (size_t i = 0; r >= 0 && i < list.n; i++) {
        const struct mount_spec *m = &list.mounts[i];

        if (check_mode(c, m) < 0)
            return -EINVAL;
        binds += m->type != MOUNT_TMPFS;
        if (binds > RUNTIME_BINDS_MAX)
            return INVALID(c, "invalid mount config: more than %d binds", RUNTIME_BINDS_MAX);

        if (m->type == MOUNT_BIND && !m->make_source && stat(m->source, &st) < 0)
            return INVALID(c,
                           "invalid mount config for type \"bind\": bind source path does not "
                           "exist: %s",
                           m->source);
    }
    return r < 0 ? r : check_mount_extras(c);
}

/* "80/tcp", "8000-8010": is what stands before any of the stops a port of at least min? */
static bool is_port(const char *text, const char *stops, int64_t min)
{
    size_t n = strcspn(text, stops);
    _cleanup_free_ char *number = xstrndup(text, n);
    int64_t port;

    return str_parse_i64(number, min, 65535, &port) >= 0;
}

static int check_ports(struct check *c)
{
    json_t *ports = json_get(c->hc, "PortBindings"), *list;
    const json_t *binding;
    const char *port;
    size_t i;

    json_object_foreach (ports, port, list) {
        if (!is_port(port, "/", 1))
            return INVALID(c, "invalid port specification: \"%.*s\"", (int)strcspn(port, "/"),
                           port);
        json_array_foreach (list, i, binding) {
            const char *host = json_get_str(binding, "HostPort", "");

            if (*host && !is_port(host, "-", 0))
                return INVALID(c, "invalid port specification: \"%s\"", host);
        }
    }
    return 0;
}

static int check_lists(struct check *c)
{
    const json_t *hosts = json_get(c->hc, "ExtraHosts"), *item;
    size_t i;

    json_array_foreach (hosts, i, item) {
        const char *s = json_string_value(item);
        size_t n = strcspn(s, ":=");

        if (n == 0 || !s[n] || !s[n + 1] || strpbrk(s, "\n\r \t"))
            return INVALID(c, "bad format for add-host: \"%s\"", s);
    }
    return 0;
}

static int check_rest(struct check *c)
{
    int64_t oom = json_get_int(c->hc, "OomScoreAdj", 0);
    const char *runtime = json_get_str(c->hc, "Runtime", "");
    const char *isolation = json_get_str(c->hc, "Isolation", "");

    if (oom < -1000 || oom > 1000)
        return INVALID(c, "Invalid value %lld, range for oom score adj is [-1000, 1000]",
                       (long long)oom);
    if (*isolation && !streq(isolation, "default"))
        return INVALID(c, "Invalid isolation: \"%s\" - linux only supports 'default'", isolation);
    if (*runtime && !streq(runtime, "runc") && !streq(runtime, "io.containerd.runc.v2"))
        return INVALID(c, "unknown or invalid runtime name: %s", runtime);
    return c->rt->cg ? cgroup_check(c->rt->cg, c->hc, c->warnings, c->reterr) : 0;
}

int validate_create(const struct runtime *rt, const json_t *config, const json_t *host_config,
                    unsigned api, json_t *warnings, struct err *reterr)
{
    static int (*const checks[])(struct check *) = {
        check_config,         check_resources, check_devices, check_restart, check_modes,
        check_mode_conflicts, check_sysctls,   check_log,     check_caps,    check_security,
        check_mounts,         check_ports,     check_lists,   check_rest,
    };
    struct check c = {.rt = rt,
                      .config = config,
                      .hc = host_config,
                      .api = api,
                      .warnings = warnings,
                      .reterr = reterr};

    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        int r = checks[i](&c);

        if (r < 0)
            return r;
    }
    return 0;
}

int validate_update(const struct runtime *rt, const json_t *host_config, json_t *warnings,
                    struct err *reterr)
{
    struct check c = {
        .rt = rt, .hc = host_config, .warnings = warnings, .reterr = reterr, .update = true};
    int r = check_resources(&c);

    if (r >= 0)
        r = check_restart(&c);
    return r < 0 || !rt->cg ? r : cgroup_check(rt->cg, host_config, warnings, reterr);
}

int validate_exec(const json_t *exec, struct err *reterr)
{
    int r;

    if (json_array_size(json_get(exec, "Cmd")) == 0)
        return err_set(reterr, ERR_INVALID, EINVAL, "No exec command specified");
    r = check_env(json_get(exec, "Env"), reterr);
    if (r >= 0)
        r = check_workdir(json_get_str(exec, "WorkingDir", ""), reterr);
    return r < 0 ? r : check_user(json_get_str(exec, "User", ""), reterr);
}
