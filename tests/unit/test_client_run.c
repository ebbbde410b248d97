#include <check.h>
#include <string.h>

#include "json.h"
#include "run_body.h"
#include "run_values.h"
#include "str.h"

/* The create request of a command line. */
static json_t *body(const char *line, struct err *e)
{
    static const struct option_set set = {{create_opts, run_only_opts}};
    struct run_options o = run_defaults;
    struct parsed p = {.fields = &o};
    char *text = xstrdup(line), *argv[64];
    int argc = 0;
    json_t *ret = NULL;

    memset(e, 0, sizeof(*e));
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    if (options_parse(&set, false, argc, argv, &p, e) == 0 &&
        run_body_build(&p.body, &o, p.args, p.n_args, e) == 0)
        ret = TAKE_PTR(p.body);
    options_free(&set, &o);
    parsed_done(&p);
    free(text);
    return ret;
}

static void has(const json_t *b, const char *path, const char *want)
{
    char *got = json_dumps(json_at(b, path), JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);

    ck_assert_msg(got && streq(got, want), "%s is %s, not %s", path, got ? got : "absent", want);
    free(got);
}

START_TEST(plain)
{
    struct err e;
    json_t *b = body("busybox echo -n x", &e);

    ck_assert_ptr_nonnull(b);
    has(b, "Image", "\"busybox\"");
    has(b, "Cmd", "[\"echo\",\"-n\",\"x\"]");
    has(b, "AttachStdout", "true");
    has(b, "AttachStdin", "false");
    has(b, "HostConfig.NetworkMode", "\"default\"");
    ck_assert_ptr_null(json_at(b, "Entrypoint"));
    ck_assert_ptr_null(json_at(b, "NetworkingConfig"));
    ck_assert_ptr_null(json_at(b, "HostConfig.MemorySwappiness"));
    json_decref(b);
}
END_TEST

START_TEST(streams)
{
    struct err e;
    json_t *b = body("-i busybox", &e);

    has(b, "AttachStdin", "true");
    has(b, "OpenStdin", "true");
    has(b, "StdinOnce", "true");
    json_decref(b);
    b = body("-i -a stderr busybox", &e);
    has(b, "AttachStdin", "false");
    has(b, "AttachStdout", "false");
    has(b, "AttachStderr", "true");
    has(b, "StdinOnce", "false");
    json_decref(b);
    b = body("-d -i busybox", &e);
    has(b, "AttachStdin", "false");
    has(b, "AttachStdout", "false");
    has(b, "OpenStdin", "true");
    json_decref(b);
}
END_TEST

START_TEST(many_options)
{
    struct err e;
    json_t *b = body("--rm -m 64m --cpus 1.5 --cap-add net_admin --cap-drop ALL --restart no "
                     "--ulimit nofile=1:2 --sysctl net.a=c --security-opt no-new-privileges "
                     "--health-cmd true --health-interval 1s --entrypoint= --device-read-bps "
                     "/dev/a:1m --add-host h=[::1] --gpus all --pid host busybox",
                     &e);

    ck_assert_msg(b, "%s", e.message);
    has(b, "HostConfig.Memory", "67108864");
    has(b, "HostConfig.NanoCpus", "1500000000");
    has(b, "HostConfig.CapAdd", "[\"CAP_NET_ADMIN\"]");
    has(b, "HostConfig.CapDrop", "[\"ALL\"]");
    has(b, "HostConfig.Ulimits", "[{\"Hard\":2,\"Name\":\"nofile\",\"Soft\":1}]");
    has(b, "HostConfig.Sysctls", "{\"net.a\":\"c\"}");
    has(b, "HostConfig.SecurityOpt", "[\"no-new-privileges\"]");
    has(b, "Healthcheck", "{\"Interval\":1000000000,\"Test\":[\"CMD-SHELL\",\"true\"]}");
    has(b, "Entrypoint", "[\"\"]");
    has(b, "HostConfig.BlkioDeviceReadBps", "[{\"Path\":\"/dev/a\",\"Rate\":1048576}]");
    has(b, "HostConfig.ExtraHosts", "[\"h:::1\"]");
    has(b, "HostConfig.DeviceRequests", "[{\"Capabilities\":[[\"gpu\"]],\"Count\":-1}]");
    has(b, "HostConfig.AutoRemove", "true");
    has(b, "HostConfig.PidMode", "\"host\"");
    json_decref(b);
}
END_TEST

