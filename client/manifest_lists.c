/* manifest create, annotate, push, rm: lists of the images of one name for several platforms, put
 * together here and then pushed through the daemon.  Texts and files are those of Docker's client.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "commands.h"
#include "credentials.h"
#include "csv.h"
#include "json.h"
#include "manifest.h"
#include "manifest_store.h"
#include "str.h"
#include "url.h"

const struct opt manifest_create_opts[] = {
    OPT_BOOL("amend", 'a', struct manifest_create_options, amend,
             "Amend an existing manifest list"),
    OPT_BOOL("insecure", 0, struct manifest_create_options, insecure, MANIFEST_INSECURE_HELP),
    OPT_END,
};

const struct opt manifest_annotate_opts[] = {
    OPT_STRING("arch", 0, struct manifest_annotate_options, arch, "Set architecture"),
    OPT_STRING("os", 0, struct manifest_annotate_options, os, "Set operating system"),
    OPT_LIST("os-features", 0, "strings", struct manifest_annotate_options, features, value_string,
             "Set operating system feature"),
    OPT_STRING("os-version", 0, struct manifest_annotate_options, version,
               "Set operating system version"),
    OPT_STRING("variant", 0, struct manifest_annotate_options, variant, "Set architecture variant"),
    OPT_END,
};

const struct opt manifest_push_opts[] = {
    OPT_BOOL("insecure", 0, struct manifest_push_options, insecure, MANIFEST_INSECURE_HELP),
    OPT_BOOL("purge", 'p', struct manifest_push_options, purge,
             "Remove the local manifest list after push"),
    OPT_END,
};

/* ---- create ---- */

static int add_manifest(struct invocation *inv, const struct reference *list, const char *text,
                        struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_json_ json_t *entry = NULL, *answer = NULL, *document = NULL;
    int r = manifest_ref_parse(text, &ref, reterr);

    if (r < 0)
        return r;
    /* One that is there keeps what it was annotated with. */
    r = manifest_store_get(list, &ref, &entry, reterr);
    if (r >= 0 && json_get_str(entry, "Raw", NULL))
        return 0;
    if (r < 0 && r != -ENOENT)
        return r;
    r = manifest_ask(inv->client, &ref, &answer, reterr);
    if (r < 0)
        return r;
    document = json_loads(json_get_str(answer, "Manifest", ""), 0, NULL);
    if (json_get(document, "manifests")) {
        _cleanup_free_ char *name = reference_canonical(&ref);

        return err_set(reterr, ERR_INVALID, EISDIR, "%s is a manifest list", name);
    }
    json_decref(entry);
    entry = manifest_entry(answer, &ref, json_array_get(json_get(answer, "Platforms"), 0));
    return manifest_store_save(list, &ref, entry, reterr);
}

static int create_list(struct invocation *inv, const struct reference *list, struct err *reterr)
{
    const struct manifest_create_options *o = inv->options;
    _cleanup_free_ char *name = reference_canonical(list);
    _cleanup_json_ json_t *entries = NULL;
    int r = manifest_store_list(list, &entries, reterr);

    if (r >= 0 && !o->amend)
        return err_set(reterr, ERR_CONFLICT, EEXIST,
                       "refusing to amend an existing manifest list with no --amend flag");
    if (r == -ENOENT)
        r = 0;
    for (int i = 1; r >= 0 && i < inv->n_args; i++)
        r = add_manifest(inv, list, inv->args[i], reterr);
    if (r >= 0)
        printf("Created manifest list %s\n", name);
    return r;
}

int cmd_manifest_create(struct invocation *inv)
{
    _cleanup_reference_ struct reference list = {0};
    struct err e;
    int r = manifest_ref_parse(inv->args[0], &list, &e);

    if (r < 0)
        err_wrap(&e, "error parsing name for manifest list %s", inv->args[0]);
    else
        r = create_list(inv, &list, &e);
    return r < 0 ? manifest_fail(inv, &e) : 0;
}

/* ---- annotate ---- */

/* What Docker's client takes (values of GOOS and GOARCH, and linux/s390x). */
static const struct {
    const char *os, *arches; /* with blanks around each */
} known_platforms[] = {
    {"darwin", " 386 amd64 arm arm64 "},
    {"dragonfly", " amd64 "},
    {"freebsd", " 386 amd64 arm "},
    {"linux", " 386 amd64 arm arm64 ppc64le mips64 mips64le riscv64 s390x "},
    {"netbsd", " 386 amd64 arm "},
    {"openbsd", " 386 amd64 arm "},
    {"plan9", " 386 amd64 "},
    {"solaris", " amd64 "},
    {"windows", " 386 amd64 "},
};

