#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "capability.h"
#include "json.h"
#include "runtime.h"
#include "str.h"

static const char id[] = "0123456789ab00000000000000000000000000000000000000000000000000ff";

static struct runtime *machine(void)
{
    struct runtime_facts f = {.caps = caps_all() & ~CAP_BIT(CAP_SYS_RESOURCE),
                              .cpus = 2,
                              .mems = 1,
                              .memory = 1 << 30,
                              .kernel = 6u << 16 | 1,
                              .hostname = "thehost"};

    f.limits[RLIMIT_NOFILE] = (struct rlimit){1024, 20000};
    return runtime_new(NULL, &f);
}

static json_t *parse(const char *text)
{
    json_t *v = json_loads(text, 0, NULL);

    ck_assert_msg(v != NULL, "%s", text);
    return v;
}

/* A line an operation: CODE a0 a1 a2 a3 strings... */
static char *dump(const struct plan *p)
{
    struct buf out = {0};

    for (size_t at = 0; at < p->buf.len;) {
        const struct plan_op *op = (const void *)(p->buf.data + at);

        buf_printf(&out, "%u", op->code);
        for (int i = 0; i < 4; i++)
            buf_printf(&out, " %lld", op->code == PLAN_SECCOMP ? 0 : (long long)op->arg[i]);
        for (unsigned i = 0; i < op->strings; i++)
            buf_printf(&out, " '%s'", plan_str(op, i));
        buf_append_str(&out, "\n");
        at += op->size;
    }
    return buf_take_str(&out);
}

struct result {
    char *text;
    json_t *warnings;
    struct err err;
    int r;
};

static void result_done(struct result *r)
{
    free(r->text);
    json_decref(r->warnings);
}

static struct result plan_with(const char *config_text, const char *hc_text,
                               const struct runtime_spec *base)
{
    _cleanup_(runtime_closep) struct runtime *rt = machine();
    _cleanup_json_ json_t *config = parse(config_text), *hc = parse(hc_text);
    char *lowers[] = {"/l1", "/l2", NULL};
    struct runtime_spec spec = base ? *base : (struct runtime_spec){0};
    struct result res = {.warnings = json_array()};
    struct plan p = {0};

    runtime_host_config_defaults(rt, hc, 51);
    runtime_config_defaults(rt, config, hc, id);
    spec.id = id;
    spec.config = config;
    spec.host_config = hc;
    spec.upper = "/u";
    spec.work = "/w";
    spec.lowers = lowers;
    spec.run_dir = "/run/c";
    spec.log_path = "/log";
    spec.hosts = "/c/hosts";
    spec.hostname = "/c/hostname";
    spec.resolv_conf = "/c/resolv.conf";
    res.r = runtime_plan(rt, &spec, &p, res.warnings, &res.err);
    res.text = dump(&p);
    plan_done(&p);
    return res;
}

static void has(const struct result *r, const char *line)
{
    ck_assert_int_eq(r->r, 0);
    ck_assert_msg(strstr(r->text, line) != NULL, "no %s in\n%s", line, r->text);
}

static void lacks(const struct result *r, const char *line)
{
    ck_assert_int_eq(r->r, 0);
    ck_assert_msg(strstr(r->text, line) == NULL, "%s in\n%s", line, r->text);
}

/* Is the first line before the second? */
static void ordered(const struct result *r, const char *first, const char *second)
{
    has(r, first);
    has(r, second);
    ck_assert_msg(strstr(r->text, first) < strstr(r->text, second), "%s after %s", first, second);
}

