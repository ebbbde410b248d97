#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "metrics.h"
#include "private.h"

#define NANO INT64_C(1000000000)
#define MICRO INT64_C(1000000)

/* Label values: backslash, quote and newline are escaped. */
static void put_value(struct buf *out, const char *s)
{
    _cleanup_free_ char *clean = str_to_utf8(s);

    for (const char *p = clean; *p; p++) {
        if (*p == '\n')
            buf_append_str(out, "\\n");
        else if (*p == '"' || *p == '\\')
            buf_printf(out, "\\%c", *p);
        else
            buf_append(out, p, 1);
    }
}

/* A fraction of so many digits. */
static void put_fraction(struct buf *out, int64_t value, int64_t unit)
{
    char text[16];
    size_t n = 0;

    text[n++] = '.';
    for (unit /= 10; unit > 0; unit /= 10)
        text[n++] = (char)('0' + value / unit % 10);
    buf_append(out, text, n);
}

/* Thousands of them in a scrape: not by printf(3). */
static void put_number(struct buf *out, int64_t value, int64_t unit)
{
    if (value < 0)
        value = 0;
    buf_append_str(out, " ");
    buf_append_u64(out, (uint64_t)(value / unit));
    if (unit > 1)
        put_fraction(out, value % unit, unit);
    buf_append_str(out, "\n");
}

static void put_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

char *metrics_labels(const struct metrics_container *c)
{
    struct buf out = {0};

    buf_append_str(&out, "{id=\"");
    buf_append_str(&out, c->id);
    buf_append_str(&out, "\",name=\"");
    put_value(&out, c->name);
    buf_append_str(&out, "\",image=\"");
    put_value(&out, c->image);
    buf_append_str(&out, "\"");
    return buf_take_str(&out);
}

/* What every line about a container begins with; the brace is left open. */
static void put_labels(struct buf *out, const char *name, const struct metrics_container *c)
{
    buf_append_str(out, name);
    buf_append_str(out, c->labels);
}

/* ---- one number of a container ---- */

#define FIGURE(member) offsetof(struct cgroup_figures, member)

static const struct {
    const char *name, *type, *help;
    size_t offset;
    int64_t unit; /* the figure's in one of the metric's */
    const char *label;
} figures[] = {
    {"container_cpu_usage_seconds_total", "counter", "CPU time used.", FIGURE(cpu_ns), NANO, NULL},
    {"container_cpu_user_seconds_total", "counter", "CPU time used in user mode.",
     FIGURE(cpu_user_ns), NANO, NULL},
    {"container_cpu_system_seconds_total", "counter", "CPU time used in kernel mode.",
     FIGURE(cpu_system_ns), NANO, NULL},
    {"container_cpu_cfs_periods_total", "counter", "Elapsed periods of the CPU quota.",
     FIGURE(periods), 1, NULL},
    {"container_cpu_cfs_throttled_periods_total", "counter", "Periods that ended throttled.",
     FIGURE(throttled), 1, NULL},
    {"container_cpu_cfs_throttled_seconds_total", "counter", "Time spent throttled.",
     FIGURE(throttled_ns), NANO, NULL},
    {"container_memory_usage_bytes", "gauge", "Memory in use, page cache included.", FIGURE(memory),
     1, NULL},
    {"container_memory_working_set_bytes", "gauge", "Memory in use without inactive page cache.",
     FIGURE(working_set), 1, NULL},
    {"container_memory_max_usage_bytes", "gauge", "Most memory ever in use.", FIGURE(memory_peak),
     1, NULL},
    {"container_memory_rss", "gauge", "Anonymous memory in bytes.", FIGURE(rss), 1, NULL},
    {"container_memory_cache", "gauge", "Page cache in bytes.", FIGURE(cache), 1, NULL},
    {"container_memory_swap", "gauge", "Swap in use in bytes.", FIGURE(swap), 1, NULL},
    {"container_memory_mapped_file", "gauge", "Mapped files in bytes.", FIGURE(mapped), 1, NULL},
    {"container_memory_failcnt", "counter", "Times the memory limit was met.",
     FIGURE(memory_failures), 1, NULL},
    {"container_memory_failures_total", "counter", "Page faults.", FIGURE(page_faults), 1,
     ",failure_type=\"pgfault\",scope=\"hierarchy\""},
    {NULL, NULL, NULL, FIGURE(major_faults), 1, ",failure_type=\"pgmajfault\",scope=\"hierarchy\""},
    {"container_oom_events_total", "counter", "Processes killed for want of memory.",
     FIGURE(oom_kills), 1, NULL},
    {"container_spec_memory_limit_bytes", "gauge", "Memory limit; 0: none.", FIGURE(memory_limit),
     1, NULL},
    {"container_threads", "gauge", "Processes and threads.", FIGURE(pids), 1, NULL},
    {"container_threads_max", "gauge", "Limit of processes and threads; 0: none.",
     FIGURE(pids_limit), 1, NULL},
};

