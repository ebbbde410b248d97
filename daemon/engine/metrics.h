/* What /metrics tells, as values: gathered on the loop and the pool, written by metrics_text.c. */
#pragma once

#include "events.h"
#include "netdev.h"
#include "sampler.h"
#include "str.h"

struct metrics_container {
    char id[ID_LEN + 1];
    char *name, *image, *run_dir; /* owned */
    char *labels;                 /* owned; metrics_labels() */
    struct container *container;  /* a reference; for the loop only */
    struct cgroup_sampler *files; /* owned */
    bool keeps;                   /* they stay open for the next scrape */
    int64_t log_lines_dropped, log_bytes_dropped;
    pid_t pid;
    bool own_network, found;
    int64_t started_ns;
    int restarts;
    enum metrics_health { METRICS_UNCHECKED, METRICS_HEALTHY, METRICS_UNHEALTHY } health;
    struct cgroup_figures figures;
    struct netdev *devices; /* owned */
    int n_devices;
};

struct metrics {
    size_t n, n_left_out;
    struct metrics_container *containers; /* owned */
    int running, paused, stopped;
    int images;
    struct events_counts events;
    unsigned jobs;
    /* The daemon's own, proc(5): */
    int64_t cpu_ns, resident, virtual, started_ns;
    int fds, threads;
};

/* Any thread.  What the labels of each of its lines begin with; the caller's. */
char *metrics_labels(const struct metrics_container *c);
void metrics_write(const struct metrics *m, struct buf *out);
