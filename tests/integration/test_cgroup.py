"""Limits: the exact numbers in the control files, and that they bite."""
import os

import host
from harness import STOCK, Skip, equal, has, wait_for

MIB = 1 << 20


def value(d, container, controller, name):
    path = host.cgroup_file(d.state(container)["Pid"], controller, name)
    assert path, f"no cgroup of {controller} for {container}"
    return host.read(path).strip()


def expect(d, options, wanted):
    """Start with the options; {(controller, file): content} must be so."""
    container = d.sleeper(*options)
    for (controller, name), content in wanted.items():
        equal(value(d, container, controller, name), str(content), f"{options} {name}")
    d.ok("rm", "-f", container)


def test_v1_limits(d):
    if host.pure_v2():
        raise Skip("no cgroup v1")
    cpus = os.cpu_count()
    expect(d, ["-m", "64m"], {("memory", "memory.limit_in_bytes"): 64 * MIB,
                              ("memory", "memory.memsw.limit_in_bytes"): 128 * MIB})
    expect(d, ["-m", "64m", "--memory-swap", "100m", "--memory-reservation", "32m"], {
        ("memory", "memory.limit_in_bytes"): 64 * MIB,
        ("memory", "memory.memsw.limit_in_bytes"): 100 * MIB,
        ("memory", "memory.soft_limit_in_bytes"): 32 * MIB})
    expect(d, ["-m", "64m", "--memory-swap", "-1"], {("memory", "memory.limit_in_bytes"): 64 * MIB})
    expect(d, ["--cpus", "0.5"], {("cpu", "cpu.cfs_quota_us"): 50000, ("cpu", "cpu.cfs_period_us"): 100000})
    expect(d, ["--cpu-quota", "20000", "--cpu-period", "50000", "--cpu-shares", "512"], {
        ("cpu", "cpu.cfs_quota_us"): 20000, ("cpu", "cpu.cfs_period_us"): 50000,
        ("cpu", "cpu.shares"): 512})
    expect(d, ["--cpuset-cpus", str(cpus - 1), "--cpuset-mems", "0"], {
        ("cpuset", "cpuset.cpus"): cpus - 1, ("cpuset", "cpuset.mems"): 0})
    expect(d, ["--pids-limit", "123"], {("pids", "pids.max"): 123})
    expect(d, [], {("memory", "memory.limit_in_bytes"): 9223372036854771712, ("pids", "pids.max"): "max",
                   ("cpu", "cpu.cfs_quota_us"): -1, ("cpu", "cpu.shares"): 1024})


def test_v2_limits(d):
    if not host.pure_v2():
        raise Skip("not cgroup v2 alone")
    cpus = os.cpu_count()
    expect(d, ["-m", "64m"], {("", "memory.max"): 64 * MIB, ("", "memory.swap.max"): 64 * MIB})
    expect(d, ["-m", "64m", "--memory-swap", "100m", "--memory-reservation", "32m"], {
        ("", "memory.max"): 64 * MIB, ("", "memory.swap.max"): 36 * MIB, ("", "memory.low"): 32 * MIB})
    expect(d, ["--cpus", "0.5"], {("", "cpu.max"): "50000 100000"})
    expect(d, ["--cpu-quota", "20000", "--cpu-period", "50000", "--cpu-shares", "1024"], {
        ("", "cpu.max"): "20000 50000", ("", "cpu.weight"): 100})
    expect(d, ["--cpuset-cpus", str(cpus - 1)], {("", "cpuset.cpus"): cpus - 1})
    expect(d, ["--pids-limit", "123"], {("", "pids.max"): 123})
    expect(d, [], {("", "memory.max"): "max", ("", "pids.max"): "max"})


