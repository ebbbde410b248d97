/* Instructions that change an image's configuration and nothing else. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build_impl.h"
#include "changes.h"
#include "weburl.h"

json_t *config_kept(const json_t *config)
{
    static const char *const keys[] = {
        "User",    "ExposedPorts", "Env",     "Cmd",    "Entrypoint", "Healthcheck", "ArgsEscaped",
        "Volumes", "WorkingDir",   "OnBuild", "Labels", "StopSignal", "StopTimeout", "Shell"};
    json_t *out = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        json_t *v = json_get(config, keys[i]);

        if (v && !(json_is_string(v) && !*json_string_value(v)))
            json_object_set_new(out, keys[i], json_deep_copy(v));
    }
    return out;
}

json_t *config_shell(const json_t *config)
{
    json_t *shell = json_get(config, "Shell");

    return json_array_size(shell) > 0 ? json_incref(shell) : json_pack("[s,s]", "/bin/sh", "-c");
}

json_t *config_member(json_t *config, const char *key, bool array)
{
    json_t *v = json_object_get(config, key);

    if (array ? json_is_array(v) : json_is_object(v))
        return v;
    v = array ? json_array() : json_object();
    json_object_set_new(config, key, v);
    return v;
}

/* ---- one function an instruction; what it puts into `out` is the history's text ---- */

typedef int config_fn(struct stage_run *s, struct buf *out, struct err *reterr);

/* The name and value of each pair with their variables replaced. */
static int each_pair(struct stage_run *s, struct buf *out,
                     int (*put)(struct stage_run *s, const char *name, const char *value,
                                struct err *reterr),
                     struct err *reterr)
{
    struct expander x = stage_expander(s);
    _cleanup_(strv_freep) char **pairs = NULL, **done = NULL;
    int r = words_pairs(s->ins->keyword, s->ins->args, x.escape, &pairs, reterr);

    /* All with the variables as they were before. */
    for (size_t i = 0; r >= 0 && pairs && pairs[i]; i++) {
        _cleanup_free_ char *word = NULL;

        r = expand_word(&x, pairs[i], &word, reterr);
        if (r >= 0)
            done = strv_append(done, word);
    }
    for (size_t i = 0; r >= 0 && done && done[i]; i += 2) {
        if (!*done[i])
            return err_set(reterr, ERR_INVALID, EINVAL, "%s names can not be blank",
                           s->ins->keyword);
        r = put(s, done[i], done[i + 1], reterr);
        buf_printf(out, " %s=%s", done[i], done[i + 1]);
    }
    return r;
}

static int put_label(struct stage_run *s, const char *name, const char *value, struct err *reterr)
{
    (void)reterr;
    json_object_set_new(config_member(s->config, "Labels", false), name, json_string(value));
    return 0;
}

static int set_env(struct stage_run *s, struct buf *out, struct err *reterr)
{
    return each_pair(s, out, stage_env_put, reterr);
}

static int set_label(struct stage_run *s, struct buf *out, struct err *reterr)
{
    return each_pair(s, out, put_label, reterr);
}

static json_t *command_of(const struct stage_run *s)
{
    json_t *v, *shell;

    if (s->ins->is_json)
        return json_from_strv(s->ins->json);
    if (!*s->ins->args)
        return json_array();
    shell = config_shell(s->config);
    v = json_deep_copy(shell);
    json_decref(shell);
    json_array_append_new(v, json_string(s->ins->args));
    return v;
}

/* Go's %q of a list. */
static void put_quoted(struct buf *out, const json_t *list)
{
    const json_t *item;
    size_t i;

    buf_append_str(out, " [");
    json_array_foreach (list, i, item) {
        char *text = json_dumps(item, JSON_ENCODE_ANY);

        buf_printf(out, "%s%s", i ? " " : "", text);
        free(text);
    }
    buf_append_str(out, "]");
}

