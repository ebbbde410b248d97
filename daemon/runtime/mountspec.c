#include "mountspec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "buf.h"
#include "json.h"
#include "path.h"
#include "str.h"

static void spec_done(struct mount_spec *m)
{
    free(m->source);
    free(m->name);
    free(m->subpath);
    free(m->fstype);
    free(m->device);
    free(m->donor);
    free(m->target);
    free(m->data);
    free(m->mode);
    *m = (struct mount_spec){0};
}

void mount_list_done(struct mount_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        spec_done(&list->mounts[i]);
    free(list->mounts);
    *list = (struct mount_list){0};
}

const struct mount_spec *mount_list_find(const struct mount_list *list, const char *target)
{
    for (size_t i = 0; i < list->n; i++) {
        if (streq(list->mounts[i].target, target))
            return &list->mounts[i];
    }
    return NULL;
}

/* Takes over the contents of *m in any case. */
static int list_add(struct mount_list *list, struct mount_spec *m, struct err *reterr)
{
    if (mount_list_find(list, m->target)) {
        int r = err_set(reterr, ERR_INVALID, EINVAL, "Duplicate mount point: %s", m->target);

        spec_done(m);
        return r;
    }
    list->mounts = xrealloc(list->mounts, (list->n + 1) * sizeof(*m));
    list->mounts[list->n++] = *m;
    *m = (struct mount_spec){0};
    return 0;
}

static const struct {
    const char *name;
    unsigned long flags;
} propagations[] = {
    {"private", MS_PRIVATE}, {"rprivate", MS_PRIVATE | MS_REC},
    {"shared", MS_SHARED},   {"rshared", MS_SHARED | MS_REC},
    {"slave", MS_SLAVE},     {"rslave", MS_SLAVE | MS_REC},
};

static unsigned long propagation_parse(const char *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(propagations); i++) {
        if (streq(propagations[i].name, s))
            return propagations[i].flags;
    }
    return 0;
}

/* "ro,z,rslave": each kind of word at most once; what z, Z and the rest mean elsewhere (SELinux
 * labels, Mac caches) has no effect here. */
static bool mode_parse(const char *mode, struct mount_spec *m)
{
    enum { RW = 1, LABEL = 2, PROPAGATION = 4, COPY = 8, CONSISTENCY = 16 };
    static const struct {
        const char *word;
        unsigned kind;
    } words[] = {
        {"ro", RW},
        {"rw", RW},
        {"z", LABEL},
        {"Z", LABEL},
        {"nocopy", COPY},
        {"consistent", CONSISTENCY},
        {"cached", CONSISTENCY},
        {"delegated", CONSISTENCY},
    };
    unsigned seen = 0;

    while (*mode) {
        size_t n = strcspn(mode, ",");
        _cleanup_free_ char *word = xstrndup(mode, n);
        unsigned kind = 0;

        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
            if (streq(words[i].word, word))
                kind = words[i].kind;
        }
        if (propagation_parse(word)) {
            kind = PROPAGATION;
            m->propagation = propagation_parse(word);
        }
        if (!kind || seen & kind)
            return false;
        seen |= kind;
        m->readonly |= streq(word, "ro");
        m->nocopy |= streq(word, "nocopy");
        mode += n;
        if (*mode == ',' && !*++mode)
            return false;
    }
    return true;
}

static int check_target(const char *type, const char *target, struct err *reterr)
{
    _cleanup_free_ char *clean = NULL;

    if (!*target)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid mount config for type \"%s\": field Target must not be empty",
                       type);
    clean = path_clean(target);
    if (streq(clean, "/"))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid mount config for type \"%s\": invalid specification: destination "
                       "can't be '/'",
                       type);
    if (*target != '/')
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid mount config for type \"%s\": invalid mount path: '%s' mount path "
                       "must be absolute",
                       type, target);
    return 0;
}

/* ---- Binds ---- */

