#include "platform.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "json.h"
#include "str.h"

static const struct {
    const char *machine, *arch, *variant;
} archs[] = {
    {"x86_64", "amd64", ""},    {"aarch64", "arm64", "v8"}, {"i686", "386", ""},
    {"armv7l", "arm", "v7"},    {"armv6l", "arm", "v6"},    {"ppc64le", "ppc64le", ""},
    {"riscv64", "riscv64", ""}, {"s390x", "s390x", ""},
};

/* Other names of the same, as they are written in the wild (containerd's platforms package). */
static const struct {
    const char *name, *arch, *variant;
} aliases[] = {
    {"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""},
    {"i386", "386", ""},     {"armhf", "arm", "v7"},  {"armel", "arm", "v6"},
};

const char *platform_arch(void)
{
    static struct utsname u; /* the same on every call and thread */

    uname(&u);
    for (size_t i = 0; i < ARRAY_SIZE(archs); i++) {
        if (streq(archs[i].machine, u.machine))
            return archs[i].arch;
    }
    return u.machine;
}

static void set_part(char part[PLATFORM_PART_MAX], const char *text)
{
    size_t n = strnlen(text, PLATFORM_PART_MAX - 1);

    memcpy(part, text, n);
    part[n] = '\0';
}

static void here(struct platform *ret)
{
    struct utsname u;

    *ret = (struct platform){.os = "linux"};
    set_part(ret->arch, platform_arch());
    uname(&u);
    for (size_t i = 0; i < ARRAY_SIZE(archs); i++) {
        if (streq(archs[i].machine, u.machine))
            set_part(ret->variant, archs[i].variant);
    }
}

static bool take_part(const char **p, char ret[PLATFORM_PART_MAX])
{
    size_t n = strcspn(*p, "/");

    if (n == 0 || n >= PLATFORM_PART_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = (*p)[i];

        if (!isalnum((unsigned char)c) && !strchr("_.-", c))
            return false;
        ret[i] = (char)tolower((unsigned char)c);
    }
    ret[n] = '\0';
    *p += n;
    if (**p == '/')
        (*p)++;
    return true;
}

static void normalise(struct platform *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
        if (streq(aliases[i].name, p->arch)) {
            strcpy(p->arch, aliases[i].arch);
            if (!*p->variant)
                strcpy(p->variant, aliases[i].variant);
        }
    }
}

static int parse_json(const char *text, struct platform *ret, struct err *reterr)
{
    _cleanup_json_ json_t *o = json_loads(text, 0, NULL);
    const char *variant = json_get_str(o, "variant", "");
    _cleanup_free_ char *plain =
        xasprintf("%s/%s%s%s", json_get_str(o, "os", ""), json_get_str(o, "architecture", ""),
                  *variant ? "/" : "", variant);

    return platform_parse(plain, ret, reterr);
}

int platform_parse(const char *text, struct platform *ret, struct err *reterr)
{
    struct platform p = {.os = "linux"};
    const char *rest = text;
    bool ok;

    if (str_empty(text)) {
        here(ret);
        return 0;
    }
    if (*text == '{')
        return parse_json(text, ret, reterr);
    if (strchr(text, '/')) {
        ok = take_part(&rest, p.os) && take_part(&rest, p.arch) &&
             (!*rest || take_part(&rest, p.variant));
    } else {
        ok = take_part(&rest, p.arch);
        if (streq(p.arch, "linux")) {
            here(ret);
            return 0;
        }
    }
    if (!ok || *rest || text[strlen(text) - 1] == '/')
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "\"%.100s\" is an invalid OS component or platform: must be "
                       "os[/arch[/variant]]",
                       text);
    normalise(&p);
    *ret = p;
    return 0;
}

static int variant_number(const char *v)
{
    return v[0] == 'v' && isdigit((unsigned char)v[1]) && !v[2] ? v[1] - '0' : 0;
}

int platform_score(const struct platform *want, const json_t *obj)
{
    struct platform has = {0};
    const char *variant = json_get_str(obj, "variant", "");
    int mine, theirs;

    set_part(has.os, json_get_str(obj, "os", "linux"));
    set_part(has.arch, json_get_str(obj, "architecture", ""));
    set_part(has.variant, variant);
    normalise(&has);
    if (!streq(want->os, has.os) || !streq(want->arch, has.arch))
        return 0;
    if (streq(want->variant, has.variant))
        return 100;
    mine = variant_number(want->variant);
    theirs = variant_number(has.variant);
    if (streq(want->arch, "arm64") && (mine ? mine : 8) == (theirs ? theirs : 8))
        return 100;
    if (!*has.variant)
        return 50;
    if (!*want->variant)
        return 10;
    return theirs < mine ? 50 + theirs : 0;
}

char *platform_format(const struct platform *p)
{
    return xasprintf("%s/%s%s%s", p->os, p->arch, *p->variant ? "/" : "", p->variant);
}

/* Foreign text in a message, for a terminal. */
static void shown(const json_t *config, const char *key, const char *otherwise,
                  char ret[PLATFORM_PART_MAX])
{
    snprintf(ret, PLATFORM_PART_MAX, "%s", json_get_str(config, key, otherwise));
    for (char *c = ret; *c; c++)
        *c = *c >= ' ' && *c < 0x7f ? *c : '?';
}

int platform_check(const struct platform *want, const json_t *config, const char *name,
                   struct err *reterr)
{
    _cleanup_free_ char *wanted = want ? platform_format(want) : NULL;
    char os[PLATFORM_PART_MAX], arch[PLATFORM_PART_MAX];

    shown(config, "os", "linux", os);
    shown(config, "architecture", "", arch);
    if (!streq(os, "linux"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "image operating system \"%s\" cannot be used on this platform", os);
    if (want && platform_score(want, config) == 0)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT,
                       "image with reference %s was found but its platform (%s/%s) does not "
                       "match the specified platform (%s)",
                       name, os, arch, wanted);
    return 0;
}
