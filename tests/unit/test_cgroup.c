#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cgroup_impl.h"
#include "devfilter.h"
#include "fd.h"
#include "path.h"
#include "scope.h"
#include "str.h"

static char *tmp; /* a directory that stands for / */

static void setup(void)
{
    tmp = xstrdup("/tmp/test_cgroup.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(tmp));
}

static void teardown(void)
{
    path_rm_rf(AT_FDCWD, tmp);
    free(TAKE_PTR(tmp));
}

static char *put(const char *name, const char *text)
{
    char *path = path_join(tmp, name);
    _cleanup_free_ char *dir = xstrdup(path);

    *strrchr(dir, '/') = '\0';
    ck_assert_int_eq(path_mkdir_p(dir, 0755), 0);
    ck_assert_int_eq(file_replace(AT_FDCWD, path, text, strlen(text), 0644, 0), 0);
    return path;
}

static const char hybrid[] = "31 23 0:28 / %s/cg rw,relatime - tmpfs tmpfs rw,mode=755\n"
                             "32 31 0:29 / %s/cg/cpu rw,relatime - cgroup cgroup rw,cpu\n"
                             "33 31 0:30 / %s/cg/cpuset rw shared:9 - cgroup cgroup rw,cpuset\n"
                             "34 31 0:32 / %s/cg/memory rw,relatime - cgroup cgroup rw,memory\n"
                             "35 31 0:33 / %s/cg/devices rw - cgroup cgroup rw,devices\n"
                             "36 31 0:36 / %s/cg/pids rw - cgroup cgroup rw,pids\n"
                             "40 31 0:37 / %s/cg/systemd rw - cgroup cgroup rw,name=systemd\n"
                             "41 31 0:38 / %s/cg/unified rw - cgroup2 cgroup2 rw\n";
static const char v1[] = "32 31 0:29 / %s/cg/cpu,cpuacct rw shared:3 - cgroup cg rw,cpu,cpuacct\n"
                         "33 31 0:29 / %s/cg/cpu rw shared:3 - cgroup cg rw,cpu,cpuacct\n"
                         "34 31 0:32 / %s/a\\040b/memory rw,relatime - cgroup cgroup rw,memory\n";
static const char v2[] = "32 31 0:29 / %s/cg rw,nosuid shared:3 - cgroup2 cgroup2 rw,nsdelegate\n";

static const char cgroups[] = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
                              "cpuset\t3\t3\t1\ncpu\t1\t3\t1\ncpuacct\t2\t3\t1\nblkio\t7\t3\t1\n"
                              "memory\t4\t18\t1\ndevices\t5\t3\t1\nfreezer\t6\t3\t1\n"
                              "hugetlb\t0\t3\t1\npids\t8\t3\t1\n";

/* Replace each %s of the text by the directory. */
static struct cgroup_layout detect(const char *text, const char *kernel)
{
    _cleanup_buf_ struct buf b = {0};
    _cleanup_free_ char *mountinfo = NULL, *list = NULL, *all = NULL;
    struct cgroup_layout l;
    struct err err;

    for (; *text; text++) {
        if (text[0] == '%' && text[1] == 's') {
            buf_append_str(&b, tmp);
            text++;
        } else {
            buf_append(&b, text, 1);
        }
    }
    all = buf_take_str(&b);
    mountinfo = put("mountinfo", all);
    list = put("cgroups", kernel);
    ck_assert_int_eq(cgroup_detect(mountinfo, list, &l, &err), 0);
    return l;
}

static const struct cgroup_hierarchy *named(const struct cgroup_layout *l, const char *name)
{
    for (unsigned i = 0; i < l->n; i++) {
        if (streq(l->hierarchy[i].name, name))
            return &l->hierarchy[i];
    }
    return NULL;
}

START_TEST(detects_hybrid)
{
    _cleanup_free_ char *f = put("cg/unified/cgroup.controllers", "hugetlb\n");
    struct cgroup_layout l = detect(hybrid, cgroups);

    ck_assert_uint_eq(l.n, 6);
    ck_assert_ptr_null(named(&l, "systemd"));
    ck_assert_uint_eq(named(&l, "memory")->controllers, 1u << CGROUP_MEMORY);
    ck_assert_str_eq(named(&l, "cpu")->options, "cpu");
    ck_assert(named(&l, "unified")->v2);
    /* devices are v1's here, the freezer is nobody's else */
    ck_assert_uint_eq(named(&l, "unified")->controllers,
                      1u << CGROUP_HUGETLB | 1u << CGROUP_FREEZER);
    cgroup_layout_done(&l);
}
END_TEST

START_TEST(detects_v1)
{
    struct cgroup_layout l = detect(v1, cgroups);
    _cleanup_free_ char *blank = xasprintf("%s/a b/memory", tmp);

    ck_assert_uint_eq(l.n, 2);
    ck_assert_uint_eq(l.hierarchy[0].controllers, 1u << CGROUP_CPU | 1u << CGROUP_CPUACCT);
    ck_assert_str_eq(l.hierarchy[0].name, "cpu,cpuacct");
    ck_assert_str_eq(l.hierarchy[0].options, "cpu,cpuacct");
    ck_assert_str_eq(l.hierarchy[1].mount, blank);
    cgroup_layout_done(&l);
}
END_TEST

START_TEST(detects_v2)
{
    _cleanup_free_ char *f = put("cg/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
    struct cgroup_layout l = detect(v2, cgroups);

    ck_assert_uint_eq(l.n, 1);
    ck_assert_uint_eq(l.hierarchy[0].controllers,
                      1u << CGROUP_CPUSET | 1u << CGROUP_CPU | 1u << CGROUP_CPUACCT |
                          1u << CGROUP_BLKIO | 1u << CGROUP_MEMORY | 1u << CGROUP_HUGETLB |
                          1u << CGROUP_PIDS | 1u << CGROUP_FREEZER | 1u << CGROUP_DEVICES);
    cgroup_layout_done(&l);
}
END_TEST

START_TEST(switched_off_controller_is_absent)
{
    struct cgroup_layout l = detect(v1, "cpu\t1\t1\t1\ncpuacct\t1\t1\t1\nmemory\t0\t1\t0\n");

    ck_assert_uint_eq(named(&l, "memory")->controllers, 0);
    cgroup_layout_done(&l);
}
END_TEST

START_TEST(no_hierarchy_is_an_error)
{
    _cleanup_free_ char *m = put("m", "1 2 0:1 / /proc rw - proc proc rw\n");
    struct cgroup_layout l;
    struct err err;

    ck_assert_int_eq(cgroup_detect(m, "/proc/nonexistent", &l, &err), -ENOENT);
    ck_assert_int_eq(cgroup_detect("/proc/nonexistent", m, &l, &err), -ENOENT);
}
END_TEST

/* A hybrid tree of plain files with all the features. */
static struct cgroup *open_hybrid(void)
{
    static const char *const files[] = {
        "cg/unified/cgroup.controllers",
        "cg/memory/p/memory.limit_in_bytes",
        "cg/memory/p/memory.memsw.limit_in_bytes",
        "cg/memory/p/memory.soft_limit_in_bytes",
        "cg/memory/p/memory.oom_control",
        "cg/memory/p/memory.swappiness",
        "cg/cpu/p/cpu.shares",
        "cg/cpu/p/cpu.cfs_quota_us",
        "cg/pids/p/pids.max",
        "cg/cpuset/p/cpuset.cpus",
        "cg/cpuset/p/cpuset.mems",
        "cg/devices/p/devices.list",
    };
    struct cgroup_layout l;
    struct cgroup *cg = NULL;
    struct err err;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        free(put(files[i], "0-1\n"));
    l = detect(hybrid, cgroups);
    ck_assert_int_eq(cgroup_open(&l, "/p", NULL, &cg, &err), 0);
    return cg;
}

static struct cgroup *open_v2(void)
{
    static const char *const files[] = {
        "cg/p/memory.max", "cg/p/memory.swap.max", "cg/p/memory.low",
        "cg/p/cpu.weight", "cg/p/cpu.max",         "cg/p/pids.max",
        "cg/p/io.weight",  "cg/p/io.max",          "cg/p/cpuset.cpus"};
    _cleanup_free_ char *f = put("cg/cgroup.controllers", "cpuset cpu io memory pids\n");
    struct cgroup_layout l;
    struct cgroup *cg = NULL;
    struct err err;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        free(put(files[i], ""));
    l = detect(v2, cgroups);
    ck_assert_int_eq(cgroup_open(&l, "/p", NULL, &cg, &err), 0);
    return cg;
}

/* "mkdir D" and "FILE=VALUE" lines below tmp/cg. */
static char *plan_text(const struct plan *p)
{
    struct buf out = {0};
    size_t skip = strlen(tmp) + strlen("/cg/");

    for (size_t at = 0; at < p->buf.len;) {
        const struct plan_op *op = (const void *)(p->buf.data + at);

        if (op->code == PLAN_CGROUP_MKDIR)
            buf_printf(&out, "%s %s%s\n", op->arg[0] & PLAN_CGROUP_LATER ? "later" : "mkdir",
                       plan_str(op, 0) + skip, op->arg[0] & PLAN_CGROUP_V2 ? " v2" : "");
        else if (op->code == PLAN_CGROUP_WRITE)
            buf_printf(&out, "%s=%s\n", plan_str(op, 0) + skip, plan_str(op, 1));
        else if (op->code == PLAN_CGROUP_BPF)
            buf_printf(&out, "bpf %s\n", plan_str(op, 0) + skip);
        else if (op->code == PLAN_OOM_FILE)
            buf_printf(&out, "oom %s\n", plan_str(op, 0) + skip);
        at += op->size;
    }
    return buf_take_str(&out);
}

static char *plan_of(struct cgroup *cg, const char *hc_text, json_t *warnings)
{
    static const struct cgroup_device rules[] = {{'c', 1, 3, 7, true}, {'a', 9, -1, 1, false}};
    json_t *hc = json_loads(hc_text, 0, NULL);
    struct cgroup_spec spec = {
        .id = "id", .host_config = hc, .devices = rules, .n_devices = ARRAY_SIZE(rules)};
    struct plan p = {0};
    struct err err = {0};
    char *text;

    ck_assert_msg(cgroup_plan(cg, &spec, &p, warnings, &err) == 0, "%s", err.message);
    text = plan_text(&p);
    plan_done(&p);
    json_decref(hc);
    return text;
}

START_TEST(plan_without_limits)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = open_hybrid();
    _cleanup_free_ char *text = plan_of(cg, "{}", NULL);

    ck_assert_str_eq(text, "mkdir cpu/p/id\n"
                           "later cpuset/p/id\n"
                           "mkdir memory/p/id\n"
                           "mkdir devices/p/id\n"
                           "mkdir pids/p/id\n"
                           "mkdir unified/p/id v2\n"
                           "devices/p/id/devices.deny=a\n"
                           "devices/p/id/devices.allow=c 1:3 rwm\n"
                           "devices/p/id/devices.deny=b 9:* r\n"
                           "devices/p/id/devices.deny=c 9:* r\n"
                           "oom memory/p/id/memory.oom_control\n");
}
END_TEST

START_TEST(plan_with_limits_v1)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = open_hybrid();
    json_t *warnings = json_array();
    _cleanup_free_ char *text =
        plan_of(cg,
                "{\"Memory\":67108864,\"NanoCpus\":1500000000,\"PidsLimit\":50,\"CpuShares\":512,"
                "\"CpusetCpus\":\"1\",\"OomKillDisable\":true,\"BlkioWeight\":300}",
                warnings);
    const char *const expected[] = {
        "memory/p/id/memory.limit_in_bytes=67108864\n"
        "memory/p/id/memory.memsw.limit_in_bytes=134217728\n",
        "memory/p/id/memory.oom_control=1\n",
        "cpu/p/id/cpu.cfs_period_us=100000\ncpu/p/id/cpu.cfs_quota_us=150000\n",
        "cpu/p/id/cpu.shares=512\n",
        "pids/p/id/pids.max=50\n",
        /* inherited first, the setting after */
        "mkdir cpuset/p/id\ncpuset/p/id/cpuset.cpus=0-1\ncpuset/p/id/cpuset.mems=0-1\n",
        "cpuset/p/id/cpuset.cpus=1\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        ck_assert_msg(strstr(text, expected[i]), "%s\nnot in\n%s", expected[i], text);
    ck_assert_uint_eq(json_array_size(warnings), 1);
    ck_assert_str_eq(json_string_value(json_array_get(warnings, 0)),
                     "Your kernel does not support Block I/O weight or the cgroup is not mounted. "
                     "Weight discarded.");
    json_decref(warnings);
}
END_TEST

START_TEST(plan_with_limits_v2)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = open_v2();
    _cleanup_free_ char *text =
        plan_of(cg,
                "{\"Memory\":67108864,\"MemorySwap\":67108864,\"MemoryReservation\":8388608,"
                "\"CpuQuota\":5000,\"CpuPeriod\":10000,\"PidsLimit\":-1,\"CpuShares\":2048,"
                "\"BlkioWeight\":1000,\"CpusetCpus\":\"0\"}",
                NULL);

    ck_assert_str_eq(text, "mkdir p/id v2\n"
                           "p/id/memory.max=67108864\n"
                           "p/id/memory.swap.max=0\n"
                           "p/id/memory.low=8388608\n"
                           "p/id/cpu.weight=200\n"
                           "p/id/pids.max=max\n"
                           "p/id/io.weight=10000\n"
                           "p/id/cpu.max=5000 10000\n"
                           "p/id/cpuset.cpus=0\n"
                           "bpf p/id\n"
                           "oom p/id/memory.events\n");
    ck_assert(cgroup_is_unified(cg));
}
END_TEST

