/* Readings of a container's cgroup in the shape of the Engine API's stats. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "json.h"
#include "str.h"

#define NS_PER_TICK (1000000000LL / 100) /* USER_HZ is 100 everywhere Linux runs */
#define UNLIMITED (INT64_C(1) << 60)     /* v1 says LONG_MAX rounded to pages */

int64_t cgroup_oom_count(const struct cgroup *cg, const char *parent, const char *id)
{
    _cleanup_free_ char *dir = cgroup_path(cg, CGROUP_MEMORY, parent, id);

    if (!dir)
        return -ENOENT;
    return cgroup_read_key(dir,
                           cgroup_on_v2(cg, CGROUP_MEMORY) ? "memory.events" : "memory.oom_control",
                           "oom_kill", -ENOENT);
}

static void set_int(json_t *obj, const char *key, int64_t value)
{
    json_object_set_new(obj, key, json_integer(value < 0 ? 0 : value));
}

/* "key number" lines as members. */
static json_t *keyed_object(const char *dir, const char *file)
{
    _cleanup_free_ char *text = cgroup_read(dir, file);
    json_t *out = json_object();
    char *line, *save = NULL;

    for (line = text ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        char *blank = strchr(line, ' ');

        if (!blank)
            continue;
        *blank = '\0';
        json_object_set_new(out, line, json_integer(strtoll(blank + 1, NULL, 10)));
    }
    return out;
}

static json_t *pids_stats(const char *dir)
{
    json_t *out = json_object();
    int64_t limit = cgroup_read_int(dir, "pids.max");

    set_int(out, "current", cgroup_read_int(dir, "pids.current"));
    /* dockerd shows the uint64 maximum for "max"; jansson's integers are signed, so the largest. */
    set_int(out, "limit", limit);
    return out;
}

static int64_t host_memory(void)
{
    struct sysinfo si;

    return sysinfo(&si) < 0 ? 0 : (int64_t)si.totalram * si.mem_unit;
}

static json_t *memory_stats(const char *dir, bool v2)
{
    json_t *out = json_object();
    int64_t limit = cgroup_read_int(dir, v2 ? "memory.max" : "memory.limit_in_bytes");

    set_int(out, "usage", cgroup_read_int(dir, v2 ? "memory.current" : "memory.usage_in_bytes"));
    if (v2) {
        set_int(out, "failcnt", cgroup_read_key(dir, "memory.events", "oom", 0));
    } else {
        set_int(out, "max_usage", cgroup_read_int(dir, "memory.max_usage_in_bytes"));
        set_int(out, "failcnt", cgroup_read_int(dir, "memory.failcnt"));
    }
    json_object_set_new(out, "stats", keyed_object(dir, "memory.stat"));
    set_int(out, "limit", limit < 0 || limit >= UNLIMITED ? host_memory() : limit);
    return out;
}

/* Sum of the first seven columns of the "cpu" line, in ns. */
static int64_t system_cpu_ns(void)
{
    _cleanup_free_ char *text = cgroup_read("/proc", "stat");
    int64_t sum = 0;
    char *p = text;

    if (!text || !str_starts(text, "cpu "))
        return 0;
    p += 4;
    for (int i = 0; i < 7; i++)
        sum += strtoll(p, &p, 10);
    return sum * NS_PER_TICK;
}

static json_t *percpu_usage(const char *dir)
{
    _cleanup_free_ char *text = cgroup_read(dir, "cpuacct.usage_percpu");
    json_t *out = json_array();

    for (char *p = text, *end; p && *p; p = end) {
        long long n = strtoll(p, &end, 10);

        if (end == p)
            break;
        json_array_append_new(out, json_integer(n));
    }
    return out;
}

static json_t *cpu_usage(const char *dir, bool v2)
{
    json_t *out = json_object();

    if (v2) {
        set_int(out, "total_usage", cgroup_read_key(dir, "cpu.stat", "usage_usec", 0) * 1000);
        set_int(out, "usage_in_kernelmode",
                cgroup_read_key(dir, "cpu.stat", "system_usec", 0) * 1000);
        set_int(out, "usage_in_usermode", cgroup_read_key(dir, "cpu.stat", "user_usec", 0) * 1000);
        return out;
    }
    set_int(out, "total_usage", cgroup_read_int(dir, "cpuacct.usage"));
    json_object_set_new(out, "percpu_usage", percpu_usage(dir));
    set_int(out, "usage_in_kernelmode",
            cgroup_read_key(dir, "cpuacct.stat", "system", 0) * NS_PER_TICK);
    set_int(out, "usage_in_usermode",
            cgroup_read_key(dir, "cpuacct.stat", "user", 0) * NS_PER_TICK);
    return out;
}

