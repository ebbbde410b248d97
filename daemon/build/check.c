#include "check.h"

#include <errno.h>

#include "expand.h"
#include "str.h"

static const char *const add_flags[] = {"chown", "chmod", "link", NULL};
static const char *const copy_flags[] = {"from", "chown", "chmod", "link", NULL};
static const char *const no_flags[] = {NULL};

/* Two at least, here-documents counted. */
static int check_copy(const struct instruction *ins, char escape, struct err *reterr)
{
    _cleanup_(strv_freep) char **words = NULL;
    int r = instruction_check_flags(ins, ins->kind == INS_ADD ? add_flags : copy_flags, reterr);

    if (r >= 0 && !ins->is_json)
        r = words_split(ins->args, escape, &words, reterr);
    if (r >= 0 && strv_len(ins->is_json ? ins->json : words) < 2)
        r = err_set(reterr, ERR_INVALID, EINVAL,
                    "dockerfile parse error line %u: %s requires at least two arguments, but only "
                    "one was provided. Destination could not be determined.",
                    ins->line, ins->keyword);
    return r;
}

static int check_run(const struct instruction *ins, char escape, struct err *reterr)
{
    (void)escape;
    return instruction_check_flags(ins, no_flags, reterr);
}

static int wrap(const struct instruction *ins, struct err *reterr)
{
    return err_wrap(reterr, "dockerfile parse error line %u", ins->line);
}

static int check_pairs(const struct instruction *ins, char escape, struct err *reterr)
{
    _cleanup_(strv_freep) char **pairs = NULL;
    int r = words_pairs(ins->keyword, ins->args, escape, &pairs, reterr);

    return r < 0 ? wrap(ins, reterr) : 0;
}

static int check_arg(const struct instruction *ins, char escape, struct err *reterr)
{
    _cleanup_(strv_freep) char **words = NULL;
    int r = words_split(ins->args, escape, &words, reterr);

    for (size_t i = 0; r >= 0 && words && words[i]; i++) {
        if (*words[i] == '=')
            r = err_set(reterr, ERR_INVALID, EINVAL, "ARG names can not be blank");
    }
    return r < 0 ? wrap(ins, reterr) : 0;
}

static int check_shell(const struct instruction *ins, char escape, struct err *reterr)
{
    (void)escape;
    if (ins->is_json && ins->json)
        return 0;
    return err_set(
        reterr, ERR_INVALID, EINVAL,
        "dockerfile parse error line %u: SHELL requires the arguments to be in JSON form",
        ins->line);
}

static int check_volume(const struct instruction *ins, char escape, struct err *reterr)
{
    (void)escape;
    for (size_t i = 0; ins->json && ins->json[i]; i++) {
        if (!*ins->json[i])
            return err_set(
                reterr, ERR_INVALID, EINVAL,
                "dockerfile parse error line %u: VOLUME specified can not be an empty string",
                ins->line);
    }
    return 0;
}

static int (*const checks[])(const struct instruction *ins, char escape, struct err *reterr) = {
    [INS_ADD] = check_copy,    [INS_ARG] = check_arg,       [INS_COPY] = check_copy,
    [INS_ENV] = check_pairs,   [INS_LABEL] = check_pairs,   [INS_RUN] = check_run,
    [INS_SHELL] = check_shell, [INS_VOLUME] = check_volume,
};

int instruction_check(const struct instruction *ins, char escape, struct err *reterr)
{
    size_t kind = (size_t)ins->kind;

    return kind < ARRAY_SIZE(checks) && checks[kind] ? checks[kind](ins, escape, reterr) : 0;
}
