#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>

#include "capability.h"
#include "json.h"
#include "str.h"
#include "validate.h"

static struct runtime *machine(void)
{
    struct runtime_facts f = {.caps = caps_all() & ~CAP_BIT(CAP_SYS_RESOURCE),
                              .cpus = 2,
                              .mems = 1,
                              .memory = 1 << 30,
                              .kernel = 6u << 16 | 1,
                              .hostname = "host"};

    return runtime_new(NULL, &f);
}

/* Bodies and the messages they get; "" is fine. */
static const struct {
    const char *body, *message;
} types[] = {
    {"{}", ""},
    {"{\"Tty\":null,\"HostConfig\":null}", ""},
    {"{\"Unknown\":5}", ""},
    {"{\"tty\":true,\"cmd\":\"x\",\"entrypoint\":[\"a\"]}", ""},
    {"{\"Tty\":\"x\"}",
     "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.Tty of type "
     "bool"},
    {"{\"Env\":{\"a\":1}}",
     "invalid JSON: json: cannot unmarshal object into Go struct field CreateRequest.Env of type "
     "[]string"},
    {"{\"Env\":[1]}",
     "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Env of type "
     "string"},
    {"{\"Labels\":[\"x\"]}",
     "invalid JSON: json: cannot unmarshal array into Go struct field CreateRequest.Labels of type "
     "map[string]string"},
    {"{\"HostConfig\":{\"Memory\":\"x\"}}",
     "invalid JSON: json: cannot unmarshal string into Go struct field "
     "CreateRequest.HostConfig.Memory of type int64"},
    {"{\"HostConfig\":{\"Ulimits\":[{\"Name\":1}]}}",
     "invalid JSON: json: cannot unmarshal number into Go struct field "
     "CreateRequest.HostConfig.Ulimits.Name of type string"},
    {"{\"HostConfig\":{\"PortBindings\":{\"80/tcp\":[{\"HostPort\":80}]}}}",
     "invalid JSON: json: cannot unmarshal number into Go struct field "
     "CreateRequest.HostConfig.PortBindings.HostPort of type string"},
    {"{\"HostConfig\":{\"BlkioWeight\":-1}}",
     "invalid JSON: json: cannot unmarshal number -1 into Go struct field "
     "CreateRequest.HostConfig.BlkioWeight of type uint16"},
    {"{\"HostConfig\":{\"Memory\":1.5}}",
     "invalid JSON: json: cannot unmarshal number 1.5 into Go struct field "
     "CreateRequest.HostConfig.Memory of type int64"},
    {"{\"Cmd\":[\"a\\u0000b\"]}", "invalid JSON: NUL character in CreateRequest.Cmd"},
    {"{\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{\"Aliases\":5}}}}",
     "invalid JSON: json: cannot unmarshal number into Go struct field "
     "CreateRequest.NetworkingConfig.EndpointsConfig.Aliases of type []string"},
    {"[]", "invalid JSON: json: cannot unmarshal array into Go struct field CreateRequest of type "
           "object"},
};

START_TEST(type_messages)
{
    json_t *body = json_loads(types[_i].body, JSON_ALLOW_NUL, NULL);
    struct err err = {0};
    int r;

    ck_assert_ptr_nonnull(body);
    r = validate_create_types(body, &err);
    ck_assert_str_eq(err.message, types[_i].message);
    ck_assert_int_eq(r, *types[_i].message ? -EINVAL : 0);
    json_decref(body);
}
END_TEST

START_TEST(long_lists_are_refused)
{
    json_t *env = json_array(), *body = json_pack("{s:o}", "Env", env);
    struct err err = {0};

    for (int i = 0; i <= VALIDATE_LIST_MAX; i++)
        json_array_append_new(env, json_string("A=1"));
    ck_assert_int_lt(validate_create_types(body, &err), 0);
    ck_assert_int_eq(err.kind, ERR_INVALID);
    json_decref(body);
}
END_TEST