static int set_cmd(struct stage_run *s, struct buf *out, struct err *reterr)
{
    json_t *v = command_of(s);

    (void)reterr;
    put_quoted(out, v);
    json_object_set_new(s->config, "Cmd", v);
    s->cmd_set = true;
    return 0;
}

static int set_entrypoint(struct stage_run *s, struct buf *out, struct err *reterr)
{
    json_t *v = command_of(s);

    (void)reterr;
    put_quoted(out, v);
    json_object_set_new(s->config, "Entrypoint", v);
    if (!s->cmd_set)
        json_object_del(s->config, "Cmd");
    return 0;
}

static int set_shell(struct stage_run *s, struct buf *out, struct err *reterr)
{
    if (!s->ins->is_json || !s->ins->json)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "SHELL requires the arguments to be in JSON form");
    buf_append_str(out, " [");
    for (size_t i = 0; s->ins->json[i]; i++)
        buf_printf(out, "%s%s", i ? " " : "", s->ins->json[i]);
    buf_append_str(out, "]");
    json_object_set_new(s->config, "Shell", json_from_strv(s->ins->json));
    return 0;
}

/* The words with variables replaced. */
static int words_of(struct stage_run *s, char ***ret, struct err *reterr)
{
    struct expander x = stage_expander(s);
    _cleanup_(strv_freep) char **out = NULL;
    int r = 0;

    if (!s->ins->is_json)
        return expand_words(&x, s->ins->args, ret, reterr);
    for (size_t i = 0; r >= 0 && s->ins->json && s->ins->json[i]; i++) {
        _cleanup_free_ char *word = NULL;

        r = expand_word(&x, s->ins->json[i], &word, reterr);
        if (r >= 0)
            out = strv_append(out, word);
    }
    if (r >= 0)
        *ret = TAKE_PTR(out);
    return r;
}

