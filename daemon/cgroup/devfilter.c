#include "devfilter.h"

#include <errno.h>

#define INSN(c, d, s, o, i)                                                                        \
    ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define LOAD(dst, field)                                                                           \
    INSN(BPF_LDX | BPF_MEM | BPF_W, dst, BPF_REG_1,                                                \
         (short)offsetof(struct bpf_cgroup_dev_ctx, field), 0)
#define RULE_INSNS_MAX 9

/* r2 type, r3 access, r4 major, r5 minor; r1 scratch. */
static int add_prologue(struct bpf_insn *p)
{
    int n = 0;

    p[n++] = LOAD(BPF_REG_2, access_type);
    p[n++] = INSN(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
    p[n++] = INSN(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
    p[n++] = INSN(BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
    p[n++] = LOAD(BPF_REG_4, major);
    p[n++] = LOAD(BPF_REG_5, minor);
    return n;
}

static int add_exit(struct bpf_insn *p, bool allow)
{
    p[0] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allow);
    p[1] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return 2;
}

/* An allow rule must cover all of the access; a deny rule bites on any part of it. */
static int add_access_test(struct bpf_insn *p, const struct cgroup_device *rule)
{
    p[0] = INSN(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0);
    if (rule->allow) {
        p[1] = INSN(BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, (int)(~rule->access & 7));
        p[2] = INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_1, 0, 0, 0);
    } else {
        p[1] = INSN(BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, (int)(rule->access & 7));
        p[2] = INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_1, 0, 0, 0);
    }
    return 3;
}

/* CGROUP_DEV_* (v1's order r, w, m) to BPF_DEVCG_ACC_* (m 1, r 2, w 4). */
static unsigned bpf_access(unsigned access)
{
    return (access & CGROUP_DEV_READ ? BPF_DEVCG_ACC_READ : 0) |
           (access & CGROUP_DEV_WRITE ? BPF_DEVCG_ACC_WRITE : 0) |
           (access & CGROUP_DEV_MKNOD ? BPF_DEVCG_ACC_MKNOD : 0);
}

static int add_rule(struct bpf_insn *p, const struct cgroup_device *rule)
{
    struct cgroup_device r = *rule;
    int n = 0;

    r.access = bpf_access(rule->access);
    if (r.type != 'a')
        p[n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 0,
                      r.type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
    if (r.access != 7)
        n += add_access_test(p + n, &r);
    if (r.major >= 0)
        p[n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_4, 0, 0, r.major);
    if (r.minor >= 0)
        p[n++] = INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_5, 0, 0, r.minor);
    n += add_exit(p + n, r.allow);
    /* All jumps of a rule lead behind it. */
    for (int i = 0; i < n - 2; i++) {
        if (BPF_CLASS(p[i].code) == BPF_JMP)
            p[i].off = (short)(n - 1 - i);
    }
    return n;
}

static bool is_catch_all(const struct cgroup_device *r)
{
    return r->type == 'a' && r->access == 7 && r->major < 0 && r->minor < 0;
}

int devfilter_build(const struct cgroup_device *rules, size_t n,
                    struct bpf_insn ret[DEVFILTER_INSNS_MAX])
{
    int count = add_prologue(ret);

    /* Last rule first: the first match in the program decides. */
    while (n-- > 0) {
        if (count > DEVFILTER_INSNS_MAX - RULE_INSNS_MAX - 2)
            return -E2BIG;
        /* The verifier refuses unreachable instructions. */
        if (is_catch_all(&rules[n]))
            return count + add_exit(ret + count, rules[n].allow);
        count += add_rule(ret + count, &rules[n]);
    }
    return count + add_exit(ret + count, false);
}
