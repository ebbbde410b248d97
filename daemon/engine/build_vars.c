/* What $name stands for: arguments before the first FROM, arguments of a stage, the environment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build_impl.h"

#define ENV_MAX 10000 /* variables of an image: each step's configuration has all of them */

/* ---- the environment ---- */

/* "NAME=value" by its name: of many variables each word may name any. */
static json_t *env_index(struct stage_run *s)
{
    const json_t *item;
    size_t i;

    if (s->env_at)
        return s->env_at;
    s->env_at = json_object();
    json_array_foreach (json_get(s->config, "Env"), i, item) {
        const char *text = json_is_string(item) ? json_string_value(item) : "";
        _cleanup_free_ char *name = xstrndup(text, strcspn(text, "="));

        if (strchr(text, '=') && !json_object_get(s->env_at, name))
            json_object_set_new(s->env_at, name, json_integer((json_int_t)i));
    }
    return s->env_at;
}

const char *stage_env_get(struct stage_run *s, const char *name)
{
    const json_t *at = json_object_get(env_index(s), name);
    const char *text;

    if (!at)
        return NULL;
    text = json_string_value(
        json_array_get(json_get(s->config, "Env"), (size_t)json_integer_value(at)));
    return text ? text + strlen(name) + 1 : NULL;
}

int stage_env_put(struct stage_run *s, const char *name, const char *value, struct err *reterr)
{
    json_t *env = config_member(s->config, "Env", true), *text = json_sprintf("%s=%s", name, value);
    const json_t *at = json_object_get(env_index(s), name);

    if (at) {
        json_array_set_new(env, (size_t)json_integer_value(at), text);
        return 0;
    }
    if (json_array_size(env) >= ENV_MAX) {
        json_decref(text);
        return err_set(reterr, ERR_INVALID, E2BIG, "more than %d environment variables", ENV_MAX);
    }
    json_object_set_new(s->env_at, name, json_integer((json_int_t)json_array_size(env)));
    json_array_append_new(env, text);
    return 0;
}

/* ---- arguments ---- */

bool arg_is_builtin(const char *name)
{
    static const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
                                        "FTP_PROXY",  "ftp_proxy",  "NO_PROXY",    "no_proxy",
                                        "ALL_PROXY",  "all_proxy"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(names[i], name))
            return true;
    }
    return false;
}

const char *stage_arg(struct stage_run *s, const char *name)
{
    const json_t *declared = json_object_get(s->args, name);
    const json_t *given = json_object_get(json_get(s->build->opt, "args"), name);

    if (!declared && !arg_is_builtin(name))
        return NULL;
    if (json_is_string(given))
        return json_string_value(given);
    return declared ? json_string_value(declared) : NULL;
}

static const char *lookup(void *arg, const char *name)
{
    struct stage_run *s = arg;
    const char *value = stage_env_get(s, name);

    return value ? value : stage_arg(s, name);
}

struct expander stage_expander(struct stage_run *s)
{
    return (struct expander){.escape = s->build->file.escape,
                             .lookup = lookup,
                             .arg = s,
                             .left = &s->build->expand_left};
}

/* ---- before the first FROM ---- */

static const char *lookup_meta(void *arg, const char *name)
{
    struct build *b = arg;
    const json_t *v = json_object_get(b->meta, name);

    return json_string_value(v);
}

struct expander meta_expander(struct build *b)
{
    return (struct expander){
        .escape = b->file.escape, .lookup = lookup_meta, .arg = b, .left = &b->expand_left};
}

int meta_take(struct build *b, const struct instruction *ins, bool say, struct err *reterr)
{
    struct expander x = meta_expander(b);
    _cleanup_(strv_freep) char **words = NULL;
    int r = words_split(ins->args, x.escape, &words, reterr);

    for (size_t i = 0; r >= 0 && words && words[i]; i++) {
        _cleanup_free_ char *word = NULL;
        const json_t *given;
        char *eq;

        r = expand_word(&x, words[i], &word, reterr);
        if (r < 0)
            break;
        eq = strchr(word, '=');
        if (eq)
            *eq = '\0';
        given = json_object_get(json_get(b->opt, "args"), word);
        json_object_set_new(b->used, word, json_true());
        if (json_is_string(given))
            json_object_set(b->meta, word, (json_t *)given);
        else if (eq)
            json_object_set_new(b->meta, word, json_string(eq + 1));
    }
    if (r >= 0 && say)
        build_say(b, "Step %u/%u : %s\n", ++b->step, b->steps, ins->original);
    return r;
}