START_TEST(networks)
{
    struct err e;
    json_t *b = body("--network name=foo,alias=bar,ip=1.2.3.4 --network baz busybox", &e);

    ck_assert_msg(b, "%s", e.message);
    has(b, "HostConfig.NetworkMode", "\"foo\"");
    has(b, "NetworkingConfig.EndpointsConfig",
        "{\"baz\":{},\"foo\":{\"Aliases\":[\"bar\"],\"IPAMConfig\":{\"IPv4Address\":\"1.2.3.4\"}}"
        "}");
    json_decref(b);
    b = body("--net none busybox", &e);
    has(b, "HostConfig.NetworkMode", "\"none\"");
    ck_assert_ptr_null(json_at(b, "NetworkingConfig"));
    json_decref(b);
}
END_TEST

START_TEST(environment)
{
    struct err e;
    json_t *b;

    setenv("TEST_OWN", "here", 1);
    unsetenv("TEST_NONE");
    b = body("-e A=1 -e TEST_OWN -e TEST_NONE -e B= busybox", &e);
    has(b, "Env", "[\"A=1\",\"TEST_OWN=here\",\"TEST_NONE\",\"B=\"]");
    json_decref(b);
}
END_TEST

START_TEST(refused)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"--rm --restart always x", "conflicting options: cannot specify both --restart and --rm"},
        {"--restart a:b x",
         "invalid restart policy format: maximum retry count must be an integer"},
        {"--no-healthcheck --health-cmd y x", "--no-healthcheck conflicts with --health-* options"},
        {"--health-interval=-1s x", "--health-interval cannot be negative"},
        {"--memory-swappiness 200 x", "invalid value: 200. Valid memory swappiness range is 0-100"},
        {"--pid foo x", "--pid: invalid PID mode"},
        {"--security-opt foo x", "Invalid --security-opt: \"foo\""},
        {"--security-opt seccomp=/proc/no-such-file x",
         "opening seccomp profile (/proc/no-such-file) failed: open /proc/no-such-file: no such "
         "file or "
         "directory"},
        {"--storage-opt foo x", "invalid storage option"},
        {"--log-driver none --log-opt a=b x", "invalid logging opts for driver none"},
        {"--network a --network a x", "network \"a\" is specified multiple times"},
        {"--network host --network y x", "conflicting options: cannot attach both user-defined and "
                                         "non-user-defined network-modes"},
        {"--net-alias a x", "network-scoped aliases are only supported for user-defined networks"},
        {"--mac-address zz x", "zz is not a valid mac address"},
        {"--env-file /proc/no-such-file x", "open /proc/no-such-file: no such file or directory"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e;
        json_t *b = body(cases[i].line, &e);

        ck_assert_ptr_null(b);
        ck_assert_str_eq(e.message, cases[i].message);
    }
}
END_TEST

START_TEST(values_refused)
{
    static const struct {
        value_parser parse;
        const char *value, *message;
    } cases[] = {
        {value_ulimit, "foo=1", "invalid ulimit type: foo"},
        {value_ulimit, "nofile=2:1",
         "ulimit soft limit must be less than or equal to hard limit: 2 > 1"},
        {value_add_host, "foo:bar", "invalid IP address in add-host: \"bar\""},
        {value_ip, "foo", "IP address is not correctly formatted: foo"},
        {value_domain, "x..y", "x..y is not a valid domain"},
        {value_env, "=x", "invalid environment variable: =x"},
        {value_link, "a:b:c", "bad format for links: a:b:c"},
        {value_sysctl, "a.b=c", "sysctl 'a.b=c' is not allowed"},
        {value_device_rule, "foo", "invalid device cgroup format 'foo'"},
        {value_device_weight, "/dev/a:1", "invalid weight for device: /dev/a:1"},
        {value_device_bps, "foo", "bad format: foo"},
        {value_gpus, "foo=bar", "unexpected key 'foo' in 'foo=bar'"},
        {value_attach, "foo", "valid streams are STDIN, STDOUT and STDERR"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e = {0};
        json_t *v = NULL;

        ck_assert_int_lt(cases[i].parse(cases[i].value, &v, &e), 0);
        ck_assert_str_eq(e.message, cases[i].message);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_run");
    TCase *tc = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_add_test(tc, plain);
    tcase_add_test(tc, streams);
    tcase_add_test(tc, many_options);
    tcase_add_test(tc, networks);
    tcase_add_test(tc, environment);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, values_refused);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
