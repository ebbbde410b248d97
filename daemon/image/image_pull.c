/* docker pull: one name, one tag or all of them. */
#include "image_pull.h"

#include <errno.h>
#include <stdio.h>

#include "json.h"
#include "pull.h"

#define TAGS_MAX 10000
#define TAGS_PAGE_MAX ((size_t)4 << 20)
#define TAGS_PAGES_MAX 1000

struct image_pull {
    struct images *im;
    struct image_pull *next, **prev_next;
    struct image_job_callbacks cb;
    struct remote *remote; /* owned */
    struct reference ref;  /* owned; domain and path */
    char *platform;        /* owned, may be NULL */
    char **tags;           /* owned; what is to be pulled */
    size_t at;
    unsigned pages;
    struct remote_call *call; /* for the list of tags */
    struct pull_one *one;
    bool newer; /* some tag was */
};

static void pull_free(struct image_pull *p)
{
    *p->prev_next = p->next;
    if (p->next)
        p->next->prev_next = p->prev_next;
    remote_unref(p->remote);
    reference_done(&p->ref);
    free(p->platform);
    strv_free(p->tags);
    free(p);
}

static void finish(struct image_pull *p, const struct err *err)
{
    p->cb.done(p->cb.arg, err);
    pull_free(p);
}

static void say(struct image_pull *p, json_t *status)
{
    _cleanup_json_ json_t *o = json_pack("{s:o}", "status", status);

    p->cb.progress(p->cb.arg, o);
}

/* ---- one after the other ---- */

static void next_tag(struct image_pull *p);

static void say_end(struct image_pull *p)
{
    _cleanup_free_ char *name = reference_familiar_name(&p->ref);
    bool one = strv_len(p->tags) == 1;
    const char *tag = p->tags[0];

    say(p, json_sprintf("Status: %s for %s%s%s",
                        p->newer ? "Downloaded newer image" : "Image is up to date", name,
                        !one                          ? ""
                        : reference_digest_valid(tag) ? "@"
                                                      : ":",
                        one ? tag : ""));
}

static void on_progress(void *arg, json_t *obj)
{
    struct image_pull *p = arg;

    p->cb.progress(p->cb.arg, obj);
}

static void on_one_done(void *arg, const char *digest, bool newer, const struct err *err)
{
    struct image_pull *p = arg;

    p->one = NULL;
    if (err) {
        finish(p, err);
        return;
    }
    p->newer = p->newer || newer;
    say(p, json_sprintf("Digest: " DIGEST_SHA256 "%s", digest));
    p->at++;
    next_tag(p);
}

static int start_one(struct image_pull *p, struct err *reterr)
{
    struct pull_one_callbacks cb = {.arg = p, .progress = on_progress, .done = on_one_done};

    return pull_one_start(p->im, p->remote, p->tags[p->at], p->platform, &cb, &p->one, reterr);
}

static void next_tag(struct image_pull *p)
{
    struct err e;

    if (!p->tags[p->at]) {
        say_end(p);
        finish(p, NULL);
    } else if (start_one(p, &e) < 0) {
        finish(p, &e);
    }
}

/* ---- all tags ---- */

static int list_tags(struct image_pull *p, const char *url, struct err *reterr);

static int take_tags(struct image_pull *p, const struct remote_call *c, struct err *reterr)
{
    size_t len, i;
    const char *body = remote_body(c, &len);
    _cleanup_json_ json_t *doc = json_loadb(body, len, 0, NULL);
    const json_t *list = json_get(doc, "tags"), *item;
    size_t n = strv_len(p->tags);

    if (!json_is_object(doc) || (list && !json_is_array(list)) ||
        n + json_array_size(list) > TAGS_MAX)
        return err_set(reterr, ERR_UNAVAILABLE, EBADMSG,
                       "the registry's list of tags is malformed or too long");
    json_array_foreach (list, i, item) {
        const char *tag = json_is_string(item) ? json_string_value(item) : "";

        if (!reference_tag_valid(tag))
            return err_set(reterr, ERR_UNAVAILABLE, EBADMSG, "the registry lists an invalid tag");
        p->tags = strv_append(p->tags, tag);
    }
    return 0;
}

