/* What COPY and ADD name: in the context, in an image or another stage, in the Dockerfile itself,
 * at a URL. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "build_copy.h"
#include "fd.h"
#include "image.h"
#include "url_file.h"
#include "weburl.h"

#define MODE_DIGITS 5

/* ---- from elsewhere ---- */

static bool is_number(const char *s)
{
    return strspn(s, "0123456789") == strlen(s);
}

/* Some texts repeat what the Dockerfile says: not the password in it. */
static struct err *err_failed(const struct stage_run *s, struct err *e)
{
    _cleanup_free_ char *text = weburl_redact(e->message);

    snprintf(e->message, sizeof(e->message), "%s failed: %s", s->ins->keyword, text);
    return e;
}

/* The image that --from names. */
static int source_image(struct stage_run *s, const char *from, char **ret, struct err *reterr)
{
    struct build *b = s->build;
    int i = build_stages_index(&b->stages, s->index, from);
    struct image *img;
    int r;

    if (i >= 0 && !*b->runs[i].image)
        return err_set(reterr, ERR_INVALID, ENOENT, "stage %s has no files", from);
    if (i >= 0) {
        *ret = xstrdup(b->runs[i].image);
        return 0;
    }
    if (is_number(from))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid from flag value %s: refers to current build stage or a later one",
                       from);
    r = images_lookup(b->engine->images, from, &img, reterr);
    if (r < 0)
        return err_wrap(reterr, "invalid from flag value %s", from);
    *ret = xstrdup(img->id);
    image_unref(img);
    return 0;
}

static int pick_from(struct stage_run *s, const char *from, struct err *reterr);

/* It is here now. */
static void image_pulled(struct stage_run *s)
{
    struct err e;

    s->copy->pulled = true;
    if (pick_from(s, instruction_flag(s->ins, "from"), &e) < 0)
        step_failed(s, err_failed(s, &e));
}

static int pick_from(struct stage_run *s, const char *from, struct err *reterr)
{
    int stage = build_stages_index(&s->build->stages, s->index, from), r;
    _cleanup_free_ char *image = NULL;
    bool pull = stage < 0 && !s->copy->pulled;

    r = stage >= 0 ? stage_need(s->build, (size_t)stage, reterr) : 0;
    if (r < 0)
        return r;
    if (stage >= 0 && !stage_await(s, (size_t)stage, copy_step))
        return 0;
    s->copy->from = true;
    r = pull && build_option(s->build, "pull") && !is_number(from)
            ? -ENOENT
            : source_image(s, from, &image, reterr);
    if (r == -ENOENT && pull)
        return stage_pull(s, from, NULL, image_pulled, reterr);
    return r < 0 ? r : copy_pick_image(s, image, reterr);
}

/* ---- names ---- */

/* A pattern that only this name matches: sources are patterns. */
static char *quote(const char *name)
{
    _cleanup_buf_ struct buf b = {0};

    for (; *name; name++) {
        bool special = strchr("*?[\\", *name) != NULL;

        buf_append_str(&b, !special ? "" : *name == '\\' ? "[\\" : "[");
        buf_append(&b, name, 1);
        buf_append_str(&b, special ? "]" : "");
    }
    return xstrndup(buf_head(&b), buf_size(&b));
}

/* ---- here-documents: files in a directory of their own ---- */

