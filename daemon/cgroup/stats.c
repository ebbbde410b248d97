/* Readings in the shape of the Engine API's stats: text at once, because a hundred readers of a
 * hundred members each would else be a hundred thousand allocations a second. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "reading.h"
#include "str.h"

int64_t cgroup_oom_count(const struct cgroup *cg, const char *parent, const char *id)
{
    _cleanup_free_ char *dir = cgroup_path(cg, CGROUP_MEMORY, parent, id);

    if (!dir)
        return -ENOENT;
    return cgroup_read_key(dir,
                           cgroup_on_v2(cg, CGROUP_MEMORY) ? "memory.events" : "memory.oom_control",
                           "oom_kill", -ENOENT);
}

static void put_number(struct buf *out, int64_t value)
{
    char text[24], *p = text + sizeof(text);
    uint64_t v = value < 0 ? 0 : (uint64_t)value;

    do {
        *--p = (char)('0' + v % 10);
    } while (v /= 10);
    buf_append(out, p, (size_t)(text + sizeof(text) - p));
}

/* `before` holds the punctuation and the key: ",\"limit\":". */
static void put(struct buf *out, const char *before, int64_t value)
{
    buf_append_str(out, before);
    put_number(out, value);
}

/* "key number" lines as members of an object.  The kernel's keys need no quoting. */
static void put_keyed(struct buf *out, const char *text)
{
    const char *comma = "";

    buf_append_str(out, "{");
    while (*text) {
        size_t line = strcspn(text, "\n"), key = strcspn(text, " \n");
        size_t digits = key < line ? strspn(text + key + 1, "0123456789") : 0;

        if (digits > 0 && key + 1 + digits == line) {
            buf_append_str(out, comma);
            buf_append_str(out, "\"");
            buf_append(out, text, key);
            buf_append_str(out, "\":");
            buf_append(out, text + key + 1, digits);
            comma = ",";
        }
        text += line + (text[line] == '\n');
    }
    buf_append_str(out, "}");
}

int64_t cgroup_system_cpu_ns(void)
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

static void put_percpu(struct buf *out, const char *text)
{
    const char *comma = "";
    char *end;

    buf_append_str(out, ",\"percpu_usage\":[");
    for (const char *p = text;; p = end, comma = ",") {
        long long n = strtoll(p, &end, 10);

        if (end == p)
            break;
        put(out, comma, n);
    }
    buf_append_str(out, "]");
}

void cgroup_cpu_json(const struct cgroup_reading *r, int64_t system_cpu_ns, struct buf *out)
{
    struct cgroup_figures f;

    reading_cpu(r, &f);
    put(out, "{\"cpu_usage\":{\"total_usage\":", f.cpu_ns);
    put(out, ",\"usage_in_kernelmode\":", f.cpu_system_ns);
    put(out, ",\"usage_in_usermode\":", f.cpu_user_ns);
    if (!r->acct_v2)
        put_percpu(out, r->text[CGROUP_FILE_ACCT_PERCPU]);
    put(out, "},\"system_cpu_usage\":", system_cpu_ns);
    put(out, ",\"online_cpus\":", sysconf(_SC_NPROCESSORS_ONLN));
    put(out, ",\"throttling_data\":{\"periods\":", f.periods);
    put(out, ",\"throttled_periods\":", f.throttled);
    put(out, ",\"throttled_time\":", f.throttled_ns);
    buf_append_str(out, "}}");
}

static int64_t host_memory(void)
{
    struct sysinfo si;

    return sysinfo(&si) < 0 ? 0 : (int64_t)si.totalram * si.mem_unit;
}

static void put_memory(const struct cgroup_reading *r, struct buf *out)
{
    int64_t limit = reading_number(r, CGROUP_FILE_MEMORY_LIMIT);
    bool v2 = r->memory_v2;

    if (!*r->text[CGROUP_FILE_MEMORY_USAGE]) {
        buf_append_str(out, ",\"memory_stats\":{}");
        return;
    }
    put(out, ",\"memory_stats\":{\"usage\":", reading_number(r, CGROUP_FILE_MEMORY_USAGE));
    if (!v2)
        put(out, ",\"max_usage\":", reading_number(r, CGROUP_FILE_MEMORY_PEAK));
    put(out, ",\"failcnt\":",
        v2 ? reading_key(r, CGROUP_FILE_MEMORY_FAILURES, "oom", 0)
           : reading_number(r, CGROUP_FILE_MEMORY_FAILURES));
    put(out, ",\"limit\":", limit <= 0 || limit >= MEMORY_UNLIMITED ? host_memory() : limit);
    buf_append_str(out, ",\"stats\":");
    put_keyed(out, r->text[CGROUP_FILE_MEMORY_STAT]);
    buf_append_str(out, "}");
}

