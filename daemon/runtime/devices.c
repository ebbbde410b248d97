#include "devices.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "json.h"
#include "path.h"
#include "str.h"

#define DEVICES_MAX 4096
#define DEPTH_MAX 8
#define RWM (CGROUP_DEV_READ | CGROUP_DEV_WRITE | CGROUP_DEV_MKNOD)

static const struct {
    const char *path;
    unsigned major, minor;
} default_nodes[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

/* runc's: making any node is allowed, using only these: null zero full random urandom tty console,
 * ptmx, and the pseudo terminals. */
static const struct cgroup_device default_rules[] = {
    {'c', -1, -1, CGROUP_DEV_MKNOD, true},
    {'b', -1, -1, CGROUP_DEV_MKNOD, true},
    {'c', 1, 3, RWM, true},
    {'c', 1, 5, RWM, true},
    {'c', 1, 7, RWM, true},
    {'c', 1, 8, RWM, true},
    {'c', 1, 9, RWM, true},
    {'c', 5, 0, RWM, true},
    {'c', 5, 1, RWM, true},
    {'c', 5, 2, RWM, true},
    {'c', 136, -1, RWM, true},
};

void device_list_done(struct device_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->devices[i].host);
        free(list->devices[i].path);
    }
    free(list->devices);
    free(list->rules);
    *list = (struct device_list){0};
}

static void add_rule(struct device_list *list, const struct cgroup_device *rule)
{
    list->rules = xrealloc(list->rules, (list->n_rules + 1) * sizeof(*rule));
    list->rules[list->n_rules++] = *rule;
}

/* A later entry for the same path in the container replaces the earlier one. */
static void add_device(struct device_list *list, const char *host, const char *path,
                       const struct stat *st)
{
    struct device d = {xstrdup(host), path_clean(path), st->st_mode,
                       st->st_rdev,   st->st_uid,       st->st_gid};

    for (size_t i = 0; i < list->n; i++) {
        if (streq(list->devices[i].path, d.path)) {
            free(list->devices[i].host);
            free(list->devices[i].path);
            list->devices[i] = d;
            return;
        }
    }
    list->devices = xrealloc(list->devices, (list->n + 1) * sizeof(d));
    list->devices[list->n++] = d;
}

static void add_device_rule(struct device_list *list, const struct stat *st, unsigned access)
{
    struct cgroup_device rule = {
        .type = S_ISBLK(st->st_mode) ? 'b' : 'c',
        .major = (int32_t)major(st->st_rdev),
        .minor = (int32_t)minor(st->st_rdev),
        .access = access,
        .allow = true,
    };

    add_rule(list, &rule);
}

