#include "ldso.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "path.h"
#include "str.h"

#define CACHE_MAX ((size_t)16 << 20)
#define CONF_MAX ((size_t)64 << 10)
#define CONF_DEPTH 4
#define DIRS_MAX 256
#define CANDIDATES_MAX 64

/* ---- the cache: glibc's sysdeps/generic/dl-cache.h has the format ---- */

#define OLD_MAGIC "ld.so-1.7.0"
#define NEW_MAGIC "glibc-ld.so.cache1.1"

struct cache_entry {
    int32_t flags;
    uint32_t key, value; /* offsets of strings from the header on */
    uint32_t osversion;
    uint64_t hwcap;
};

struct cache_header {
    char magic[sizeof(NEW_MAGIC) - 1];
    uint32_t nlibs;
    uint32_t len_strings;
    uint8_t flags;
    uint8_t padding[3];
    uint32_t extensions;
    uint32_t unused[3];
};

/* An old cache in front, for libc5, of 12 bytes an entry. */
static size_t skip_old(const char *cache, size_t len)
{
    uint32_t n;
    size_t end;

    if (len < 16 || memcmp(cache, OLD_MAGIC, sizeof(OLD_MAGIC)) != 0)
        return 0;
    memcpy(&n, cache + 12, sizeof(n));
    end = 16 + (size_t)n * 12;
    return (end + 7) & ~(size_t)7;
}

static const char *string_at(const char *cache, size_t len, uint32_t offset)
{
    return offset < len && memchr(cache + offset, '\0', len - offset) ? cache + offset : NULL;
}

char **ldso_cached(const char *cache, size_t len, const char *name)
{
    size_t skipped = skip_old(cache, len);
    struct cache_header h;
    char **out = NULL;

    if (skipped > len || len - skipped < sizeof(h))
        return NULL;
    cache += skipped;
    len -= skipped;
    memcpy(&h, cache, sizeof(h));
    if (memcmp(h.magic, NEW_MAGIC, sizeof(h.magic)) != 0 ||
        h.nlibs > (len - sizeof(h)) / sizeof(struct cache_entry))
        return NULL;
    for (uint32_t i = 0; i < h.nlibs && strv_len(out) < CANDIDATES_MAX; i++) {
        struct cache_entry e;
        const char *key, *value;

        memcpy(&e, cache + sizeof(h) + i * sizeof(e), sizeof(e));
        key = string_at(cache, len, e.key);
        value = string_at(cache, len, e.value);
        if (key && value && *value == '/' && streq(key, name))
            out = strv_append(out, value);
    }
    return out;
}

/* ---- directories ---- */

static void add_dir(struct ldso *l, const char *dir)
{
    if (*dir == '/' && strv_len(l->dirs) < DIRS_MAX)
        l->dirs = strv_append(l->dirs, dir);
}

/* What a pattern with wildcards in its last part matches, sorted.  glob(3) would bring half of the
 * name service into a static program. */