def test_a_container_has_its_own_cgroup(d):
    container = d.sleeper("-m", "64m", "--cpus", "1", "--cpuset-cpus", "0", "--pids-limit", "50")
    for line in host.read(f"/proc/{d.state(container)['Pid']}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if {"memory", "cpu", "cpuset", "pids", "devices", "freezer"} & set(controllers.split(",")) \
                or host.pure_v2():
            has(path, container)


def test_limits_bite(d):
    out = d.ctl("run", "--rm", "--pids-limit", "4", "busybox", "sh", "-c",
                "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done")
    has(out.err, "fork")
    # A tenth of a processor for a busy loop: throttled periods are counted.
    container = d.run_detached("--cpus", "0.1", "busybox", "sh", "-c", "while :; do :; done")
    name = "cpu" if not host.pure_v2() else ""
    wait_for(lambda: int(dict(line.split() for line in value(d, container, name, "cpu.stat").splitlines())
                         ["nr_throttled"]) > 2, "throttling")


def test_cpuset_bites(d):
    last = os.cpu_count() - 1
    equal(d.shell("grep Cpus_allowed_list /proc/self/status", "--cpuset-cpus", str(last)).split()[-1], str(last))


def test_oom_kill(d):
    container = d.run_detached("-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c",
                               "x=0123456789; while :; do x=$x$x; done")
    equal(d.ok("wait", container), "137")
    state = d.state(container)
    equal((state["ExitCode"], state["Status"]), (137, "exited"))
    if not STOCK:
        equal(state["OOMKilled"], True)
    equal(d.state(d.run_detached("busybox", "sh", "-c", "kill -9 $$"))["OOMKilled"], False)


def test_oom_of_a_child_is_told_too(d):
    container = d.run_detached("-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c",
                               "sh -c 'x=0123456789; while :; do x=$x$x; done'; exit 5")
    equal(d.ok("wait", container), "5")
    if not STOCK:
        equal(d.state(container)["OOMKilled"], True)


def test_devices(d):
    out = d.shell("for n in null zero full random urandom tty; do test -c /dev/$n && echo $n; done; "
                  "head -c 1 /dev/zero | wc -c; mknod /tmp/m c 1 1 && cat /tmp/m 2>&1 | head -c 100; "
                  "ls -l /dev/fd /dev/stdin /dev/ptmx | wc -l")
    assert out.startswith("null\nzero\nfull\nrandom\nurandom\ntty\n1\n"), out
    has(out, "Operation not permitted")
    equal(d.shell("test -c /dev/mapped && echo x >/dev/mapped && echo fine", "--device", "/dev/null:/dev/mapped"),
          "fine")
    has(d.ctl("run", "--rm", "--device", "/dev/loop-control:/dev/mapped:r", "busybox", "sh", "-c",
              ": >/dev/mapped").err, "ot permitted")
    has(d.shell("mknod /m c 10 237 && : </m && echo may", "--device-cgroup-rule", "c 10:237 rm"), "may")


def test_freezer(d):
    container = d.sleeper()
    pid = d.state(container)["Pid"]
    d.ok("pause", container)
    if host.pure_v2():
        has(value(d, container, "", "cgroup.events"), "frozen 1")
    else:
        equal(host.read(host.cgroup_file(pid, "freezer", "freezer.state")).strip(), "FROZEN")
    if STOCK:
        d.ok("unpause", container)
        return
    d.ok("kill", container)
    wait_for(lambda: d.state(container)["Status"] == "exited", "the kill of a paused one")


def test_stop_of_a_paused_one(d):
    container = d.sleeper()
    d.ok("pause", container)
    d.ok("stop", "-t", "1", container)
    equal(d.state(container)["Status"], "exited")


def test_cgroups_are_removed(d):
    container = d.sleeper("-m", "64m")
    paths = set()
    mounted = host.hierarchies()
    for line in host.read(f"/proc/{d.state(container)['Pid']}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if container in path and controllers in mounted:
            paths.add(mounted[controllers] + path)
    assert paths and all(os.path.isdir(path) for path in paths), paths
    d.ok("kill", container)
    wait_for(lambda: not any(os.path.exists(path) for path in paths), "cgroups to be removed")


def test_impossible_limits_are_400(d):
    for host_config, text in (
            ({"Memory": 1 << 20}, "Minimum memory limit allowed is 6MB"),
            ({"Memory": 64 * MIB, "MemorySwap": 32 * MIB}, "emory"),
            ({"MemorySwap": 64 * MIB}, "emory"),
            ({"NanoCpus": 10**12}, "CPUs"),
            ({"NanoCpus": 10**9, "CpuQuota": 50000}, "onflicting options"),
            ({"CpuPeriod": 10}, "CPU cfs period"),
            ({"CpuQuota": 10}, "CPU cfs quota"),
            ({"CpusetCpus": "9999"}, "9999"),
            ({"CpusetCpus": "x-y"}, "x-y"),
            ({"OomScoreAdj": 2000}, "-1000, 1000")):
        reply = d.api("POST", "/containers/create",
                      {"Image": "busybox", "Cmd": ["true"], "HostConfig": host_config}, status=400)
        has(reply.message, text)
    equal(d.ok("ps", "-aq"), "")


def test_cgroup_view(d):
    """The default follows Docker: the host's view on v1, a private one on v2."""
    container = d.sleeper()
    line = d.exec(container, "cat", "/proc/self/cgroup").splitlines()[0]
    if host.pure_v2():
        equal(line, "0::/")
    private = d.shell("cat /proc/self/cgroup", "--cgroupns", "private").splitlines()
    assert all(l.split(":", 2)[2] == "/" for l in private), private


LIMIT_FILE = "/sys/fs/cgroup/memory.max" if host.pure_v2() else "/sys/fs/cgroup/memory/memory.limit_in_bytes"
# The default on v2 is a cgroup namespace of its own; with the host's the whole tree is seen, as in Docker.
VIEWS = [(), ("--cgroupns", "private")] + ([] if host.pure_v2() else [("--cgroupns", "host")])


def test_programs_find_their_limits(d):
    """What a JVM or Go run-time reads below /sys/fs/cgroup is the container's own, not the host's."""
    for view in VIEWS:
        equal(d.shell(f"cat {LIMIT_FILE}", "-m", "64m", *view), str(64 * MIB), view)
    if not host.pure_v2():
        for view in VIEWS:
            equal(d.shell("cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/pids/pids.max; "
                          "cat /sys/fs/cgroup/cpuset/cpuset.cpus",
                          "--cpus", "0.5", "--pids-limit", "77", "--cpuset-cpus", "0", *view).split(),
                  ["50000", "77", "0"], view)
        # Without a limit on processors the set is still there: JVMs want it.
        equal(d.shell("cat /sys/fs/cgroup/cpuset/cpuset.cpus"), f"0-{os.cpu_count() - 1}")
        # The processes that it lists are the container's.
        assert "1" in d.shell("cat /sys/fs/cgroup/memory/cgroup.procs").split()


def test_cgroups_cannot_be_written(d):
    directory = os.path.dirname(LIMIT_FILE)
    for options in ((), ("--cgroupns", "private"), ("--userns", "auto"), ("--cap-add", "SYS_ADMIN")):
        if STOCK and "auto" in options:
            continue
        got = d.shell(f"echo 1000000000 >{LIMIT_FILE} || echo refused; mkdir {directory}/x || echo refused; "
                      "echo 1 >/sys/fs/cgroup/cpuset/cgroup.procs || echo refused", "-m", "64m", *options)
        equal(got.split().count("refused"), 3, (options, got))
    equal(d.shell(f"mount -o remount,rw {directory} && echo may; true", "-m", "64m"), "")


def test_privileged_may_write_cgroups(d):
    directory = os.path.dirname(LIMIT_FILE)
    container = d.sleeper("--privileged", "-m", "64m")
    name, controller = os.path.basename(LIMIT_FILE), "" if host.pure_v2() else "memory"
    # Where systemd mounts it (nsdelegate), a namespace's root has its limits from outside alone.
    if not host.pure_v2():
        d.exec(container, "sh", "-c", f"echo {32 * MIB} >{LIMIT_FILE}")
        equal(value(d, container, controller, name), str(32 * MIB))
    d.exec(container, "mkdir", f"{directory}/below")
    # Whatever it has made there lies in its own cgroup and goes with it.
    own = os.path.dirname(host.cgroup_file(d.state(container)["Pid"], controller, name))
    assert os.path.isdir(f"{own}/below"), own
    d.ok("rm", "-f", container)
    assert not os.path.exists(own), own
    if not host.pure_v2():
        container = d.sleeper("--privileged")
        d.exec(container, "sh", "-c", "for c in /sys/fs/cgroup/*; do mkdir $c/below || exit 1; done")
        for line in host.read(f"/proc/{d.state(container)['Pid']}/cgroup").splitlines():
            if "name=" not in line and ":net_" not in line:  # those others mount meanwhile
                has(line, container)
        d.ok("rm", "-f", container)
