unit_test(cgroup cgroup)
