/* The default seccomp profile: what a container may call.  The policy is Docker's default, which
 * images are tested with; the reasons for what is missing are in docs/security.md. */
#include <linux/capability.h>

#include "capability.h"
#include "filter.h"
#include "mem.h"

#define KERNEL(major, minor) ((major) << 16 | (minor))

const struct filter_group filter_groups[] = {
    /* files */
    {0, 0,
     "access chdir chmod chown chown32 close close_range copy_file_range creat "
     "dup dup2 dup3 faccessat faccessat2 fadvise64 fadvise64_64 fallocate "
     "fchdir fchmod fchmodat fchown fchown32 fchownat fcntl fcntl64 fdatasync "
     "flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate "
     "ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown lchown32 "
     "link linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat "
     "name_to_handle_at newfstatat open openat openat2 readahead readlink "
     "readlinkat rename renameat renameat2 rmdir stat stat64 statfs statfs64 "
     "statx symlink symlinkat sync sync_file_range syncfs truncate truncate64 "
     "umask unlink unlinkat utime utimensat utimensat_time64 utimes"},
    /* xattr */
    {0, 0,
     "fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr "
     "llistxattr lremovexattr lsetxattr removexattr setxattr"},
    /* io */
    {0, 0,
     "eventfd eventfd2 epoll_create epoll_create1 epoll_ctl epoll_ctl_old "
     "epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old io_cancel io_destroy "
     "io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit "
     "_newselect pipe pipe2 poll ppoll ppoll_time64 pread64 preadv preadv2 "
     "pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readv select "
     "sendfile sendfile64 splice tee vmsplice write writev"},
    /* notify */
    {0, 0,
     "fanotify_mark inotify_add_watch inotify_init inotify_init1 "
     "inotify_rm_watch signalfd signalfd4"},
    /* memory */
    {0, 0,
     "brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 "
     "mlockall mmap mmap2 mprotect mremap msync munlock munlockall munmap "
     "pkey_alloc pkey_free pkey_mprotect remap_file_pages"},
    /* process */
    {0, 0,
     "capget capset execve execveat exit exit_group fork getcpu getegid "
     "getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 "
     "getpgid getpgrp getpid getppid getpriority getresgid getresgid32 "
     "getresuid getresuid32 getrlimit get_robust_list getrusage getsid "
     "get_thread_area gettid getuid getuid32 ioprio_get ioprio_set kill pause "
     "pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease "
     "restart_syscall rseq seccomp setfsgid setfsgid32 setfsuid setfsuid32 "
     "setgid setgid32 setgroups setgroups32 setpgid setpriority setregid "
     "setregid32 setresgid setresgid32 setresuid setresuid32 setreuid "
     "setreuid32 setrlimit set_robust_list setsid set_thread_area "
     "set_tid_address setuid setuid32 sysinfo tgkill times tkill ugetrlimit "
     "uname vfork wait4 waitid waitpid"},
    /* signals */
    {0, 0,
     "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
     "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo "
     "sigaltstack sigprocmask sigreturn"},
    /* scheduling */
    {0, 0,
     "sched_getaffinity sched_getattr sched_getparam sched_get_priority_max "
     "sched_get_priority_min sched_getscheduler sched_rr_get_interval "
     "sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
     "sched_setparam sched_setscheduler sched_yield"},
    /* time */
    {0, 0,
     "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres "
     "clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep "
     "clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time "
     "timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
     "timer_settime timer_settime64 timerfd_create timerfd_gettime "
     "timerfd_gettime64 timerfd_settime timerfd_settime64"},
    /* sync */
    {0, 0, "futex futex_time64 futex_waitv"},
    /* sysv */
    {0, 0,
     "ipc mq_getsetattr mq_notify mq_open mq_timedreceive "
     "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl "
     "msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 "
     "shmat shmctl shmdt shmget"},
    /* net */
    {0, 0,
     "accept accept4 bind connect getpeername getsockname getsockopt listen "
     "recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg "
     "sendto setsockopt shutdown socketcall socketpair"},
    /* misc */
    {0, 0,
     "arch_prctl getrandom landlock_add_rule landlock_create_ruleset "
     "landlock_restrict_self modify_ldt"},
    /* Before 4.8 ptrace could be used to get around a filter. */
    {0, KERNEL(4, 8), "process_vm_readv process_vm_writev ptrace"},
    {CAP_BIT(CAP_DAC_READ_SEARCH), 0, "open_by_handle_at"},
    {CAP_BIT(CAP_SYS_ADMIN), 0,
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount "
     "mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname "
     "sethostname setns syslog umount umount2 unshare"},
    {CAP_BIT(CAP_SYS_BOOT), 0, "reboot"},
    {CAP_BIT(CAP_SYS_CHROOT), 0, "chroot"},
    {CAP_BIT(CAP_SYS_MODULE), 0, "delete_module init_module finit_module"},
    {CAP_BIT(CAP_SYS_PACCT), 0, "acct"},
    {CAP_BIT(CAP_SYS_PTRACE), 0,
     "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
    {CAP_BIT(CAP_SYS_RAWIO), 0, "iopl ioperm"},
    {CAP_BIT(CAP_SYS_TIME), 0, "settimeofday stime clock_settime clock_settime64"},
    {CAP_BIT(CAP_SYS_TTY_CONFIG), 0, "vhangup"},
    {CAP_BIT(CAP_SYS_NICE), 0, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {CAP_BIT(CAP_SYSLOG), 0, "syslog"},
    {CAP_BIT(CAP_BPF), 0, "bpf"},
    {CAP_BIT(CAP_PERFMON), 0, "perf_event_open"},
};
const size_t filter_groups_n = ARRAY_SIZE(filter_groups);

const uint16_t filter_new_calls[] = {
    451, /* cachestat */
    452, /* fchmodat2 */
    453, /* map_shadow_stack */
    454, /* futex_wake */
    455, /* futex_wait */
    456, /* futex_requeue */
    457, /* statmount */
    458, /* listmount */
    462, /* mseal */
    463, /* setxattrat */
    464, /* getxattrat */
    465, /* listxattrat */
    466, /* removexattrat */
};
const size_t filter_new_calls_n = ARRAY_SIZE(filter_new_calls);