static void put_pids(const struct cgroup_reading *r, struct buf *out)
{
    if (!*r->text[CGROUP_FILE_PIDS]) {
        buf_append_str(out, "\"pids_stats\":{}");
        return;
    }
    put(out, "\"pids_stats\":{\"current\":", reading_number(r, CGROUP_FILE_PIDS));
    /* dockerd shows the uint64 maximum for "max"; most JSON readers' integers are signed. */
    put(out, ",\"limit\":", reading_number(r, CGROUP_FILE_PIDS_LIMIT));
    buf_append_str(out, "}");
}

static void put_io(struct buf *out, bool *first, unsigned major, unsigned minor, const char *op,
                   int64_t value)
{
    put(out, *first ? "{\"major\":" : ",{\"major\":", major);
    put(out, ",\"minor\":", minor);
    buf_append_str(out, ",\"op\":\"");
    buf_append_str(out, op);
    put(out, "\",\"value\":", value);
    buf_append_str(out, "}");
    *first = false;
}

/* v1: "8:0 Read 4096" lines, ended by "Total N". v2: "8:0 rbytes=1 wbytes=2 rios=3 ..." */
static void put_io_list(struct buf *out, const char *name, const char *text, bool v2)
{
    bool first = true;

    buf_append_str(out, name);
    buf_append_str(out, "[");
    for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        unsigned major, minor;
        long long value, written;
        char op[16];

        if (v2 &&
            sscanf(p, "%u:%u rbytes=%lld wbytes=%lld", &major, &minor, &value, &written) == 4) {
            put_io(out, &first, major, minor, "read", value);
            put_io(out, &first, major, minor, "write", written);
        } else if (!v2 && sscanf(p, "%u:%u %15[A-Za-z] %lld", &major, &minor, op, &value) == 4) {
            put_io(out, &first, major, minor, op, value);
        }
    }
    buf_append_str(out, "]");
}

static void put_blkio(const struct cgroup_reading *r, struct buf *out)
{
    static const char *const others[] = {"io_queue_recursive",     "io_service_time_recursive",
                                         "io_wait_time_recursive", "io_merged_recursive",
                                         "io_time_recursive",      "sectors_recursive"};

    put_io_list(out, ",\"blkio_stats\":{\"io_service_bytes_recursive\":", r->text[CGROUP_FILE_IO],
                r->io_v2);
    if (r->io_v2)
        buf_append_str(out, ",\"io_serviced_recursive\":null");
    else
        put_io_list(out, ",\"io_serviced_recursive\":", r->text[CGROUP_FILE_IO_OPS], false);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        buf_append_str(out, ",\"");
        buf_append_str(out, others[i]);
        buf_append_str(out, r->io_v2 ? "\":null" : "\":[]");
    }
    buf_append_str(out, "}");
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" to members of an object. */
static void put_pressure_lines(struct buf *out, const char *text)
{
    const char *comma = "";

    while (*text) {
        char kind[8], avg[3][16];
        unsigned long long total;

        if (sscanf(text, "%7[a-z] avg10=%15[0-9.] avg60=%15[0-9.] avg300=%15[0-9.] total=%llu",
                   kind, avg[0], avg[1], avg[2], &total) == 5) {
            buf_printf(out, "%s\"%s\":{\"avg10\":%s,\"avg60\":%s,\"avg300\":%s,\"total\":%llu}",
                       comma, kind, avg[0], avg[1], avg[2], total);
            comma = ",";
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
}

static void put_pressure(const struct cgroup_reading *r, struct buf *out)
{
    static const char *const names[] = {"cpu", "memory", "io"};
    const char *comma = "";

    if (!*r->text[CGROUP_FILE_PSI_CPU])
        return;
    buf_append_str(out, ",\"pressure_stats\":{");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++, comma = ",") {
        buf_printf(out, "%s\"%s\":{", comma, names[i]);
        put_pressure_lines(out, r->text[CGROUP_FILE_PSI_CPU + i]);
        buf_append_str(out, "}");
    }
    buf_append_str(out, "}");
}

void cgroup_use_json(const struct cgroup_reading *r, struct buf *out)
{
    put_pids(r, out);
    put_memory(r, out);
    put_blkio(r, out);
    put_pressure(r, out);
}
