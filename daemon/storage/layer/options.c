#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "layer_protocol.h"
#include "mem.h"
#include "str.h"

#define OVERFLOW_ID 65534

static int take_max_bytes(const char *value, struct options *o)
{
    return str_parse_i64(value, 0, INT64_MAX, &o->limits.max_bytes);
}

static int take_max_entries(const char *value, struct options *o)
{
    return str_parse_i64(value, 0, INT64_MAX, &o->limits.max_entries);
}

static int take_blob(const char *value, struct options *o)
{
    o->blob = true;
    return *value ? -EINVAL : 0;
}

static int take_keep(const char *value, struct options *o)
{
    o->blob = o->keep = true;
    return *value ? -EINVAL : 0;
}

static int take_follow(const char *value, struct options *o)
{
    o->follow = true;
    return *value ? -EINVAL : 0;
}

static int take_tree(const char *value, struct options *o)
{
    o->tree = true;
    return *value ? -EINVAL : 0;
}

static int take_tell(const char *value, struct options *o)
{
    (void)value;
    o->tell = true;
    return 0;
}

static int take_lowers(const char *value, struct options *o)
{
    int64_t n;
    int r = str_parse_i64(value, 0, LAYER_LOWERS_MAX, &n);

    if (r >= 0)
        o->n_lowers = (unsigned)n;
    return r;
}

static int take_ids(const char *value, struct id_map *m)
{
    unsigned inside, outside, count;
    char more;

    if (m->n == ID_RANGES_MAX || sscanf(value, "%u:%u:%u%c", &inside, &outside, &count, &more) != 3)
        return -EINVAL;
    m->ranges[m->n].inside = inside;
    m->ranges[m->n].outside = outside;
    m->ranges[m->n++].count = count;
    return 0;
}

static int take_uid_map(const char *value, struct options *o)
{
    return take_ids(value, &o->uids);
}

static int take_gid_map(const char *value, struct options *o)
{
    return take_ids(value, &o->gids);
}

static const struct {
    const char *name;
    int (*take)(const char *value, struct options *o);
} flags[] = {
    {"--max-bytes=", take_max_bytes},
    {"--max-entries=", take_max_entries},
    {"--blob", take_blob},
    {"--keep", take_keep},
    {"--follow", take_follow},
    {"--tree", take_tree},
    {"--tell", take_tell},
    {"--lowers=", take_lowers},
    {"--uid-map=", take_uid_map},
    {"--gid-map=", take_gid_map},
};

static int parse_one(const char *arg, struct options *o)
{
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (str_starts(arg, flags[i].name))
            return flags[i].take(arg + strlen(flags[i].name), o);
    }
    return base_parse(&o->base, arg) ? 0 : -EINVAL;
}

int options_parse(char *const *argv, struct options *o, struct err *reterr)
{
    for (; *argv; argv++) {
        if (parse_one(*argv, o) < 0)
            return err_set(reterr, ERR_INVALID, EINVAL, "bad argument %s", *argv);
    }
    if (o->keep && o->follow)
        return err_set(reterr, ERR_INVALID, EINVAL, "--keep and --follow want the same descriptor");
    return 0;
}

uint32_t id_map_inside(const struct id_map *m, uint32_t outside)
{
    if (m->n == 0)
        return outside;
    for (unsigned i = 0; i < m->n; i++) {
        if (outside >= m->ranges[i].outside && outside - m->ranges[i].outside < m->ranges[i].count)
            return m->ranges[i].inside + (outside - m->ranges[i].outside);
    }
    return OVERFLOW_ID;
}
