/* The older iptables: a table is one block of entries in memory, read and replaced as a whole.
 * Layout: linux/netfilter_ipv4/ip_tables.h and linux/netfilter_ipv6/ip6_tables.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "forward.h"
#include "str.h"

#define LOCK "/run/xtables.lock" /* iptables -w waits for it */
#define LOCK_TRIES 50
#define LOCK_PAUSE_US 20000
#define TABLE "filter"
#define NAMES_MAX 4096
#define TABLE_SIZE_MAX (64 << 20)
#define VERDICT(v) (-(v)-1) /* as the kernel keeps those that are no jumps */

_Static_assert(offsetof(struct ipt_replace, entries) == offsetof(struct ip6t_replace, entries) &&
                   sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo) &&
                   IPT_SO_SET_REPLACE == IP6T_SO_SET_REPLACE,
               "both families differ in their entries only");

struct layout {
    int family, level;
    const char *names; /* tables that exist in this network namespace */
    size_t entry_size, target_at, next_at;
};

static const struct layout layouts[] = {
    {AF_INET, IPPROTO_IP, "/proc/net/ip_tables_names", sizeof(struct ipt_entry),
     offsetof(struct ipt_entry, target_offset), offsetof(struct ipt_entry, next_offset)},
    {AF_INET6, IPPROTO_IPV6, "/proc/net/ip6_tables_names", sizeof(struct ip6t_entry),
     offsetof(struct ip6t_entry, target_offset), offsetof(struct ip6t_entry, next_offset)},
};

struct table {
    const struct layout *layout;
    struct ipt_getinfo info;
    uint8_t *entries; /* info.size bytes, owned */
};

/* ---- entries ---- */

static uint16_t u16_at(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static size_t next_of(const struct table *t, size_t at)
{
    size_t len = u16_at(t->entries + at + t->layout->next_at);

    return len < t->layout->entry_size || len > t->info.size - at ? t->info.size : at + len;
}

/* The verdict of a target without a name; false: it has one. */
static bool standard_verdict(const struct table *t, size_t at, struct xt_standard_target **ret)
{
    size_t offset = at + u16_at(t->entries + at + t->layout->target_at);

    if (offset + sizeof(**ret) > t->info.size)
        return false;
    *ret = (struct xt_standard_target *)(t->entries + offset);
    return (*ret)->target.u.user.name[0] == '\0';
}

#define MARK_MATCH_SIZE (sizeof(struct xt_entry_match) + XT_ALIGN(sizeof(struct xt_mark_mtinfo1)))

static size_t rule_size(const struct layout *l)
{
    return l->entry_size + MARK_MATCH_SIZE + sizeof(struct xt_standard_target);
}

static void make_rule(const struct layout *l, uint8_t *ret)
{
    struct xt_entry_match *match = (struct xt_entry_match *)(ret + l->entry_size);
    struct xt_mark_mtinfo1 info = {.mark = FORWARD_MARK, .mask = FORWARD_MARK};
    struct xt_standard_target *target =
        (struct xt_standard_target *)(ret + l->entry_size + MARK_MATCH_SIZE);
    uint16_t target_offset = (uint16_t)(l->entry_size + MARK_MATCH_SIZE);
    uint16_t next_offset = (uint16_t)rule_size(l);

    memset(ret, 0, next_offset);
    memcpy(ret + l->target_at, &target_offset, sizeof(target_offset));
    memcpy(ret + l->next_at, &next_offset, sizeof(next_offset));
    match->u.match_size = MARK_MATCH_SIZE;
    strcpy(match->u.user.name, "mark");
    match->u.user.revision = 1;
    memcpy(match->data, &info, sizeof(info));
    target->target.u.target_size = sizeof(*target);
    target->verdict = VERDICT(NF_ACCEPT);
}

static bool is_rule(const struct table *t, size_t at)
{
    const struct xt_entry_match *match =
        (const struct xt_entry_match *)(t->entries + at + t->layout->entry_size);
    struct xt_standard_target *target;
    struct xt_mark_mtinfo1 info;

    if (next_of(t, at) - at != rule_size(t->layout) || !standard_verdict(t, at, &target) ||
        target->verdict != VERDICT(NF_ACCEPT) || !streq(match->u.user.name, "mark"))
        return false;
    memcpy(&info, match->data, sizeof(info));
    return info.mark == FORWARD_MARK && info.mask == FORWARD_MARK && !info.invert;
}

/* ---- the table ---- */

static bool exists(const struct layout *l)
{
    _cleanup_free_ char *names = NULL;
    const char *line;

    if (file_read(AT_FDCWD, l->names, NAMES_MAX, &names) <= 0)
        return false;
    for (line = names; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, TABLE "\n", sizeof(TABLE)) == 0)
            return true;
    }
    return false;
}

