#include "health.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "exec.h"
#include "failure.h"
#include "fd.h"
#include "planmap.h"

#define CUT "..."

struct result {
    struct shim_health_entry head;
    char output[SHIM_HEALTH_OUTPUT_MAX + sizeof(CUT)];
};

static struct {
    const void *plan; /* of the probe; NULL: there is none */
    struct shim_health how;
    struct shim_health_head is; /* .entries of results[], the oldest at .first */
    unsigned first;
    bool held;
    int64_t started_ms;  /* the container's start; 0: not yet seen */
    int64_t next_ms;     /* when the next probe is due */
    int64_t deadline_ms; /* of the one that runs */
    bool timed_out;
    struct task *task; /* the one that runs, or NULL */
} health;

/* One more than are kept: the running probe's.  Apart, so that containers without a probe do not
 * touch these pages. */
static struct result results[SHIM_HEALTH_KEPT + 1];

void health_set(const struct shim_msg *m, int *fds, size_t n)
{
    struct err e;
    size_t size;

    if (n != 1 || health.plan)
        return;
    health.plan = planmap_open(fds[0], &size, &e);
    health.how = m->health;
    health.how.timeout_text[sizeof(health.how.timeout_text) - 1] = '\0';
}

void health_hold(const struct shim_msg *m, int *fds, size_t n)
{
    int64_t now = clock_mono_ms();

    (void)fds;
    (void)n;
    health.held = m->signal != 0;
    /* Frozen time does not count. */
    health.next_ms = now + health.how.interval_ms;
    health.deadline_ms = now + health.how.timeout_ms;
}

void health_tell(void)
{
    struct shim_msg m = {.type = SHIM_HEALTH_IS, .health_is = {health.is.status, health.is.streak}};

    if (health.plan)
        control_send(&m, NULL, 0);
}

/* ---- results ---- */

static struct result *result_at(unsigned i)
{
    return &results[(health.first + i) % (SHIM_HEALTH_KEPT + 1)];
}

/* The one that the running probe fills: behind the last complete one. */
static struct result *current(void)
{
    return result_at(health.is.entries);
}

