/* The kernel's line about whom it killed. */
#include <check.h>
#include <stdlib.h>

#include "oomline.h"

#define ID "f0cd9267817aefed1f0d9e42543bc0a90cf6640e39075469d098d96c9da4f0a3"
#define OTHER "1a5fd8f5e195ce561f40be1c10a910f458013e6b3e03a2f63c2646f0c8861034"
#define HEAD                                                                                       \
    "6,1261073,38450881369,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,"       \
    "mems_allowed=0,oom_memcg=/p,task_memcg="

static const struct {
    const char *record;
    int pid; /* 0: none */
    const char *process;
} lines[] = {
    {HEAD "/p/" ID ",task=sh,pid=18788,uid=0\n", 18788, "sh"},
    {HEAD "/system.slice/containerd-lite-" ID ".scope,task=sh,pid=1,uid=0\n", 1, "sh"},
    /* What a container makes below its own cgroup, or calls its processes, is not believed. */
    {HEAD "/p/" ID "/" OTHER ",task=sh,pid=7,uid=0\n", 7, "sh"},
    {HEAD "/p/" ID ",task=a,pid=1,task=b,pid=9,uid=0\n", 9, "a,pid=1,task=b"},
    {HEAD "/p/" ID ",task=,pid=3,uid=0\n", 3, ""},
    {HEAD "/user.slice,task=" ID ",pid=3,uid=0\n", 0, NULL},
    {HEAD "/p/" ID "0,task=sh,pid=3,uid=0\n", 0, NULL},
    {HEAD "/p/" ID ",task=sh,pid=,uid=0\n", 0, NULL},
    {HEAD "/p/" ID ",task=sh\n", 0, NULL},
    {HEAD "/p/" ID, 0, NULL},
    {"6,1,2,-;Memory cgroup out of memory: Killed process 18788 (sh)\n", 0, NULL},
    {"oom-kill:", 0, NULL},
    {"", 0, NULL},
};

START_TEST(records)
{
    struct oom_victim v;

    if (lines[_i].pid == 0) {
        ck_assert(!oomline_parse(lines[_i].record, &v));
        return;
    }
    ck_assert(oomline_parse(lines[_i].record, &v));
    ck_assert_str_eq(v.id, ID);
    ck_assert_int_eq(v.pid, lines[_i].pid);
    ck_assert_str_eq(v.process, lines[_i].process);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("oomline");
    TCase *t = tcase_create("all");
    SRunner *sr = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, records, 0, sizeof(lines) / sizeof(lines[0]));
    suite_add_tcase(s, t);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
