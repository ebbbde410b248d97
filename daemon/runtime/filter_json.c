/* Custom seccomp profiles: Docker's JSON and the OCI runtime spec's. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>

#include "capability.h"
#include "filter.h"
#include "json.h"
#include "str.h"

#define PROFILE_SIZE_MAX (4u << 20)
#define ARGS_MAX 6

struct profile {
    scmp_filter_ctx ctx;
    uint64_t caps;
    unsigned kernel;
    uint32_t default_action;
    struct err *reterr;
};

static void ctx_release(scmp_filter_ctx *ctx)
{
    if (*ctx)
        seccomp_release(*ctx);
}

static int bad(struct profile *p, const char *what, const char *value)
{
    return err_set(p->reterr, ERR_INVALID, EINVAL, "invalid seccomp profile: %s \"%s\"", what,
                   value ? value : "");
}

static int parse_action(struct profile *p, const char *name, int64_t errnum, uint32_t *ret)
{
    static const struct {
        const char *name;
        uint32_t action;
        bool takes_errno;
    } actions[] = {
        {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false},
        {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), true},
        {"SCMP_ACT_KILL", SCMP_ACT_KILL, false},
        {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false},
        {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false},
        {"SCMP_ACT_TRAP", SCMP_ACT_TRAP, false},
        {"SCMP_ACT_LOG", SCMP_ACT_LOG, false},
        {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), true},
    };

    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        if (name && streq(actions[i].name, name)) {
            *ret = actions[i].action | (actions[i].takes_errno ? (uint32_t)errnum & 0xffff : 0);
            return 0;
        }
    }
    return bad(p, "action", name);
}

static bool parse_op(const char *name, enum scmp_compare *ret)
{
    static const struct {
        const char *name;
        enum scmp_compare op;
    } ops[] = {
        {"SCMP_CMP_NE", SCMP_CMP_NE},
        {"SCMP_CMP_LT", SCMP_CMP_LT},
        {"SCMP_CMP_LE", SCMP_CMP_LE},
        {"SCMP_CMP_EQ", SCMP_CMP_EQ},
        {"SCMP_CMP_GE", SCMP_CMP_GE},
        {"SCMP_CMP_GT", SCMP_CMP_GT},
        {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    };

    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        if (streq(ops[i].name, name)) {
            *ret = ops[i].op;
            return true;
        }
    }
    return false;
}

/* Go's names of the architectures this program runs on. */
static const char *go_arch(void)
{
    return seccomp_arch_native() == SCMP_ARCH_X86_64 ? "amd64" : "arm64";
}

static bool list_has(const json_t *list, const char *s)
{
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        if (json_is_string(item) && streq(json_string_value(item), s))
            return true;
    }
    return false;
}

static bool any_cap(const json_t *list, uint64_t caps)
{
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        int cap = json_is_string(item) ? caps_parse(json_string_value(item)) : -1;

        if (cap >= 0 && caps & CAP_BIT(cap))
            return true;
    }
    return false;
}

/* Docker's "includes": all that are given must hold; capabilities: all of them. */
static bool is_included(const struct profile *p, const json_t *rule)
{
    const json_t *cond = json_get(rule, "includes"), *caps = json_get(cond, "caps"), *item;
    const char *kernel = json_get_str(cond, "minKernel", NULL);
    unsigned major = 0, minor = 0;
    size_t i;

    if (json_array_size(json_get(cond, "arches")) > 0 &&
        !list_has(json_get(cond, "arches"), go_arch()))
        return false;
    json_array_foreach (caps, i, item) {
        int cap = json_is_string(item) ? caps_parse(json_string_value(item)) : -1;

        if (cap < 0 || !(p->caps & CAP_BIT(cap)))
            return false;
    }
    return !kernel ||
           (sscanf(kernel, "%u.%u", &major, &minor) == 2 && p->kernel >= (major << 16 | minor));
}

static bool is_excluded(const struct profile *p, const json_t *rule)
{
    const json_t *cond = json_get(rule, "excludes");
    const char *kernel = json_get_str(cond, "minKernel", NULL);
    unsigned major = 0, minor = 0;

    return list_has(json_get(cond, "arches"), go_arch()) ||
           any_cap(json_get(cond, "caps"), p->caps) ||
           (kernel && sscanf(kernel, "%u.%u", &major, &minor) == 2 &&
            p->kernel >= (major << 16 | minor));
}

static int parse_args(struct profile *p, const json_t *rule, struct scmp_arg_cmp args[ARGS_MAX],
                      bool *ret_same)
{
    const json_t *list = json_get(rule, "args"), *item;
    unsigned seen = 0;
    size_t i;

    *ret_same = false;
    if (json_array_size(list) > ARGS_MAX)
        return bad(p, "number of args", "");
    json_array_foreach (list, i, item) {
        int64_t index = json_get_int(item, "index", -1);

        if (index < 0 || index > 5)
            return bad(p, "arg index", "");
        args[i].arg = (unsigned)index;
        if (!parse_op(json_get_str(item, "op", ""), &args[i].op))
            return bad(p, "op", json_get_str(item, "op", ""));
        args[i].datum_a = (uint64_t)json_get_int(item, "value", 0);
        args[i].datum_b = (uint64_t)json_get_int(item, "valueTwo", 0);
        *ret_same |= seen & (1u << index);
        seen |= 1u << index;
    }
    return (int)json_array_size(list);
}

