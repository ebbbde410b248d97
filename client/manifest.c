/* manifest inspect: what a registry has under a name, or a list that is being put together here.
 * The daemon asks, with its own certificates, mirrors and idea of which registries are insecure. */
#include "manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "commands.h"
#include "credentials.h"
#include "inspect.h"
#include "json.h"
#include "manifest_store.h"
#include "str.h"
#include "url.h"

#define TAB 0         /* of json_text_indent(): one of these a level */
#define LIST_INDENT 3 /* what the library that makes lists for Docker's client has */
#define DAEMON_PREFIX "Error response from daemon: "
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"

const struct opt manifest_inspect_opts[] = {
    OPT_BOOL("insecure", 0, struct manifest_options, insecure, MANIFEST_INSECURE_HELP),
    OPT_BOOL("verbose", 'v', struct manifest_options, verbose,
             "Output additional info including layers and platform"),
    OPT_END,
};

/* ---- names and texts ---- */

char *manifest_json(const json_t *v)
{
    _cleanup_free_ char *text = json_dumps(v, JSON_COMPACT);
    struct buf b = {0};

    /* They can only be inside of strings. */
    for (const char *p = text; *p; p++) {
        if (*p == '<' || *p == '>' || *p == '&')
            buf_printf(&b, "\\u%04x", (unsigned)*p);
        else
            buf_append(&b, p, 1);
    }
    return buf_take_str(&b);
}

static char *indented(const char *json, int indent)
{
    struct buf b = {0};

    json_text_indent(json, indent, 0, &b);
    return buf_take_str(&b);
}

static void print_indented(const json_t *v)
{
    _cleanup_free_ char *text = manifest_json(v), *out = indented(text, TAB);

    printf("%s\n", out);
}

int manifest_ref_parse(const char *text, struct reference *ret, struct err *reterr)
{
    int r = reference_parse(text, ret, reterr);

    if (r >= 0)
        reference_tag_default(ret);
    return r;
}

int manifest_fail(const struct invocation *inv, struct err *e)
{
    if (str_starts(e->message, DAEMON_PREFIX))
        memmove(e->message, e->message + strlen(DAEMON_PREFIX),
                strlen(e->message + strlen(DAEMON_PREFIX)) + 1);
    return cli_fail(inv, e);
}

/* What a registry or a file says may be none. */
static int print_document(const json_t *document, const struct reference *ref, struct err *reterr)
{
    _cleanup_free_ char *name = NULL;

    if (document) {
        print_indented(document);
        return 0;
    }
    name = reference_canonical(ref);
    return err_set(reterr, ERR_INVALID, EBADMSG, "%s has no payload", name);
}

/* ---- asking ---- */

int manifest_ask(struct client *client, const struct reference *ref, json_t **ret,
                 struct err *reterr)
{
    _cleanup_free_ char *repository = reference_repository(ref), *shown = reference_canonical(ref),
                        *header = credentials_header(repository),
                        *name = xasprintf("%s%s%s", repository, ref->digest ? "@" : ":",
                                          ref->digest ? ref->digest : ref->tag),
                        *url = url_format("/distribution/%s/json", name);
    struct request req = {.method = "GET", .header = header};
    struct err e;
    int r;

    url_add_bool(&url, "manifest", true);
    req.path = url;
    r = client_call(client, &req, ret, &e);
    if (r < 0 && (e.kind == ERR_UNAUTHORIZED || e.kind == ERR_NOT_FOUND))
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "no such manifest: %s", shown);
    if (r < 0 && reterr)
        *reterr = e;
    if (r < 0)
        return r;
    if (json_get_str(*ret, "Manifest", NULL))
        return 0;
    json_decref(*ret);
    *ret = NULL;
    return err_set(reterr, ERR_NOT_IMPLEMENTED, ENOTSUP,
                   "this daemon does not tell what a registry answers");
}

json_t *manifest_platform(const json_t *platform)
{
    static const char *const keys[] = {"architecture", "os", "os.version", "os.features",
                                       "variant"};
    json_t *out = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        json_t *v = json_get(platform, keys[i]);

        if (v && !(json_is_string(v) && *json_string_value(v) == '\0' && i > 1))
            json_object_set(out, keys[i], v);
    }
    return out;
}

/* ---- lists ---- */

static json_t *list_entry(const json_t *descriptor)
{
    json_t *one = json_object();

    json_object_set(one, "mediaType", json_get(descriptor, "mediaType"));
    json_object_set(one, "size", json_get(descriptor, "size"));
    json_object_set(one, "digest", json_get(descriptor, "digest"));
    json_object_set_new(one, "platform", manifest_platform(json_get(descriptor, "platform")));
    return one;
}

/* As Docker's client makes it: anew, of what the entries and it understand.  Steals manifests. */
static char *list_text(const char *media_type, json_t *manifests)
{
    _cleanup_json_ json_t *out = json_object();
    _cleanup_free_ char *text = NULL;

    json_object_set_new(out, "schemaVersion", json_integer(2));
    json_object_set_new(out, "mediaType", json_string(media_type));
    json_object_set_new(out, "manifests", manifests);
    text = manifest_json(out);
    return indented(text, LIST_INDENT);
}

static int check_registry(const json_t *entry, const struct reference *target, struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    int r = reference_parse(json_get_str(entry, "Ref", ""), &ref, reterr);

    if (r >= 0 && !streq(ref.domain, target->domain))
        return err_set(reterr, ERR_INVALID, EXDEV,
                       "cannot use source images from a different registry than the target image: "
                       "%s != %s",
                       ref.domain, target->domain);
    return r;
}

