/* Health checks: the shim runs them (daemon/shim/health.h); here is what it is to run, and what
 * clients are told.  Nothing is done for a container whose health does not change. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "duration.h"
#include "fd.h"
#include "log.h"
#include "private.h"

#define NS_PER_MS 1000000
#define FILE_MAX                                                                                   \
    (sizeof(struct shim_health_head) +                                                             \
     SHIM_HEALTH_KEPT * (sizeof(struct shim_health_entry) + SHIM_HEALTH_OUTPUT_MAX + 16))

static const char *const names[] = {[SHIM_HEALTH_STARTING] = "starting",
                                    [SHIM_HEALTH_HEALTHY] = "healthy",
                                    [SHIM_HEALTH_UNHEALTHY] = "unhealthy"};

const char *health_name(const struct container *c)
{
    return c->health.checked ? names[c->health.status] : "none";
}

/* ---- what is to be run ---- */

/* The command of the probe, or NULL if there is none; new reference. */
static json_t *command_of(const json_t *config)
{
    const json_t *test = json_get(json_get(config, "Healthcheck"), "Test"), *word;
    const char *how = json_string_value(json_array_get(test, 0));
    json_t *command, *shell = json_get(config, "Shell");
    size_t i;

    if (!how || json_array_size(test) < 2)
        return NULL;
    if (streq(how, "CMD-SHELL")) {
        command =
            json_array_size(shell) > 0 ? json_copy(shell) : json_pack("[s,s]", "/bin/sh", "-c");
        json_array_append(command, json_array_get(test, 1));
        return command;
    }
    if (!streq(how, "CMD"))
        return NULL;
    command = json_array();
    json_array_foreach (test, i, word) {
        if (i > 0)
            json_array_append(command, (json_t *)word);
    }
    return command;
}

static int64_t duration_ms(const json_t *health, const char *key, int64_t def)
{
    int64_t ns = json_get_int(health, key, 0);

    return (ns > 0 ? ns : def * 1000 * NS_PER_MS) / NS_PER_MS;
}

static void timing(const json_t *health, struct shim_health *ret)
{
    int64_t retries = json_get_int(health, "Retries", 0);

    /* The defaults of dockerd, in seconds. */
    *ret = (struct shim_health){
        .interval_ms = duration_ms(health, "Interval", 30),
        .timeout_ms = duration_ms(health, "Timeout", 30),
        .start_period_ms = duration_ms(health, "StartPeriod", 0),
        .start_interval_ms = duration_ms(health, "StartInterval", 5),
        .retries = retries > 0 && retries < INT32_MAX ? (uint32_t)retries : 3,
    };
    duration_format(ret->timeout_ms * NS_PER_MS, ret->timeout_text, sizeof(ret->timeout_text));
}

int health_plan(const struct container *c, struct health_check *ret, json_t *warnings,
                struct err *reterr)
{
    _cleanup_json_ json_t *command = command_of(c->config), *body = NULL;
    struct runtime_exec_spec spec = {
        .id = c->id, .config = c->config, .host_config = c->host_config};

    *ret = (struct health_check){0};
    if (!command)
        return 0;
    body = json_pack("{s:O, s:b, s:b}", "Cmd", command, "AttachStdout", 1, "AttachStderr", 1);
    spec.exec = body;
    ret->wanted = true;
    timing(json_get(c->config, "Healthcheck"), &ret->how);
    return runtime_exec_plan(c->engine->runtime, &spec, &ret->plan, warnings, reterr);
}

int health_send(const struct health_check *h, int control, struct err *reterr)
{
    _cleanup_close_ int plan = h->wanted ? plan_memfd(&h->plan) : -EBADF;
    struct shim_msg m = {.type = SHIM_HEALTH, .health = h->how};
    int r;

    if (!h->wanted)
        return 0;
    if (plan < 0)
        return err_sys(reterr, -plan, "cannot store the plan of the health check");
    r = shim_send(control, &m, &plan, 1);
    /* A shim that has hung up has told why: that is read next. */
    return r < 0 && r != -EPIPE && r != -ECONNRESET ? err_sys(reterr, -r, "cannot reach the shim")
                                                    : 0;
}

/* ---- what comes back ---- */

void health_started(struct container *c, const struct health_check *h)
{
    json_decref(c->health.log);
    c->health = (struct health){.checked = h->wanted};
}