static void on_tags(void *arg, struct remote_call *c, const struct err *err)
{
    struct image_pull *p = arg;
    _cleanup_free_ char *name = reference_familiar_name(&p->ref), *more = NULL;
    struct err e;
    int r;

    p->call = NULL;
    if (err) {
        e = *err;
        if (e.kind == ERR_NOT_FOUND || streq(remote_code(c), "DENIED"))
            err_set(&e, ERR_NOT_FOUND, ENOENT,
                    "pull access denied for %s, repository does not exist or may require 'docker "
                    "login': %s",
                    name, err->message);
        finish(p, &e);
        return;
    }
    r = take_tags(p, c, &e);
    more = remote_next_page(c);
    if (r >= 0 && more && ++p->pages < TAGS_PAGES_MAX) {
        r = list_tags(p, more, &e);
        if (r >= 0)
            return;
    }
    if (r >= 0 && !p->tags)
        r = err_set(&e, ERR_NOT_FOUND, ENOENT, "repository %s has no tags", name);
    if (r < 0)
        finish(p, &e);
    else
        next_tag(p);
}

static int list_tags(struct image_pull *p, const char *url, struct err *reterr)
{
    struct remote_callbacks cb = {.arg = p, .done = on_tags};
    struct remote_options o = {.method = "GET",
                               .path = url ? NULL : "tags/list",
                               .url = url,
                               .limit = TAGS_PAGE_MAX,
                               .body_size = -1};

    return remote_start(p->remote, &o, &cb, &p->call, reterr);
}

/* ---- */

/* name and tag of the request to a domain, a path and what is asked for there ("": all tags). */
static int parse(const struct image_pull_options *opt, struct reference *ret, struct err *reterr)
{
    _cleanup_free_ char *name = xstrdup(opt->name);
    size_t n = strlen(name);
    struct platform platform;
    int r;

    /* "pull -a" of old clients: a name that ends with the separator. */
    if (n > 1 && name[n - 1] == ':')
        name[n - 1] = '\0';
    r = reference_parse(name, ret, reterr);
    if (r < 0)
        return r;
    if (!str_empty(opt->tag)) {
        bool digest = strchr(opt->tag, ':');

        if (digest ? !reference_digest_valid(opt->tag) : !reference_tag_valid(opt->tag))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid reference format");
        free(TAKE_PTR(ret->tag));
        free(TAKE_PTR(ret->digest));
        *(digest ? &ret->digest : &ret->tag) = xstrdup(opt->tag);
    }
    return platform_parse(opt->platform, &platform, reterr);
}

struct image_pull *images_pull(struct images *im, const struct image_pull_options *opt,
                               const struct image_job_callbacks *cb, struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    struct image_pull *p;
    int r;

    if (im->closing) {
        err_set(reterr, ERR_UNAVAILABLE, ESHUTDOWN, "the daemon is shutting down");
        return NULL;
    }
    if (parse(opt, &ref, reterr) < 0)
        return NULL;
    p = xcalloc(1, sizeof(*p));
    p->im = im;
    p->cb = *cb;
    p->remote = remote_new(im->registry, ref.domain, ref.path, "pull", opt->auth);
    p->platform = str_empty(opt->platform) ? NULL : xstrdup(opt->platform);
    p->next = im->pulls;
    p->prev_next = &im->pulls;
    if (p->next)
        p->next->prev_next = &p->next;
    im->pulls = p;
    /* With both, the digest decides. */
    if (ref.digest || ref.tag)
        p->tags = strv_append(NULL, ref.digest ? ref.digest : ref.tag);
    p->ref = ref;
    ref = (struct reference){0};
    r = p->tags ? start_one(p, reterr) : list_tags(p, NULL, reterr);
    if (r >= 0)
        return p;
    pull_free(p);
    return NULL;
}

void image_pull_cancel(struct image_pull *p)
{
    if (p->call)
        remote_cancel(p->call);
    if (p->one)
        pull_one_cancel(p->one);
    pull_free(p);
}

void image_pulls_cancel(struct images *im)
{
    while (im->pulls)
        image_pull_cancel(im->pulls);
}
