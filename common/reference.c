#include "reference.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "str.h"

#define DEFAULT_DOMAIN "docker.io"
#define LEGACY_DOMAIN "index.docker.io"
#define OFFICIAL "library/"
#define DIGEST_PREFIX "sha256:"
#define DIGEST_HEX 64

void reference_done(struct reference *ref)
{
    free(ref->domain);
    free(ref->path);
    free(ref->tag);
    free(ref->digest);
    *ref = (struct reference){0};
}

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

/* ---- the grammar ---- */

/* One separator of a path component: '.', '_', '__' or any number of '-'.  0 if there is none. */
static size_t separator_len(const char *s)
{
    if (*s == '.')
        return 1;
    if (*s == '_')
        return s[1] == '_' ? 2 : 1;
    return strspn(s, "-");
}

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* ended by '/' or the end. */
static size_t component_len(const char *s)
{
    const char *p = s;

    for (;;) {
        size_t n = 0;

        while (is_lower_alnum(p[n]))
            n++;
        if (n == 0)
            return 0;
        p += n;
        if (*p == '\0' || *p == '/')
            return (size_t)(p - s);
        n = separator_len(p);
        if (n == 0)
            return 0;
        p += n;
    }
}

static bool path_valid(const char *path)
{
    for (;;) {
        size_t n = component_len(path);

        if (n == 0)
            return false;
        if (path[n] == '\0')
            return true;
        path += n + 1;
    }
}

/* Letters, digits and inner hyphens, parts joined by dots. */
static bool host_valid(const char *s, size_t len)
{
    bool start = true;

    for (size_t i = 0; i < len; i++) {
        bool alnum = isalnum((unsigned char)s[i]);

        if (s[i] == '.') {
            if (start || s[i - 1] == '-')
                return false;
            start = true;
            continue;
        }
        if (!alnum && (s[i] != '-' || start))
            return false;
        start = false;
    }
    return len > 0 && !start && s[len - 1] != '-';
}

static bool domain_valid(const char *domain)
{
    size_t host = strcspn(domain, ":");

    if (domain[0] == '[') {
        size_t n = strspn(domain + 1, "0123456789abcdefABCDEF:");

        if (n == 0 || domain[n + 1] != ']')
            return false;
        host = n + 2;
    } else if (!host_valid(domain, host)) {
        return false;
    }
    if (domain[host] == '\0')
        return true;
    domain += host;
    if (*domain != ':' || domain[1] == '\0')
        return false;
    return strspn(domain + 1, "0123456789") == strlen(domain + 1);
}

bool reference_tag_valid(const char *tag)
{
    size_t n = strlen(tag);

    if (n == 0 || n > REFERENCE_TAG_MAX || !is_word(tag[0]))
        return false;
    for (size_t i = 1; i < n; i++) {
        if (!is_word(tag[i]) && tag[i] != '.' && tag[i] != '-')
            return false;
    }
    return true;
}

bool reference_digest_valid(const char *digest)
{
    return str_starts(digest, DIGEST_PREFIX) &&
           strlen(digest) == strlen(DIGEST_PREFIX) + DIGEST_HEX &&
           str_is_hex(digest + strlen(DIGEST_PREFIX), DIGEST_HEX);
}

const char *reference_image_id(const char *s)
{
    if (str_starts(s, DIGEST_PREFIX))
        s += strlen(DIGEST_PREFIX);
    return strlen(s) == DIGEST_HEX && str_is_hex(s, DIGEST_HEX) ? s : NULL;
}

/* ---- parsing ---- */

static int invalid(struct err *reterr)
{
    return err_set(reterr, ERR_INVALID, EINVAL, "invalid reference format");
}

/* The first part is a domain if it cannot be a path component of Docker Hub. */
static bool names_domain(const char *first, size_t len)
{
    if (len == strlen("localhost") && memcmp(first, "localhost", len) == 0)
        return true;
    for (size_t i = 0; i < len; i++) {
        if (first[i] == '.' || first[i] == ':' || (first[i] >= 'A' && first[i] <= 'Z'))
            return true;
    }
    return false;
}

static void split_domain(const char *name, struct reference *ref)
{
    const char *slash = strchr(name, '/');

    if (slash && names_domain(name, (size_t)(slash - name))) {
        ref->domain = xstrndup(name, (size_t)(slash - name));
        ref->path = xstrdup(slash + 1);
    } else {
        ref->domain = xstrdup(DEFAULT_DOMAIN);
        ref->path = xstrdup(name);
    }
    if (streq(ref->domain, LEGACY_DOMAIN)) {
        free(ref->domain);
        ref->domain = xstrdup(DEFAULT_DOMAIN);
    }
    if (streq(ref->domain, DEFAULT_DOMAIN) && !strchr(ref->path, '/')) {
        char *path = xasprintf(OFFICIAL "%s", ref->path);

        free(ref->path);
        ref->path = path;
    }
}