static int set_volume(struct stage_run *s, struct buf *out, struct err *reterr)
{
    json_t *volumes = config_member(s->config, "Volumes", false);
    _cleanup_(strv_freep) char **words = NULL;
    int r = words_of(s, &words, reterr);

    buf_append_str(out, " [");
    for (size_t i = 0; r >= 0 && words && words[i]; i++) {
        if (!*words[i])
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "VOLUME specified can not be an empty string");
        json_object_set_new(volumes, words[i], json_object());
        buf_printf(out, "%s%s", i ? " " : "", words[i]);
    }
    buf_append_str(out, "]");
    return r;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int set_expose(struct stage_run *s, struct buf *out, struct err *reterr)
{
    _cleanup_(strv_freep) char **words = NULL;
    int r = words_of(s, &words, reterr);

    if (r >= 0 && words)
        qsort(words, strv_len(words), sizeof(*words), compare);
    for (size_t i = 0; r >= 0 && words && words[i]; i++) {
        _cleanup_free_ char *line = xasprintf("EXPOSE %s", words[i]);

        if (changes_apply(s->config, line, reterr) < 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid containerPort: %s", words[i]);
        buf_printf(out, " %s", words[i]);
    }
    return r;
}

/* One argument with its variables replaced. */
static int one_word(struct stage_run *s, char **ret, struct err *reterr)
{
    struct expander x = stage_expander(s);

    return expand_word(&x, s->ins->args, ret, reterr);
}

static int set_user(struct stage_run *s, struct buf *out, struct err *reterr)
{
    _cleanup_free_ char *word = NULL;
    int r = one_word(s, &word, reterr);

    if (r < 0)
        return r;
    json_object_set_new(s->config, "User", json_string(word));
    buf_printf(out, " %s", word);
    return 0;
}

static int set_stop_signal(struct stage_run *s, struct buf *out, struct err *reterr)
{
    _cleanup_free_ char *word = NULL;
    int r = one_word(s, &word, reterr);

    if (r >= 0)
        r = signal_parse(word, reterr);
    if (r < 0)
        return r;
    json_object_set_new(s->config, "StopSignal", json_string(word));
    buf_printf(out, " %s", word);
    return 0;
}

static int set_healthcheck(struct stage_run *s, struct buf *out, struct err *reterr)
{
    json_t *test;
    int r;

    json_object_del(s->config, "Healthcheck");
    r = changes_apply(s->config, s->ins->original, reterr);
    if (r < 0)
        return r;
    test = json_get(json_get(s->config, "Healthcheck"), "Test");
    put_quoted(out, test);
    return 0;
}

int trigger_check(const struct instruction *ins, struct err *reterr)
{
    if (ins->kind == INS_ONBUILD)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (ins->kind == INS_FROM || ins->kind == INS_MAINTAINER)
        return err_set(reterr, ERR_INVALID, EINVAL, "%s isn't allowed as an ONBUILD trigger",
                       ins->keyword);
    return 0;
}

static int set_onbuild(struct stage_run *s, struct buf *out, struct err *reterr)
{
    struct instruction inner = {.line = s->ins->line};
    _cleanup_free_ char *shown = NULL;
    int r = instruction_parse(s->ins->args, s->build->file.escape, &inner, reterr);

    if (r >= 0)
        r = trigger_check(&inner, reterr);
    instruction_done(&inner);
    if (r < 0)
        return r;
    shown = weburl_redact(s->ins->args);
    json_array_append_new(config_member(s->config, "OnBuild", true), json_string(s->ins->args));
    buf_printf(out, " %s", shown);
    return 0;
}

static int set_maintainer(struct stage_run *s, struct buf *out, struct err *reterr)
{
    (void)reterr;
    free(s->author);
    s->author = xstrdup(s->ins->args);
    buf_printf(out, " %s", s->ins->args);
    return 0;
}

static int set_arg(struct stage_run *s, struct buf *out, struct err *reterr)
{
    struct expander x = stage_expander(s);
    _cleanup_(strv_freep) char **words = NULL;
    int r = words_split(s->ins->args, x.escape, &words, reterr);

    for (size_t i = 0; r >= 0 && words && words[i]; i++) {
        _cleanup_free_ char *word = NULL;
        char *eq;
        json_t *meta;

        r = expand_word(&x, words[i], &word, reterr);
        if (r < 0)
            break;
        eq = strchr(word, '=');
        if (eq == word)
            return err_set(reterr, ERR_INVALID, EINVAL, "ARG names can not be blank");
        buf_printf(out, " %s", word);
        if (eq)
            *eq = '\0';
        meta = json_object_get(s->build->meta, word);
        json_object_set_new(s->args, word,
                            eq     ? json_string(eq + 1)
                            : meta ? json_incref(meta)
                                   : json_null());
        json_object_set_new(s->build->used, word, json_true());
    }
    return r;
}

static config_fn *const setters[] = {
    [INS_ARG] = set_arg,
    [INS_CMD] = set_cmd,
    [INS_ENTRYPOINT] = set_entrypoint,
    [INS_ENV] = set_env,
    [INS_EXPOSE] = set_expose,
    [INS_HEALTHCHECK] = set_healthcheck,
    [INS_LABEL] = set_label,
    [INS_MAINTAINER] = set_maintainer,
    [INS_ONBUILD] = set_onbuild,
    [INS_SHELL] = set_shell,
    [INS_STOPSIGNAL] = set_stop_signal,
    [INS_USER] = set_user,
    [INS_VOLUME] = set_volume,
    [INS_WORKDIR] = NULL,
};

int config_apply(struct stage_run *s, char **ret_comment, struct err *reterr)
{
    _cleanup_buf_ struct buf out = {0};
    int r;

    buf_append_str(&out, s->ins->keyword);
    r = setters[s->ins->kind](s, &out, reterr);
    if (r >= 0)
        *ret_comment = buf_take_str(&out);
    return r;
}
