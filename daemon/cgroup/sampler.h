/* Readings of a container's cgroup: all files that tell of its use, read at once into one buffer,
 * to be told as Docker's stats or as figures.  Sources: cgroup-v1/{cpuacct,memory,blkio-controller}
 * and cgroup-v2.rst, accounting/psi.rst of the kernel's documentation. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "cgroup.h"

enum cgroup_file {
    CGROUP_FILE_ACCT_USAGE, /* before those that change only with it */
    CGROUP_FILE_CPU,
    CGROUP_FILE_ACCT,
    CGROUP_FILE_ACCT_PERCPU,
    CGROUP_FILE_MEMORY_USAGE,
    CGROUP_FILE_MEMORY_LIMIT,
    CGROUP_FILE_MEMORY_PEAK,
    CGROUP_FILE_MEMORY_FAILURES,
    CGROUP_FILE_MEMORY_STAT,
    CGROUP_FILE_MEMORY_OOM,
    CGROUP_FILE_PIDS,
    CGROUP_FILE_PIDS_LIMIT,
    CGROUP_FILE_IO,
    CGROUP_FILE_IO_OPS,
    CGROUP_FILE_PSI_CPU,
    CGROUP_FILE_PSI_MEMORY,
    CGROUP_FILE_PSI_IO,
    CGROUP_FILES,
};

#define CGROUP_READING_MAX (96 << 10) /* bytes of all files; what comes on top is cut off */

struct cgroup_reading {
    bool cpu_v2, acct_v2, memory_v2, io_v2;
    const char *text[CGROUP_FILES]; /* "" if there is no such file */
    size_t used;
    char data[CGROUP_READING_MAX];
};

struct cgroup_sampler;

enum cgroup_reader { CGROUP_FOR_STATS = 1 << 0, CGROUP_FOR_FIGURES = 1 << 1 };

/* The files that this reader wants.  keep: leave the files open from one reading to the next, which
 * makes the next four times as fast and costs CGROUP_FILES descriptors.  cg is borrowed.  Free it
 * on any thread. */
struct cgroup_sampler *cgroup_sampler_new(const struct cgroup *cg, const char *parent,
                                          const char *id, enum cgroup_reader reader, bool keep);
void cgroup_sampler_free(struct cgroup_sampler *s);
DEFINE_FREEP(struct cgroup_sampler *, cgroup_sampler_free)
void cgroup_sampler_close(struct cgroup_sampler *s); /* the files; a reading opens them again */
/* Its limits have changed: nothing of the last reading holds.  While a container sleeps (v1), what
 * can change by its own doing alone is not read again each time, but after ten seconds. */
void cgroup_sampler_forget(struct cgroup_sampler *s);

/* Any thread, one at a time.  0; -ENOENT if there is no such cgroup.  The texts are in ret or in s:
 * valid until either is used for another reading. */
int cgroup_sampler_read(struct cgroup_sampler *s, struct cgroup_reading *ret);

/* What stats tell of the machine: once for all containers of a pass. */
struct cgroup_machine {
    int64_t cpu_ns; /* of all processors together since boot, idle ones too */
    int64_t cpus;   /* online */
    int64_t memory; /* bytes */
};

/* Any thread. */
void cgroup_machine_read(struct cgroup_machine *ret);

/* ---- as Docker's stats ---- */

/* The object cpu_stats, in the v1 or v2 shape. */
void cgroup_cpu_json(const struct cgroup_reading *r, const struct cgroup_machine *m,
                     struct buf *out);
/* The members pids_stats, memory_stats, blkio_stats, and pressure_stats where the kernel tells it
 * (not Docker's): without braces around. */
void cgroup_use_json(const struct cgroup_reading *r, const struct cgroup_machine *m,
                     struct buf *out);

/* ---- as figures ---- */

struct cgroup_io {
    unsigned major, minor;
    int64_t bytes[2], ops[2]; /* read, write */
};
#define CGROUP_IO_MAX 16 /* devices; more are left out */

struct cgroup_figures {
    int64_t cpu_ns, cpu_user_ns, cpu_system_ns;
    int64_t periods, throttled, throttled_ns;
    /* Bytes; working set: usage without the page cache that nobody misses. Limit 0: none. */
    int64_t memory, memory_limit, memory_peak, memory_failures;
    int64_t working_set, rss, cache, swap, mapped, page_faults, major_faults, oom_kills;
    int64_t pids, pids_limit; /* limit 0: none */
    int64_t stalled_us[3][2]; /* cpu, memory, io: some and full; -1: not told */
    struct cgroup_io io[CGROUP_IO_MAX];
    unsigned n_io;
};
void cgroup_figures(const struct cgroup_reading *r, struct cgroup_figures *ret);
