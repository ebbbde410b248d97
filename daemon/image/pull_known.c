/* The short way of a pull: a HEAD tells whether the tag still stands for what we have.  Registries
 * count it less than a manifest, or not at all. */
#include <stdio.h>

#include "blob_rows.h"
#include "json.h"
#include "pull_impl.h"

/* Are all its layers in the store?  What fsck found broken comes again. */
static bool is_whole(struct images *im, const char *id)
{
    _cleanup_(image_unrefp) struct image *img = NULL;
    const json_t *diff_ids;

    if (images_get(im, id, &img, NULL) < 0)
        return false;
    diff_ids = json_get(json_get(img->config, "rootfs"), "diff_ids");
    for (size_t i = 0; i < img->n_layers; i++) {
        const char *diff_id = json_string_value(json_array_get(diff_ids, i));
        struct load_layer l = {0};

        if (!diff_id || !str_starts(diff_id, DIGEST_SHA256))
            return false;
        snprintf(l.chain_id, sizeof(l.chain_id), "%s", img->chain_ids[i]);
        snprintf(l.diff_id, sizeof(l.diff_id), "%s", diff_id + strlen(DIGEST_SHA256));
        if (images_has_layer(im, &l, NULL) <= 0)
            return false;
    }
    return true;
}

/* What the tag stands for here, if it came from a registry. */
static bool is_known(struct pull_one *p, char ret_id[ID_LEN + 1])
{
    _cleanup_free_ char *canonical = reference_canonical(&p->ref);
    _cleanup_(strv_freep) char **digests = NULL;

    return p->ref.tag && !p->platform_given && db_tag_get(p->im->db, canonical, ret_id, NULL) > 0 &&
           db_repo_digest_list(p->im->db, ret_id, &digests, NULL) >= 0 && digests &&
           is_whole(p->im, ret_id);
}

static bool is_the_same(struct pull_one *p, const char *header)
{
    _cleanup_free_ char *repository = xasprintf("%s/%s", p->ref.domain, p->ref.path);
    char tagged[ID_LEN + 1], named[ID_LEN + 1];

    return header && reference_digest_valid(header) && is_known(p, tagged) &&
           db_repo_digest_get(p->im->db, repository, header + strlen(DIGEST_SHA256), named, NULL) >
               0 &&
           streq(tagged, named);
}

static void on_head(void *arg, struct remote_call *c, const struct err *err)
{
    struct pull_one *p = arg;
    const char *header = err ? NULL : remote_header(c, "Docker-Content-Digest");

    p->call = NULL;
    if (!is_the_same(p, header)) {
        pull_get_manifest(p);
        return;
    }
    memcpy(p->digest, header + strlen(DIGEST_SHA256), sizeof(p->digest));
    pull_say_from(p);
    p->cb.done(p->cb.arg, p->digest, false, NULL);
    pull_one_free(p);
}

int pull_known_start(struct pull_one *p, struct err *reterr)
{
    struct remote_callbacks cb = {.arg = p, .done = on_head};
    _cleanup_free_ char *path = NULL;
    char id[ID_LEN + 1];
    int r;
    struct remote_options o = {.method = "HEAD",
                               .headers = (char **)pull_accept_headers,
                               .limit = REGISTRY_ERROR_MAX,
                               .body_size = -1,
                               .once = true};

    if (!is_known(p, id))
        return 0;
    path = xasprintf("manifests/%s", p->ref.tag);
    o.path = path;
    r = remote_start(p->remote, &o, &cb, &p->call, reterr);
    return r < 0 ? r : 1;
}