static bool has_upper(const char *s)
{
    for (; *s; s++) {
        if (*s >= 'A' && *s <= 'Z')
            return true;
    }
    return false;
}

/* Cut "@digest" and ":tag" off name in place. */
static int split_suffixes(char *name, struct reference *ref, struct err *reterr)
{
    char *at = strchr(name, '@'), *slash, *colon;

    if (at) {
        *at = '\0';
        if (!reference_digest_valid(at + 1))
            return invalid(reterr);
        ref->digest = xstrdup(at + 1);
    }
    slash = strrchr(name, '/');
    colon = strchr(slash ? slash : name, ':');
    if (colon) {
        *colon = '\0';
        if (!reference_tag_valid(colon + 1))
            return invalid(reterr);
        ref->tag = xstrdup(colon + 1);
    }
    return 0;
}

int reference_parse(const char *s, struct reference *ret, struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    _cleanup_free_ char *name = NULL;
    int r;

    if (!*s || strlen(s) > REFERENCE_MAX)
        return invalid(reterr);
    if (strlen(s) == DIGEST_HEX && str_is_hex(s, DIGEST_HEX))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid repository name (%s), cannot specify 64-byte hexadecimal strings",
                       s);
    name = xstrdup(s);
    r = split_suffixes(name, &ref, reterr);
    if (r < 0)
        return r;
    split_domain(name, &ref);
    if (has_upper(ref.path))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid reference format: repository name (%s) must be lowercase",
                       ref.path);
    if (!domain_valid(ref.domain) || !path_valid(ref.path))
        return invalid(reterr);
    if (strlen(ref.path) > REFERENCE_NAME_MAX)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid reference format: repository name must not be more than %d "
                       "characters",
                       REFERENCE_NAME_MAX);
    *ret = ref;
    ref = (struct reference){0};
    return 0;
}

void reference_tag_default(struct reference *ref)
{
    if (!ref->tag && !ref->digest)
        ref->tag = xstrdup("latest");
}

int reference_check_tag(const struct reference *ref, struct err *reterr)
{
    _cleanup_free_ char *name = reference_familiar_name(ref);

    if (streq(name, "sha256"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "refusing to create an ambiguous tag using digest algorithm as name");
    return 0;
}

int reference_parse_repo_tag(const char *repo, const char *tag, struct reference *ret,
                             struct err *reterr)
{
    _cleanup_reference_ struct reference ref = {0};
    int r = reference_parse(repo, &ref, reterr);

    if (r < 0)
        return r;
    if (ref.digest)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "refusing to create a tag with a digest reference");
    r = reference_check_tag(&ref, reterr);
    if (r < 0)
        return r;
    if (!str_empty(tag)) {
        if (!reference_tag_valid(tag))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid tag format");
        free(ref.tag);
        ref.tag = xstrdup(tag);
    }
    reference_tag_default(&ref);
    *ret = ref;
    ref = (struct reference){0};
    return 0;
}

/* ---- formatting ---- */

static char *format(const char *domain, const char *path, const struct reference *ref)
{
    return xasprintf("%s%s%s%s%s%s%s", domain ? domain : "", domain ? "/" : "", path,
                     ref->tag ? ":" : "", ref->tag ? ref->tag : "", ref->digest ? "@" : "",
                     ref->digest ? ref->digest : "");
}

char *reference_canonical(const struct reference *ref)
{
    return format(ref->domain, ref->path, ref);
}

char *reference_familiar(const struct reference *ref)
{
    _cleanup_free_ char *name = reference_familiar_name(ref);

    return format(NULL, name, ref);
}

char *reference_familiar_name(const struct reference *ref)
{
    const char *rest;

    if (!streq(ref->domain, DEFAULT_DOMAIN))
        return xasprintf("%s/%s", ref->domain, ref->path);
    rest = str_starts(ref->path, OFFICIAL) ? ref->path + strlen(OFFICIAL) : NULL;
    /* library/a/b keeps its prefix: "a/b" would be another repository. */
    return xstrdup(rest && !strchr(rest, '/') ? rest : ref->path);
}

char *reference_repository(const struct reference *ref)
{
    return xasprintf("%s/%s", ref->domain, ref->path);
}

char *reference_familiar_of(const char *canonical)
{
    _cleanup_reference_ struct reference ref = {0};

    if (reference_parse(canonical, &ref, NULL) < 0)
        return xstrdup(canonical);
    return reference_familiar(&ref);
}

bool reference_match(const char *pattern, const struct reference *ref)
{
    _cleanup_free_ char *full = reference_familiar(ref);
    _cleanup_free_ char *name = reference_familiar_name(ref);

    return fnmatch(pattern, full, FNM_PATHNAME) == 0 || fnmatch(pattern, name, FNM_PATHNAME) == 0;
}
