/* A reading of a cgroup as numbers. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "reading.h"
#include "str.h"

int64_t reading_key(const struct cgroup_reading *r, enum cgroup_file f, const char *key,
                    int64_t def)
{
    size_t n = strlen(key);

    for (const char *p = r->text[f]; *p; p = reading_next_line(p)) {
        if (strncmp(p, key, n) == 0 && p[n] == ' ')
            return strtoll(p + n + 1, NULL, 10);
    }
    return def;
}

int64_t reading_number(const struct cgroup_reading *r, enum cgroup_file f)
{
    const char *text = r->text[f];

    return str_starts(text, "max") ? INT64_MAX : strtoll(text, NULL, 10);
}

void reading_cpu(const struct cgroup_reading *r, struct cgroup_figures *ret)
{
    if (r->acct_v2) {
        ret->cpu_ns = reading_key(r, CGROUP_FILE_ACCT, "usage_usec", 0) * 1000;
        ret->cpu_user_ns = reading_key(r, CGROUP_FILE_ACCT, "user_usec", 0) * 1000;
        ret->cpu_system_ns = reading_key(r, CGROUP_FILE_ACCT, "system_usec", 0) * 1000;
    } else {
        ret->cpu_ns = reading_number(r, CGROUP_FILE_ACCT_USAGE);
        ret->cpu_user_ns = reading_key(r, CGROUP_FILE_ACCT, "user", 0) * NS_PER_TICK;
        ret->cpu_system_ns = reading_key(r, CGROUP_FILE_ACCT, "system", 0) * NS_PER_TICK;
    }
    ret->periods = reading_key(r, CGROUP_FILE_CPU, "nr_periods", 0);
    ret->throttled = reading_key(r, CGROUP_FILE_CPU, "nr_throttled", 0);
    ret->throttled_ns = r->cpu_v2 ? reading_key(r, CGROUP_FILE_CPU, "throttled_usec", 0) * 1000
                                  : reading_key(r, CGROUP_FILE_CPU, "throttled_time", 0);
}

static void memory_figures(const struct cgroup_reading *r, struct cgroup_figures *ret)
{
    static const struct {
        const char *v1, *v2;
        size_t offset;
    } keys[] = {
        {"total_rss", "anon", offsetof(struct cgroup_figures, rss)},
        {"total_cache", "file", offsetof(struct cgroup_figures, cache)},
        {"total_swap", NULL, offsetof(struct cgroup_figures, swap)},
        {"total_mapped_file", "file_mapped", offsetof(struct cgroup_figures, mapped)},
        {"total_pgfault", "pgfault", offsetof(struct cgroup_figures, page_faults)},
        {"total_pgmajfault", "pgmajfault", offsetof(struct cgroup_figures, major_faults)},
    };
    int64_t idle = reading_key(r, CGROUP_FILE_MEMORY_STAT,
                               r->memory_v2 ? "inactive_file" : "total_inactive_file", 0);

    ret->memory = reading_number(r, CGROUP_FILE_MEMORY_USAGE);
    ret->memory_limit = reading_number(r, CGROUP_FILE_MEMORY_LIMIT);
    if (ret->memory_limit >= MEMORY_UNLIMITED)
        ret->memory_limit = 0;
    ret->memory_peak = reading_number(r, CGROUP_FILE_MEMORY_PEAK);
    ret->memory_failures = r->memory_v2 ? reading_key(r, CGROUP_FILE_MEMORY_FAILURES, "oom", 0)
                                        : reading_number(r, CGROUP_FILE_MEMORY_FAILURES);
    ret->oom_kills = reading_key(
        r, r->memory_v2 ? CGROUP_FILE_MEMORY_FAILURES : CGROUP_FILE_MEMORY_OOM, "oom_kill", 0);
    ret->working_set = ret->memory > idle ? ret->memory - idle : 0;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *key = r->memory_v2 ? keys[i].v2 : keys[i].v1;

        if (key)
            *(int64_t *)((char *)ret + keys[i].offset) =
                reading_key(r, CGROUP_FILE_MEMORY_STAT, key, 0);
    }
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same of "full". */
static int64_t stalled(const char *text, const char *kind)
{
    size_t n = strlen(kind);

    for (const char *p = text; *p; p = reading_next_line(p)) {
        const char *total = strncmp(p, kind, n) == 0 ? strstr(p, "total=") : NULL;

        if (total)
            return strtoll(total + strlen("total="), NULL, 10);
    }
    return -1;
}

static struct cgroup_io *device(struct cgroup_figures *f, unsigned major, unsigned minor)
{
    for (unsigned i = 0; i < f->n_io; i++) {
        if (f->io[i].major == major && f->io[i].minor == minor)
            return &f->io[i];
    }
    if (f->n_io == CGROUP_IO_MAX)
        return NULL;
    f->io[f->n_io] = (struct cgroup_io){.major = major, .minor = minor};
    return &f->io[f->n_io++];
}

static void io_v1(const char *text, bool ops, struct cgroup_figures *ret)
{
    for (const char *p = text; *p; p = reading_next_line(p)) {
        unsigned major, minor;
        char op[16];
        long long value;
        struct cgroup_io *d;
        int k;

        if (sscanf(p, "%u:%u %15s %lld", &major, &minor, op, &value) != 4)
            continue;
        k = streq(op, "Read") ? 0 : streq(op, "Write") ? 1 : -1;
        d = k < 0 ? NULL : device(ret, major, minor);
        if (d)
            *(ops ? &d->ops[k] : &d->bytes[k]) = value;
    }
}

static void io_v2(const char *text, struct cgroup_figures *ret)
{
    for (const char *p = text; *p; p = reading_next_line(p)) {
        unsigned major, minor;
        long long v[4];
        struct cgroup_io *d;

        if (sscanf(p, "%u:%u rbytes=%lld wbytes=%lld rios=%lld wios=%lld", &major, &minor, &v[0],
                   &v[1], &v[2], &v[3]) != 6)
            continue;
        d = device(ret, major, minor);
        if (d)
            *d = (struct cgroup_io){major, minor, {v[0], v[1]}, {v[2], v[3]}};
    }
}

void cgroup_figures(const struct cgroup_reading *r, struct cgroup_figures *ret)
{
    *ret = (struct cgroup_figures){0};
    reading_cpu(r, ret);
    memory_figures(r, ret);
    ret->pids = reading_number(r, CGROUP_FILE_PIDS);
    ret->pids_limit = reading_number(r, CGROUP_FILE_PIDS_LIMIT);
    if (ret->pids_limit == INT64_MAX)
        ret->pids_limit = 0;
    for (unsigned i = 0; i < 3; i++) {
        ret->stalled_us[i][0] = stalled(r->text[CGROUP_FILE_PSI_CPU + i], "some");
        ret->stalled_us[i][1] = stalled(r->text[CGROUP_FILE_PSI_CPU + i], "full");
    }
    if (r->io_v2) {
        io_v2(r->text[CGROUP_FILE_IO], ret);
    } else {
        io_v1(r->text[CGROUP_FILE_IO], false, ret);
        io_v1(r->text[CGROUP_FILE_IO_OPS], true, ret);
    }
}