static void write_figure(const struct metrics *m, size_t i, const char *name, struct buf *out)
{
    for (size_t k = 0; k < m->n; k++) {
        const struct metrics_container *c = &m->containers[k];

        if (!c->found)
            continue;
        put_labels(out, name, c);
        buf_append_str(out, figures[i].label ? figures[i].label : "");
        buf_append_str(out, "}");
        put_number(out, *(const int64_t *)((const char *)&c->figures + figures[i].offset),
                   figures[i].unit);
    }
}

static void write_figures(const struct metrics *m, struct buf *out)
{
    const char *name = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
        if (figures[i].name) {
            name = figures[i].name;
            put_head(out, name, figures[i].type, figures[i].help);
        }
        write_figure(m, i, name, out);
    }
}

/* ---- more than one number of a container ---- */

static void write_pressure(const struct metrics *m, struct buf *out)
{
    static const char *const of[] = {"cpu", "memory", "io"};
    static const struct {
        const char *name, *help;
    } kinds[] = {{"waiting", "Time in which some task was stalled."},
                 {"stalled", "Time in which all tasks were stalled."}};

    for (size_t i = 0; i < 6; i++) {
        char name[64];

        snprintf(name, sizeof(name), "container_pressure_%s_%s_seconds_total", of[i / 2],
                 kinds[i % 2].name);
        put_head(out, name, "counter", kinds[i % 2].help);
        for (size_t k = 0; k < m->n; k++) {
            const struct metrics_container *c = &m->containers[k];

            if (!c->found || c->figures.stalled_us[i / 2][i % 2] < 0)
                continue;
            put_labels(out, name, c);
            buf_append_str(out, "}");
            put_number(out, c->figures.stalled_us[i / 2][i % 2], MICRO);
        }
    }
}

static void write_io(const struct metrics *m, struct buf *out)
{
    static const struct {
        const char *name, *help;
    } families[] = {{"container_fs_reads_bytes_total", "Bytes read from block devices."},
                    {"container_fs_writes_bytes_total", "Bytes written to block devices."},
                    {"container_fs_reads_total", "Reads from block devices."},
                    {"container_fs_writes_total", "Writes to block devices."}};

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        put_head(out, families[i].name, "counter", families[i].help);
        for (size_t k = 0; k < m->n; k++) {
            const struct metrics_container *c = &m->containers[k];

            for (size_t d = 0; c->found && d < c->figures.n_io; d++) {
                const struct cgroup_io *io = &c->figures.io[d];

                put_labels(out, families[i].name, c);
                buf_printf(out, ",device=\"%u:%u\"}", io->major, io->minor);
                put_number(out, i < 2 ? io->bytes[i] : io->ops[i - 2], 1);
            }
        }
    }
}

static void write_network(const struct metrics *m, struct buf *out)
{
    static const char *const families[NETDEV_COUNTERS] = {
        "container_network_receive_bytes_total",
        "container_network_receive_packets_total",
        "container_network_receive_errors_total",
        "container_network_receive_packets_dropped_total",
        "container_network_transmit_bytes_total",
        "container_network_transmit_packets_total",
        "container_network_transmit_errors_total",
        "container_network_transmit_packets_dropped_total"};

    for (size_t i = 0; i < NETDEV_COUNTERS; i++) {
        put_head(out, families[i], "counter", "By interface, as the container sees it.");
        for (size_t k = 0; k < m->n; k++) {
            const struct metrics_container *c = &m->containers[k];

            for (int d = 0; d < c->n_devices; d++) {
                put_labels(out, families[i], c);
                buf_append_str(out, ",interface=\"");
                put_value(out, c->devices[d].name);
                buf_append_str(out, "\"}");
                put_number(out, (int64_t)c->devices[d].counters[i], 1);
            }
        }
    }
}