static json_t *cpu_stats(const struct cgroup *cg, const char *cpu, const char *acct)
{
    bool v2 = cgroup_on_v2(cg, CGROUP_CPU);
    json_t *out = json_object(), *throttling = json_object();

    json_object_set_new(out, "cpu_usage",
                        acct ? cpu_usage(acct, cgroup_on_v2(cg, CGROUP_CPUACCT)) : json_object());
    set_int(out, "system_cpu_usage", system_cpu_ns());
    set_int(out, "online_cpus", sysconf(_SC_NPROCESSORS_ONLN));
    set_int(throttling, "periods", cpu ? cgroup_read_key(cpu, "cpu.stat", "nr_periods", 0) : 0);
    set_int(throttling, "throttled_periods",
            cpu ? cgroup_read_key(cpu, "cpu.stat", "nr_throttled", 0) : 0);
    set_int(throttling, "throttled_time",
            !cpu ? 0
            : v2 ? cgroup_read_key(cpu, "cpu.stat", "throttled_usec", 0) * 1000
                 : cgroup_read_key(cpu, "cpu.stat", "throttled_time", 0));
    json_object_set_new(out, "throttling_data", throttling);
    return out;
}

static void append_io(json_t *list, unsigned major, unsigned minor, const char *op, int64_t value)
{
    json_array_append_new(list, json_pack("{s:i,s:i,s:s,s:I}", "major", (int)major, "minor",
                                          (int)minor, "op", op, "value", (json_int_t)value));
}

/* v1: "8:0 Read 4096" lines, ended by "Total N". */
static json_t *blkio_v1(const char *dir, const char *file)
{
    _cleanup_free_ char *text = cgroup_read(dir, file);
    json_t *out = json_array();
    char *line, *save = NULL;

    for (line = text ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        unsigned major, minor;
        char op[16];
        long long value;

        if (sscanf(line, "%u:%u %15s %lld", &major, &minor, op, &value) == 4)
            append_io(out, major, minor, op, value);
    }
    return out;
}

/* v2: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." */
static json_t *blkio_v2(const char *dir)
{
    _cleanup_free_ char *text = cgroup_read(dir, "io.stat");
    json_t *out = json_array();
    char *line, *save = NULL;

    for (line = text ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        unsigned major, minor;
        long long rbytes, wbytes;

        if (sscanf(line, "%u:%u rbytes=%lld wbytes=%lld", &major, &minor, &rbytes, &wbytes) != 4)
            continue;
        append_io(out, major, minor, "read", rbytes);
        append_io(out, major, minor, "write", wbytes);
    }
    return out;
}

static json_t *blkio_stats(const char *dir, bool v2)
{
    static const char *const others[] = {"io_queue_recursive",     "io_service_time_recursive",
                                         "io_wait_time_recursive", "io_merged_recursive",
                                         "io_time_recursive",      "sectors_recursive"};
    json_t *out = json_object();

    json_object_set_new(out, "io_service_bytes_recursive",
                        v2 ? blkio_v2(dir)
                           : blkio_v1(dir, "blkio.throttle.io_service_bytes_recursive"));
    json_object_set_new(out, "io_serviced_recursive",
                        v2 ? json_null() : blkio_v1(dir, "blkio.throttle.io_serviced_recursive"));
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        json_object_set_new(out, others[i], v2 ? json_null() : json_array());
    return out;
}

int cgroup_stats(const struct cgroup *cg, const char *parent, const char *id, json_t **ret)
{
    _cleanup_free_ char *pids = cgroup_path(cg, CGROUP_PIDS, parent, id);
    _cleanup_free_ char *cpu = cgroup_path(cg, CGROUP_CPU, parent, id);
    _cleanup_free_ char *acct = cgroup_path(cg, CGROUP_CPUACCT, parent, id);
    _cleanup_free_ char *memory = cgroup_path(cg, CGROUP_MEMORY, parent, id);
    _cleanup_free_ char *blkio = cgroup_path(cg, CGROUP_BLKIO, parent, id);
    const char *any = memory ? memory : cpu ? cpu : pids;
    json_t *out;

    if (!any || access(any, F_OK) < 0)
        return -ENOENT;
    out = json_object();
    json_object_set_new(out, "pids_stats", pids ? pids_stats(pids) : json_object());
    json_object_set_new(out, "cpu_stats", cpu_stats(cg, cpu, acct));
    json_object_set_new(out, "memory_stats",
                        memory ? memory_stats(memory, cgroup_on_v2(cg, CGROUP_MEMORY))
                               : json_object());
    json_object_set_new(out, "blkio_stats",
                        blkio ? blkio_stats(blkio, cgroup_on_v2(cg, CGROUP_BLKIO)) : json_object());
    *ret = out;
    return 0;
}
