/* Dockerfiles, and the variables in them. */
#include "dockerfile.h"
#include "expand.h"
#include "fuzz.h"
#include "str.h"

static const char *lookup(void *arg, const char *name)
{
    (void)arg;
    return *name == 'x' ? "some value" : *name == 'e' ? "" : NULL;
}

static void check_arguments(const struct instruction *ins, char escape)
{
    struct expander x = {.escape = escape, .lookup = lookup};
    _cleanup_(strv_freep) char **split = NULL, **words = NULL, **pairs = NULL;
    _cleanup_free_ char *word = NULL;
    struct err e;

    promise(strlen(ins->args) <= DOCKERFILE_ARGS_MAX);
    if (expand_word(&x, ins->args, &word, &e) >= 0)
        promise(strlen(word) <= EXPAND_MAX);
    expand_words(&x, ins->args, &words, &e);
    words_split(ins->args, escape, &split, &e);
    if (words_pairs(ins->keyword, ins->args, escape, &pairs, &e) >= 0)
        promise(strv_len(pairs) % 2 == 0 && pairs[0]);
    instruction_flag(ins, "from");
}

/* What ONBUILD keeps is an instruction again. */
static void check_again(const struct instruction *ins, char escape)
{
    struct instruction again = {0};
    struct err e;

    if (instruction_parse(ins->original, escape, &again, &e) >= 0)
        promise(again.kind == ins->kind && streq(again.args, ins->args));
    else
        promise(false);
    instruction_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_dockerfile_ struct dockerfile d = {0};
    _cleanup_free_ char *text = xmalloc(size + 1);
    struct build_stages s = {0};
    struct err e;

    memcpy(text, data, size);
    if (dockerfile_parse(text, size, &d, &e) < 0)
        return 0;
    promise(d.n > 0 && d.n <= DOCKERFILE_INSTRUCTIONS);
    for (size_t i = 0; i < d.n; i++) {
        check_arguments(&d.list[i], d.escape);
        check_again(&d.list[i], d.escape);
    }
    if (build_stages_find(&d, &s, &e) >= 0) {
        promise(s.n > 0);
        build_stages_index(&s, s.n, "1");
        build_stages_done(&s);
    }
    return 0;
}