static void write_life(const struct metrics *m, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
    } families[] = {
        {"container_start_time_seconds", "gauge", "When it was started, since the epoch."},
        {"container_restarts_total", "counter", "Restarts by its policy."},
        {"container_log_dropped_lines_total", "counter", "Lines that the logger did not take."},
        {"container_log_dropped_bytes_total", "counter", "Bytes that the log's disk did not take."},
        {"container_health_healthy", "gauge", "1: its health check passes, 0: it does not (yet)."}};

    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        put_head(out, families[i].name, families[i].type, families[i].help);
        for (size_t k = 0; k < m->n; k++) {
            const struct metrics_container *c = &m->containers[k];

            if (i == 4 && c->health == METRICS_UNCHECKED)
                continue;
            put_labels(out, families[i].name, c);
            buf_append_str(out, "}");
            put_number(out,
                       i == 0   ? c->started_ns
                       : i == 1 ? c->restarts
                       : i == 2 ? c->log_lines_dropped
                       : i == 3 ? c->log_bytes_dropped
                                : c->health == METRICS_HEALTHY,
                       i == 0 ? NANO : 1);
        }
    }
}

/* ---- the daemon ---- */

static void write_daemon(const struct metrics *m, struct buf *out)
{
    const struct {
        const char *name, *type, *help;
        int64_t value, unit;
    } rows[] = {
        {"engine_daemon_engine_cpus_cpus", "gauge", "Processors of the host.",
         sysconf(_SC_NPROCESSORS_ONLN), 1},
        {"engine_daemon_engine_memory_bytes", "gauge", "Memory of the host.",
         (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), 1},
        {"engine_daemon_images", "gauge", "Images.", m->images, 1},
        {"engine_daemon_events_total", "counter", "Events since the daemon started.",
         (int64_t)m->events.emitted, 1},
        {"engine_daemon_events_lost_total", "counter", "Events that the journal could not keep.",
         (int64_t)m->events.lost, 1},
        {"engine_daemon_events_subscribers_total", "gauge", "Readers of events.",
         m->events.subscribers, 1},
        {"engine_daemon_jobs", "gauge", "Jobs that wait for a thread, or run.", m->jobs, 1},
        {"engine_daemon_metrics_left_out", "gauge", "Running containers that are not told here.",
         (int64_t)m->n_left_out, 1},
        {"process_cpu_seconds_total", "counter", "CPU time of the daemon.", m->cpu_ns, NANO},
        {"process_resident_memory_bytes", "gauge", "Resident memory of the daemon.", m->resident,
         1},
        {"process_virtual_memory_bytes", "gauge", "Address space of the daemon.", m->virtual, 1},
        {"process_open_fds", "gauge", "File descriptors of the daemon.", m->fds, 1},
        {"process_threads", "gauge", "Threads of the daemon.", m->threads, 1},
        {"process_start_time_seconds", "gauge", "When the daemon started, since the epoch.",
         m->started_ns, NANO},
    };

    put_head(out, "engine_daemon_engine_info", "gauge", "What it is.");
    buf_append_str(out, "engine_daemon_engine_info{version=\"" CTL_VERSION "\"} 1\n");
    put_head(out, "engine_daemon_container_states_containers", "gauge", "Containers by state.");
    buf_printf(out,
               "engine_daemon_container_states_containers{state=\"running\"} %d\n"
               "engine_daemon_container_states_containers{state=\"paused\"} %d\n"
               "engine_daemon_container_states_containers{state=\"stopped\"} %d\n",
               m->running, m->paused, m->stopped);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        put_head(out, rows[i].name, rows[i].type, rows[i].help);
        buf_append_str(out, rows[i].name);
        put_number(out, rows[i].value, rows[i].unit);
    }
}

void metrics_write(const struct metrics *m, struct buf *out)
{
    static void (*const parts[])(const struct metrics *m, struct buf *out) = {
        write_daemon, write_life, write_figures, write_network, write_io, write_pressure};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        size_t before = out->len;

        parts[i](m, out);
        if (buf_size(out) > METRICS_TEXT_MAX)
            out->len = before;
    }
}