static int add_call(struct profile *p, const json_t *rule, const char *name, uint32_t action)
{
    int nr = seccomp_syscall_resolve_name(name), n, r = 0;
    struct scmp_arg_cmp args[ARGS_MAX] = {0};
    bool same;

    /* Unknown to this library or kernel: it cannot be let through, and is the default's else. */
    if (nr == __NR_SCMP_ERROR)
        return 0;
    n = parse_args(p, rule, args, &same);
    if (n < 0)
        return n;
    /* Several conditions on one argument are alternatives, as runc reads them. */
    for (int i = 0; same && i < n && r >= 0; i++)
        r = seccomp_rule_add_array(p->ctx, action, nr, 1, &args[i]);
    if (!same)
        r = seccomp_rule_add_array(p->ctx, action, nr, (unsigned)n, args);
    return r < 0 && r != -EEXIST ? err_sys(p->reterr, -r, "seccomp rule for %s", name) : 0;
}

static int add_rule(struct profile *p, const json_t *rule)
{
    const char *single = json_get_str(rule, "name", NULL);
    const json_t *names = json_get(rule, "names"), *item;
    uint32_t action;
    size_t i;
    int r;

    if (!is_included(p, rule) || is_excluded(p, rule))
        return 0;
    r = parse_action(p, json_get_str(rule, "action", NULL), json_get_int(rule, "errnoRet", EPERM),
                     &action);
    if (r < 0 || action == p->default_action)
        return r;
    if (single)
        return add_call(p, rule, single, action);
    json_array_foreach (names, i, item) {
        r = json_is_string(item) ? add_call(p, rule, json_string_value(item), action)
                                 : bad(p, "names", "");
        if (r < 0)
            return r;
    }
    return 0;
}

/* "SCMP_ARCH_X86_64" */
static int add_arch(struct profile *p, const char *name)
{
    char lower[32];
    uint32_t arch;
    size_t i;
    int r;

    if (!str_starts(name, "SCMP_ARCH_") || strlen(name) >= sizeof(lower))
        return bad(p, "architecture", name);
    name += strlen("SCMP_ARCH_");
    for (i = 0; name[i]; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
    lower[i] = '\0';
    arch = seccomp_arch_resolve_name(lower);
    r = arch == 0 ? 0 : seccomp_arch_add(p->ctx, arch);
    return r < 0 && r != -EEXIST ? err_sys(p->reterr, -r, "seccomp architecture %s", name) : 0;
}

static int add_architectures(struct profile *p, const json_t *profile)
{
    const json_t *list = json_get(profile, "architectures"), *item;
    size_t i;
    int r;

    if (json_array_size(json_get(profile, "archMap")) > 0) {
        r = filter_add_architectures(p->ctx);
        return r < 0 ? err_sys(p->reterr, -r, "seccomp architectures") : 0;
    }
    json_array_foreach (list, i, item) {
        r = add_arch(p, json_is_string(item) ? json_string_value(item) : "");
        if (r < 0)
            return r;
    }
    return 0;
}

static uint64_t parse_flags(const json_t *profile, uint64_t def)
{
    const json_t *flags = json_get(profile, "flags");
    uint64_t out = 0;

    if (!flags)
        return def;
    if (list_has(flags, "SECCOMP_FILTER_FLAG_LOG"))
        out |= SECCOMP_FILTER_FLAG_LOG;
    if (list_has(flags, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"))
        out |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    return out;
}

static int build(struct profile *p, const json_t *profile, struct filter *ret)
{
    const json_t *rules = json_get(profile, "syscalls"), *rule;
    int r = add_architectures(p, profile);
    size_t i;

    json_array_foreach (rules, i, rule) {
        if (r >= 0)
            r = add_rule(p, rule);
    }
    if (r >= 0)
        r = filter_export(p->ctx, false, ret, p->reterr);
    if (r >= 0)
        ret->flags = parse_flags(profile, ret->flags);
    return r;
}

int filter_custom(const char *json, uint64_t caps, unsigned kernel, struct filter *ret,
                  struct err *reterr)
{
    _cleanup_(ctx_release) scmp_filter_ctx ctx = NULL;
    struct profile p = {.caps = caps, .kernel = kernel, .reterr = reterr};
    _cleanup_json_ json_t *profile = NULL;
    json_error_t je;
    int r;

    if (strlen(json) > PROFILE_SIZE_MAX)
        return err_set(reterr, ERR_INVALID, E2BIG, "seccomp profile is too large");
    profile = json_loads(json, 0, &je);
    if (!json_is_object(profile))
        return err_set(reterr, ERR_INVALID, EINVAL, "Decoding seccomp profile failed: %s",
                       profile ? "not an object" : je.text);
    r = parse_action(&p, json_get_str(profile, "defaultAction", NULL),
                     json_get_int(profile, "defaultErrnoRet", EPERM), &p.default_action);
    if (r < 0)
        return r;
    p.ctx = ctx = seccomp_init(p.default_action);
    if (!ctx)
        return err_sys(reterr, ENOMEM, "make seccomp filter");
    return build(&p, profile, ret);
}
