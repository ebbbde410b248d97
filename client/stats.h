/* What the two faces of `stats` share: figures from the daemon's samples, the live feed, and the
 * screen that shows it. */
#pragma once

#include <jansson.h>

#include "client.h"
#include "commands.h"

#define STATS_CONTAINERS_MAX 256
#define STATS_HISTORY 64 /* samples, one a second */

struct stats_figures {
    double cpu;                 /* percent of one processor */
    double memory, limit;       /* bytes, without page cache that could be dropped */
    double rx, tx, read, write; /* bytes so far */
    double pids;
};
void stats_figures(const json_t *sample, struct stats_figures *ret);

enum stats_series { STATS_CPU, STATS_MEMORY, STATS_NET, STATS_IO, STATS_SERIES };

/* A container and its stream of samples. */
struct stats_source {
    char id[65];
    char *name; /* owned */
    struct conn conn;
    struct buf data;
    bool seen;    /* in the last list */
    bool samples; /* `last` holds one */
    struct stats_figures last;
    double rates[4]; /* bytes a second: rx, tx, read, write */
    double history[STATS_SERIES][STATS_HISTORY];
    unsigned n; /* samples ever; the ring's next place is this modulo its size */
};

struct stats_feed {
    struct client *client; /* borrowed */
    char *const *names;    /* borrowed; NULL: all that run */
    struct stats_source *sources[STATS_CONTAINERS_MAX];
    size_t n;
};

/* Open streams of new containers, drop those of gone ones.  0 or -errno. */
int stats_feed_refresh(struct stats_feed *f, struct err *reterr);
/* Wait at most so long for samples or for bytes on stdin; 1: stdin has some. */
int stats_feed_wait(struct stats_feed *f, int timeout_ms);
void stats_feed_done(struct stats_feed *f);

/* Full screen until the user leaves: 0, -errno, or -ENOTTY if there is no terminal for it. */
int stats_screen(struct client *c, char *const *names, struct err *reterr);
