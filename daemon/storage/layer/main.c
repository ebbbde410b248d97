/* containerd-lite-layer: one archive in, one directory out, in a sandbox (layer_protocol.h). */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fill.h"
#include "layer_protocol.h"
#include "report.h"
#include "sandbox.h"
#include "source.h"
#include "split.h"
#include "str.h"
#include "unpack.h"
#include "whole.h"

#ifdef __SANITIZE_ADDRESS__
const char *__asan_default_options(void);

/* The leak checker reads /proc, which the chroot has not. */
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

static int run_unpack(struct source *src, const struct limits *limits, bool whole,
                      struct err *reterr)
{
    struct unpack_result res;
    int r = unpack_layer(src, limits, whole, &res, reterr);

    if (r >= 0)
        report_ok(res.diff_id, res.bytes, res.blob);
    return r;
}

static int run_split(struct source *src, const struct limits *limits, bool whole,
                     struct err *reterr)
{
    int64_t bytes;
    int r = split_archive(src, limits, &bytes, reterr);

    (void)whole;
    if (r >= 0)
        report_ok("-", bytes, "-");
    return r;
}

static const struct command {
    const char *name;
    enum sandbox_kind sandbox;
    bool hashed;
    struct limits limits;
    int (*run)(struct source *src, const struct limits *limits, bool whole, struct err *reterr);
} commands[] = {
    {"unpack", SANDBOX_UNPACK, true, {LAYER_MAX_BYTES, LAYER_MAX_ENTRIES}, run_unpack},
    {"split", SANDBOX_SPLIT, false, {LAYER_MAX_BYTES, SPLIT_MAX_ENTRIES}, run_split},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++) {
        if (streq(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}

static int parse_arguments(char *const *argv, struct limits *limits, struct source_options *opt,
                           struct base *base, struct err *reterr)
{
    static const char bytes[] = "--max-bytes=", entries[] = "--max-entries=";

    for (; *argv; argv++) {
        int r = -EINVAL;

        if (str_starts(*argv, bytes))
            r = str_parse_i64(*argv + strlen(bytes), 0, INT64_MAX, &limits->max_bytes);
        else if (str_starts(*argv, entries))
            r = str_parse_i64(*argv + strlen(entries), 0, INT64_MAX, &limits->max_entries);
        else if (streq(*argv, "--blob") || streq(*argv, "--keep") || base_parse(base, *argv))
            r = 0;
        if (r < 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "bad argument %s", *argv);
        if (streq(*argv, "--keep"))
            opt->keep_fd = LAYER_FD_KEEP;
        if (streq(*argv, "--blob") || streq(*argv, "--keep"))
            opt->blob = true;
    }
    opt->max_raw = limits->max_bytes;
    return 0;
}

static int work(const struct command *cmd, char *const *args, struct err *reterr)
{
    _cleanup_(source_freep) struct source *src = NULL;
    struct limits limits = cmd->limits;
    struct source_options opt = {.hashed = cmd->hashed, .keep_fd = -EBADF};
    struct base base = {0};
    int r = parse_arguments(args, &limits, &opt, &base, reterr);

    if (r >= 0)
        r = source_new(&opt, &src, reterr);
    if (r >= 0)
        r = base_make(&base, reterr);
    if (r >= 0)
        r = sandbox_enter(cmd->sandbox, opt.keep_fd >= 0 ? LAYER_FD_KEEP : LAYER_FD_DIR, reterr);
    if (r >= 0)
        r = cmd->run(src, &limits, base.whole, reterr);
    return r;
}

/* No archive, no sandbox: the one command that reads no foreign format. */
static int run_fill(const char *target, struct err *reterr)
{
    int r =
        target ? fill_volume(target, reterr) : err_set(reterr, ERR_INVALID, EINVAL, "fill what?");

    if (r >= 0)
        report_ok("-", 0, "-");
    return r;
}

int main(int argc, char **argv)
{
    const struct command *cmd = find_command(argc > 1 ? argv[1] : NULL);
    bool fill = argc > 2 && streq(argv[1], "fill");
    struct err e = {0};

    if (!cmd && !fill) {
        fprintf(stderr,
                "usage: containerd-lite-layer unpack|split [--max-bytes=N] [--max-entries=N] "
                "[--blob] [--keep] [--whole] [--subvolume] [--parent]\n(a helper of "
                "containerd-lite, not for people)\n");
        return 2;
    }
    /* Work for a daemon that is gone is work for nobody. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
    /* pax headers are UTF-8: in the C locale libarchive would lose their names. */
    setlocale(LC_CTYPE, "C.UTF-8");
    if ((fill ? run_fill(argv[2], &e) : work(cmd, argv + 2, &e)) < 0) {
        report_error(&e);
        return 1;
    }
    return 0;
}
