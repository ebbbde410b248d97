/* containerd-lite-layer: archives into directories and back, in a sandbox (layer_protocol.h). */
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "copy.h"
#include "fill.h"
#include "layer_protocol.h"
#include "options.h"
#include "pack.h"
#include "report.h"
#include "sandbox.h"
#include "source.h"
#include "split.h"
#include "str.h"
#include "unpack.h"

#ifdef __SANITIZE_ADDRESS__
const char *__asan_default_options(void);

/* The leak checker reads /proc, which the chroot has not. */
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

/* Each command makes what it needs, locks itself in, and only then reads a foreign byte. */

static int open_source(const struct options *o, enum sandbox_kind kind, struct source **ret,
                       struct err *reterr)
{
    struct source_options opt = {.hashed = kind == SANDBOX_UNPACK,
                                 .blob = o->blob,
                                 .keep_fd = o->keep ? LAYER_FD_KEEP : -EBADF,
                                 .follow_fd = o->follow ? LAYER_FD_FOLLOW : -EBADF,
                                 .max_raw = o->limits.max_bytes};
    int r = source_new(&opt, ret, reterr);

    if (r >= 0)
        r = base_make(&o->base, reterr);
    if (r >= 0)
        r = sandbox_enter(kind, o->keep || o->follow ? LAYER_FD_KEEP : LAYER_FD_DIR,
                          o->limits.max_bytes, reterr);
    if (r >= 0)
        r = source_threads(*ret, reterr);
    return r < 0 ? r : sandbox_seal(kind, reterr);
}

static int run_unpack(const struct options *o, struct err *reterr)
{
    _cleanup_(source_freep) struct source *src = NULL;
    struct unpack_result res;
    int r = open_source(o, SANDBOX_UNPACK, &src, reterr);

    if (r >= 0)
        r = unpack_layer(src, &o->limits, o->base.whole, &res, reterr);
    if (r >= 0)
        report_ok(&(struct report){res.diff_id, res.bytes, res.blob, source_length(src)});
    return r;
}

static int run_split(const struct options *o, struct err *reterr)
{
    _cleanup_(source_freep) struct source *src = NULL;
    struct report ok = {0};
    int r = open_source(o, SANDBOX_SPLIT, &src, reterr);

    if (r >= 0)
        r = split_archive(src, &o->limits, &ok.bytes, reterr);
    if (r >= 0)
        report_ok(&ok);
    return r;
}

static int open_stack(const struct options *o, struct stack *ret, struct err *reterr)
{
    int r;

    ret->n = 0;
    for (unsigned i = 0; i <= o->n_lowers; i++)
        ret->fds[ret->n++] = LAYER_FD_DIR + (int)i;
    r = sandbox_enter(SANDBOX_READ, LAYER_FD_DIR + (int)o->n_lowers, -1, reterr);
    return r < 0 ? r : sandbox_seal(SANDBOX_READ, reterr);
}

static int run_pack(const struct options *o, struct err *reterr)
{
    _cleanup_(packer_freep) struct packer *p = NULL;
    struct packed done;
    struct stack stack;
    int r = packer_new(o, &p, reterr);

    if (r >= 0)
        r = open_stack(o, &stack, reterr);
    if (r >= 0)
        r = packer_run(p, &stack, &done, reterr);
    if (r >= 0)
        report_ok(&(struct report){done.diff_id, done.bytes, done.diff_id, done.length});
    return r;
}

static int run_changes(const struct options *o, struct err *reterr)
{
    struct report ok = {0};
    struct stack stack;
    int r = open_stack(o, &stack, reterr);

    if (r >= 0)
        r = list_changes(&stack, o, &ok.bytes, reterr);
    if (r >= 0)
        report_ok(&ok);
    return r;
}

static const struct command {
    const char *name;
    struct limits limits;
    int (*run)(const struct options *o, struct err *reterr);
} commands[] = {
    {"unpack", {LAYER_MAX_BYTES, LAYER_MAX_ENTRIES}, run_unpack},
    {"split", {LAYER_MAX_BYTES, SPLIT_MAX_ENTRIES}, run_split},
    {"pack", {LAYER_MAX_BYTES, TREE_MAX_ENTRIES}, run_pack},
    {"changes", {LAYER_MAX_BYTES, TREE_MAX_ENTRIES}, run_changes},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++) {
        if (streq(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}

static int work(const struct command *cmd, char *const *args, struct err *reterr)
{
    struct options options = {.limits = cmd->limits};
    int r = options_parse(args, &options, reterr);

    return r < 0 ? r : cmd->run(&options, reterr);
}

/* No archive, no sandbox: the one command that reads no foreign format. */
static int run_fill(const char *target, struct err *reterr)
{
    int r =
        target ? fill_volume(target, reterr) : err_set(reterr, ERR_INVALID, EINVAL, "fill what?");

    if (r >= 0)
        report_ok(&(struct report){0});
    return r;
}

int main(int argc, char **argv)
{
    const struct command *cmd = find_command(argc > 1 ? argv[1] : NULL);
    bool fill = argc > 2 && streq(argv[1], "fill");
    bool archive = argc > 1 && streq(argv[1], "archive");
    struct err e = {0};

    if (!cmd && !fill && !archive) {
        fprintf(stderr,
                "usage: containerd-lite-layer unpack|split|pack|changes|archive [OPTION]...\n"
                "(a helper of containerd-lite, not for people)\n");
        return 2;
    }
    /* Work for a daemon that is gone is work for nobody; it may be gone already. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (report_is_unread())
        return 1;
    prctl(PR_SET_DUMPABLE, 0);
    /* A reader that went away is an error like any other, and so is a file that is too large. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    /* Four threads that allocate next to nothing need no arenas, which RLIMIT_AS counts. */
    mallopt(M_ARENA_MAX, 1);
    /* pax headers are UTF-8: in the C locale libarchive would lose their names. */
    setlocale(LC_CTYPE, "C.UTF-8");
    if (archive && run_archive(argv + 2, &e) < 0) {
        report_refusal(&e);
        return 1;
    }
    if (archive)
        return 0;
    if ((fill ? run_fill(argv[2], &e) : work(cmd, argv + 2, &e)) < 0) {
        report_error(&e);
        return 1;
    }
    return 0;
}