bool mount_volume_name_valid(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t n = strlen(name);

    if (n < 2 || n > MOUNT_VOLUME_NAME_MAX || !strchr(first, *name))
        return false;
    for (; *name; name++) {
        if (!strchr(first, *name) && !strchr("_.-", *name))
            return false;
    }
    return true;
}

static int check_volume_name(const char *name, struct err *reterr)
{
    if (mount_volume_name_valid(name))
        return 0;
    if (strlen(name) < 2)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "create %s: volume name is too short, names should be at least two "
                       "alphanumeric characters",
                       name);
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "create %s: \"%s\" includes invalid characters for a local volume name, only "
                   "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host "
                   "directory, use absolute path",
                   name, name);
}

static int parse_bind(struct mount_list *list, const char *raw, struct err *reterr)
{
    _cleanup_(spec_done) struct mount_spec m = {
        .type = MOUNT_BIND, .recursive = true, .make_source = true, .readonly_recursive = true};
    char *part[4] = {0}, *save, *p;
    _cleanup_free_ char *copy = save = xstrdup(raw);
    bool absolute;
    int n = 0, r;

    while (n < 4 && (p = strsep(&save, ":")))
        part[n++] = p;
    if (n == 0 || n > 3 || !*part[0] || (n == 2 && mode_parse(part[1], &m)))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid volume specification: '%s'", raw);
    if (n == 3 && !mode_parse(part[2], &m))
        return err_set(reterr, ERR_INVALID, EINVAL, "invalid mode: %s", part[2]);
    absolute = n > 1 && *part[0] == '/';
    r = check_target(absolute ? "bind" : "volume", part[n > 1], reterr);
    if (r < 0)
        return err_wrap(reterr, "invalid volume specification: '%s'", raw);
    m.target = path_clean(part[n > 1]);
    m.mode = xstrdup(n == 3 ? part[2] : "");
    if (absolute) {
        m.source = path_clean(part[0]);
    } else {
        m.type = MOUNT_VOLUME;
        m.make_source = false;
        m.name = n > 1 ? xstrdup(part[0]) : NULL;
        r = m.name ? check_volume_name(m.name, reterr) : 0;
        if (r < 0)
            return r;
    }
    return list_add(list, &m, reterr);
}

/* ---- tmpfs ---- */

static const struct {
    const char *name;
    unsigned long set, clear;
} tmpfs_flags[] = {
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"exec", 0, MS_NOEXEC},
    {"noexec", MS_NOEXEC, 0},
    {"suid", 0, MS_NOSUID},
    {"nosuid", MS_NOSUID, 0},
    {"dev", 0, MS_NODEV},
    {"nodev", MS_NODEV, 0},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"atime", 0, MS_NOATIME},
    {"noatime", MS_NOATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"relatime", MS_RELATIME, MS_STRICTATIME},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, MS_RELATIME},
    {"mand", 0, 0},
    {"nomand", 0, 0},
    {"remount", 0, 0},
    {"defaults", 0, 0},
    {"private", 0, 0},
    {"rprivate", 0, 0},
    {"shared", 0, 0},
    {"rshared", 0, 0},
    {"slave", 0, 0},
    {"rslave", 0, 0},
    {"unbindable", 0, 0},
    {"runbindable", 0, 0},
};

static bool tmpfs_flag(const char *word, unsigned long *flags)
{
    for (size_t i = 0; i < ARRAY_SIZE(tmpfs_flags); i++) {
        if (streq(tmpfs_flags[i].name, word)) {
            *flags = (*flags & ~tmpfs_flags[i].clear) | tmpfs_flags[i].set;
            return true;
        }
    }
    return false;
}

static bool tmpfs_datum(const char *word)
{
    static const char *const keys[] = {
        "size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks=", "mpol=", "huge="};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (str_starts(word, keys[i]) && word[strlen(keys[i])])
            return true;
    }
    return false;
}