static int write_heredoc(struct stage_run *s, int dir, const struct heredoc *h, struct err *reterr)
{
    struct expander x = stage_expander(s);
    _cleanup_free_ char *text = NULL;
    _cleanup_close_ int fd = -EBADF;
    int r = 0;

    x.text = true;
    if (h->expand)
        r = expand_word(&x, h->content, &text, reterr);
    if (r < 0)
        return r;
    if (!str_is_filename(h->name))
        return err_set(reterr, ERR_INVALID, EINVAL, "%s is no name for a file", h->name);
    fd = openat(dir, h->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    r = fd < 0 ? -errno
               : fd_write_all(fd, text ? text : h->content, strlen(text ? text : h->content));
    return r < 0 ? err_sys(reterr, -r, "write %s", h->name) : 0;
}

static int pick_heredocs(struct stage_run *s, struct err *reterr)
{
    _cleanup_free_ char *name = build_file(s->build, "here");
    _cleanup_close_ int plan = build_plan_dir(s->build, name, reterr), dir = -EBADF;
    struct copy *c = s->copy;
    int r = plan;

    if (r < 0)
        return r;
    if (strv_len(c->sources) != s->ins->n_heredocs)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "here-documents and files in one %s are not supported", s->ins->keyword);
    dir = openat(s->build->stage.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return err_sys(reterr, errno, "open %s", name);
    strv_free(TAKE_PTR(c->sources));
    for (size_t i = 0; r >= 0 && i < s->ins->n_heredocs; i++) {
        _cleanup_free_ char *pattern = quote(s->ins->heredocs[i].name);

        r = write_heredoc(s, dir, &s->ins->heredocs[i], reterr);
        c->sources = strv_append(c->sources, pattern);
    }
    return r < 0 ? r : copy_pick(s, plan, reterr);
}

/* ---- URLs: files in a directory of their own, each in one of its own ---- */

static void fetch_next(struct stage_run *s);

static void on_progress(void *arg, json_t *obj)
{
    struct stage_run *s = arg;

    if (!build_option(s->build, "quiet"))
        stage_output(s, json_incref(obj));
}

static void on_fetched(void *arg, const struct err *err)
{
    struct stage_run *s = arg;
    struct err e;

    s->fetch = NULL;
    if (!build_release(s->build))
        return;
    if (err) {
        e = *err;
        step_failed(s, err_failed(s, &e));
        return;
    }
    s->copy->fetched++;
    fetch_next(s);
}

/* A file for the URL, below the directory; the source is then that file. */
static int open_url(struct stage_run *s, const char *url, struct err *reterr)
{
    struct copy *c = s->copy;
    _cleanup_free_ char *name = url_file_name(url);
    _cleanup_free_ char *dir = xasprintf("%s/%zu", c->dir, c->fetched), *shown = weburl_show(url);
    _cleanup_free_ char *path = NULL, *pattern = NULL;
    int fd;

    if (!name && (str_ends(c->dest, "/") || c->sources[1]))
        return err_set(reterr, ERR_INVALID, EINVAL, "cannot determine filename from url: %s",
                       shown);
    if (!name)
        name = xstrdup("download");
    path = xasprintf("%s/%s", dir, name);
    if (mkdirat(s->build->stage.fd, dir, 0755) < 0)
        return err_sys(reterr, errno, "mkdir %s", dir);
    fd = openat(s->build->stage.fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                0600);
    if (fd < 0)
        return err_sys(reterr, errno, "create %s", path);
    free(c->sources[c->fetched]);
    pattern = quote(name);
    c->sources[c->fetched] = xasprintf("/%zu/%s", c->fetched, pattern);
    return fd;
}

static int fetch(struct stage_run *s, struct err *reterr)
{
    struct url_file_callbacks cb = {.arg = s, .progress = on_progress, .done = on_fetched};
    _cleanup_free_ char *url = xstrdup(s->copy->sources[s->copy->fetched]);
    int fd = open_url(s, url, reterr);

    if (fd < 0)
        return fd;
    s->fetch = url_file_fetch(s->build->engine->images, url, fd,
                              s->build->engine->config.build_download_max, &cb, reterr);
    if (!s->fetch)
        return -EINVAL;
    build_hold(s->build);
    return 0;
}

static void fetch_next(struct stage_run *s)
{
    struct copy *c = s->copy;
    struct err e;

    if ((c->sources[c->fetched] ? fetch(s, &e) : copy_pick(s, c->plan, &e)) < 0)
        step_failed(s, err_failed(s, &e));
}

static int pick_urls(struct stage_run *s, struct err *reterr)
{
    struct copy *c = s->copy;

    c->dir = build_file(s->build, "url");
    c->plan = build_plan_dir(s->build, c->dir, reterr);
    return c->plan < 0 ? c->plan : fetch(s, reterr);
}

/* ---- the arguments ---- */

/* Absolute and clean; a directory's slash stays. */
char *copy_dest_path(const struct stage_run *s, const char *text)
{
    const char *dir = json_get_str(s->config, "WorkingDir", "/");
    _cleanup_free_ char *full = *text == '/' ? xstrdup(text) : xasprintf("/%s/%s", dir, text);
    _cleanup_free_ char *clean = path_clean(full);
    bool slash = str_ends(text, "/") || streq(text, ".") || str_ends(text, "/.");

    return xasprintf("%s%s", clean, slash && !str_ends(clean, "/") ? "/" : "");
}

static int arguments(struct stage_run *s, char ***ret, struct err *reterr)
{
    struct expander x = stage_expander(s);
    _cleanup_(strv_freep) char **raw = NULL, **out = NULL;
    int r = 0;

    if (!s->ins->is_json)
        r = words_split(s->ins->args, x.escape, &raw, reterr);
    for (size_t i = 0; r >= 0; i++) {
        char **list = s->ins->is_json ? s->ins->json : raw;
        _cleanup_free_ char *word = NULL;

        if (!list || !list[i])
            break;
        r = expand_word(&x, list[i], &word, reterr);
        if (r >= 0)
            out = strv_append(out, word);
    }
    if (r >= 0 && strv_len(out) < 2)
        r = err_set(reterr, ERR_INVALID, EINVAL,
                    "dockerfile parse error line %u: %s requires at least two arguments, but only "
                    "one was provided. Destination could not be determined.",
                    s->ins->line, s->ins->keyword);
    if (r >= 0)
        *ret = TAKE_PTR(out);
    return r;
}

static int check_source(const char *source, struct err *reterr)
{
    _cleanup_free_ char *clean = path_clean(source);

    if (streq(clean, "..") || str_starts(clean, "../"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "forbidden path outside the build context: %s ()", source);
    return 0;
}

static bool is_url(const char *s)
{
    return str_starts(s, "http://") || str_starts(s, "https://");
}

static int flag_word(struct stage_run *s, const char *name, char **ret, struct err *reterr)
{
    struct expander x = stage_expander(s);
    const char *value = instruction_flag(s->ins, name);

    return str_empty(value) ? 0 : expand_word(&x, value, ret, reterr);
}

static int check_mode(const char *mode, struct err *reterr)
{
    if (mode && (strspn(mode, "01234567") != strlen(mode) || strlen(mode) > MODE_DIGITS ||
                 strtoul(mode, NULL, 8) > 07777))
        return err_set(
            reterr, ERR_INVALID, EINVAL,
            "invalid chmod parameter: '%s'. it should be octal string and between 0 and 07777",
            mode);
    return 0;
}

static int take_arguments(struct stage_run *s, struct copy *c, struct err *reterr)
{
    static const char *const flags[] = {"from", "chown", "chmod", "link", NULL};
    _cleanup_(strv_freep) char **words = NULL;
    size_t n, urls = 0;
    int r = instruction_check_flags(s->ins, s->ins->kind == INS_COPY ? flags : flags + 1, reterr);

    if (r >= 0)
        r = arguments(s, &words, reterr);
    if (r >= 0)
        r = flag_word(s, "chown", &c->owner, reterr);
    if (r >= 0)
        r = flag_word(s, "chmod", &c->mode, reterr);
    if (r >= 0)
        r = check_mode(c->mode, reterr);
    if (r < 0)
        return r;
    n = strv_len(words);
    c->dest = copy_dest_path(s, words[n - 1]);
    c->shown = xstrdup(words[n - 1]);
    for (size_t i = 0; r >= 0 && i + 1 < n; i++) {
        if (is_url(words[i]) && s->ins->kind == INS_COPY)
            r = err_set(reterr, ERR_INVALID, EINVAL, "source can't be a URL for COPY");
        else if (is_url(words[i]))
            urls++;
        else if (!instruction_flag(s->ins, "from"))
            r = check_source(words[i], reterr);
        c->sources = strv_append(c->sources, words[i]);
    }
    c->urls = urls > 0;
    if (r >= 0 && c->urls && urls != strv_len(c->sources))
        r = err_set(reterr, ERR_NOT_IMPLEMENTED, ENOSYS,
                    "URLs and files in one ADD are not supported: use one ADD for each");
    return r;
}

void copy_step(struct stage_run *s)
{
    const char *from = instruction_flag(s->ins, "from");
    struct err e;
    int r;

    copy_done(s);
    s->copy = xcalloc(1, sizeof(*s->copy));
    s->copy->plan = -EBADF;
    r = take_arguments(s, s->copy, &e);
    if (r >= 0 && s->ins->n_heredocs > 0)
        r = pick_heredocs(s, &e);
    else if (r >= 0 && s->copy->urls)
        r = pick_urls(s, &e);
    else if (r >= 0)
        r = from ? pick_from(s, from, &e) : copy_pick(s, s->build->context_plan, &e);
    if (r < 0)
        step_failed(s, err_failed(s, &e));
}