static int read_table(int fd, struct table *t)
{
    socklen_t len = sizeof(t->info);
    _cleanup_free_ struct ipt_get_entries *get = NULL;

    strcpy(t->info.name, TABLE);
    if (getsockopt(fd, t->layout->level, IPT_SO_GET_INFO, &t->info, &len) < 0)
        return -errno;
    if (t->info.size > TABLE_SIZE_MAX)
        return -E2BIG;
    len = (socklen_t)(sizeof(*get) + t->info.size);
    get = xcalloc(1, len);
    strcpy(get->name, TABLE);
    get->size = t->info.size;
    if (getsockopt(fd, t->layout->level, IPT_SO_GET_ENTRIES, get, &len) < 0)
        return -errno;
    t->entries = xmalloc(t->info.size + 1);
    memcpy(t->entries, (uint8_t *)get + offsetof(struct ipt_get_entries, entrytable), t->info.size);
    return 0;
}

/* Does the chain drop what comes to its end, and is our rule missing? */
static bool needs_rule(const struct table *t)
{
    size_t end = t->info.underflow[NF_INET_FORWARD];
    struct xt_standard_target *policy;

    if (end + t->layout->entry_size > t->info.size || !standard_verdict(t, end, &policy) ||
        policy->verdict != VERDICT(NF_DROP))
        return false;
    for (size_t at = t->info.hook_entry[NF_INET_FORWARD]; at < end; at = next_of(t, at)) {
        if (is_rule(t, at))
            return false;
    }
    return true;
}

/* Jumps lead to offsets: those behind the new rule move. */
static size_t move_jumps(struct table *t, size_t where, size_t by)
{
    struct xt_standard_target *target;
    size_t index = 0, n = 0;

    for (size_t at = 0; at < t->info.size; at = next_of(t, at), n++) {
        if (at == where)
            index = n;
        if (standard_verdict(t, at, &target) && target->verdict >= 0 &&
            (size_t)target->verdict > where)
            target->verdict += (int)by;
    }
    return index;
}

static void move_hooks(struct ipt_replace *r, size_t where, size_t by)
{
    for (int h = 0; h < NF_INET_NUMHOOKS; h++) {
        /* A chain that is empty begins with its policy, where now the rule is. */
        if (r->hook_entry[h] > where)
            r->hook_entry[h] += (unsigned)by;
        if (r->underflow[h] >= where)
            r->underflow[h] += (unsigned)by;
    }
}

/* Counters start at 0 with each replacement: what they were is added again. */
static void restore_counters(int fd, const struct table *t, const struct xt_counters *old,
                             size_t index)
{
    size_t n = t->info.num_entries, size = sizeof(struct xt_counters_info) + (n + 1) * sizeof(*old);
    _cleanup_free_ struct xt_counters_info *info = xcalloc(1, size);

    strcpy(info->name, TABLE);
    info->num_counters = (unsigned)n + 1;
    memcpy(info->counters, old, index * sizeof(*old));
    memcpy(info->counters + index + 1, old + index, (n - index) * sizeof(*old));
    (void)setsockopt(fd, t->layout->level, IPT_SO_SET_ADD_COUNTERS, info, (socklen_t)size);
}

static int insert(int fd, struct table *t)
{
    size_t where = t->info.underflow[NF_INET_FORWARD], by = rule_size(t->layout);
    size_t head = offsetof(struct ipt_replace, entries), size = head + t->info.size + by;
    _cleanup_free_ struct ipt_replace *r = xcalloc(1, size);
    _cleanup_free_ struct xt_counters *old = xcalloc(t->info.num_entries, sizeof(*old));
    size_t index = move_jumps(t, where, by);

    strcpy(r->name, TABLE);
    r->valid_hooks = t->info.valid_hooks;
    r->num_entries = t->info.num_entries + 1;
    r->size = (unsigned)(t->info.size + by);
    memcpy(r->hook_entry, t->info.hook_entry, sizeof(r->hook_entry));
    memcpy(r->underflow, t->info.underflow, sizeof(r->underflow));
    move_hooks(r, where, by);
    r->num_counters = t->info.num_entries;
    r->counters = old;
    memcpy((uint8_t *)r + head, t->entries, where);
    make_rule(t->layout, (uint8_t *)r + head + where);
    memcpy((uint8_t *)r + head + where + by, t->entries + where, t->info.size - where);
    if (setsockopt(fd, t->layout->level, IPT_SO_SET_REPLACE, r, (socklen_t)size) < 0)
        return -errno;
    restore_counters(fd, t, old, index);
    return 1;
}

static int settle(const struct layout *l)
{
    _cleanup_close_ int lock = -EBADF, fd = socket(l->family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    struct table t = {.layout = l};
    int r;

    if (fd < 0)
        return -errno;
    /* Whoever keeps the lock for good must not stop us: the kernel refuses a stale table itself. */
    lock = open(LOCK, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    for (int i = 0; lock >= 0 && i < LOCK_TRIES && flock(lock, LOCK_EX | LOCK_NB) < 0; i++)
        usleep(LOCK_PAUSE_US);
    r = read_table(fd, &t);
    if (r >= 0)
        r = needs_rule(&t) ? insert(fd, &t) : 0;
    free(t.entries);
    return r;
}

int xtables_settle(int family, struct err *reterr)
{
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
        if (layouts[i].family == family && exists(&layouts[i]))
            r = settle(&layouts[i]);
    }
    return r < 0 ? err_sys(reterr, -r, "append to FORWARD of iptables") : r;
}