START_TEST(swap_unlimited_v2)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = open_v2();
    _cleanup_free_ char *text = plan_of(cg, "{\"Memory\":67108864,\"MemorySwap\":-1}", NULL);

    ck_assert_ptr_nonnull(strstr(text, "memory.swap.max=max\n"));
}
END_TEST

START_TEST(parents_that_leave_are_refused)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = open_hybrid();
    static const char *const bad[] = {"../x", "/", "a/../../b", "x\ny", "."};
    char *clean = NULL;
    struct err err;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_int_eq(cgroup_parent_clean(cg, bad[i], &clean, &err), -EINVAL);
    ck_assert_int_eq(cgroup_parent_clean(cg, "kube/pod", &clean, &err), 0);
    ck_assert_str_eq(clean, "/kube/pod");
    free(clean);
}
END_TEST

/* What was written to the processes of the shims' own cgroup. */
static char *shims_of(const char *hierarchy)
{
    _cleanup_free_ char *path = xasprintf("%s/cg/%s/p/shims/cgroup.procs", tmp, hierarchy);
    char *text = NULL;

    ck_assert_int_ge(file_read(AT_FDCWD, path, 100, &text), 0);
    return text;
}

static void become_service(pid_t pid)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", pid);
    ck_assert_int_eq(setenv("SYSTEMD_EXEC_PID", text, 1), 0);
}

