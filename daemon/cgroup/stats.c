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

/* `before` holds the punctuation and the key: ",\"limit\":". */
static void put(struct buf *out, const char *before, int64_t value)
{
    buf_append_str(out, before);
    buf_append_u64(out, value < 0 ? 0 : (uint64_t)value);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "key number" lines as members of an object.  The kernel's keys need no quoting. */
static void put_keyed(struct buf *out, const char *text)
{
    const char *comma = "\"";

    buf_append_str(out, "{");
    while (*text) {
        const char *space = text, *end;

        while (*space != ' ' && *space != '\n' && *space)
            space++;
        end = space + (*space == ' ');
        while (is_digit(*end))
            end++;
        if (end > space + 1 && (*end == '\n' || !*end)) {
            buf_append_str(out, comma);
            buf_append(out, text, (size_t)(space - text));
            buf_append_str(out, "\":");
            buf_append(out, space + 1, (size_t)(end - space - 1));
            comma = ",\"";
        }
        text = reading_next_line(end);
    }
    buf_append_str(out, "}");
}

/* ns of all processors together since boot, idle ones too: the sum of the first seven columns of
 * /proc/stat, as dockerd has it. */
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

static int64_t host_memory(void)
{
    struct sysinfo si;

    return sysinfo(&si) < 0 ? 0 : (int64_t)si.totalram * si.mem_unit;
}

void cgroup_machine_read(struct cgroup_machine *ret)
{
    *ret = (struct cgroup_machine){system_cpu_ns(), sysconf(_SC_NPROCESSORS_ONLN), host_memory()};
}

void cgroup_cpu_json(const struct cgroup_reading *r, const struct cgroup_machine *m,
                     struct buf *out)
{
    struct cgroup_figures f;

    reading_cpu(r, &f);
    put(out, "{\"cpu_usage\":{\"total_usage\":", f.cpu_ns);
    put(out, ",\"usage_in_kernelmode\":", f.cpu_system_ns);
    put(out, ",\"usage_in_usermode\":", f.cpu_user_ns);
    if (!r->acct_v2)
        put_percpu(out, r->text[CGROUP_FILE_ACCT_PERCPU]);
    put(out, "},\"system_cpu_usage\":", m->cpu_ns);
    put(out, ",\"online_cpus\":", m->cpus);
    put(out, ",\"throttling_data\":{\"periods\":", f.periods);
    put(out, ",\"throttled_periods\":", f.throttled);
    put(out, ",\"throttled_time\":", f.throttled_ns);
    buf_append_str(out, "}}");
}

static void put_memory(const struct cgroup_reading *r, const struct cgroup_machine *m,
                       struct buf *out)
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
    put(out, ",\"limit\":", limit <= 0 || limit >= MEMORY_UNLIMITED ? m->memory : limit);
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
    for (const char *p = text; *p; p = reading_next_line(p)) {
        unsigned major, minor;
        long long value, written;
        char op[16];

        if (!is_digit(*p))
            continue;
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

static bool is_fraction(const char *text, size_t len)
{
    while (len > 0 && (is_digit(*text) || *text == '.')) {
        text++;
        len--;
    }
    return len == 0;
}

/* "avg10=0.00" to a member of an object. */
static void put_pressure_word(struct buf *out, const char *word, size_t len)
{
    const char *equals = memchr(word, '=', len);
    size_t key = equals ? (size_t)(equals - word) : len;

    if (!equals || !is_fraction(equals + 1, len - key - 1))
        return;
    buf_append_str(out, "\"");
    buf_append(out, word, key);
    buf_append_str(out, "\":");
    buf_append(out, equals + 1, len - key - 1);
}

static size_t word_length(const char *text)
{
    size_t n = 0;

    while (text[n] != ' ' && text[n] != '\n' && text[n])
        n++;
    return n;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" to members of an object.  Not by scanf(3): that
 * was a tenth of a reading. */
static void put_pressure_lines(struct buf *out, const char *text)
{
    for (const char *comma = ""; *text; comma = ",") {
        size_t len = word_length(text);

        buf_append_str(out, comma);
        buf_append_str(out, "\"");
        buf_append(out, text, len);
        buf_append_str(out, "\":{");
        text += len;
        for (const char *between = ""; *text == ' '; between = ",") {
            len = word_length(++text);
            buf_append_str(out, between);
            put_pressure_word(out, text, len);
            text += len;
        }
        buf_append_str(out, "}");
        text += *text == '\n';
    }
}

static void put_pressure(const struct cgroup_reading *r, struct buf *out)
{
    static const char *const names[] = {"\"cpu\":{", ",\"memory\":{", ",\"io\":{"};

    if (!*r->text[CGROUP_FILE_PSI_CPU])
        return;
    buf_append_str(out, ",\"pressure_stats\":{");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        buf_append_str(out, names[i]);
        put_pressure_lines(out, r->text[CGROUP_FILE_PSI_CPU + i]);
        buf_append_str(out, "}");
    }
    buf_append_str(out, "}");
}

void cgroup_use_json(const struct cgroup_reading *r, const struct cgroup_machine *m,
                     struct buf *out)
{
    put_pids(r, out);
    put_memory(r, m, out);
    put_blkio(r, out);
    put_pressure(r, out);
}