static char **list_matching(const char *pattern)
{
    const char *slash = strrchr(pattern, '/');
    _cleanup_free_ char *dir = xstrndup(pattern, slash ? (size_t)(slash - pattern) : 0);
    struct dirent **list;
    char **out = NULL;
    int n = slash ? scandir(dir, &list, NULL, alphasort) : -1;

    for (int i = 0; i < n; i++) {
        if (fnmatch(slash + 1, list[i]->d_name, FNM_PERIOD) == 0 && strv_len(out) < DIRS_MAX) {
            _cleanup_free_ char *path = path_join(dir, list[i]->d_name);

            out = strv_append(out, path);
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return out;
}

static void read_conf(struct ldso *l, const char *path, int depth);

static void include(struct ldso *l, const char *pattern, int depth)
{
    _cleanup_free_ char *full = *pattern == '/' ? xstrdup(pattern) : xasprintf("/etc/%s", pattern);
    _cleanup_(strv_freep) char **found = list_matching(full);

    for (size_t i = 0; found && found[i]; i++)
        read_conf(l, found[i], depth + 1);
}

/* Directories, one a line or with ':' and blanks between, and "include PATTERN". */
static void read_conf(struct ldso *l, const char *path, int depth)
{
    _cleanup_free_ char *text = NULL;
    char *line, *word, *lines = NULL, *words;

    if (depth > CONF_DEPTH || file_read(AT_FDCWD, path, CONF_MAX, &text) < 0)
        return;
    for (line = strtok_r(text, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
        line[strcspn(line, "#")] = '\0';
        word = strtok_r(line, " \t:,", &words);
        if (word && streq(word, "include")) {
            while ((word = strtok_r(NULL, " \t", &words)))
                include(l, word, depth);
            continue;
        }
        for (; word; word = strtok_r(NULL, " \t:,", &words))
            add_dir(l, word);
    }
}

/* What loaders look in by themselves: Debian's multiarch, others' lib64; musl has a file. */
static void add_usual(struct ldso *l)
{
    static const char *const patterns[] = {"/lib/*-linux-gnu*", "/usr/lib/*-linux-gnu*"};
    static const char *const usual[] = {"/lib64", "/usr/lib64", "/lib", "/usr/lib",
                                        "/usr/local/lib"};
    _cleanup_(strv_freep) char **musl = list_matching("/etc/ld-musl-*.path");

    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
        _cleanup_(strv_freep) char **found = list_matching(patterns[i]);

        for (size_t k = 0; found && found[k]; k++)
            add_dir(l, found[k]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
        add_dir(l, usual[i]);
    for (size_t i = 0; musl && musl[i]; i++)
        read_conf(l, musl[i], CONF_DEPTH);
}

void ldso_open(struct ldso *l)
{
    ssize_t n;

    *l = (struct ldso){0};
    n = file_read(AT_FDCWD, LDSO_CACHE, CACHE_MAX, &l->cache);
    if (n >= 0)
        l->len = (size_t)n;
    else
        read_conf(l, "/etc/ld.so.conf", 0);
    add_usual(l);
}

void ldso_close(struct ldso *l)
{
    free(l->cache);
    strv_free(l->dirs);
    *l = (struct ldso){0};
}

/* ---- searching ---- */

/* $ORIGIN, ${ORIGIN}: the length of the word at s, or 0. */
static size_t token_len(const char *s, const char *name)
{
    size_t n = strlen(name);

    if (strncmp(s, name, n) == 0)
        return n;
    if (*s == '{' && strncmp(s + 1, name, n) == 0 && s[n + 1] == '}')
        return n + 2;
    return 0;
}

/* One directory of a search path with its tokens replaced; NULL for one that needs what is not
 * known here ($PLATFORM). */
static char *expand(const char *dir, size_t len, const char *origin, const char *lib)
{
    _cleanup_free_ char *text = xstrndup(dir, len), *out = xstrdup("");

    for (const char *s = text; *s;) {
        size_t plain = strcspn(s, "$"), token;
        const char *value = "";
        char *next;

        s += plain;
        token = *s ? token_len(s + 1, "ORIGIN") : 0;
        if (token > 0)
            value = origin;
        else if (*s && (token = token_len(s + 1, "LIB")) > 0)
            value = lib;
        else if (*s)
            return NULL;
        next = xasprintf("%s%.*s%s", out, (int)plain, s - plain, value);
        free(out);
        out = next;
        s += *s ? token + 1 : 0;
    }
    return *out == '/' ? TAKE_PTR(out) : NULL;
}

static char **add_candidate(char **v, const char *dir, const char *name)
{
    _cleanup_free_ char *path = path_join(dir, name);

    return strv_len(v) < CANDIDATES_MAX * 8 ? strv_append(v, path) : v;
}

static char **add_search_path(char **v, const char *list, const struct ldso_object *o,
                              const char *name)
{
    static const char *const libs[] = {"lib64", "lib", "lib/x86_64-linux-gnu",
                                       "lib/aarch64-linux-gnu"};

    while (list && *list) {
        size_t len = strcspn(list, ":");
        bool plain = !memmem(list, len, "LIB", 3);

        for (size_t i = 0; i < (plain ? 1 : ARRAY_SIZE(libs)); i++) {
            _cleanup_free_ char *dir = expand(list, len, o->dir, libs[i]);

            if (dir)
                v = add_candidate(v, dir, name);
        }
        list += len + (list[len] == ':');
    }
    return v;
}

char **ldso_candidates(const struct ldso *l, const struct ldso_object *object, const char *name)
{
    _cleanup_(strv_freep) char **cached = NULL;
    char **v = NULL;

    if (strchr(name, '/')) {
        _cleanup_free_ char *path = expand(name, strlen(name), object->dir, "lib");

        return path ? strv_append(NULL, path) : NULL;
    }
    /* RPATH is handed down, RUNPATH is not, and who has one has no RPATH. */
    for (const struct ldso_object *o = object->elf->runpath ? NULL : object; o; o = o->by) {
        if (!o->elf->runpath)
            v = add_search_path(v, o->elf->rpath, o, name);
    }
    v = add_search_path(v, object->elf->runpath, object, name);
    cached = l->cache ? ldso_cached(l->cache, l->len, name) : NULL;
    for (size_t i = 0; cached && cached[i]; i++)
        v = strv_append(v, cached[i]);
    for (size_t i = 0; l->dirs && l->dirs[i]; i++)
        v = add_candidate(v, l->dirs[i], name);
    return v;
}
