#include "sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "str.h"

/* The last period of a quota is counted when it is over, and the longest is of one second. */
#define STILL_NS INT64_C(2000000000)
/* What others may do to one that sleeps, such as writing its limits, is seen after so long. */
#define STILL_MAX_NS INT64_C(10000000000)

struct cgroup_sampler {
    const struct cgroup *cgroup; /* borrowed */
    char *parent, *id;
    enum cgroup_reader reader;
    bool keep;
    int fds[CGROUP_FILES];
    char usage[24];         /* cpuacct.usage of the last reading */
    int64_t usage_since_ns; /* of the first reading that told so; CLOCK_MONOTONIC */
    bool is_still;          /* nothing has run for long enough */
    int64_t still_since_ns;
    char *still[CGROUP_FILES]; /* owned: texts read since then, or NULL */
};

#define WITH(file) (1 + (file))

/* NULL: not in this version. */
static const struct {
    enum cgroup_controller controller; /* CGROUP_CONTROLLERS: whatever cgroup2 is mounted */
    const char *v1, *v2;
    unsigned not_for; /* enum cgroup_reader: those that do not tell it */
    unsigned with; /* while the container sleeps, the text stays with that file's; 0: with none */
} files[CGROUP_FILES] = {
    [CGROUP_FILE_ACCT_USAGE] = {CGROUP_CPUACCT, "cpuacct.usage", NULL},
    [CGROUP_FILE_CPU] = {CGROUP_CPU, "cpu.stat", "cpu.stat", .with = WITH(CGROUP_FILE_ACCT_USAGE)},
    [CGROUP_FILE_ACCT] = {CGROUP_CPUACCT, "cpuacct.stat", "cpu.stat",
                          .with = WITH(CGROUP_FILE_ACCT_USAGE)},
    [CGROUP_FILE_ACCT_PERCPU] = {CGROUP_CPUACCT, "cpuacct.usage_percpu", NULL, CGROUP_FOR_FIGURES,
                                 WITH(CGROUP_FILE_ACCT_USAGE)},
    [CGROUP_FILE_MEMORY_USAGE] = {CGROUP_MEMORY, "memory.usage_in_bytes", "memory.current"},
    [CGROUP_FILE_MEMORY_LIMIT] = {CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max",
                                  .with = WITH(CGROUP_FILE_ACCT_USAGE)},
    [CGROUP_FILE_MEMORY_PEAK] = {CGROUP_MEMORY, "memory.max_usage_in_bytes", "memory.peak",
                                 .with = WITH(CGROUP_FILE_MEMORY_USAGE)},
    [CGROUP_FILE_MEMORY_FAILURES] = {CGROUP_MEMORY, "memory.failcnt", "memory.events",
                                     .with = WITH(CGROUP_FILE_MEMORY_USAGE)},
    [CGROUP_FILE_MEMORY_STAT] = {CGROUP_MEMORY, "memory.stat", "memory.stat",
                                 .with = WITH(CGROUP_FILE_MEMORY_USAGE)},
    [CGROUP_FILE_MEMORY_OOM] = {CGROUP_MEMORY, "memory.oom_control", NULL, CGROUP_FOR_STATS},
    [CGROUP_FILE_PIDS] = {CGROUP_PIDS, "pids.current", "pids.current"},
    [CGROUP_FILE_PIDS_LIMIT] = {CGROUP_PIDS, "pids.max", "pids.max",
                                .with = WITH(CGROUP_FILE_ACCT_USAGE)},
    [CGROUP_FILE_IO] = {CGROUP_BLKIO, "blkio.throttle.io_service_bytes_recursive", "io.stat"},
    [CGROUP_FILE_IO_OPS] = {CGROUP_BLKIO, "blkio.throttle.io_serviced_recursive", NULL,
                            .with = WITH(CGROUP_FILE_IO)},
    [CGROUP_FILE_PSI_CPU] = {CGROUP_CONTROLLERS, NULL, "cpu.pressure"},
    [CGROUP_FILE_PSI_MEMORY] = {CGROUP_CONTROLLERS, NULL, "memory.pressure"},
    [CGROUP_FILE_PSI_IO] = {CGROUP_CONTROLLERS, NULL, "io.pressure"},
};

struct cgroup_sampler *cgroup_sampler_new(const struct cgroup *cg, const char *parent,
                                          const char *id, enum cgroup_reader reader, bool keep)
{
    struct cgroup_sampler *s = xcalloc(1, sizeof(*s));

    s->cgroup = cg;
    s->parent = xstrdup_null(parent);
    s->id = xstrdup(id);
    s->reader = reader;
    s->keep = keep;
    for (size_t i = 0; i < CGROUP_FILES; i++)
        s->fds[i] = -EBADF;
    return s;
}

static void drop_still(struct cgroup_sampler *s)
{
    for (size_t i = 0; i < CGROUP_FILES; i++)
        free(TAKE_PTR(s->still[i]));
}

void cgroup_sampler_forget(struct cgroup_sampler *s)
{
    drop_still(s);
    s->usage[0] = '\0';
    s->is_still = false;
}

void cgroup_sampler_close(struct cgroup_sampler *s)
{
    cgroup_sampler_forget(s);
    for (size_t i = 0; i < CGROUP_FILES; i++)
        s->fds[i] = fd_close(s->fds[i]);
}