static bool is_device(const struct stat *st)
{
    return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

/* Names in the host's /dev that are no devices of the host but of the container or its manager. */
static bool is_skipped(const char *name)
{
    static const char *const names[] = {"pts",   "shm",         "fd",     "mqueue",
                                        ".lxc",  ".lxd-mounts", ".udev",  "console",
                                        "stdin", "stdout",      "stderr", "ptmx"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (streq(names[i], name))
            return true;
    }
    return false;
}

/* Symlinks in a directory are left out, as runc does. */
static void walk(struct device_list *list, const char *host, const char *path, unsigned access,
                 int depth)
{
    DIR *d = depth < DEPTH_MAX ? opendir(host) : NULL;
    struct dirent *e;

    while (d && (e = readdir(d)) && list->n < DEVICES_MAX) {
        _cleanup_free_ char *from = NULL, *to = NULL;
        struct stat st;

        if (streq(e->d_name, ".") || streq(e->d_name, "..") ||
            (streq(host, "/dev") && is_skipped(e->d_name)))
            continue;
        from = path_join(host, e->d_name);
        to = path_join(path, e->d_name);
        if (lstat(from, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            walk(list, from, to, access, depth + 1);
        } else if (is_device(&st)) {
            add_device(list, from, to, &st);
            if (!list->all)
                add_device_rule(list, &st, access);
        }
    }
    if (d)
        closedir(d);
}

static int add_requested(struct device_list *list, const json_t *item, struct err *reterr)
{
    const char *host = json_get_str(item, "PathOnHost", "");
    const char *path = json_get_str(item, "PathInContainer", host);
    unsigned access = device_access_parse(json_get_str(item, "CgroupPermissions", "rwm"));
    struct stat st;
    int r = 0;

    if (!*path)
        path = host;
    if (stat(host, &st) < 0)
        r = errno;
    else if (!is_device(&st) && !S_ISDIR(st.st_mode))
        return err_set(reterr, ERR_SYSTEM, ENODEV,
                       "error gathering device information while adding custom device \"%s\": not "
                       "a device node",
                       host);
    if (r)
        return err_sys(reterr, r,
                       "error gathering device information while adding custom device \"%s\"",
                       host);
    if (S_ISDIR(st.st_mode)) {
        walk(list, host, path, access ? access : RWM, 0);
        return 0;
    }
    add_device(list, host, path, &st);
    if (!list->all)
        add_device_rule(list, &st, access ? access : RWM);
    return 0;
}

static void add_defaults(struct device_list *list)
{
    for (size_t i = 0; i < ARRAY_SIZE(default_nodes); i++) {
        struct stat st = {
            .st_mode = S_IFCHR | 0666,
            .st_rdev = makedev(default_nodes[i].major, default_nodes[i].minor),
        };

        add_device(list, default_nodes[i].path, default_nodes[i].path, &st);
    }
}

int device_list_build(const json_t *host_config, struct device_list *ret, struct err *reterr)
{
    const json_t *devices = json_get(host_config, "Devices"), *item;
    const json_t *rules = json_get(host_config, "DeviceCgroupRules");
    _cleanup_devices_ struct device_list list = {
        .all = json_get_bool(host_config, "Privileged", false),
    };
    struct cgroup_device rule;
    size_t i;

    add_defaults(&list);
    if (list.all)
        walk(&list, "/dev", "/dev", RWM, 0);
    else
        for (i = 0; i < ARRAY_SIZE(default_rules); i++)
            add_rule(&list, &default_rules[i]);
    json_array_foreach (devices, i, item) {
        int r = add_requested(&list, item, reterr);

        if (r < 0)
            return r;
    }
    json_array_foreach (rules, i, item) {
        if (!list.all && device_rule_parse(json_string_value(item), &rule))
            add_rule(&list, &rule);
    }
    *ret = list;
    list = (struct device_list){0};
    return 0;
}

unsigned device_access_parse(const char *text)
{
    unsigned access = 0;

    for (; text && *text; text++) {
        unsigned bit = *text == 'r'   ? CGROUP_DEV_READ
                       : *text == 'w' ? CGROUP_DEV_WRITE
                       : *text == 'm' ? CGROUP_DEV_MKNOD
                                      : 0;

        if (!bit || access & bit)
            return 0;
        access |= bit;
    }
    return access;
}

static bool parse_number(const char *s, size_t len, int32_t *ret)
{
    _cleanup_free_ char *text = xstrndup(s, len);
    int64_t n;

    if (streq(text, "*")) {
        *ret = -1;
        return true;
    }
    if (str_parse_i64(text, 0, INT32_MAX, &n) < 0)
        return false;
    *ret = (int32_t)n;
    return true;
}

bool device_rule_parse(const char *text, struct cgroup_device *ret)
{
    struct cgroup_device d = {.allow = true};
    const char *colon, *blank;

    if (!text || !strchr("abc", *text) || !*text || text[1] != ' ')
        return false;
    d.type = *text;
    text += 2;
    colon = strchr(text, ':');
    blank = colon ? strchr(colon, ' ') : NULL;
    if (!blank || !parse_number(text, (size_t)(colon - text), &d.major) ||
        !parse_number(colon + 1, (size_t)(blank - colon - 1), &d.minor))
        return false;
    d.access = device_access_parse(blank + 1);
    *ret = d;
    return d.access != 0;
}