static int tmpfs_options(const char *options, struct mount_spec *m, struct err *reterr)
{
    _cleanup_buf_ struct buf data = {0};

    m->flags = MS_NOEXEC | MS_NOSUID | MS_NODEV;
    while (*options) {
        size_t n = strcspn(options, ",");
        _cleanup_free_ char *word = xstrndup(options, n);

        if (tmpfs_datum(word))
            buf_printf(&data, "%s%s", buf_size(&data) ? "," : "", word);
        else if (*word && !tmpfs_flag(word, &m->flags))
            return err_set(reterr, ERR_INVALID, EINVAL, "invalid tmpfs option [\"%s\"]", word);
        options += n;
        options += *options == ',';
    }
    m->readonly = m->flags & MS_RDONLY;
    m->data = buf_take_str(&data);
    return 0;
}

/* mount(8)'s list: flags that all file systems have, the rest is for this one to judge. */
static void fs_options(const char *options, struct mount_spec *m)
{
    _cleanup_buf_ struct buf data = {0};

    while (*options) {
        size_t n = strcspn(options, ",");
        _cleanup_free_ char *word = xstrndup(options, n);

        if (*word && !tmpfs_flag(word, &m->flags))
            buf_printf(&data, "%s%s", buf_size(&data) ? "," : "", word);
        options += n;
        options += *options == ',';
    }
    m->readonly |= (m->flags & MS_RDONLY) != 0;
    m->data = buf_take_str(&data);
}

bool mount_has_option(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (; *list; list += strcspn(list, ","), list += *list == ',') {
        if (strcspn(list, ",") == len && memcmp(list, word, len) == 0)
            return true;
    }
    return false;
}

static int parse_tmpfs(struct mount_list *list, const char *target, const char *options,
                       struct err *reterr)
{
    _cleanup_(spec_done) struct mount_spec m = {.type = MOUNT_TMPFS};
    int r = check_target("tmpfs", target, reterr);

    if (r >= 0)
        r = tmpfs_options(options, &m, reterr);
    if (r < 0)
        return r;
    m.target = path_clean(target);
    m.mode = xstrdup("");
    return list_add(list, &m, reterr);
}

/* ---- Mounts ---- */

static int parse_mount_tmpfs(struct mount_list *list, const json_t *mount, struct err *reterr)
{
    const json_t *options = json_get(mount, "TmpfsOptions"), *extra, *item;
    int64_t size = json_get_int(options, "SizeBytes", 0), mode = json_get_int(options, "Mode", 0);
    _cleanup_buf_ struct buf text = {0};
    _cleanup_free_ char *s = NULL;
    size_t i;

    if (*json_get_str(mount, "Source", ""))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid mount config for type \"tmpfs\": field Source must not be "
                       "specified");
    buf_append_str(&text, json_get_bool(mount, "ReadOnly", false) ? "ro" : "rw");
    if (size < 0)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid mount config for type \"tmpfs\": negative size");
    if (size > 0)
        buf_printf(&text, ",size=%lld", (long long)size);
    if (mode > 0)
        buf_printf(&text, ",mode=%o", (unsigned)mode & 07777);
    extra = json_get(options, "Options");
    json_array_foreach (extra, i, item) {
        const char *key = json_string_value(json_array_get(item, 0));
        const char *value = json_string_value(json_array_get(item, 1));

        if (key)
            buf_printf(&text, ",%s%s%s", key, value ? "=" : "", value ? value : "");
    }
    s = buf_take_str(&text);
    return parse_tmpfs(list, json_get_str(mount, "Target", ""), s, reterr);
}

/* Which of the mounts below are read-only, too, if it is. */
static int check_recursion(const json_t *options, bool readonly, int propagation,
                           struct err *reterr)
{
    bool not_below = json_get_bool(options, "ReadOnlyNonRecursive", false),
         below = json_get_bool(options, "ReadOnlyForceRecursive", false);