/* The whole plan of a plain container, as it must be. */
static const char golden[] =
    "1 0 0 0 0 '/run/c'\n"
    "14 15 10 0 0\n"
    "2 0 0 0 0\n"
    "3 67108864 4 0 0 '/log'\n"
    "8 536870912 0 0 0 ''\n"
    "8 134217728 0 0 0 ''\n"
    "8 67108864 0 0 0 ''\n"
    "8 1073741824 0 0 0 ''\n"
    "10 0 0 0 0 '/u' '/w' '/l1' '/l2'\n"
    "33 14 0 0 0 'proc' 'proc' '/proc' ''\n"
    "33 16777218 0 0 0 'tmpfs' 'tmpfs' '/dev' 'mode=755,size=65536k'\n"
    "33 10 0 0 0 'devpts' 'devpts' '/dev/pts' 'newinstance,ptmxmode=0666,mode=0620,gid=5'\n"
    "33 14 0 0 0 'mqueue' 'mqueue' '/dev/mqueue' ''\n"
    "33 14 0 0 0 'tmpfs' 'shm' '/dev/shm' 'mode=1777,size=67108864'\n"
    "35 8630 259 0 0 '/dev/null' '/dev/null'\n"
    "35 8630 261 0 0 '/dev/zero' '/dev/zero'\n"
    "35 8630 263 0 0 '/dev/full' '/dev/full'\n"
    "35 8630 264 0 0 '/dev/random' '/dev/random'\n"
    "35 8630 265 0 0 '/dev/urandom' '/dev/urandom'\n"
    "35 8630 1280 0 0 '/dev/tty' '/dev/tty'\n"
    "36 0 0 0 0 '/proc/self/fd' '/dev/fd'\n"
    "36 0 0 0 0 '/proc/self/fd/0' '/dev/stdin'\n"
    "36 0 0 0 0 '/proc/self/fd/1' '/dev/stdout'\n"
    "36 0 0 0 0 '/proc/self/fd/2' '/dev/stderr'\n"
    "36 0 0 0 0 'pts/ptmx' '/dev/ptmx'\n"
    "33 15 0 0 0 'sysfs' 'sysfs' '/sys' ''\n"
    "34 0 0 0 0 '/c/resolv.conf' '/etc/resolv.conf'\n"
    "34 0 0 0 0 '/c/hostname' '/etc/hostname'\n"
    "34 0 0 0 0 '/c/hosts' '/etc/hosts'\n"
    "39 0 0 0 0\n"
    "42 0 0 0 0 'net.ipv4.ip_unprivileged_port_start' '0'\n"
    "42 0 0 0 0 'net.ipv4.ping_group_range' '0 2147483647'\n"
    "43 0 0 0 0 '0123456789ab'\n"
    "41 0 0 0 0 '/proc/bus'\n"
    "41 0 0 0 0 '/proc/fs'\n"
    "41 0 0 0 0 '/proc/irq'\n"
    "41 0 0 0 0 '/proc/sys'\n"
    "41 0 0 0 0 '/proc/sysrq-trigger'\n"
    "40 0 0 0 0 '/proc/acpi'\n"
    "40 0 0 0 0 '/proc/asound'\n"
    "40 0 0 0 0 '/proc/interrupts'\n"
    "40 0 0 0 0 '/proc/kcore'\n"
    "40 0 0 0 0 '/proc/keys'\n"
    "40 0 0 0 0 '/proc/latency_stats'\n"
    "40 0 0 0 0 '/proc/sched_debug'\n"
    "40 0 0 0 0 '/proc/scsi'\n"
    "40 0 0 0 0 '/proc/timer_list'\n"
    "40 0 0 0 0 '/proc/timer_stats'\n"
    "40 0 0 0 0 '/sys/firmware'\n"
    "40 0 0 0 0 '/sys/devices/virtual/powercap'\n"
    "65 0 0 0 0\n"
    "66 0 0 0 0 ''\n"
    "67 2818844155 2818844155 0 0\n"
    "69 0 0 0 0\n"
    "74 18 0 0 0\n"
    "70 1 0 0 0 '/'\n"
    "71 0 0 0 0 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "
    "'HOSTNAME=0123456789ab'\n"
    "72 0 0 0 0 'true'\n";

START_TEST(plain_container)
{
    _cleanup_(result_done) struct result r = plan_with("{\"Cmd\":[\"true\"]}", "{}", NULL);

    ck_assert_int_eq(r.r, 0);
    ck_assert_str_eq(r.text, golden);
    ck_assert_uint_eq(json_array_size(r.warnings), 0);
}
END_TEST

