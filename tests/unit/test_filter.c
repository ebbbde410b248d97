/* The filters are tried out: a child installs one and makes the call. */
#include <check.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capability.h"
#include "filter.h"
#include "mem.h"
#include "str.h"

#define KERNEL_6_1 (6u << 16 | 1)

/* errno of the call under the filter, 0 if it succeeded; 1000+n if signal n ended the child. */
static int try_call(const struct filter *f, long nr, long a0, long a1, long a2, long a3)
{
    struct sock_fprog prog = {.len = (unsigned short)(f->size / sizeof(struct sock_filter)),
                              .filter = f->insns};
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        long r;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
            _exit(254);
        r = syscall(nr, a0, a1, a2, a3, 0, 0);
        /* a new process made by a clone that went through */
        syscall(SYS_exit_group, r < 0 ? errno : 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return 1000 + WTERMSIG(status);
    ck_assert_int_ne(WEXITSTATUS(status), 254);
    return WEXITSTATUS(status);
}

static const struct {
    const char *what;
    long nr, a0, a1, a2, a3;
    int expected;
} calls[] = {
    {"getpid", SYS_getpid, 0, 0, 0, 0, 0},
    {"unix socket", SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0, 0},
    {"netlink socket", SYS_socket, AF_NETLINK, SOCK_RAW, 0, 0, 0},
    {"AF_ALG", SYS_socket, AF_ALG, SOCK_SEQPACKET, 0, 0, EPERM},
    {"AF_VSOCK", SYS_socket, AF_VSOCK, SOCK_STREAM, 0, 0, EPERM},
    {"AF_ALG with high bits", SYS_socket, 0x100000000L | AF_ALG, SOCK_SEQPACKET, 0, 0, EPERM},
    {"AF_VSOCK with high bits", SYS_socket, 0x7f00000000L | AF_VSOCK, 1, 0, 0, EPERM},
    {"unshare", SYS_unshare, CLONE_NEWUSER, 0, 0, 0, EPERM},
    {"setns", SYS_setns, -1, 0, 0, 0, EPERM},
    {"mount", SYS_mount, 0, 0, 0, 0, EPERM},
    {"clone3", SYS_clone3, 0, 0, 0, 0, ENOSYS},
    {"clone of a user namespace", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, EPERM},
    {"clone", SYS_clone, SIGCHLD, 0, 0, 0, 0},
    {"personality, question", SYS_personality, 0xffffffff, 0, 0, 0, 0},
    {"personality, no randomisation", SYS_personality, ADDR_NO_RANDOMIZE, 0, 0, 0, EPERM},
    {"bpf", SYS_bpf, 0, 0, 0, 0, EPERM},
    {"keyctl", SYS_keyctl, 0, 0, 0, 0, EPERM},
    {"io_uring_setup", SYS_io_uring_setup, 1, 0, 0, 0, EPERM},
    {"userfaultfd", SYS_userfaultfd, 0, 0, 0, 0, EPERM},
    {"open_by_handle_at", SYS_open_by_handle_at, 0, 0, 0, 0, EPERM},
    {"kexec_load", SYS_kexec_load, 0, 0, 0, 0, EPERM},
    {"ptrace of nobody", SYS_ptrace, 16 /* attach */, 0, 0, 0, ESRCH},
    {"a number of tomorrow", 600, 0, 0, 0, 0, ENOSYS},
    {"lsm_list_modules, new and not allowed", 461, 0, 0, 0, 0, ENOSYS},
    {"fchmodat2, new and allowed", 452, -1, (long)"x", 0, 0, EBADF},
    {"a number between the old and the new", 400, 0, 0, 0, 0, EPERM},
};

START_TEST(default_profile)
{
    struct filter f;
    struct err err;
    int got;

    ck_assert_int_eq(filter_default(caps_default, KERNEL_6_1, &f, &err), 0);
    got = try_call(&f, calls[_i].nr, calls[_i].a0, calls[_i].a1, calls[_i].a2, calls[_i].a3);
    /* fchmodat2 came with Linux 6.6 */
    if (calls[_i].nr == 452 && got == ENOSYS && syscall(452, -1, "x", 0, 0) < 0 && errno == ENOSYS)
        got = EBADF;
    ck_assert_msg(got == calls[_i].expected, "%s: %d, expected %d", calls[_i].what, got,
                  calls[_i].expected);
    filter_done(&f);
}
END_TEST

START_TEST(capabilities_widen_the_profile)
{
    struct filter f;
    struct err err;

    ck_assert_int_eq(filter_default(caps_default | CAP_BIT(CAP_SYS_ADMIN), KERNEL_6_1, &f, &err),
                     0);
    ck_assert_int_eq(try_call(&f, SYS_setns, -1, 0, 0, 0), EBADF);
    ck_assert_int_ne(try_call(&f, SYS_clone3, 0, 0, 0, 0), ENOSYS);
    ck_assert_int_eq(try_call(&f, SYS_keyctl, 0, 0, 0, 0), EPERM);
    filter_done(&f);

    ck_assert_int_eq(filter_default(caps_default & ~CAP_BIT(CAP_SYS_CHROOT), KERNEL_6_1, &f, &err),
                     0);
    ck_assert_int_eq(try_call(&f, SYS_chroot, (long)"/nonexistent", 0, 0, 0), EPERM);
    filter_done(&f);
}
END_TEST

START_TEST(old_kernels_refuse_ptrace)
{
    struct filter f;
    struct err err;

    ck_assert_int_eq(filter_default(caps_default, 4u << 16 | 7, &f, &err), 0);
    ck_assert_int_eq(try_call(&f, SYS_ptrace, 16, 0, 0, 0), EPERM);
    filter_done(&f);
}
END_TEST

START_TEST(custom_profile)
{
    static const char json[] =
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":["
        "{\"names\":[\"getppid\",\"no_such_call\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":7},"
        "{\"name\":\"getsid\",\"action\":\"SCMP_ACT_KILL\",\"args\":["
        "{\"index\":0,\"value\":5,\"op\":\"SCMP_CMP_EQ\"}]},"
        "{\"names\":[\"umask\"],\"action\":\"SCMP_ACT_ERRNO\",\"includes\":{\"caps\":"
        "[\"CAP_SYS_ADMIN\"]}},"
        "{\"names\":[\"getpgid\"],\"action\":\"SCMP_ACT_ERRNO\",\"excludes\":{\"caps\":"
        "[\"CAP_SYS_ADMIN\"]}},"
        "{\"names\":[\"sched_yield\"],\"action\":\"SCMP_ACT_ERRNO\",\"includes\":{\"minKernel\":"
        "\"99.0\"}}]}";
    struct filter f;
    struct err err;

    ck_assert_int_eq(filter_custom(json, caps_default, KERNEL_6_1, &f, &err), 0);
    ck_assert_int_eq(try_call(&f, SYS_getppid, 0, 0, 0, 0), 7);
    ck_assert_int_eq(try_call(&f, SYS_getsid, 0, 0, 0, 0), 0);
    ck_assert_int_eq(try_call(&f, SYS_getsid, 5, 0, 0, 0), 1000 + SIGSYS);
    ck_assert_int_eq(try_call(&f, SYS_umask, 0, 0, 0, 0), 0);
    ck_assert_int_eq(try_call(&f, SYS_getpgid, 0, 0, 0, 0), EPERM);
    ck_assert_int_eq(try_call(&f, SYS_sched_yield, 0, 0, 0, 0), 0);
    filter_done(&f);
}
END_TEST

START_TEST(bad_custom_profiles)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"defaultAction\":\"SCMP_ACT_MAYBE\"}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[5],\"action\":"
        "\"SCMP_ACT_ERRNO\"}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],\"action\":"
        "\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":9,\"op\":\"SCMP_CMP_EQ\"}]}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"X86\"]}",
    };
    struct filter f;
    struct err err = {0};

    ck_assert_int_lt(filter_custom(bad[_i], caps_default, KERNEL_6_1, &f, &err), 0);
    ck_assert_int_eq(err.kind, ERR_INVALID);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("filter");
    TCase *t = tcase_create("all");
    SRunner *sr;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, default_profile, 0, ARRAY_SIZE(calls));
    tcase_add_test(t, capabilities_widen_the_profile);
    tcase_add_test(t, old_kernels_refuse_ptrace);
    tcase_add_test(t, custom_profile);
    tcase_add_loop_test(t, bad_custom_profiles, 0, 7);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
