#include "copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "layer_protocol.h"
#include "report.h"
#include "sandbox.h"
#include "str.h"

static int parse_mode(const char *text, mode_t *ret)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    if (!*text || *end || mode == 0 || mode > 07777)
        return -EINVAL;
    *ret = (mode_t)mode;
    return 0;
}

static int parse_one(const char *arg, struct archive_options *o)
{
    static const char owner[] = "--owner=", source[] = "--source=", mode[] = "--mode=";
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--plan", &o->plan},
                 {"--keep-kind", &o->keep_kind},
                 {"--make", &o->make},
                 {"--name", &o->name},
                 {"--extract", &o->extract}};

    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (streq(arg, flags[i].name)) {
            *flags[i].flag = true;
            return 0;
        }
    }
    if (str_starts(arg, mode))
        return parse_mode(arg + strlen(mode), &o->mode);
    if (str_starts(arg, source))
        o->sources = strv_append(o->sources, arg + strlen(source));
    else if (str_starts(arg, owner))
        o->owner = arg + strlen(owner);
    else
        return -EINVAL;
    return 0;
}

static int parse(char *const *args, struct archive_options *o, struct err *reterr)
{
    if (!args[0] || !args[1])
        return err_set(reterr, ERR_INVALID, 0, "archive what?");
    o->action = args[0];
    o->path = args[1];
    for (args += 2; *args; args++) {
        if (parse_one(*args, o) < 0)
            return err_set(reterr, ERR_INVALID, 0, "bad argument %s", *args);
    }
    return 0;
}

static int enter(const struct archive_options *o, enum sandbox_kind kind, struct view *ret,
                 struct err *reterr)
{
    int r;

    if (syscall(SYS_close_range, LAYER_FD_DIR + 1, ~0U, 0) < 0)
        return err_sys(reterr, errno, "close_range");
    r = view_enter(LAYER_FD_DIR, o->plan, kind == SANDBOX_TAKE, ret, reterr);
    return r < 0 ? r : sandbox_view(kind, reterr);
}

static int give(const struct archive_options *o, struct err *reterr)
{
    _cleanup_(giver_freep) struct giver *g = NULL;
    struct archive_node n = {.fd = -EBADF, .parent = -EBADF};
    struct view v;
    int r = giver_new(&g, reterr);

    if (r >= 0)
        r = enter(o, SANDBOX_GIVE, &v, reterr);
    if (r >= 0)
        r = sandbox_seal(SANDBOX_GIVE, reterr);
    if (r >= 0)
        r = archive_find(&v, o->path, &n, reterr);
    if (r >= 0)
        r = archive_tell(&v, &n, reterr);
    if (r >= 0 && streq(o->action, "get"))
        r = giver_run(g, &n, reterr);
    archive_node_done(&n);
    return r;
}

static int take(const struct archive_options *o, struct err *reterr)
{
    _cleanup_(source_freep) struct source *src = NULL;
    struct source_options opt = {
        .keep_fd = -EBADF, .follow_fd = -EBADF, .max_raw = LAYER_MAX_BYTES};
    struct view v;
    int r = source_new(&opt, &src, reterr);

    if (r >= 0)
        r = enter(o, SANDBOX_TAKE, &v, reterr);
    if (r >= 0)
        r = source_threads(src, reterr);
    if (r >= 0)
        r = sandbox_seal(SANDBOX_TAKE, reterr);
    return r < 0 ? r : archive_take(&v, o, src, reterr);
}

static int pick(const struct archive_options *o, struct err *reterr)
{
    _cleanup_(giver_freep) struct giver *g = NULL;
    struct pick_result res = {0};
    struct view v;
    int r = giver_new_picked(&g, reterr);

    if (r >= 0 && !o->sources)
        r = err_set(reterr, ERR_INVALID, EINVAL, "pick what?");
    if (r >= 0)
        r = enter(o, SANDBOX_GIVE, &v, reterr);
    if (r >= 0)
        r = sandbox_seal(SANDBOX_GIVE, reterr);
    if (r >= 0)
        r = giver_pick(g, &v, o->sources, o->extract, &res, reterr);
    if (r >= 0)
        report_ok(&(struct report){res.digest, res.sources, NULL, res.plain});
    return r;
}

int run_archive(char *const *args, struct err *reterr)
{
    struct archive_options o = {0};
    int r = parse(args, &o, reterr);

    if (r >= 0 && streq(o.action, "pick")) {
        r = pick(&o, reterr);
        strv_free(o.sources);
        return r;
    }
    if (r >= 0)
        r = streq(o.action, "put") ? take(&o, reterr) : give(&o, reterr);
    if (r >= 0)
        report_ok(&(struct report){0});
    strv_free(o.sources);
    return r;
}