void health_message(struct container *c, const struct shim_msg *m)
{
    uint32_t before = c->health.status, status = m->health_is.status;
    _cleanup_free_ char *action = NULL;
    struct err err;

    if (status >= ARRAY_SIZE(names))
        return;
    c->health.checked = true;
    c->health.status = status;
    c->health.streak = m->health_is.streak;
    if (status != before) {
        if (record_save_state(c, &err) < 0)
            log_error("container %s: %s", c->id, err.message);
        action = xasprintf("health_status: %s", names[status]);
        container_event(c, action, NULL);
    }
    /* Told again to a new daemon: the last one may have died before it did anything. */
    if (status == SHIM_HEALTH_UNHEALTHY)
        restart_unhealthy(c);
}

void health_hold(struct container *c, bool on)
{
    struct shim_msg m = {.type = SHIM_HOLD, .signal = on};

    if (c->health.checked && c->shim.fd >= 0)
        shim_post(c, &m, NULL, 0);
}

/* ---- its file ---- */

static json_t *entry_json(const struct shim_health_entry *e, const char *output)
{
    char start[TIME_STR_MAX], end[TIME_STR_MAX];
    _cleanup_free_ char *raw = xstrndup(output, e->len), *text = str_to_utf8(raw);

    time_format_nano(e->start_ns, start);
    time_format_nano(e->end_ns, end);
    return json_pack("{s:s, s:s, s:i, s:s}", "Start", start, "End", end, "ExitCode", e->code,
                     "Output", text);
}

/* New reference, NULL if there is none yet. */
static json_t *read_file(const struct container *c, struct shim_health_head *ret)
{
    _cleanup_free_ char *dir = container_run_dir(c), *path = path_join(dir, SHIM_HEALTH_FILE),
                        *data = NULL;
    ssize_t size = file_read(AT_FDCWD, path, FILE_MAX, &data);
    size_t at = sizeof(*ret);
    json_t *log;

    if (size < (ssize_t)sizeof(*ret))
        return NULL;
    memcpy(ret, data, sizeof(*ret));
    log = json_array();
    for (uint32_t i = 0; i < ret->entries && i < SHIM_HEALTH_KEPT; i++) {
        struct shim_health_entry e;

        if ((size_t)size - at < sizeof(e))
            break;
        memcpy(&e, data + at, sizeof(e));
        at += sizeof(e);
        if ((size_t)size - at < e.len)
            break;
        json_array_append_new(log, entry_json(&e, data + at));
        at += e.len;
    }
    return log;
}

void health_exited(struct container *c)
{
    struct shim_health_head head;

    if (!c->health.checked)
        return;
    json_decref(c->health.log);
    c->health.log = read_file(c, &head);
    if (c->health.log)
        c->health.streak = head.streak;
    /* As dockerd: nothing watches over it any more. */
    c->health.status = SHIM_HEALTH_UNHEALTHY;
}

json_t *health_inspect(const struct container *c)
{
    struct shim_health_head head = {.status = c->health.status, .streak = c->health.streak};
    json_t *log = NULL;

    if (!c->health.checked)
        return NULL;
    if (container_is_up(c))
        log = read_file(c, &head);
    if (!log)
        log = c->health.log ? json_incref(c->health.log) : json_array();
    if (head.status >= ARRAY_SIZE(names))
        head.status = SHIM_HEALTH_UNHEALTHY;
    return json_pack("{s:s, s:i, s:o}", "Status", names[head.status], "FailingStreak",
                     (int)head.streak, "Log", log);
}

/* ---- its place in the row ---- */

json_t *health_to_json(const struct container *c)
{
    json_t *o;

    if (!c->health.checked)
        return NULL;
    o = json_pack("{s:i, s:i}", "status", (int)c->health.status, "streak", (int)c->health.streak);
    if (c->health.log)
        json_object_set(o, "log", c->health.log);
    return o;
}

void health_from_json(struct container *c, const json_t *o)
{
    int64_t status = json_get_int(o, "status", SHIM_HEALTH_STARTING);

    if (!json_is_object(o) || status < 0 || status >= (int64_t)ARRAY_SIZE(names))
        return;
    c->health = (struct health){.checked = true,
                                .status = (uint32_t)status,
                                .streak = (uint32_t)json_get_int(o, "streak", 0),
                                .log = json_incref(json_get(o, "log"))};
}