START_TEST(privileged)
{
    _cleanup_(result_done) struct result r =
        plan_with("{\"Cmd\":[\"true\"]}", "{\"Privileged\":true}", NULL);

    lacks(&r, "\n69 ");
    lacks(&r, "\n40 ");
    lacks(&r, "\n41 ");
    has(&r, "33 14 0 0 0 'sysfs'");
    has(&r, "67 2199006478335 2199006478335 0 0\n"); /* all but CAP_SYS_RESOURCE */
    ck_assert_uint_eq(json_array_size(r.warnings), 1);
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_array_get(r.warnings, 0)), "CAP_SYS_RESOURCE"));
}
END_TEST

START_TEST(process_settings)
{
    _cleanup_(result_done) struct result r = plan_with(
        "{\"Entrypoint\":[\"/e\"],\"Cmd\":[\"a\",\"b\"],\"Tty\":true,\"OpenStdin\":true,"
        "\"StdinOnce\":true,\"User\":\"u:g\",\"WorkingDir\":\"/d\",\"Hostname\":\"hh\","
        "\"Domainname\":\"dd\",\"StopSignal\":\"QUIT\",\"StopTimeout\":-1,\"Env\":[\"A=1\","
        "\"HOSTNAME\",\"PATH=/x\",\"A=2\"]}",
        "{\"Init\":true,\"GroupAdd\":[\"5\",\"audio\"],\"OomScoreAdj\":-5,\"ConsoleSize\":[30,99],"
        "\"SecurityOpt\":[\"no-new-privileges\",\"seccomp=unconfined\"],\"CapDrop\":[\"ALL\"],"
        "\"CapAdd\":[\"CHOWN\"],\"ReadonlyRootfs\":true,\"Ulimits\":[{\"Name\":\"nofile\","
        "\"Soft\":30000,\"Hard\":30000},{\"Name\":\"core\",\"Soft\":0,\"Hard\":0}],"
        "\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"max-size\":\"10m\",\"max-file\":"
        "\"3\"}}}",
        NULL);

    has(&r, "14 3 -1 0 0\n2 7 30 99 0\n");
    has(&r, "3 10485760 3 0 0 '/log'\n");
    ordered(&r, "38 0 0 0 0 '/dev/console'\n", "39 0 0 0 0\n");
    ordered(&r, "40 0 0 0 0 '/proc/kcore'\n", "41 0 0 0 0 '/'\n");
    has(&r, "34 1 0 0 0 '/c/hosts' '/etc/hosts'\n");
    has(&r, "64 7 20000 20000 0\n");
    has(&r, "64 4 0 0 0\n");
    has(&r, "65 -5 0 0 0\n");
    has(&r, "66 0 0 0 0 'u:g' '5' 'audio'\n");
    has(&r, "67 1 1 0 0\n");
    has(&r, "68 0 0 0 0\n");
    has(&r, "73 0 0 0 0\n");
    has(&r, "70 1 0 0 0 '/d'\n");
    has(&r, "71 0 0 0 0 'PATH=/x' 'TERM=xterm' 'A=2'\n");
    has(&r, "72 0 0 0 0 '/e' 'a' 'b'\n");
    has(&r, "43 0 0 0 0 'hh'\n44 0 0 0 0 'dd'\n");
    lacks(&r, "\n69 ");
    ck_assert_uint_eq(json_array_size(r.warnings), 1);
}
END_TEST

START_TEST(host_namespaces)
{
    _cleanup_(result_done) struct result r =
        plan_with("{\"Cmd\":[\"x\"]}",
                  "{\"NetworkMode\":\"host\",\"PidMode\":\"host\",\"IpcMode\":\"host\","
                  "\"UTSMode\":\"host\"}",
                  NULL);

    lacks(&r, "\n8 ");
    lacks(&r, "\n42 ");
    lacks(&r, "\n43 ");
    has(&r, "34 2 0 0 0 '/dev/shm' '/dev/shm'\n");
    has(&r, "33 14 0 0 0 'mqueue' 'mqueue' '/dev/mqueue' ''\n");
    has(&r, "'HOSTNAME=thehost'");
}
END_TEST