START_TEST(shims_of_a_service_have_their_cgroup)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = NULL;
    _cleanup_free_ char *on_v1 = NULL, *on_v2 = NULL, *text = NULL;

    become_service(getpid());
    cg = open_hybrid();
    ck_assert(cgroup_keeps_shims(cg));
    free(put("cg/systemd/p/shims/cgroup.procs", ""));
    free(put("cg/unified/p/shims/cgroup.procs", ""));
    cgroup_take_shim(cg, 4711);
    on_v1 = shims_of("systemd");
    on_v2 = shims_of("unified");
    ck_assert_str_eq(on_v1, "4711");
    ck_assert_str_eq(on_v2, "4711");
    /* cgroup2 tells the service manager where a container is. */
    text = plan_of(cg, "{}", NULL);
    ck_assert_ptr_null(strstr(text, "systemd/"));
}
END_TEST

static const char v1_named[] = "34 31 0:32 / %s/cg/memory rw - cgroup cgroup rw,memory\n"
                               "40 31 0:37 / %s/cg/systemd rw - cgroup cgroup rw,name=systemd\n";

static struct cgroup *open_v1_named(void)
{
    _cleanup_free_ char *f = put("cg/memory/p/memory.oom_control", "");
    struct cgroup_layout l = detect(v1_named, cgroups);
    struct cgroup *cg = NULL;
    struct err err;