    if (below && not_below)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "mount options conflict: ReadOnlyNonRecursive && "
                       "BindOptions.ReadOnlyForceRecursive");
    if (!readonly && (below || not_below))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "mount options conflict: !ReadOnly && BindOptions.%s",
                       below ? "ReadOnlyForceRecursive" : "ReadOnlyNonRecursive");
    /* What is mounted later at the source would come in writable. */
    if (below && propagation && !(propagation & MS_PRIVATE))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "mount options conflict: BindOptions.ReadOnlyForceRecursive needs "
                       "propagation rprivate");
    return 0;
}

static int parse_mount_bind(struct mount_list *list, const json_t *mount, struct err *reterr)
{
    _cleanup_(spec_done) struct mount_spec m = {
        .type = MOUNT_BIND, .recursive = true, .readonly_recursive = true};
    const json_t *options = json_get(mount, "BindOptions");
    const char *source = json_get_str(mount, "Source", "");
    const char *propagation = json_get_str(options, "Propagation", "");
    int r = check_target("bind", json_get_str(mount, "Target", ""), reterr);

    if (r < 0)
        return r;
    if (!*source)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid mount config for type \"bind\": field Source must not be empty");
    if (*source != '/')
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid mount config for type \"bind\": invalid mount path: '%s' mount "
                       "path must be absolute",
                       source);
    m.propagation = propagation_parse(propagation);
    if (*propagation && !m.propagation)
        return err_set(reterr, ERR_INVALID, EINVAL,
                       "invalid mount config for type \"bind\": invalid propagation mode: %s",
                       propagation);
    m.readonly = json_get_bool(mount, "ReadOnly", false);
    r = check_recursion(options, m.readonly, (int)m.propagation, reterr);
    if (r < 0)
        return r;
    m.recursive = !json_get_bool(options, "NonRecursive", false);
    m.readonly_recursive = !json_get_bool(options, "ReadOnlyNonRecursive", false);
    m.make_source = json_get_bool(options, "CreateMountpoint", false);
    m.source = path_clean(source);
    m.target = path_clean(json_get_str(mount, "Target", ""));
    m.mode = xstrdup("");
    return list_add(list, &m, reterr);
}

/* Relative, and not above where it starts. */
static bool is_local(const char *path)
{
    _cleanup_free_ char *clean = path_clean(path);

    return *clean != '/' && !streq(clean, "..") && !str_starts(clean, "../");
}

static int parse_mount_volume(struct mount_list *list, const json_t *mount, struct err *reterr)
{
    _cleanup_(spec_done) struct mount_spec m = {
        .type = MOUNT_VOLUME, .recursive = true, .readonly_recursive = true};
    const json_t *options = json_get(mount, "VolumeOptions");
    const char *name = json_get_str(mount, "Source", "");
    const char *subpath = json_get_str(options, "Subpath", "");
    int r = check_target("volume", json_get_str(mount, "Target", ""), reterr);

    if (r >= 0 && *name)
        r = check_volume_name(name, reterr);
    if (r < 0)
        return r;
    if (*subpath && (!*name || !is_local(subpath)))
        return err_set(reterr, ERR_INVALID, EINVAL,
                       *name ? "invalid mount config for type \"volume\": subpath must be a "
                               "relative path within the volume"
                             : "must not set Subpath when using anonymous volumes");
    m.name = *name ? xstrdup(name) : NULL;
    m.subpath = *subpath ? xstrdup(subpath) : NULL;
    m.readonly = json_get_bool(mount, "ReadOnly", false);
    m.nocopy = json_get_bool(options, "NoCopy", false);
    m.target = path_clean(json_get_str(mount, "Target", ""));
    m.mode = xstrdup("");
    return list_add(list, &m, reterr);
}

static int parse_mount(struct mount_list *list, const json_t *mount, struct err *reterr)
{
    const char *type = json_get_str(mount, "Type", "");

    if (streq(type, "bind"))
        return parse_mount_bind(list, mount, reterr);
    if (streq(type, "tmpfs"))
        return parse_mount_tmpfs(list, mount, reterr);
    if (streq(type, "volume"))
        return parse_mount_volume(list, mount, reterr);
    if (streq(type, "image"))
        return err_set(reterr, ERR_NOT_IMPLEMENTED, ENOSYS, "image mounts are not implemented yet");
    return err_set(reterr, ERR_INVALID, EINVAL,
                   "invalid mount config for type \"%s\": mount type unknown", type);
}