START_TEST(joined_namespaces)
{
    struct runtime_spec spec = {.ns_path[RUNTIME_NS_NET] = "/proc/7/ns/net",
                                .ns_path[RUNTIME_NS_PID] = "/proc/7/ns/pid"};
    static const char hc[] = "{\"NetworkMode\":\"container:a\",\"PidMode\":\"container:a\"}";
    _cleanup_(result_done) struct result r = plan_with("{\"Cmd\":[\"x\"]}", hc, &spec);
    _cleanup_(result_done) struct result bad = plan_with("{\"Cmd\":[\"x\"]}", hc, NULL);

    has(&r, "8 1073741824 0 0 0 '/proc/7/ns/net'\n");
    has(&r, "8 536870912 0 0 0 '/proc/7/ns/pid'\n");
    lacks(&r, "\n42 ");
    ck_assert_int_lt(bad.r, 0);
    ck_assert_int_eq(bad.err.kind, ERR_SYSTEM);
}
END_TEST

START_TEST(user_namespace)
{
    struct runtime_spec spec = {.idmap_base = 100000, .idmap_size = 65536, .sandbox_fds = true};
    _cleanup_(result_done) struct result r = plan_with("{\"Cmd\":[\"x\"]}", "{}", &spec);

    ordered(&r, "8 268435456 0 0 0 ''\n", "8 536870912 0 0 0 ''\n");
    has(&r, "9 0 0 0 0 '0 100000 65536\n' '0 100000 65536\n'\n");
    has(&r, "10 1 0 0 0 '/u'");
    has(&r, "11 1 0 0 0\n");
    has(&r, "8 33554432 0 0 0 ''\n");
    lacks(&r, "ping_group_range");
}
END_TEST

START_TEST(mounts)
{
    _cleanup_(result_done) struct result r = plan_with(
        "{\"Cmd\":[\"x\"]}",
        "{\"Binds\":[\"/h/deep:/a/b/c:ro\",\"/h/top:/a\",\"/h/hosts:/etc/hosts\","
        "\"/s:/t:rslave,ro\"],\"Tmpfs\":{\"/run\":\"size=1m,exec\"},"
        "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/m\",\"Target\":\"/n\",\"BindOptions\":"
        "{\"NonRecursive\":true}}],\"MaskedPaths\":[],\"ReadonlyPaths\":[\"/proc/x\"]}",
        NULL);

    ordered(&r, "34 6 278528 0 0 '/h/top' '/a'\n", "34 135 278528 0 0 '/h/deep' '/a/b/c'\n");
    has(&r, "34 6 278528 0 0 '/h/hosts' '/etc/hosts'\n");
    lacks(&r, "'/c/hosts'");
    has(&r, "'/c/hostname' '/etc/hostname'\n");
    has(&r, "34 7 540672 0 0 '/s' '/t'\n"); /* slave: not read-only below */
    has(&r, "33 6 0 0 1 'tmpfs' 'tmpfs' '/run' 'size=1m'\n");
    has(&r, "34 0 278528 0 0 '/m' '/n'\n");
    lacks(&r, "\n40 ");
    has(&r, "41 0 0 0 0 '/proc/x'\n");
    lacks(&r, "'/proc/sys'");
}
END_TEST

START_TEST(user_mounts_replace_ours)
{
    _cleanup_(result_done) struct result r =
        plan_with("{\"Cmd\":[\"x\"]}", "{\"Binds\":[\"/dev:/dev\",\"/x:/sys\"]}", NULL);
    _cleanup_(result_done) struct result shm =
        plan_with("{\"Cmd\":[\"x\"]}", "{\"Tmpfs\":{\"/dev/shm\":\"\"}}", NULL);

    lacks(&r, "devpts");
    lacks(&r, "\n35 ");
    lacks(&r, "sysfs");
    lacks(&shm, "'shm'");
    has(&shm, "33 14 0 0 1 'tmpfs' 'tmpfs' '/dev/shm' ''\n");
}
END_TEST