    ck_assert_str_eq(l.named_mount + strlen(tmp), "/cg/systemd");
    ck_assert_int_eq(mkdir(l.named_mount, 0755), 0);
    ck_assert_int_eq(cgroup_open(&l, "/p", NULL, &cg, &err), 0);
    return cg;
}

START_TEST(containers_of_a_service_leave_its_named_cgroup)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = NULL;
    _cleanup_free_ char *text = NULL;

    become_service(getpid());
    cg = open_v1_named();
    text = plan_of(cg, "{}", NULL);
    ck_assert_str_eq(text, "mkdir memory/p/id\n"
                           "mkdir systemd/p/id\n"
                           "oom memory/p/id/memory.oom_control\n");
}
END_TEST

/* The variable is inherited by what a service starts. */
START_TEST(no_service_no_cgroup_for_shims)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = NULL;
    _cleanup_free_ char *text = NULL;

    become_service(getppid());
    cg = open_v1_named();
    ck_assert(!cgroup_keeps_shims(cg));
    text = plan_of(cg, "{}", NULL);
    ck_assert_str_eq(text, "mkdir memory/p/id\n"
                           "oom memory/p/id/memory.oom_control\n");
}
END_TEST

START_TEST(systemd_driver_wants_v2)
{
    struct cgroup_layout l = detect(v1, cgroups);
    struct cgroup *cg;
    struct err err;

    ck_assert_int_eq(cgroup_open(&l, "/p", "system.slice", &cg, &err), -ENOTSUP);
    ck_assert_ptr_nonnull(strstr(err.message, "more than cgroup v2"));
}
END_TEST