static const struct {
    const char *config, *hc, *message;
} values[] = {
    {"", "", ""},
    {"", "\"Memory\":100", "Minimum memory limit allowed is 6MB"},
    {"", "\"Memory\":6291456", ""},
    {"", "\"MemorySwap\":10000000",
     "You should always set the Memory limit when using Memoryswap limit, see usage"},
    {"", "\"MemorySwap\":-1", ""},
    {"", "\"Memory\":10000000,\"MemorySwap\":8000000",
     "Minimum memoryswap limit should be larger than memory limit, see usage"},
    {"", "\"Memory\":10000000,\"MemoryReservation\":20000000",
     "Minimum memory limit can not be less than memory reservation limit, see usage"},
    {"", "\"MemorySwappiness\":101", "Invalid value: 101, valid memory swappiness range is 0-100"},
    {"", "\"MemorySwappiness\":-1,\"PidsLimit\":0,\"Ulimits\":[]", ""},
    {"", "\"NanoCpus\":3000000000",
     "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"},
    {"", "\"NanoCpus\":1,\"CpuQuota\":5000",
     "Conflicting options: Nano CPUs and CPU Quota cannot both be set"},
    {"", "\"CpuPeriod\":10",
     "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"},
    {"", "\"CpuQuota\":10", "CPU cfs quota can not be less than 1ms (i.e. 1000)"},
    {"", "\"CpusetCpus\":\"x\"", "Invalid value x for cpuset cpus: invalid format: x"},
    {"", "\"CpusetCpus\":\"1-0\"", "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"},
    {"", "\"CpusetCpus\":\"0,\"", "Invalid value 0, for cpuset cpus: invalid format: 0,"},
    {"", "\"CpusetCpus\":\"0-99\"",
     "Requested CPUs are not available - requested 0-99, available: 0-1"},
    {"", "\"CpusetCpus\":\"0-1,1\"", ""},
    {"", "\"CpusetCpus\":\"9999\"",
     "Invalid value 9999 for cpuset cpus: value of out range, maximum is 8192"},
    {"", "\"CpusetMems\":\"1\"",
     "Requested memory nodes are not available - requested 1, available: 0"},
    {"", "\"MemorySwap\":-2", ""},
    {"", "\"MemoryReservation\":-1", ""},
    {"", "\"MemoryHigh\":1", "Minimum memory high limit allowed is 6MB"},
    {"", "\"CpuBurst\":-1", "CPU cfs burst can not be less than 0"},
    {"", "\"CpuRealtimePeriod\":1000,\"CpuRealtimeRuntime\":2000",
     "cpu real-time runtime cannot be higher than cpu real-time period"},
    {"", "\"KernelMemory\":1", ""}, /* not in this version of the API */
    {"", "\"OomScoreAdj\":2000", "Invalid value 2000, range for oom score adj is [-1000, 1000]"},
    {"", "\"ShmSize\":-1", "SHM size can not be less than 0"},
    {"", "\"AutoRemove\":true,\"RestartPolicy\":{\"Name\":\"always\"}",
     "can't create 'AutoRemove' container with restart policy"},
    {"", "\"RestartPolicy\":{\"Name\":\"foo\"}", "invalid restart policy 'foo'"},
    {"", "\"RestartPolicy\":{\"Name\":\"always\",\"MaximumRetryCount\":3}",
     "maximum retry count cannot be used with restart policy 'always'"},
    {"", "\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":3}", ""},
    {"", "\"CapAdd\":[\"FOO\"]", "invalid CapAdd: unknown capability: \"CAP_FOO\""},
    {"", "\"CapDrop\":[\"CAP_CHOWN\",\"x\"]", "invalid CapDrop: unknown capability: \"CAP_X\""},
    {"", "\"CapAdd\":[\"net_admin\",\"CAP_SYS_TIME\",\"ALL\"]", ""},
    {"", "\"SecurityOpt\":[\"foo\"]", "invalid --security-opt 1: \"foo\""},
    {"", "\"SecurityOpt\":[\"foo=bar\"]", "invalid --security-opt 2: \"foo=bar\""},
    {"", "\"SecurityOpt\":[\"no-new-privileges:maybe\"]",
     "invalid --security-opt 2: \"no-new-privileges:maybe\""},
    {"", "\"SecurityOpt\":[\"no-new-privileges\",\"seccomp=unconfined\",\"label=disable\"]", ""},
    {"", "\"SecurityOpt\":[\"seccomp={\"]", "Decoding seccomp profile failed: *"},
    {"", "\"CgroupnsMode\":\"foo\"", "invalid cgroup namespace mode: foo"},
    {"", "\"IpcMode\":\"foo\"", "invalid IPC mode: foo"},
    {"", "\"IpcMode\":\"shareable\",\"PidMode\":\"container:x\"", ""},
    {"", "\"NetworkMode\":\"container:\"",
     "Invalid network mode: invalid container format container:<name|id>"},
    {"\"Hostname\":\"h\"", "\"NetworkMode\":\"container:x\"",
     "conflicting options: hostname and the network mode"},
    {"", "\"Sysctls\":{\"foo.bar\":\"1\"}",
     "sysctl \"foo.bar\" is not in a separate kernel namespace"},
    {"", "\"Sysctls\":{\"kernel.shm_rmid_forced\":\"1+kernel.core_pattern=|/x\"}", ""},
    {"", "\"Sysctls\":{\"kernel.shm_rmid_forced\":\"1\\nkernel.core_pattern=|/x\"}",
     "sysctl \"kernel.shm_rmid_forced\": invalid character in its value"},
    {"", "\"Sysctls\":{\"net.ipv4.x+kernel.core_pattern\":\"1\"}",
     "sysctl \"net.ipv4.x+kernel.core_pattern\" is not a valid name"},
    {"", "\"Sysctls\":{\"net...kernel.core_pattern\":\"1\"}",
     "sysctl \"net...kernel.core_pattern\" is not a valid name"},
    {"", "\"Sysctls\":{\"net/../kernel/core_pattern\":\"1\"}",
     "sysctl \"net/../kernel/core_pattern\" is not a valid name"},
    {"", "\"Sysctls\":{\"net.ipv4.ip_forward\":\"1\"},\"NetworkMode\":\"host\"",
     "sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace"},
    {"", "\"LogConfig\":{\"Type\":\"asdf\"}", "logger: no log driver named 'asdf' is registered"},
    {"", "\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"foo\":\"1\"}}",
     "unknown log opt 'foo' for json-file log driver"},
    {"", "\"DeviceCgroupRules\":[\"foo\"]", "invalid device cgroup rule format: 'foo'"},
    {"", "\"DeviceCgroupRules\":[\"c 1:3 rwm\",\"b *:* m\"]", ""},
    {"", "\"Devices\":[{\"PathOnHost\":\"/dev/x\",\"CgroupPermissions\":\"rwx\"}]",
     "invalid device mode: rwx"},
    {"", "\"Ulimits\":[{\"Name\":\"foo\",\"Soft\":1,\"Hard\":1}]", "invalid ulimit type: foo"},
    {"", "\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":10,\"Hard\":1}]",
     "ulimit soft limit must be less than or equal to hard limit: 10 > 1"},
    {"", "\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":-1,\"Hard\":-1}]", ""},
    {"", "\"ExtraHosts\":[\"foo\"]", "bad format for add-host: \"foo\""},
    {"", "\"ExtraHosts\":[\"foo:1.2.3.4\",\"a=::1\"]", ""},
    {"", "\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"x\"}]}",
     "invalid port specification: \"x\""},
    {"", "\"PortBindings\":{\"99999/tcp\":[{\"HostPort\":\"1\"}]}",
     "invalid port specification: \"99999\""},
    {"", "\"Runtime\":\"foo\"", "unknown or invalid runtime name: foo"},
    {"", "\"Isolation\":\"hyperv\"",
     "Invalid isolation: \"hyperv\" - linux only supports 'default'"},
    {"", "\"Binds\":[\"/a:b\"]",
     "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount "
     "path: 'b' mount path must be absolute"},
    {"", "\"Binds\":[\"/a:/\"]",
     "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid "
     "specification: destination can't be '/'"},
    {"", "\"Binds\":[\"\"]", "invalid volume specification: ''"},
    {"", "\"Binds\":[\"/a:/b:ro:x\"]", "invalid volume specification: '/a:/b:ro:x'"},
    {"", "\"Binds\":[\"/a:/b:bad\"]", "invalid mode: bad"},
    {"", "\"Binds\":[\"/a:/b:ro,rw\"]", "invalid mode: ro,rw"},
    {"", "\"Binds\":[\"/a:/b:ro,z,rslave\",\"/a:/c:\"]", ""},
    {"", "\"Binds\":[\"/a:/b\",\"/c:/b/\"]", "Duplicate mount point: /b"},
    {"", "\"Binds\":[\"/a:/b\"],\"Tmpfs\":{\"/b\":\"\"}", "Duplicate mount point: /b"},
    {"", "\"Binds\":[\"x\"]",
     "invalid volume specification: 'x': invalid mount config for type \"volume\": invalid mount "
     "path: 'x' mount path must be absolute"},
    {"", "\"Binds\":[\"vol:/x\",\"vol:/y:ro,nocopy\",\"/z\"]", ""},
    {"", "\"Binds\":[\"vol:/x\",\"/x\"]", "Duplicate mount point: /x"},
    {"", "\"Binds\":[\"v/l:/x\"]",
     "create v/l: \"v/l\" includes invalid characters for a local volume name, only "
     "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed.*"},
    {"\"Volumes\":{\"/x\":{}}", "", ""},
    {"\"Volumes\":{\"x\":{}}", "", "invalid volume specification: 'x'"},
    {"\"Volumes\":{\"/./\":{}}", "", "invalid volume specification: '/./'"},
    {"", "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/nonex\",\"Target\":\"/x\"}]",
     "invalid mount config for type \"bind\": bind source path does not exist: /nonex"},
    {"", "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/tmp\",\"Target\":\"/x\"}]", ""},
    {"", "\"Mounts\":[{\"Type\":\"foo\",\"Target\":\"/x\"}]",
     "invalid mount config for type \"foo\": mount type unknown"},
    {"",
     "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/tmp\",\"Target\":\"/x\",\"BindOptions\":{"
     "\"Propagation\":\"foo\"}}]",
     "invalid mount config for type \"bind\": invalid propagation mode: foo"},
    {"", "\"Mounts\":[{\"Type\":\"tmpfs\",\"Source\":\"/tmp\",\"Target\":\"/x\"}]",
     "invalid mount config for type \"tmpfs\": field Source must not be specified"},
    {"", "\"Tmpfs\":{\"/x\":\"foo=1\"}", "invalid tmpfs option [\"foo=1\"]"},
    {"", "\"Tmpfs\":{\"/x\":\"size=64m,mode=1777,exec\"}", ""},
    {"\"Env\":[\"=x\"]", "", "invalid environment variable: =x"},
    {"\"Env\":[\"A\",\"B C=1\"]", "", ""},
    {"\"WorkingDir\":\"x\"", "",
     "the working directory 'x' is invalid, it needs to be an absolute path"},
    {"\"StopSignal\":\"foo\"", "", "Invalid signal: foo"},
    {"\"User\":\"a\\nroot:x:0\"", "", "invalid user: a\nroot:x:0"},
    {"\"Hostname\":\"a b\"", "", "invalid hostname format: a b"},
    {"\"Hostname\":\"-x\"", "", "invalid hostname format: -x"},
    {"\"Hostname\":\"a.b-c.d\"", "", ""},
    {"\"Healthcheck\":{\"Interval\":1}", "", "Interval in Healthcheck cannot be less than 1ms"},
};