void cgroup_sampler_free(struct cgroup_sampler *s)
{
    if (!s)
        return;
    cgroup_sampler_close(s);
    free(s->parent);
    free(s->id);
    free(s);
}

static int open_one(const struct cgroup_sampler *s, enum cgroup_file f)
{
    const struct cgroup *cg = s->cgroup;
    const struct cgroup_hierarchy *h = files[f].controller < CGROUP_CONTROLLERS
                                           ? cgroup_of(cg, files[f].controller)
                                       : cg->v2 >= 0 ? &cg->layout.hierarchy[cg->v2]
                                                     : NULL;
    const char *name = !h ? NULL : h->v2 ? files[f].v2 : files[f].v1;
    _cleanup_free_ char *dir = NULL, *path = NULL;
    int fd;

    if (!name)
        return -ENOENT;
    dir = cgroup_dir(cg, h, s->parent, s->id);
    path = xasprintf("%s/%s", dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Append what fd has; the kernel makes the text anew at offset 0. */
static int read_one(int fd, struct cgroup_reading *r)
{
    size_t start = r->used;

    for (;;) {
        size_t room = sizeof(r->data) - 1 - r->used;
        ssize_t n = room ? pread(fd, r->data + r->used, room, (off_t)(r->used - start)) : 0;

        if (n < 0) {
            r->used = start;
            return -errno;
        }
        r->used += (size_t)n;
        /* Small files come whole; only what filled some pages may have more. */
        if (n == 0 || r->used - start < 2048)
            break;
    }
    r->data[r->used++] = '\0';
    return 0;
}

/* Most containers sleep most of the time. */
static void note_usage(struct cgroup_sampler *s, const char *text)
{
    int64_t now = time_monotonic_ns();

    if (!streq(s->usage, text)) {
        cgroup_sampler_forget(s);
        snprintf(s->usage, sizeof(s->usage), "%s", text);
        s->usage_since_ns = now;
    } else if (!s->is_still && now - s->usage_since_ns >= STILL_NS) {
        s->is_still = true;
        s->still_since_ns = now;
    } else if (s->is_still && now - s->still_since_ns >= STILL_MAX_NS) {
        drop_still(s);
        s->still_since_ns = now;
    }
}

/* A text as it was read before, or NULL. */
static const char *still_text(const struct cgroup_sampler *s, enum cgroup_file f)
{
    return s->is_still && files[f].with ? s->still[f] : NULL;
}

/* Keep what was read; if it is another text, those that stay with it are read again. */
static void note_still(struct cgroup_sampler *s, enum cgroup_file f, const char *text)
{
    if (s->still[f] && streq(s->still[f], text))
        return;
    free(s->still[f]);
    s->still[f] = xstrdup(text);
    for (size_t i = 0; i < CGROUP_FILES; i++) {
        if (files[i].with == WITH(f))
            free(TAKE_PTR(s->still[i]));
    }
}

static void note(struct cgroup_sampler *s, enum cgroup_file f, const char *text)
{
    if (f == CGROUP_FILE_ACCT_USAGE)
        note_usage(s, text);
    else if (s->is_still && (files[f].with || f == CGROUP_FILE_MEMORY_USAGE || f == CGROUP_FILE_IO))
        note_still(s, f, text);
}

static int read_file(struct cgroup_sampler *s, enum cgroup_file f, struct cgroup_reading *ret)
{
    const char *text = ret->data + ret->used;
    int r;

    if (s->fds[f] < 0)
        s->fds[f] = open_one(s, f);
    if (s->fds[f] < 0)
        return s->fds[f];
    if (ret->used >= sizeof(ret->data) - 1)
        return -EFBIG;
    r = read_one(s->fds[f], ret);
    if (r >= 0) {
        ret->text[f] = text;
        note(s, f, text);
    }
    if (r < 0 || !s->keep)
        s->fds[f] = fd_close(s->fds[f]);
    return r;
}

/* How many files were read. */
static int read_all(struct cgroup_sampler *s, struct cgroup_reading *ret)
{
    int found = 0;

    ret->used = 0;
    for (unsigned f = 0; f < CGROUP_FILES; f++) {
        int r = 0;

        ret->text[f] = "";
        if (s->fds[f] == -ENOENT || files[f].not_for & s->reader)
            continue; /* looked for before, or not wanted */
        if (still_text(s, f))
            ret->text[f] = still_text(s, f);
        else
            r = read_file(s, f, ret);
        if (r == -ENODEV)
            return 0; /* the cgroup is gone; there may be a new one of its name */
        found += r >= 0;
    }
    return found;
}

int cgroup_sampler_read(struct cgroup_sampler *s, struct cgroup_reading *ret)
{
    const struct cgroup *cg = s->cgroup;

    ret->cpu_v2 = cgroup_on_v2(cg, CGROUP_CPU);
    ret->acct_v2 = cgroup_on_v2(cg, CGROUP_CPUACCT);
    ret->memory_v2 = cgroup_on_v2(cg, CGROUP_MEMORY);
    ret->io_v2 = cgroup_on_v2(cg, CGROUP_BLKIO);
    for (int i = 0; i < 2; i++) {
        if (read_all(s, ret) > 0)
            return 0;
        cgroup_sampler_close(s); /* and forget what was not there */
    }
    return -ENOENT;
}