START_TEST(devices)
{
    _cleanup_(result_done) struct result r =
        plan_with("{\"Cmd\":[\"x\"]}",
                  "{\"Devices\":[{\"PathOnHost\":\"/dev/null\",\"PathInContainer\":\"/dev/zero\","
                  "\"CgroupPermissions\":\"r\"}]}",
                  NULL);
    _cleanup_(result_done) struct result bad = plan_with(
        "{\"Cmd\":[\"x\"]}", "{\"Devices\":[{\"PathOnHost\":\"/proc/nonexistent\"}]}", NULL);

    has(&r, "259 0 0 '/dev/zero' '/dev/null'\n");
    lacks(&r, "'/dev/zero' '/dev/zero'\n");
    ck_assert_int_eq(bad.r, -ENOENT);
    ck_assert_str_eq(bad.err.message, "error gathering device information while adding custom "
                                      "device \"/proc/nonexistent\": no such file or directory");
}
END_TEST

START_TEST(sysctls)
{
    _cleanup_(result_done) struct result r = plan_with(
        "{\"Cmd\":[\"x\"]}",
        "{\"Sysctls\":{\"net.ipv4.ip_unprivileged_port_start\":\"1024\",\"kernel.shmmax\":\"1\"}}",
        NULL);

    has(&r, "42 0 0 0 0 'net.ipv4.ip_unprivileged_port_start' '1024'\n");
    lacks(&r, "'net.ipv4.ip_unprivileged_port_start' '0'");
    ordered(&r, "42 0 0 0 0 'kernel.shmmax' '1'\n", "41 0 0 0 0 '/proc/sys'\n");
}
END_TEST

START_TEST(exec_plan)
{
    _cleanup_(runtime_closep) struct runtime *rt = machine();
    _cleanup_json_ json_t *config = parse(
        "{\"Hostname\":\"hh\",\"Env\":[\"A=1\",\"B=1\"],\"User\":\"u\",\"WorkingDir\":\"/w\"}");
    _cleanup_json_ json_t *hc = parse("{}"), *warnings = json_array();
    _cleanup_json_ json_t *exec = parse("{\"Cmd\":[\"ls\",\"-l\"],\"Tty\":true,\"Env\":[\"B=2\"],"
                                        "\"AttachStdin\":true,\"Privileged\":true}");
    struct runtime_exec_spec spec = {.id = id, .exec = exec, .config = config, .host_config = hc};
    struct plan p = {0};
    struct err err;
    _cleanup_free_ char *text = NULL;

    ck_assert_int_eq(runtime_exec_plan(rt, &spec, &p, warnings, &err), 0);
    text = dump(&p);
    ck_assert_str_eq(text, "2 7 0 0 0\n"
                           "65 0 0 0 0\n"
                           "66 0 0 0 0 'u'\n"
                           "67 2199006478335 2199006478335 0 0\n"
                           "74 18 0 0 0\n"
                           "70 0 0 0 0 '/w'\n"
                           "71 0 0 0 0 "
                           "'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "
                           "'HOSTNAME=hh' 'TERM=xterm' 'A=1' 'B=2'\n"
                           "72 0 0 0 0 'ls' '-l'\n");
    plan_done(&p);
}
END_TEST

static const struct {
    const char *host_config, *profile, *line;
} confined[] = {
    {"{}", "docker-default", "75 0 0 0 0 'docker-default'\n"},
    {"{\"SecurityOpt\":[\"apparmor=mine\"]}", "mine", "75 0 0 0 0 'mine'\n"},
    {"{\"SecurityOpt\":[\"apparmor=unconfined\"]}", "unconfined", NULL},
    {"{\"Privileged\":true}", "unconfined", NULL},
    {"{\"Privileged\":true,\"SecurityOpt\":[\"apparmor=mine\"]}", "mine", "75 0 0 0 0 'mine'\n"},
};

START_TEST(apparmor_profiles)
{
    struct runtime_facts f = {.caps = caps_all(), .kernel = 6u << 16 | 1, .apparmor = true};
    _cleanup_(runtime_closep) struct runtime *rt = runtime_new(NULL, &f), *without = machine();
    _cleanup_json_ json_t *config = parse("{}"), *exec = parse("{\"Cmd\":[\"ls\"]}");
    _cleanup_json_ json_t *hc = parse(confined[_i].host_config);
    struct runtime_exec_spec spec = {.id = id, .exec = exec, .config = config, .host_config = hc};
    struct plan p = {0};
    struct err err;
    _cleanup_free_ char *text = NULL;

    ck_assert_str_eq(runtime_apparmor(rt, hc), confined[_i].profile);
    ck_assert_str_eq(runtime_apparmor(without, hc), "");
    ck_assert_int_eq(runtime_exec_plan(rt, &spec, &p, NULL, &err), 0);
    text = dump(&p);
    plan_done(&p);
    if (confined[_i].line)
        ck_assert_ptr_nonnull(strstr(text, confined[_i].line));
    else
        ck_assert_ptr_null(strstr(text, "\n75 "));
}
END_TEST

