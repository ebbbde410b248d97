#include "netclass.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "json.h"

bool netclass_by_program(const struct cgroup *cg)
{
    return !cgroup_feature(cg, FEATURE_NET_CLS) && cg->v2 >= 0;
}

static struct bpf_insn store(size_t offset)
{
    return (struct bpf_insn){.code = BPF_STX | BPF_MEM | BPF_W,
                             .dst_reg = BPF_REG_1,
                             .src_reg = BPF_REG_2,
                             .off = (int16_t)offset};
}

static struct bpf_insn set(uint8_t reg, uint32_t value)
{
    return (struct bpf_insn){
        .code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = reg & 15, .imm = (int32_t)value};
}

/* r1 is the socket; 1 allows it. */
void netclass_build(uint32_t class, struct bpf_insn ret[NETCLASS_INSNS])
{
    ret[0] = set(BPF_REG_2, class);
    ret[1] = store(offsetof(struct bpf_sock, mark));
    ret[2] = store(offsetof(struct bpf_sock, priority));
    ret[3] = set(BPF_REG_0, 1);
    ret[4] = (struct bpf_insn){.code = BPF_JMP | BPF_EXIT};
}

static int sys_bpf(int cmd, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* In place of one that is there: that is what ALLOW_OVERRIDE means for the same cgroup. */
static int attach(const char *path, uint32_t class)
{
    struct bpf_insn insns[NETCLASS_INSNS];
    union bpf_attr load = {
        .prog_type = BPF_PROG_TYPE_CGROUP_SOCK,
        .insn_cnt = NETCLASS_INSNS,
        .insns = (uint64_t)(uintptr_t)insns,
        .license = (uint64_t)(uintptr_t) "Apache-2.0",
        .expected_attach_type = BPF_CGROUP_INET_SOCK_CREATE,
    };
    _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), prog = -EBADF;
    union bpf_attr put = {.target_fd = (uint32_t)dir,
                          .attach_type = BPF_CGROUP_INET_SOCK_CREATE,
                          .attach_flags = BPF_F_ALLOW_OVERRIDE};

    if (dir < 0)
        return -errno;
    netclass_build(class, insns);
    prog = sys_bpf(BPF_PROG_LOAD, &load);
    if (prog < 0)
        return -errno;
    put.attach_bpf_fd = (uint32_t)prog;
    return sys_bpf(BPF_PROG_ATTACH, &put) < 0 ? -errno : 0;
}

int cgroup_class_update(const struct cgroup *cg, const char *parent, const char *id,
                        const json_t *from, const json_t *to)
{
    int64_t was = json_get_int(from, "NetClassId", 0), will = json_get_int(to, "NetClassId", 0);
    _cleanup_free_ char *dir = NULL;

    if (was == will || !netclass_by_program(cg))
        return 0;
    dir = cgroup_dir(cg, &cg->layout.hierarchy[cg->v2], parent, id);
    return attach(dir, (uint32_t)will);
}
