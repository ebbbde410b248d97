#include "user.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

#define LINE_MAX_BYTES 16384
#define FIELDS_MAX 7
#define SPEC_MAX 256

/* ---- lines ---- */

struct lines {
    int fd;
    size_t total; /* bytes read from the file */
    size_t start, end;
    bool skipping; /* within a line that is longer than the buffer */
    char buf[LINE_MAX_BYTES + 1];
};

static struct lines reader; /* one at a time; too big for comfort on a stack */

static struct lines *lines_open(int fd)
{
    reader.fd = fd;
    reader.total = reader.start = reader.end = 0;
    reader.skipping = false;
    return &reader;
}

static bool fill(struct lines *l)
{
    ssize_t n;

    memmove(l->buf, l->buf + l->start, l->end - l->start);
    l->end -= l->start;
    l->start = 0;
    if (l->end == LINE_MAX_BYTES) {
        l->skipping = true;
        l->end = 0;
    }
    if (l->fd < 0 || l->total >= USER_FILE_MAX)
        return false;
    do
        n = read(l->fd, l->buf + l->end, LINE_MAX_BYTES - l->end);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    l->end += (size_t)n;
    l->total += (size_t)n;
    return true;
}

/* The next line without its newline, NUL-terminated in place; NULL at the end. */
static char *lines_next(struct lines *l)
{
    for (;;) {
        char *line = l->buf + l->start;
        char *nl = memchr(line, '\n', l->end - l->start);
        bool skip = l->skipping;

        if (!nl) {
            if (fill(l))
                continue;
            if (l->start == l->end || l->skipping)
                return NULL;
            line = l->buf + l->start;
            nl = l->buf + l->end;
            l->start = l->end;
        } else {
            l->start = (size_t)(nl - l->buf) + 1;
        }
        l->skipping = false;
        *nl = '\0';
        if (!skip)
            return line;
    }
}

/* Split at colons in place; the number of fields, the last of which takes the rest. */
static size_t split_fields(char *line, char *field[FIELDS_MAX])
{
    size_t n = 0;

    for (;;) {
        char *colon = n + 1 < FIELDS_MAX ? strchr(line, ':') : NULL;

        field[n++] = line;
        if (!colon)
            return n;
        *colon = '\0';
        line = colon + 1;
    }
}

static bool parse_id(const char *s, uint32_t *ret)
{
    uint64_t v;

    if (str_parse_u64(s, USER_ID_MAX, &v) < 0)
        return false;
    *ret = (uint32_t)v;
    return true;
}

/* ---- the specification ---- */

/* What Go's Atoi takes: such a text is a number even when it is out of range. */
static bool is_number(const char *s)
{
    if (*s == '+' || *s == '-')
        s++;
    return *s && s[strspn(s, "0123456789")] == '\0';
}

static int number_in_range(const char *s, uint32_t *ret, struct err *reterr)
{
    if (parse_id(*s == '+' ? s + 1 : s, ret))
        return 0;
    return err_set(reterr, ERR_INVALID, ERANGE, "uids and gids must be in range 0-%d", USER_ID_MAX);
}

/* Find the user by id, or by name if not NULL; false if there is none. */
static bool find_user(int passwd, const char *name, struct user_ids *u, char ret_name[SPEC_MAX])
{
    struct lines *l = lines_open(passwd);
    char *line, *f[FIELDS_MAX];

    while ((line = lines_next(l))) {
        size_t n = split_fields(line, f);
        uint32_t uid, gid;

        if (n < 4 || !*f[0] || !parse_id(f[2], &uid) || !parse_id(f[3], &gid))
            continue;
        if (name ? !streq(f[0], name) : uid != u->uid)
            continue;
        u->uid = uid;
        u->gid = gid;
        if (n > 5 && *f[5] == '/' && strlen(f[5]) < sizeof(u->home))
            memcpy(u->home, f[5], strlen(f[5]) + 1);
        if (strlen(f[0]) < SPEC_MAX)
            memcpy(ret_name, f[0], strlen(f[0]) + 1);
        return true;
    }
    return false;
}

static bool find_group(int group, const char *name, gid_t *ret)
{
    struct lines *l = lines_open(group);
    char *line, *f[FIELDS_MAX];

    while ((line = lines_next(l))) {
        if (split_fields(line, f) >= 3 && streq(f[0], name) && parse_id(f[2], ret))
            return true;
    }
    return false;
}

static void add_gid(struct user_ids *u, gid_t gid)
{
    for (size_t i = 0; i < u->groups; i++) {
        if (u->group[i] == gid)
            return;
    }
    if (u->groups < USER_GROUPS_MAX)
        u->group[u->groups++] = gid;
}

static bool lists_member(char *members, const char *name)
{
    char *member;

    while ((member = strsep(&members, ","))) {
        if (streq(member, name))
            return true;
    }
    return false;
}

static void add_memberships(struct user_ids *u, int group, const char *name)
{
    struct lines *l = lines_open(group);
    char *line, *f[FIELDS_MAX];

    while ((line = lines_next(l))) {
        gid_t gid;

        if (split_fields(line, f) >= 4 && parse_id(f[2], &gid) && lists_member(f[3], name))
            add_gid(u, gid);
    }
}

static int resolve_user(const char *name, int passwd, struct user_ids *u, char login[SPEC_MAX],
                        struct err *reterr)
{
    bool number = is_number(name);

    if (number) {
        int r = number_in_range(name, &u->uid, reterr);

        if (r < 0)
            return r;
    }
    if (find_user(passwd, *name && !number ? name : NULL, u, login) || !*name || number)
        return 0;
    return err_set(reterr, ERR_INVALID, ENOENT,
                   "unable to find user %s: no matching entries in passwd file", name);
}

static int resolve_group(const char *name, int group, gid_t *ret, struct err *reterr)
{
    if (is_number(name))
        return number_in_range(name, ret, reterr);
    if (find_group(group, name, ret))
        return 0;
    return err_set(reterr, ERR_INVALID, ENOENT,
                   "unable to find group %s: no matching entries in group file", name);
}

int user_resolve(const char *spec, int passwd, int group, struct user_ids *ret, struct err *reterr)
{
    char user[SPEC_MAX], login[SPEC_MAX] = "";
    const char *colon = strchr(spec, ':');
    size_t n = colon ? (size_t)(colon - spec) : strlen(spec);
    int r;

    ret->uid = 0;
    ret->gid = 0;
    ret->groups = 0;
    memcpy(ret->home, "/", 2);
    if (n >= sizeof(user))
        return err_set(reterr, ERR_INVALID, ENAMETOOLONG, "user name too long");
    memcpy(user, spec, n);
    user[n] = '\0';
    r = resolve_user(user, passwd, ret, login, reterr);
    if (r < 0)
        return r;
    if (colon && colon[1])
        r = resolve_group(colon + 1, group, &ret->gid, reterr);
    else if (*login)
        add_memberships(ret, group, login);
    /* A process whose supplementary groups lack its own gid could get round a "group may not" of
     * the file system (CVE-2022-36109). */
    if (r >= 0)
        add_gid(ret, ret->gid);
    return r;
}

int user_add_group(struct user_ids *u, const char *name, int group, struct err *reterr)
{
    gid_t gid;
    int r;

    if (!is_number(name) && !find_group(group, name, &gid))
        return err_set(reterr, ERR_INVALID, ENOENT,
                       "Unable to find group %s: no matching entries in group file", name);
    r = is_number(name) ? number_in_range(name, &gid, reterr) : 0;
    if (r >= 0)
        add_gid(u, gid);
    return r;
}