static void write_file(void)
{
    struct iovec v[1 + 2 * SHIM_HEALTH_KEPT];
    int dir = control_run_dir(), n = 0, fd;
    ssize_t total = sizeof(health.is);

    v[n++] = (struct iovec){&health.is, sizeof(health.is)};
    for (unsigned i = 0; i < health.is.entries; i++) {
        struct result *r = result_at(i);

        v[n++] = (struct iovec){&r->head, sizeof(r->head)};
        v[n++] = (struct iovec){r->output, r->head.len};
        total += (ssize_t)(sizeof(r->head) + r->head.len);
    }
    fd = openat(dir, SHIM_HEALTH_FILE ".tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && writev(fd, v, n) == total)
        renameat(dir, SHIM_HEALTH_FILE ".tmp", dir, SHIM_HEALTH_FILE);
    fd_close(fd);
}

void health_output(const char *data, size_t len)
{
    struct result *r = current();
    size_t room = SHIM_HEALTH_OUTPUT_MAX - r->head.len;

    if (r->head.len > SHIM_HEALTH_OUTPUT_MAX)
        return; /* cut already */
    memcpy(r->output + r->head.len, data, len < room ? len : room);
    r->head.len += (uint32_t)(len < room ? len : room);
    if (len > room) {
        memcpy(r->output + r->head.len, CUT, sizeof(CUT) - 1);
        r->head.len += sizeof(CUT) - 1;
    }
}

static void say(const char *text)
{
    health_output(text, strlen(text));
}

/* In front of what the probe has written. */
static void say_timeout(void)
{
    static char written[SHIM_HEALTH_OUTPUT_MAX];
    struct result *r = current();
    uint32_t len = r->head.len < sizeof(written) ? r->head.len : sizeof(written);

    memcpy(written, r->output, len);
    r->head.len = 0;
    say("Health check exceeded timeout (");
    say(health.how.timeout_text);
    say(len > 0 ? "): " : ")");
    health_output(written, len);
}

/* Failures do not count while the container still has time to get ready. */
static bool is_forgiven(int64_t began_ms)
{
    return health.is.status == SHIM_HEALTH_STARTING &&
           began_ms - health.started_ms < health.how.start_period_ms;
}

static void judge(int32_t code, int64_t began_ms)
{
    uint32_t before = health.is.status;

    if (code == 0) {
        health.is.streak = 0;
        health.is.status = SHIM_HEALTH_HEALTHY;
    } else if (!is_forgiven(began_ms)) {
        health.is.streak++;
        if (health.is.streak >= health.how.retries)
            health.is.status = SHIM_HEALTH_UNHEALTHY;
    }
    write_file();
    if (health.is.status != before)
        health_tell();
}

static int64_t interval(int64_t now)
{
    bool early = health.is.status == SHIM_HEALTH_STARTING &&
                 now - health.started_ms < health.how.start_period_ms;

    return early ? health.how.start_interval_ms : health.how.interval_ms;
}

static void conclude(int32_t code)
{
    struct result *r = current();
    int64_t now = clock_mono_ms(), took;

    r->head.end_ns = clock_real_ns();
    r->head.code = code;
    took = (r->head.end_ns - r->head.start_ns) / 1000000;
    if (health.is.entries < SHIM_HEALTH_KEPT)
        health.is.entries++;
    else
        health.first = (health.first + 1) % (SHIM_HEALTH_KEPT + 1);
    health.task = NULL;
    judge(code, now - took);
    health.next_ms = now + interval(now);
}

/* ---- the probe ---- */

static void end_task(struct task *t)
{
    t->done = true;
    task_close_output(t);
    t->pidfd = fd_close(t->pidfd);
    t->used = false;
}

void health_on_change(struct task *t)
{
    if (t->done || !t->reaped || t->sync.fd >= 0)
        return;
    t->done = true; /* reading to the end comes back here */
    task_drain(t);
    end_task(t);
    if (health.timed_out)
        say_timeout();
    else if (t->failed)
        say(t->fail.message);
    conclude(health.timed_out || t->failed ? -1 : t->state.code);
}

static void launch(int64_t now)
{
    struct task *t = task_probe();
    struct err e = {0};

    current()->head = (struct shim_health_entry){.start_ns = clock_real_ns()};
    health.task = t;
    health.timed_out = false;
    health.deadline_ms = now + health.how.timeout_ms;
    if (exec_spawn(t, health.plan, &e) >= 0)
        return;
    end_task(t);
    say(e.message);
    conclude(-1);
}

/* With all it has started: it leads a session. */
static void kill_probe(void)
{
    const struct task *t = health.task;

    if (t->reaped || t->pid <= 0)
        return;
    kill(-t->pid, SIGKILL);
    kill(t->pid, SIGKILL);
}

static int left(int64_t until, int64_t now)
{
    int64_t ms = until - now;

    return ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

int health_tick(int64_t now)
{
    if (!health.plan || health.held || !task_main()->started || task_main()->reaped)
        return -1;
    if (!health.started_ms) {
        health.started_ms = now;
        health.next_ms = now + interval(now);
    }
    if (!health.task && now >= health.next_ms)
        launch(now);
    if (!health.task)
        return left(health.next_ms, now);
    if (health.timed_out)
        return -1;
    if (now < health.deadline_ms)
        return left(health.deadline_ms, now);
    health.timed_out = true;
    kill_probe();
    return -1;
}

void health_end(void)
{
    struct task *t = health.task;
    int status;

    health.plan = NULL;
    if (!t)
        return;
    kill_probe();
    while (!t->reaped && waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
        ;
    task_free(t);
    health.task = NULL;
}