int manifest_list_text(const json_t *entries, const struct reference *target, char **ret,
                       struct err *reterr)
{
    _cleanup_json_ json_t *manifests = json_array();
    const json_t *first = json_get(json_array_get(entries, 0), "Descriptor"), *entry;
    bool oci = streq(json_get_str(first, "mediaType", ""), OCI_MANIFEST);
    size_t i;

    json_array_foreach (entries, i, entry) {
        int r = check_registry(entry, target, reterr);

        if (r < 0)
            return r;
        json_array_append_new(manifests, list_entry(json_get(entry, "Descriptor")));
    }
    *ret = list_text(oci ? OCI_INDEX : DOCKER_LIST, TAKE_PTR(manifests));
    return 0;
}

static void print_list(const json_t *answer, const json_t *index)
{
    const char *type = json_get_str(json_get(answer, "Descriptor"), "mediaType", "");
    json_t *manifests = json_array(), *entry;
    _cleanup_free_ char *text = NULL;
    size_t i;

    json_array_foreach (json_get(index, "manifests"), i, entry)
        json_array_append_new(manifests, list_entry(entry));
    text = list_text(type, manifests);
    printf("%s\n", text);
}

/* ---- what a registry has ---- */

json_t *manifest_entry(const json_t *answer, const struct reference *ref, const json_t *platform)
{
    const json_t *from = json_get(answer, "Descriptor");
    const char *text = json_get_str(answer, "Manifest", ""),
               *type = json_get_str(from, "mediaType", "");
    json_t *out = json_object(), *d = json_object();
    _cleanup_free_ char *raw = base64_encode(text, strlen(text)), *name = reference_canonical(ref);

    json_object_set(d, "mediaType", json_get(from, "mediaType"));
    json_object_set(d, "digest", json_get(from, "digest"));
    json_object_set(d, "size", json_get(from, "size"));
    json_object_set_new(d, "platform", manifest_platform(platform));
    json_object_set_new(out, "Ref", json_string(name));
    json_object_set_new(out, "Descriptor", d);
    json_object_set_new(out, "Raw", json_string(raw));
    json_object_set_new(out, streq(type, OCI_MANIFEST) ? "OCIManifest" : "SchemaV2Manifest",
                        json_loads(text, 0, NULL));
    return out;
}

static int describe_entries(struct client *client, const struct reference *ref, const json_t *index,
                            struct err *reterr)
{
    _cleanup_json_ json_t *all = json_array();
    const json_t *manifests = json_get(index, "manifests");
    json_t *entry;
    size_t i;

    if (json_array_size(manifests) > MANIFEST_ENTRIES_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG, "the list has more than %d entries",
                       MANIFEST_ENTRIES_MAX);
    json_array_foreach (manifests, i, entry) {
        struct reference one = *ref;
        _cleanup_json_ json_t *answer = NULL;
        int r;

        one.digest = (char *)json_get_str(entry, "digest", "");
        r = manifest_ask(client, &one, &answer, reterr);
        if (r < 0)
            return r;
        json_array_append_new(all, manifest_entry(answer, &one, json_get(entry, "platform")));
    }
    print_indented(all);
    return 0;
}

static int inspect_remote(struct invocation *inv, const struct reference *ref, struct err *reterr)
{
    const struct manifest_options *o = inv->options;
    _cleanup_json_ json_t *answer = NULL, *document = NULL;
    int r = manifest_ask(inv->client, ref, &answer, reterr);

    if (r < 0)
        return r;
    document = json_loads(json_get_str(answer, "Manifest", ""), 0, NULL);
    if (json_get(document, "manifests") && o->verbose)
        return describe_entries(inv->client, ref, document, reterr);
    if (json_get(document, "manifests")) {
        print_list(answer, document);
    } else if (o->verbose) {
        _cleanup_json_ json_t *one =
            manifest_entry(answer, ref, json_array_get(json_get(answer, "Platforms"), 0));

        print_indented(one);
    } else {
        return print_document(document, ref, reterr);
    }
    return 0;
}

/* ---- what is here ---- */

static int inspect_in_list(const struct invocation *inv, const struct reference *ref,
                           struct err *reterr)
{
    const struct manifest_options *o = inv->options;
    _cleanup_reference_ struct reference list = {0};
    _cleanup_json_ json_t *entry = NULL;
    const json_t *document;
    int r = manifest_ref_parse(inv->args[0], &list, reterr);

    if (r >= 0)
        r = manifest_store_get(&list, ref, &entry, reterr);
    if (r < 0)
        return r;
    document = json_get(entry, "SchemaV2Manifest");
    if (!document)
        document = json_get(entry, "OCIManifest");
    return print_document(o->verbose ? entry : document, ref, reterr);
}

static int print_local(const struct invocation *inv, const json_t *entries,
                       const struct reference *ref, struct err *reterr)
{
    const struct manifest_options *o = inv->options;
    _cleanup_free_ char *text = NULL;
    int r;

    if (o->verbose) {
        print_indented(entries);
        return 0;
    }
    r = manifest_list_text(entries, ref, &text, reterr);
    if (r < 0)
        return err_wrap(reterr, "failed to assemble ManifestDescriptor");
    printf("%s\n", text);
    return 0;
}

int cmd_manifest_inspect(struct invocation *inv)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_json_ json_t *entries = NULL;
    struct err e = {0};
    int r = manifest_ref_parse(inv->args[inv->n_args - 1], &ref, &e);

    if (r >= 0 && inv->n_args > 1)
        r = inspect_in_list(inv, &ref, &e);
    else if (r >= 0 && manifest_store_list(&ref, &entries, NULL) >= 0)
        r = print_local(inv, entries, &ref, &e);
    else if (r >= 0)
        r = inspect_remote(inv, &ref, &e);
    return r < 0 ? manifest_fail(inv, &e) : 0;
}