/* ---- all ---- */

static int components(const char *path)
{
    int n = 0;

    for (; *path; path++)
        n += *path == '/';
    return n;
}

/* Stable and short lists: insertion. */
static void sort_by_depth(struct mount_list *list)
{
    for (size_t i = 1; i < list->n; i++) {
        struct mount_spec m = list->mounts[i];
        size_t k = i;

        for (; k > 0 && components(list->mounts[k - 1].target) > components(m.target); k--)
            list->mounts[k] = list->mounts[k - 1];
        list->mounts[k] = m;
    }
}

static int parse_all(const json_t *hc, struct mount_list *list, struct err *reterr)
{
    const json_t *binds = json_get(hc, "Binds"), *mounts = json_get(hc, "Mounts"), *item;
    json_t *tmpfs = json_get(hc, "Tmpfs"), *options;
    const char *target;
    int r = 0;
    size_t i;

    json_array_foreach (binds, i, item) {
        r = parse_bind(list, json_is_string(item) ? json_string_value(item) : "", reterr);
        if (r < 0)
            return r;
    }
    json_array_foreach (mounts, i, item) {
        r = parse_mount(list, item, reterr);
        if (r < 0)
            return r;
    }
    json_object_foreach (tmpfs, target, options) {
        r = parse_tmpfs(list, target, json_is_string(options) ? json_string_value(options) : "",
                        reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

int mount_list_parse(const json_t *host_config, struct mount_list *ret, struct err *reterr)
{
    _cleanup_mounts_ struct mount_list list = {0};
    int r = parse_all(host_config, &list, reterr);

    if (r < 0)
        return r;
    sort_by_depth(&list);
    *ret = list;
    list = (struct mount_list){0};
    return 0;
}

static void drop_volumes(struct mount_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->n; i++) {
        if (list->mounts[i].type == MOUNT_VOLUME)
            spec_done(&list->mounts[i]);
        else
            list->mounts[kept++] = list->mounts[i];
    }
    list->n = kept;
}

void mount_list_settle(struct mount_list *list, const json_t *points)
{
    const json_t *p;
    size_t i;

    drop_volumes(list);
    json_array_foreach (points, i, p) {
        const char *name = json_get_str(p, "Name", NULL);
        const json_t *fs = json_get(p, "Filesystem"), *donor = json_get(p, "Donor");
        const char *bind = json_get_str(p, "BindOptions", NULL);
        struct mount_spec m = {
            .type = name ? MOUNT_VOLUME : MOUNT_BIND,
            .source = xstrdup(json_get_str(p, "Source", "")),
            .name = xstrdup_null(name),
            .subpath = xstrdup_null(json_get_str(p, "Subpath", NULL)),
            .target = xstrdup(json_get_str(p, "Destination", "")),
            .mode = xstrdup(json_get_str(p, "Mode", "")),
            .propagation = propagation_parse(json_get_str(p, "Propagation", "")),
            .readonly = !json_get_bool(p, "RW", true),
            .recursive = true,
            .readonly_recursive = true,
        };

        if (fs) {
            m.fstype = xstrdup(json_get_str(fs, "Type", ""));
            m.device = xstrdup(json_get_str(fs, "Device", ""));
            fs_options(json_get_str(fs, "Options", ""), &m);
        }
        if (bind) {
            fs_options(bind, &m);
            m.recursive = mount_has_option(bind, "rbind");
        }
        if (donor) {
            m.donor = xstrdup(json_get_str(donor, "Namespace", ""));
            free(m.source);
            m.source = xstrdup(json_get_str(donor, "Path", ""));
        }
        list_add(list, &m, NULL);
    }
    sort_by_depth(list);
}
