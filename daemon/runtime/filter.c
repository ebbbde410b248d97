#include "filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capability.h"
#include "fd.h"
#include "mem.h"

#define NAME_MAX_LEN 64
#define CLONE_NAMESPACES                                                                           \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)
#define X32_BIT 0x40000000u
#define FILTER_SIZE_MAX (1u << 20)

static void ctx_release(scmp_filter_ctx *ctx)
{
    if (*ctx)
        seccomp_release(*ctx);
}

void filter_done(struct filter *f)
{
    free(f->insns);
    *f = (struct filter){0};
}

int filter_add_architectures(scmp_filter_ctx ctx)
{
    static const struct {
        uint32_t native, companions[2];
    } table[] = {
        {SCMP_ARCH_X86_64, {SCMP_ARCH_X86, SCMP_ARCH_X32}},
        {SCMP_ARCH_AARCH64, {SCMP_ARCH_ARM, 0}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        for (size_t k = 0; k < 2 && table[i].native == seccomp_arch_native(); k++) {
            int r = table[i].companions[k] ? seccomp_arch_add(ctx, table[i].companions[k]) : 0;

            if (r < 0 && r != -EEXIST)
                return r;
        }
    }
    return 0;
}

static int allow_names(scmp_filter_ctx ctx, const char *names)
{
    while (*names) {
        size_t n = strcspn(names, " ");
        char name[NAME_MAX_LEN];
        int nr, r;

        if (n >= sizeof(name))
            return -ENAMETOOLONG;
        memcpy(name, names, n);
        name[n] = '\0';
        nr = seccomp_syscall_resolve_name(name);
        r = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
        if (r < 0 && r != -EEXIST)
            return r;
        names += n;
        names += *names == ' ';
    }
    return 0;
}

/* Only exact values and "less than": the kernel looks at the low 32 bits of these arguments, a
 * filter at 64, so "greater than" or "not equal" could be fooled by set high bits. */
static int allow_socket(scmp_filter_ctx ctx)
{
    int r =
        seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_LT, AF_ALG));

    for (unsigned family = AF_ALG + 1; r >= 0 && family <= 45 /* AF_MCTP */; family++) {
        if (family != AF_VSOCK)
            r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_EQ, family));
    }
    return r;
}

static int allow_personality(scmp_filter_ctx ctx)
{
    /* PER_LINUX, PER_LINUX32, UNAME26 with each, and the question */
    static const uint32_t values[] = {0, 8, 0x20000, 0x20008, 0xffffffff};
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(values); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                             SCMP_A0(SCMP_CMP_EQ, values[i]));
    return r;
}

/* clone3's flags are in memory, where a filter cannot look: ENOSYS makes libc use clone. */
static int allow_clone(scmp_filter_ctx ctx)
{
    int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NAMESPACES, 0));

    return r < 0 ? r : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int add_default_rules(scmp_filter_ctx ctx, uint64_t caps, unsigned kernel)
{
    int r = filter_add_architectures(ctx);

    for (size_t i = 0; r >= 0 && i < filter_groups_n; i++) {
        const struct filter_group *g = &filter_groups[i];

        if ((g->caps == 0 || g->caps & caps) && kernel >= g->min_kernel)
            r = allow_names(ctx, g->names);
    }
    if (r >= 0)
        r = allow_socket(ctx);
    if (r >= 0)
        r = allow_personality(ctx);
    if (r >= 0 && !(caps & CAP_BIT(CAP_SYS_ADMIN)))
        r = allow_clone(ctx);
    return r;
}

int filter_default(uint64_t caps, unsigned kernel, struct filter *ret, struct err *reterr)
{
    _cleanup_(ctx_release) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int r;

    if (!ctx)
        return err_sys(reterr, ENOMEM, "make seccomp filter");
    r = add_default_rules(ctx, caps, kernel);
    if (r < 0)
        return err_sys(reterr, -r, "make default seccomp filter");
    return filter_export(ctx, true, ret, reterr);
}

/* Stands before the library's program and falls through to it.  Without it a call that is newer
 * than the library would be EPERM, and C libraries take only ENOSYS for "not there, fall back". */
static size_t prologue_build(struct sock_filter *p)
{
#if defined(__x86_64__)
#define STMT(code, k) ((struct sock_filter)BPF_STMT(code, k))
#define JUMP(code, k, jt, jf) ((struct sock_filter)BPF_JUMP(code, k, (uint8_t)(jt), (uint8_t)(jf)))
    const size_t end = 7 + filter_new_calls_n + 2, allow = end - 1;
    size_t n = 0;

    p[n++] = STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    p[n++] = JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    p[n++] = JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 0, end - 3);
    p[n++] = STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    p[n++] = JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, end - 5, 0);
    p[n++] = JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_URETPROBE, allow - 6, 0);
    p[n++] = JUMP(BPF_JMP | BPF_JGE | BPF_K, FILTER_FIRST_UNKNOWN, 0, end - 7);
    for (size_t i = 0; i < filter_new_calls_n; i++, n++)
        p[n] = JUMP(BPF_JMP | BPF_JEQ | BPF_K, filter_new_calls[i], allow - n - 1, 0);
    p[n++] = STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    p[n++] = STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return n;
#else
    (void)p;
    return 0;
#endif
}

int filter_export(scmp_filter_ctx ctx, bool prologue, struct filter *ret, struct err *reterr)
{
    _cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
    struct sock_filter head[64];
    size_t n = prologue ? prologue_build(head) * sizeof(*head) : 0;
    off_t size;
    int r;

    if (fd < 0)
        return err_sys(reterr, errno, "export seccomp filter");
    /* Binary search by number; the cost of a long chain is paid at each start, when the kernel
     * works out which calls are always allowed.  Before libseccomp 2.5 refused, and harmless. */
    (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    r = seccomp_export_bpf(ctx, fd);
    if (r < 0)
        return err_sys(reterr, -r, "export seccomp filter");
    size = lseek(fd, 0, SEEK_END);
    if (size <= 0 || size > FILTER_SIZE_MAX || lseek(fd, 0, SEEK_SET) != 0)
        return err_sys(reterr, EFBIG, "export seccomp filter");
    ret->insns = xmalloc(n + (size_t)size);
    memcpy(ret->insns, head, n);
    r = fd_read_exact(fd, (char *)ret->insns + n, (size_t)size);
    if (r < 0) {
        filter_done(ret);
        return err_sys(reterr, -r, "export seccomp filter");
    }
    ret->size = n + (size_t)size;
    /* As runc: no speculative store bypass mitigation for the price of a filter (before 5.16). */
    ret->flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    return 0;
}