static bool is_known(const char *os, const char *arch)
{
    _cleanup_free_ char *word = xasprintf(" %s ", arch);

    for (size_t i = 0; i < ARRAY_SIZE(known_platforms); i++) {
        if (streq(known_platforms[i].os, os))
            return !strchr(arch, ' ') && strstr(known_platforms[i].arches, word);
    }
    return false;
}

static void set_text(json_t *platform, const char *key, const char *value)
{
    if (!str_empty(value))
        json_object_set_new(platform, key, json_string(value));
}

static void add_feature(json_t *list, const char *feature)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        if (json_is_string(item) && streq(json_string_value(item), feature))
            return;
    }
    json_array_append_new(list, json_string(feature));
}

static int add_features(json_t *platform, char *const *values, struct err *reterr)
{
    json_t *list = json_get(platform, "os.features");

    if (values && !json_is_array(list)) {
        list = json_array();
        json_object_set_new(platform, "os.features", list);
    }
    for (; values && *values; values++) {
        _cleanup_(strv_freep) char **features = csv_split(*values);

        if (!features)
            return err_set(reterr, ERR_INVALID, EINVAL,
                           "invalid argument \"%s\" for \"--os-features\" flag", *values);
        for (char **f = features; *f; f++)
            add_feature(list, *f);
    }
    return 0;
}

static int annotate(json_t *entry, const struct manifest_annotate_options *o, struct err *reterr)
{
    json_t *descriptor = json_get(entry, "Descriptor"), *platform;
    int r;

    platform = manifest_platform(json_get(descriptor, "platform"));
    set_text(platform, "os", o->os);
    set_text(platform, "architecture", o->arch);
    set_text(platform, "variant", o->variant);
    set_text(platform, "os.version", o->version);
    r = add_features(platform, o->features, reterr);
    if (r >= 0 &&
        !is_known(json_get_str(platform, "os", ""), json_get_str(platform, "architecture", "")))
        r = err_set(reterr, ERR_INVALID, EINVAL,
                    "manifest entry for image has unsupported os/arch combination: %s/%s",
                    o->os ? o->os : "", o->arch ? o->arch : "");
    json_object_set_new(descriptor, "platform", manifest_platform(platform));
    json_decref(platform);
    return r;
}

static int annotate_in_list(const struct invocation *inv, struct err *reterr)
{
    _cleanup_reference_ struct reference list = {0}, ref = {0};
    _cleanup_json_ json_t *entry = NULL;
    int r = manifest_ref_parse(inv->args[0], &list, reterr);

    if (r < 0)
        return err_wrap(reterr, "annotate: error parsing name for manifest list %s", inv->args[0]);
    r = manifest_ref_parse(inv->args[1], &ref, reterr);
    if (r < 0)
        return err_wrap(reterr, "annotate: error parsing name for manifest %s", inv->args[1]);
    r = manifest_store_get(&list, &ref, &entry, reterr);
    if (r == -ENOENT)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "manifest for image %s does not exist in %s",
                       inv->args[1], inv->args[0]);
    if (r >= 0)
        r = annotate(entry, inv->options, reterr);
    return r < 0 ? r : manifest_store_save(&list, &ref, entry, reterr);
}

int cmd_manifest_annotate(struct invocation *inv)
{
    struct err e;

    return annotate_in_list(inv, &e) < 0 ? manifest_fail(inv, &e) : 0;
}

/* ---- push ---- */

/* from: the repository that an image's blobs are in, or NULL.  The digest is the caller's. */
static int put(struct client *client, const struct reference *ref, const char *text,
               const char *from, char **ret_digest, struct err *reterr)
{
    _cleanup_free_ char *repository = reference_repository(ref), *name = reference_canonical(ref),
                        *header = credentials_header(repository),
                        *url = url_format("/distribution/%s/manifest", name);
    _cleanup_json_ json_t *body = json_pack("{s:s,s:s*}", "Manifest", text, "From", from),
                          *answer = NULL;
    struct request req = {.method = "POST", .path = url, .json = body, .header = header};
    int r = client_call(client, &req, &answer, reterr);

    if (r >= 0)
        *ret_digest = xstrdup(json_get_str(answer, "digest", ""));
    return r;
}