START_TEST(slices)
{
    static const char *const good[][2] = {{"system.slice", "/system.slice"},
                                          {"a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"},
                                          {"x_1@y.slice", "/x_1@y.slice"},
                                          {"-.slice", ""}};
    static const char *const bad[] = {"",         ".slice",   "slice",      "/own/parent",
                                      "-a.slice", "a-.slice", "a--b.slice", "a/b.slice",
                                      "/a.slice", "a b.slice"};
    struct err err;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        _cleanup_free_ char *path = NULL;

        ck_assert_int_eq(scope_slice_path(good[i][0], &path, &err), 0);
        ck_assert_str_eq(path, good[i][1]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *path = NULL;

        ck_assert_int_eq(scope_slice_path(bad[i], &path, &err), -EINVAL);
    }
    /* Each level's path has all before it: no square of what a client sends. */
    for (size_t dashes = 100; dashes <= 1000000; dashes *= 100) {
        _cleanup_free_ char *deep = xmalloc(2 * dashes + sizeof(".slice") + 1), *path = NULL;

        for (size_t i = 0; i < dashes; i++)
            memcpy(deep + 2 * i, "a-", 2);
        strcpy(deep + 2 * dashes, "a.slice");
        ck_assert_int_eq(scope_slice_path(deep, &path, &err), dashes == 100 ? 0 : -ENAMETOOLONG);
    }
    scope_slice_path("/own/parent", &(char *){NULL}, &err);
    ck_assert_str_eq(err.message,
                     "cgroup-parent for systemd cgroup should be a valid slice named as "
                     "\"xxx.slice\"");
}
END_TEST

START_TEST(weights)
{
    static const uint64_t shares[][2] = {{0, 0},    {2, 1},          {1024, 100},     {2048, 200},
                                         {512, 50}, {262144, 10000}, {1 << 30, 10000}};

    for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
        ck_assert_uint_eq(cgroup_shares_to_weight(shares[i][0]), shares[i][1]);
    ck_assert_uint_eq(cgroup_blkio_to_io_weight(10), 1);
    ck_assert_uint_eq(cgroup_blkio_to_io_weight(1000), 10000);
}
END_TEST

START_TEST(info_tells_features)
{
    _cleanup_(cgroup_closep) struct cgroup *cg = open_hybrid();
    json_t *info = cgroup_info(cg);

    ck_assert(json_is_true(json_object_get(info, "SwapLimit")));
    ck_assert(json_is_true(json_object_get(info, "PidsLimit")));
    ck_assert_str_eq(json_string_value(json_object_get(info, "CgroupVersion")), "1");
    json_decref(info);
}
END_TEST

/* ---- device filter: an interpreter for the few instructions that are used ---- */

static uint32_t source(const struct bpf_insn *in, const uint64_t *reg)
{
    return BPF_SRC(in->code) == BPF_X ? (uint32_t)reg[in->src_reg] : (uint32_t)in->imm;
}

static int run(const struct bpf_insn *prog, int n, const struct bpf_cgroup_dev_ctx *ctx)
{
    uint64_t reg[11] = {0};
    bool ctx_alive = true; /* r1 */

    for (int pc = 0; pc < n; pc++) {
        const struct bpf_insn *in = &prog[pc];

        switch (in->code) {
        case BPF_LDX | BPF_MEM | BPF_W:
            ck_assert(in->src_reg == BPF_REG_1 && ctx_alive);
            reg[in->dst_reg] = *(const uint32_t *)(const void *)((const char *)ctx + in->off);
            break;
        case BPF_ALU | BPF_MOV | BPF_X:
            ctx_alive &= in->dst_reg != BPF_REG_1;
            reg[in->dst_reg] = source(in, reg);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            reg[in->dst_reg] &= source(in, reg);
            break;
        case BPF_ALU | BPF_RSH | BPF_K:
            reg[in->dst_reg] = (uint32_t)reg[in->dst_reg] >> source(in, reg);
            break;
        case BPF_ALU64 | BPF_MOV | BPF_K:
            reg[in->dst_reg] = source(in, reg);
            break;
        case BPF_JMP | BPF_JNE | BPF_K:
            pc += reg[in->dst_reg] != source(in, reg) ? in->off : 0;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += reg[in->dst_reg] == source(in, reg) ? in->off : 0;
            break;
        case BPF_JMP | BPF_EXIT:
            return (int)reg[0];
        default:
            ck_abort_msg("instruction %d: code %#x", pc, in->code);
        }
    }
    ck_abort_msg("ran off the end");
}