START_TEST(value_messages)
{
    _cleanup_(runtime_closep) struct runtime *rt = machine();
    _cleanup_free_ char *ct = xasprintf("{%s}", values[_i].config);
    _cleanup_free_ char *ht = xasprintf("{%s}", values[_i].hc);
    json_t *config = json_loads(ct, 0, NULL), *hc = json_loads(ht, 0, NULL);
    json_t *warnings = json_array();
    struct err err = {0};
    const char *want = values[_i].message;
    size_t n = strcspn(want, "*");
    int r;

    ck_assert_msg(config && hc, "%s %s", ct, ht);
    r = validate_create(rt, config, hc, 51, warnings, &err);
    if (want[n])
        ck_assert_msg(strncmp(err.message, want, n) == 0, "%s", err.message);
    else
        ck_assert_str_eq(err.message, want);
    ck_assert(*want ? r < 0 : r == 0);
    json_decref(config);
    json_decref(hc);
    json_decref(warnings);
}
END_TEST

START_TEST(warnings_for_what_has_no_effect)
{
    _cleanup_(runtime_closep) struct runtime *rt = machine();
    json_t *hc = json_loads("{\"CapAdd\":[\"SYS_RESOURCE\"],\"NetworkMode\":\"host\","
                            "\"PortBindings\":{\"80/tcp\":[{}]}}",
                            0, NULL);
    json_t *warnings = json_array(), *config = json_object();
    struct err err = {0};

    ck_assert_int_eq(validate_create(rt, config, hc, 51, warnings, &err), 0);
    ck_assert_uint_eq(json_array_size(warnings), 2);
    ck_assert_str_eq(json_string_value(json_array_get(warnings, 0)),
                     "Published ports are discarded when using host network mode");
    json_decref(hc);
    json_decref(config);
    json_decref(warnings);
}
END_TEST