START_TEST(merging)
{
    static const struct {
        const char *config, *image, *expected;
    } table[] = {
        {"{\"Cmd\":\"x\"}", "{\"Cmd\":[\"y\"],\"Entrypoint\":[\"e\"]}",
         "{\"Cmd\":[\"x\"],\"Entrypoint\":[\"e\"]}"},
        {"{}", "{\"Cmd\":[\"y\"],\"Entrypoint\":[\"e\"]}",
         "{\"Cmd\":[\"y\"],\"Entrypoint\":[\"e\"]}"},
        {"{\"Entrypoint\":[\"f\"]}", "{\"Cmd\":[\"y\"],\"Entrypoint\":[\"e\"]}",
         "{\"Entrypoint\":[\"f\"]}"},
        {"{\"Entrypoint\":[\"\"],\"Cmd\":[\"z\"]}", "{\"Cmd\":[\"y\"],\"Entrypoint\":[\"e\"]}",
         "{\"Entrypoint\":null,\"Cmd\":[\"z\"]}"},
        {"{\"Entrypoint\":[]}", "{\"Cmd\":[\"y\"],\"Entrypoint\":[\"e\"]}",
         "{\"Entrypoint\":[],\"Cmd\":[\"y\"]}"},
        {"{\"Cmd\":[\"x\"],\"Env\":[\"A=1\"],\"Labels\":{\"a\":\"1\"},\"User\":\"\"}",
         "{\"Env\":[\"A=2\",\"B=2\"],\"Labels\":{\"a\":\"2\",\"b\":\"2\"},\"User\":\"u\","
         "\"Volumes\":{\"/v\":{}}}",
         "{\"Cmd\":[\"x\"],\"Env\":[\"A=1\",\"B=2\"],\"Labels\":{\"a\":\"1\",\"b\":\"2\"},"
         "\"User\":\"u\",\"Volumes\":{\"/v\":{}}}"},
        {"{\"Cmd\":[\"x\"],\"Healthcheck\":{\"Retries\":2}}",
         "{\"Healthcheck\":{\"Test\":[\"CMD\",\"t\"],\"Retries\":9}}",
         "{\"Cmd\":[\"x\"],\"Healthcheck\":{\"Retries\":2,\"Test\":[\"CMD\",\"t\"]}}"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        _cleanup_json_ json_t *config = parse(table[i].config), *image = parse(table[i].image);
        _cleanup_json_ json_t *expected = parse(table[i].expected);
        struct err err;
        _cleanup_free_ char *got = NULL;

        ck_assert_int_eq(runtime_merge_image(config, image, &err), 0);
        got = json_to_str(config);
        ck_assert_msg(json_equal(config, expected), "%zu: %s", i, got);
    }
}
END_TEST

START_TEST(nothing_to_run)
{
    _cleanup_json_ json_t *config = parse("{\"Cmd\":[]}");
    struct err err = {0};

    ck_assert_int_eq(runtime_merge_image(config, NULL, &err), -EINVAL);
    ck_assert_str_eq(err.message, "no command specified");
    ck_assert_int_eq(err.kind, ERR_INVALID);
}
END_TEST

START_TEST(defaults_of_inspect)
{
    _cleanup_(runtime_closep) struct runtime *rt = machine();
    _cleanup_json_ json_t *hc = parse("{\"memory\":8388608,\"MemorySwappiness\":-1,\"PidsLimit\":0,"
                                      "\"NetworkMode\":\"default\",\"Junk\":1,\"Mounts\":[]}");
    _cleanup_json_ json_t *config = parse("{\"cmd\":\"x\"}");
    _cleanup_json_ json_t *expected =
        parse("{\"ShmSize\":67108864,\"IpcMode\":\"private\",\"CgroupnsMode\":\"host\","
              "\"NetworkMode\":\"bridge\",\"RestartPolicy\":{\"Name\":\"no\","
              "\"MaximumRetryCount\":0},\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{}},"
              "\"Runtime\":\"runc\",\"OomKillDisable\":false,\"Memory\":8388608,\"MemorySwap\":"
              "16777216,\"PidsLimit\":null,\"MemorySwappiness\":null,\"ConsoleSize\":[0,0],"
              "\"Binds\":null,\"CapAdd\":null,\"PortBindings\":{},\"Dns\":[],\"Ulimits\":[]}");
    json_t *v;
    const char *key;

    runtime_host_config_defaults(rt, hc, 51);
    json_object_foreach (expected, key, v)
        ck_assert_msg(json_equal(json_object_get(hc, key), v), "%s", key);
    ck_assert_ptr_null(json_object_get(hc, "Junk"));
    ck_assert_ptr_null(json_object_get(hc, "Mounts"));
    ck_assert_uint_eq(json_array_size(json_object_get(hc, "MaskedPaths")), 12);
    runtime_config_defaults(rt, config, hc, id);
    ck_assert_str_eq(json_get_str(config, "Hostname", ""), "0123456789ab");
    ck_assert(json_is_null(json_object_get(config, "Entrypoint")));
    ck_assert(json_is_array(json_object_get(config, "Cmd")));

    json_object_clear(hc);
    json_object_set_new(hc, "Privileged", json_true());
    runtime_host_config_defaults(rt, hc, 39);
    ck_assert(json_is_null(json_object_get(hc, "MaskedPaths")));
    ck_assert_str_eq(json_get_str(hc, "IpcMode", ""), "shareable");
}
END_TEST

START_TEST(mounts_of_inspect)
{
    _cleanup_json_ json_t *hc = parse("{\"Binds\":[\"/a:/b:ro,rshared\",\"/c:/d\",\"vol:/v/w\"],"
                                      "\"Tmpfs\":{\"/t\":\"\"}}");
    _cleanup_json_ json_t *points =
        parse("[{\"Type\":\"volume\",\"Name\":\"vol\",\"Source\":\"/r/vol/_data\",\"Destination\":"
              "\"/v/w\",\"Mode\":\"ro\",\"RW\":false,\"Propagation\":\"\",\"NoCopy\":true}]");
    _cleanup_json_ json_t *expected = parse(
        "[{\"Type\":\"bind\",\"Source\":\"/a\",\"Destination\":\"/b\",\"Mode\":\"ro,rshared\","
        "\"RW\":false,\"Propagation\":\"rshared\"},{\"Type\":\"bind\",\"Source\":\"/c\","
        "\"Destination\":\"/d\",\"Mode\":\"\",\"RW\":true,\"Propagation\":\"rprivate\"},{\"Type\":"
        "\"volume\",\"Name\":\"vol\",\"Driver\":\"local\",\"Source\":\"/r/vol/"
        "_data\",\"Destination\":"
        "\"/v/w\",\"Mode\":\"ro\",\"RW\":false,\"Propagation\":\"\"}]");
    _cleanup_json_ json_t *got = runtime_mounts_json(hc, points);

    ck_assert(json_equal(got, expected));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("runtime");
    TCase *t = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, plain_container);
    tcase_add_test(t, privileged);
    tcase_add_test(t, process_settings);
    tcase_add_loop_test(t, apparmor_profiles, 0, ARRAY_SIZE(confined));
    tcase_add_test(t, host_namespaces);
    tcase_add_test(t, joined_namespaces);
    tcase_add_test(t, user_namespace);
    tcase_add_test(t, mounts);
    tcase_add_test(t, user_mounts_replace_ours);
    tcase_add_test(t, devices);
    tcase_add_test(t, sysctls);
    tcase_add_test(t, exec_plan);
    tcase_add_test(t, merging);
    tcase_add_test(t, nothing_to_run);
    tcase_add_test(t, defaults_of_inspect);
    tcase_add_test(t, mounts_of_inspect);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
