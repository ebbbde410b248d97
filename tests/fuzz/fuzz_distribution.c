/* What a registry serves: manifests, indexes and configs of images, and what its answers say.
 *
 * The input is four texts separated by lines of "--": the content type, the manifest or index, the
 * platform to choose from an index, the config. */
#include "digest.h"
#include "fuzz.h"
#include "image_private.h"
#include "manifest.h"
#include "platform.h"
#include "registry_manifest.h"
#include "remote_impl.h"

#define TEXTS 4

static void split(char *input, const char *texts[TEXTS])
{
    for (size_t i = 0; i < TEXTS; i++) {
        char *end = input ? strstr(input, "\n--\n") : NULL;

        texts[i] = input ? input : "";
        if (end)
            *end = '\0';
        input = end ? end + 4 : NULL;
    }
}

/* It goes to a terminal. */
static void check_message(const struct err *e)
{
    promise(*e->message);
    for (const char *c = e->message; *c; c++)
        promise((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void check_descriptor(const struct descriptor *d)
{
    promise(str_is_hex(d->digest, ID_LEN));
    promise(d->size >= 0 && strlen(d->media_type) < MEDIA_TYPE_MAX);
}

static void fuzz_manifest(const char *const texts[TEXTS])
{
    struct registry_manifest m = {0};
    struct descriptor child;
    struct platform want;
    struct err e;

    if (registry_manifest_parse(texts[1], strlen(texts[1]), texts[0], &m, &e) < 0) {
        promise(e.kind == ERR_INVALID);
        check_message(&e);
        return;
    }
    promise(strlen(m.media_type) < MEDIA_TYPE_MAX);
    if (!m.index) {
        check_descriptor(&m.config);
        for (size_t i = 0; i < m.n_layers; i++)
            check_descriptor(&m.layers[i]);
    } else if (platform_parse(texts[2], &want, &e) == 0 &&
               registry_manifest_choose(&m, &want, &child, &e) == 0) {
        check_descriptor(&child);
    }
    registry_manifest_done(&m);
}

/* For any number of layers that a manifest may have. */
static void fuzz_config(const char *text)
{
    for (size_t n = 0; n < 4; n++) {
        struct load_plan plan = {0};
        struct load_image *img = load_plan_add(&plan);
        struct err e;

        if (load_image_set_config(img, xstrdup(text), strlen(text), n, &e) == 0) {
            char id[ID_LEN + 1];

            digest_sha256(text, strlen(text), id);
            promise(streq(id, img->id) && img->n_layers == n);
            for (size_t i = 0; i < n; i++)
                promise(str_is_hex(img->layers[i].chain_id, ID_LEN));
        }
        load_plan_done(&plan);
    }
}

static void fuzz_answer(const char *header, const char *body)
{
    static const int statuses[] = {400, 401, 404, 418, 429, 503};
    _cleanup_free_ char *next = link_next(header);
    struct err e;
    char code[64];

    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        answer_error(statuses[i], body, strlen(body), NULL, code, &e);
        check_message(&e);
    }
    promise(answer_retry_after(header) >= -1);
    promise(content_range_start(header) >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *input = fuzz_text(data, size);
    const char *texts[TEXTS];

    split(input, texts);
    fuzz_manifest(texts);
    fuzz_config(texts[3]);
    fuzz_answer(texts[0], texts[1]);
    return 0;
}