START_TEST(signals)
{
    static const struct {
        const char *name;
        int nr;
    } table[] = {
        {"TERM", SIGTERM}, {"SIGTERM", SIGTERM},  {"sigterm", SIGTERM}, {"15", 15},
        {"SIGRTMIN", 34},  {"RTMIN+3", 37},       {"SIGRTMAX-1", 63},   {"64", 64},
        {"CHLD", SIGCHLD}, {"0", -EINVAL},        {"65", -EINVAL},      {"SIG42", -EINVAL},
        {"", -EINVAL},     {"RTMIN+40", -EINVAL}, {"-9", -EINVAL},      {"SIG9", -EINVAL},
    };
    struct err err;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        ck_assert_msg(signal_parse(table[i].name, &err) == table[i].nr, "%s", table[i].name);
    signal_parse("SIG42", &err);
    ck_assert_str_eq(err.message, "invalid signal: SIG42");
}
END_TEST

START_TEST(execs)
{
    static const struct {
        const char *body, *message;
    } table[] = {
        {"{\"Cmd\":[\"x\"]}", ""},
        {"{\"Cmd\":[]}", "No exec command specified"},
        {"{}", "No exec command specified"},
        {"{\"Cmd\":[\"x\"],\"Env\":[\"=\"]}", "invalid environment variable: ="},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        json_t *body = json_loads(table[i].body, 0, NULL);
        struct err err = {0};

        validate_exec(body, &err);
        ck_assert_str_eq(err.message, table[i].message);
        json_decref(body);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("validate");
    TCase *t = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_loop_test(t, type_messages, 0, ARRAY_SIZE(types));
    tcase_add_test(t, long_lists_are_refused);
    tcase_add_loop_test(t, value_messages, 0, ARRAY_SIZE(values));
    tcase_add_test(t, warnings_for_what_has_no_effect);
    tcase_add_test(t, signals);
    tcase_add_test(t, execs);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