static const struct cgroup_device filter_rules[] = {
    {'c', -1, -1, CGROUP_DEV_MKNOD, true},
    {'c', 1, 3, 7, true},
    {'b', 8, -1, CGROUP_DEV_READ, true},
    {'b', 8, 1, CGROUP_DEV_READ, false},
    {'c', 136, -1, CGROUP_DEV_READ | CGROUP_DEV_WRITE, true},
};

static const struct {
    unsigned type, access, major, minor;
    int allowed;
} accesses[] = {
    {BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_READ, 1, 3, 1},
    {BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE, 1, 3, 1},
    {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_READ, 1, 3, 0},
    {BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_READ, 1, 1, 0},
    {BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_MKNOD, 7, 7, 1},
    {BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ, 7, 7, 0},
    {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_MKNOD, 7, 7, 0},
    {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_READ, 8, 0, 1},
    {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_WRITE, 8, 0, 0},
    {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_ACC_READ, 8, 1, 0},
    {BPF_DEVCG_DEV_CHAR, BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE, 136, 42, 1},
};

START_TEST(device_filter_decides)
{
    static struct bpf_insn prog[DEVFILTER_INSNS_MAX];
    struct bpf_cgroup_dev_ctx ctx = {accesses[_i].access << 16 | accesses[_i].type,
                                     accesses[_i].major, accesses[_i].minor};
    int n = devfilter_build(filter_rules, ARRAY_SIZE(filter_rules), prog);

    ck_assert_int_gt(n, 0);
    ck_assert_int_eq(run(prog, n, &ctx), accesses[_i].allowed);
}
END_TEST

START_TEST(device_filter_edges)
{
    static struct bpf_insn prog[DEVFILTER_INSNS_MAX];
    struct bpf_cgroup_dev_ctx ctx = {BPF_DEVCG_ACC_READ << 16 | BPF_DEVCG_DEV_BLOCK, 1, 1};
    const struct cgroup_device all = {'a', -1, -1, 7, true};
    struct cgroup_device *many = xcalloc(5000, sizeof(*many));

    ck_assert_int_eq(run(prog, devfilter_build(NULL, 0, prog), &ctx), 0);
    ck_assert_int_eq(run(prog, devfilter_build(&all, 1, prog), &ctx), 1);
    for (int i = 0; i < 5000; i++)
        many[i] = (struct cgroup_device){'c', i, i, 1, true};
    ck_assert_int_eq(devfilter_build(many, 5000, prog), -E2BIG);
    free(many);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cgroup");
    TCase *t = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, detects_hybrid);
    tcase_add_test(t, detects_v1);
    tcase_add_test(t, detects_v2);
    tcase_add_test(t, switched_off_controller_is_absent);
    tcase_add_test(t, no_hierarchy_is_an_error);
    tcase_add_test(t, plan_without_limits);
    tcase_add_test(t, plan_with_limits_v1);
    tcase_add_test(t, plan_with_limits_v2);
    tcase_add_test(t, swap_unlimited_v2);
    tcase_add_test(t, parents_that_leave_are_refused);
    tcase_add_test(t, shims_of_a_service_have_their_cgroup);
    tcase_add_test(t, containers_of_a_service_leave_its_named_cgroup);
    tcase_add_test(t, no_service_no_cgroup_for_shims);
    tcase_add_test(t, systemd_driver_wants_v2);
    tcase_add_test(t, slices);
    tcase_add_test(t, weights);
    tcase_add_test(t, info_tells_features);
    tcase_add_loop_test(t, device_filter_decides, 0, ARRAY_SIZE(accesses));
    tcase_add_test(t, device_filter_edges);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