/* The text that the digest is of: kept, or asked for once more (clients before 23 kept none). */
static int entry_text(struct client *client, const json_t *entry, const struct reference *source,
                      char **ret, struct err *reterr)
{
    const char *raw = json_get_str(entry, "Raw", NULL);
    _cleanup_json_ json_t *answer = NULL;
    struct reference ref = *source;
    int r;

    *ret = raw ? base64_decode(raw, NULL) : NULL;
    if (*ret)
        return 0;
    ref.tag = NULL;
    ref.digest = (char *)json_get_str(json_get(entry, "Descriptor"), "digest", "");
    r = manifest_ask(client, &ref, &answer, reterr);
    if (r >= 0)
        *ret = xstrdup(json_get_str(answer, "Manifest", ""));
    return r;
}

/* An image of another repository comes into the list's own. */
static int push_entry(struct client *client, const json_t *entry, const struct reference *target,
                      struct err *reterr)
{
    _cleanup_reference_ struct reference source = {0};
    struct reference ref = {.domain = target->domain, .path = target->path};
    _cleanup_free_ char *from = NULL, *text = NULL, *name = NULL, *digest = NULL;
    int r = reference_parse(json_get_str(entry, "Ref", ""), &source, reterr);

    if (r < 0 || streq(source.path, target->path))
        return r;
    ref.digest = (char *)json_get_str(json_get(entry, "Descriptor"), "digest", "");
    name = reference_canonical(&ref);
    from = reference_repository(&source);
    r = entry_text(client, entry, &source, &text, reterr);
    if (r >= 0)
        r = put(client, &ref, text, from, &digest, reterr);
    if (r >= 0)
        printf("Pushed ref %s with digest: %s\n", name, digest);
    return r;
}

static int check_entry(const json_t *entry, struct err *reterr)
{
    const json_t *descriptor = json_get(entry, "Descriptor"),
                 *platform = json_get(descriptor, "platform");
    const char *ref = json_get_str(entry, "Ref", "");

    if (!*json_get_str(platform, "architecture", "") || !*json_get_str(platform, "os", ""))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "manifest %s must have an OS and Architecture to be pushed to a registry",
                       ref);
    if (!reference_digest_valid(json_get_str(descriptor, "digest", "")))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "digest parse of image \"%s\" failed: invalid checksum digest format", ref);
    return 0;
}

static int push_list(struct invocation *inv, const struct reference *target, const json_t *entries,
                     struct err *reterr)
{
    _cleanup_free_ char *text = NULL, *name = reference_canonical(target), *digest = NULL;
    json_t *entry;
    size_t i;
    int r = 0;

    if (json_array_size(entries) == 0)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "%s not found", name);
    json_array_foreach (entries, i, entry) {
        r = check_entry(entry, reterr);
        if (r < 0)
            return r;
    }
    r = manifest_list_text(entries, target, &text, reterr);
    json_array_foreach (entries, i, entry) {
        if (r >= 0)
            r = push_entry(inv->client, entry, target, reterr);
    }
    if (r >= 0)
        r = put(inv->client, target, text, NULL, &digest, reterr);
    if (r >= 0)
        printf("%s\n", digest);
    return r;
}

int cmd_manifest_push(struct invocation *inv)
{
    const struct manifest_push_options *o = inv->options;
    _cleanup_reference_ struct reference target = {0};
    _cleanup_json_ json_t *entries = NULL;
    struct err e;
    int r = manifest_ref_parse(inv->args[0], &target, &e);

    if (r >= 0)
        r = manifest_store_list(&target, &entries, &e);
    if (r >= 0)
        r = push_list(inv, &target, entries, &e);
    if (r >= 0 && o->purge)
        r = manifest_store_remove(&target, &e);
    return r < 0 ? manifest_fail(inv, &e) : 0;
}

/* ---- rm ---- */

static int remove_list(const char *text, struct err *reterr)
{
    _cleanup_reference_ struct reference list = {0};
    _cleanup_json_ json_t *entries = NULL;
    int r = manifest_ref_parse(text, &list, reterr);

    if (r >= 0)
        r = manifest_store_list(&list, &entries, reterr);
    return r < 0 ? r : manifest_store_remove(&list, reterr);
}

int cmd_manifest_rm(struct invocation *inv)
{
    int status = 0;

    for (int i = 0; i < inv->n_args; i++) {
        struct err e;

        if (remove_list(inv->args[i], &e) < 0) {
            cli_print_error(&e);
            status = 1;
        }
    }
    return status;
}
