"""Each limit seen to bite: what is measured is what the kernel let a container have."""
import contextlib
import os
import subprocess
import time

import host
from harness import STOCK, Skip, equal, has, wait_for

MIB = 1 << 20
V2 = host.pure_v2()
SPIN = ("busybox", "sh", "-c", "while :; do :; done")
WINDOWS = 8  # measurements at most until one is not disturbed by the rest of the machine


def path(d, container, controller, name):
    found = host.cgroup_file(d.state(container)["Pid"], "" if V2 else controller, name)
    assert found, f"{container} has no {name}"
    return found


def value(d, container, controller, name):
    return host.read(path(d, container, controller, name)).strip()


def number(text, key):
    return int(dict(line.split() for line in text.splitlines())[key])


def usage(d, container):
    """Nanoseconds of processor time so far."""
    if V2:
        return number(value(d, container, "", "cpu.stat"), "usage_usec") * 1000
    return int(value(d, container, "cpuacct", "cpuacct.usage"))


def best(measure, good):
    """One undisturbed measurement of some; all of them."""
    seen = []
    for _ in range(WINDOWS):
        seen.append(measure())
        if good(seen[-1]):
            break
    return seen


def share_of_a_core(d, container, seconds=1.5):
    used, since = usage(d, container), time.monotonic()
    time.sleep(seconds)
    return (usage(d, container) - used) / 1e9 / (time.monotonic() - since)


# Processors

def quota_holds(d, container, wanted, tolerance=0.02):
    seen = best(lambda: share_of_a_core(d, container), lambda s: abs(s - wanted) <= tolerance)
    assert abs(seen[-1] - wanted) <= tolerance, (wanted, seen)


def test_quota(d):
    container = d.run_detached("--cpu-quota", "20000", "--cpu-period", "100000", *SPIN)
    quota_holds(d, container, 0.20)
    # A new one holds for what runs already.
    d.ok("update", "--cpu-quota", "50000", "--cpu-period", "100000", container)
    quota_holds(d, container, 0.50, 0.05)


def test_cpus(d):
    quota_holds(d, d.run_detached("--cpus", "0.2", *SPIN), 0.20)


def ratio(d, a, b):
    before = usage(d, a), usage(d, b)
    time.sleep(2)
    return (usage(d, a) - before[0]) / max(usage(d, b) - before[1], 1)


def shares_hold(d, a, b, wanted):
    seen = best(lambda: ratio(d, a, b), lambda r: wanted * 0.9 <= r <= wanted * 1.1)
    assert wanted * 0.9 <= seen[-1] <= wanted * 1.1, (wanted, seen)


def test_shares(d):
    last = str(os.cpu_count() - 1)
    both = [d.run_detached("--cpuset-cpus", last, "--cpu-shares", shares, *SPIN)
            for shares in ("1024", "512")]
    shares_hold(d, *both, 2)
    d.ok("update", "--cpu-shares", "256", both[0])
    shares_hold(d, *both, 0.5)


def test_cpuset(d):
    """sched_getaffinity(2), as nproc calls it."""
    last = str(os.cpu_count() - 1)
    container = d.sleeper("--cpuset-cpus", last, "--cpuset-mems", "0")
    equal(d.exec(container, "nproc"), "1")
    equal(os.sched_getaffinity(d.state(container)["Pid"]), {int(last)})
    d.ok("update", "--cpuset-cpus", "0", container)
    equal(os.sched_getaffinity(d.state(container)["Pid"]), {0})


def test_cpuset_of_one_that_had_none(d):
    container = d.sleeper()
    d.ok("update", "--cpuset-cpus", "0", container)
    equal(os.sched_getaffinity(d.state(container)["Pid"]), {0})
    equal(d.exec(container, "nproc"), "1")


if not STOCK:
    def test_burst(d):
        container = d.sleeper("--cpu-quota", "20000", "--cpu-period", "100000", "--cpu-burst", "10000")
        equal(value(d, container, "cpu", "cpu.max.burst" if V2 else "cpu.cfs_burst_us"), "10000")
        equal(d.inspect(container)["HostConfig"]["CpuBurst"], 10000)
        # What is saved while idle is used at once: a period ends with more than its quota.
        d.exec(container, "sh", "-c", "for n in 1 2 3 4 5 6; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; "
               "sleep 0.3; done")
        assert number(value(d, container, "cpu", "cpu.stat"), "nr_bursts") > 0


# Memory

ALLOCATE = ("busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1")


def test_memory(d):
    since = f"{time.time():.9f}"
    container = d.run_detached("-m", "64m", "--memory-swap", "64m", *ALLOCATE)
    equal(d.ok("wait", container), "137")
    if not STOCK:
        equal(d.state(container)["OOMKilled"], True)
        kinds = [e["Action"] for e in d.events(since, container=[container])]
        assert kinds.count("oom") == 1 and kinds.index("oom") < kinds.index("die"), kinds
    has(d.ok("logs", container) or "killed", "killed")
    # The same with room for it.
    d.ok("run", "--rm", "-m", "200m", *ALLOCATE)


if not STOCK:
    def oom_events(d, container, since):
        return [e["Actor"]["Attributes"] for e in d.events(since, container=[container]) if e["Action"] == "oom"]

    def test_who_was_killed(d):
        """The event comes while the container runs, and names the process; the container goes on."""
        since = f"{time.time():.9f}"
        container = d.run_detached("-m", "64m", "--memory-swap", "64m", "busybox", "sh", "-c",
                                   "dd if=/dev/zero of=/dev/null bs=100M count=1; sleep 1000")
        told = wait_for(lambda: oom_events(d, container, since), "the event")
        equal(d.state(container)["Running"], True)
        equal(len(told), 1)
        equal(told[0]["process"], "dd")
        assert int(told[0]["pid"]) > 1, told
        has(host.read(d.log), f"container {container}: out of memory: the kernel killed process {told[0]['pid']} (dd)")
        d.ok("rm", "-f", container)
        equal(len(oom_events(d, container, since)), 1)

    def test_watch_begins_with_the_limit(d):
        """Also for a container that had none, and one that a daemon finds at its start."""
        container = d.sleeper()
        d.ok("update", "-m", "64m", "--memory-swap", "64m", container)
        for _ in range(2):
            since = f"{time.time():.9f}"
            d.ctl("exec", container, *ALLOCATE[1:])
            equal(wait_for(lambda: oom_events(d, container, since), "the event")[0]["process"], "dd")
            d.restart()

    def test_memory_pressure(d):
        since = f"{time.time():.9f}"
        container = d.run_detached("-m", "32m", "--memory-swap", "32m", "busybox", "sh", "-c",
                                   "while :; do cat /bin/busybox /lib/* >/dev/null 2>&1; "
                                   "dd if=/dev/zero of=/big bs=1M count=200 2>/dev/null; "
                                   "dd if=/big of=/dev/null bs=28M 2>/dev/null; done")
        wait_for(lambda: [e for e in d.events(since, container=[container]) if e["Action"] == "memory-pressure"],
                 "the event", 60)
        d.ok("rm", "-f", container)


if not V2:
    def test_oom_kill_disable(d):
        """Without a killer the process waits, and goes on once there is more.  It writes the memory itself: a system
        call that does, like read(2), does not wait but ends early."""
        grow = 'BEGIN { s = "x"; while (length(s) < 5e7) s = s s; print length(s) }'
        container = d.run_detached("-m", "64m", "--memory-swap", "64m", "--oom-kill-disable", "busybox", "awk", grow)
        since = f"{time.time() - 5:.9f}"
        wait_for(lambda: number(value(d, container, "memory", "memory.oom_control"), "under_oom"), "it to be out")
        if not STOCK:
            wait_for(lambda: oom_events(d, container, since), "the event")
        equal(d.state(container)["Running"], True)
        d.ok("update", "-m", "300m", "--memory-swap", "300m", container)
        equal(d.ok("wait", container), "0")
        equal(d.ok("logs", container), "67108864")
        equal(d.state(container)["OOMKilled"], False)

    def test_swappiness_and_kernel_memory(d):
        container = d.sleeper("--memory-swappiness", "33", "-m", "64m", "--memory-reservation", "32m")
        equal(value(d, container, "memory", "memory.swappiness"), "33")
        equal(value(d, container, "memory", "memory.soft_limit_in_bytes"), str(32 * MIB))

    def test_kernel_memory_of_tcp(d):
        """The number, or a warning where the kernel does not keep it."""
        made = d.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sleep", "1000"],
                                                    "HostConfig": {"KernelMemoryTCP": 32 * MIB}}, status=201).json
        d.ok("start", made["Id"])
        kept = int(value(d, made["Id"], "memory", "memory.kmem.tcp.limit_in_bytes")) == 32 * MIB
        if STOCK:
            return
        equal(made["Warnings"], [] if kept else [
            "Your kernel does not support kernel memory TCP limit capabilities or the cgroup is not mounted. "
            "Limitation discarded."])
elif not STOCK:
    def test_memory_high(d):
        """Above it a container is slowed down and its cache reclaimed, but nothing is killed."""
        container = d.run_detached("--memory-high", "32m", "busybox", "sh", "-c",
                                   "dd if=/dev/zero of=/big bs=1M count=100 && sleep 1000")
        equal(value(d, container, "", "memory.high"), str(32 * MIB))
        wait_for(lambda: number(value(d, container, "", "memory.events"), "high"), "the limit to be met", 60)
        equal(d.state(container)["Running"], True)


if not STOCK:
    def test_huge_pages(d):
        """The kernel's own numbers; no pages are set aside for a test."""
        sizes = [n.split("-")[1] for n in os.listdir("/sys/kernel/mm/hugepages")]
        if "2048kB" not in sizes or "hugetlb" not in host.read("/proc/cgroups") or not any(
                "hugetlb" in key or "hugetlb" in host.read(mount + "/cgroup.controllers")
                for key, mount in host.hierarchies().items()):
            raise Skip("no hugetlb controller")
        container = d.sleeper("--hugetlb-limit", "2MB:4m")
        state = d.state(container)
        file = host.cgroup_file(state["Pid"], "hugetlb", "hugetlb.2MB.limit_in_bytes") or \
            host.cgroup_file(state["Pid"], "", "hugetlb.2MB.max")
        equal(host.read(file).strip(), str(4 * MIB))
        d.ok("update", "--hugetlb-limit", "2MB:8m", container)
        equal(host.read(file).strip(), str(8 * MIB))
        result = d.ctl("create", "--hugetlb-limit", "3MB:8m", "busybox")
        has(result.err, 'invalid huge page size: "3MB" is none of this kernel\'s')


def test_oom_score(d):
    container = d.sleeper("--oom-score-adj", "500")
    equal(d.exec(container, "cat", "/proc/self/oom_score_adj"), "500")
    equal(host.read(f"/proc/{d.state(container)['Pid']}/oom_score_adj").strip(), "500")


# Processes

def test_fork_bomb(d):
    container = d.run_detached("--pids-limit", "40", "--cpus", "0.3", "busybox", "sh", "-c",
                               "bomb() { bomb | bomb & }; bomb; sleep 1000")
    refused = lambda: number(value(d, container, "pids", "pids.events"), "max")
    wait_for(lambda: refused() > 10, "the limit to be met")
    for _ in range(5):
        assert int(value(d, container, "pids", "pids.current")) <= 40
        d.api("GET", "/info", status=200)  # the host answers
    equal(d.shell("echo fine"), "fine")
    d.ok("rm", "-f", container)


def test_pause(d):
    container = d.run_detached(*SPIN)
    wait_for(lambda: usage(d, container) > 0, "it to run")
    d.ok("pause", container)
    used = usage(d, container)
    time.sleep(0.5)
    equal(usage(d, container), used, "processor time of a paused one")
    result = d.ctl("exec", container, "true")
    assert result.code != 0, result
    has(result.err, "paused")
    d.ok("unpause", container)
    wait_for(lambda: usage(d, container) > used, "it to go on")


def test_ulimits(d):
    options = ("--ulimit", "nofile=8:8", "--ulimit", "fsize=1024000", "--ulimit", "core=0")
    equal(d.shell("ulimit -n; ulimit -f; ulimit -c", *options).split(), ["8", "2000", "0"])
    result = d.ctl("run", "--rm", *options, "busybox", "sh", "-c",
                   "exec 3</etc/passwd 4<&3 5<&3 6<&3 7<&3; echo seven; exec 8<&3; echo eight")
    equal(result.out.strip(), "seven")


def test_sysctls(d):
    equal(d.shell("cat /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_default_ttl", "--sysctl",
                  "kernel.shmmni=77", "--sysctl", "net.ipv4.ip_default_ttl=33").split(), ["77", "33"])
    assert host.read("/proc/sys/kernel/shmmni").strip() != "77", "the host's was changed"


# Devices

@contextlib.contextmanager
def loop_device(mib=8):
    """A block device of our own."""
    file = subprocess.run(["mktemp", "/tmp/ctl-loop-XXXXXX"], check=True, capture_output=True, text=True).stdout.strip()
    os.truncate(file, mib * MIB)
    try:
        device = subprocess.run(["losetup", "-f", "--show", file], check=True, capture_output=True,
                                text=True).stdout.strip()
        try:
            yield device
        finally:
            subprocess.run(["losetup", "-d", device], check=True)
    finally:
        os.unlink(file)


def throttled(d, device, option, direction, file):
    """Bytes a second at which a container reads or writes the device."""
    container = d.run_detached("--device", device, f"--device-{option}-bps", f"{device}:1mb", "busybox", "sh", "-c",
                               f"while :; do dd if={'/dev/zero' if direction == 'Write' else device} "
                               f"of={device if direction == 'Write' else '/dev/null'} bs=128k count=32 "
                               f"{'oflag' if direction == 'Write' else 'iflag'}=direct || exit 1; done")
    number_of = f"{os.major(os.stat(device).st_rdev)}:{os.minor(os.stat(device).st_rdev)}"

    def moved():
        if V2:
            for line in value(d, container, "", "io.stat").splitlines():
                if line.startswith(number_of + " "):
                    return int(dict(p.split("=") for p in line.split()[1:])[f"{direction.lower()[0]}bytes"])
        else:
            for line in value(d, container, "blkio", "blkio.throttle.io_service_bytes").splitlines():
                if line.startswith(f"{number_of} {direction} "):
                    return int(line.split()[2])
        return 0

    def rate():
        before, since = moved(), time.monotonic()
        time.sleep(2)
        return (moved() - before) / (time.monotonic() - since)
    limit = f"{number_of} {file}={MIB}" if V2 else f"{number_of} {MIB}"
    assert limit.split("=")[0].split()[0] in value(
        d, container, "blkio", "io.max" if V2 else f"blkio.throttle.{option}_bps_device")
    wait_for(moved, "the first bytes", 60)
    seen = best(rate, lambda r: 0.8 * MIB <= r <= 1.2 * MIB)
    d.ok("rm", "-f", container)
    return seen[-1]


def test_write_throttle(d):
    with loop_device() as device:
        assert 0.8 * MIB <= throttled(d, device, "write", "Write", "wbps") <= 1.2 * MIB


def test_read_throttle(d):
    with loop_device() as device:
        assert 0.8 * MIB <= throttled(d, device, "read", "Read", "rbps") <= 1.2 * MIB


def test_denied_device(d):
    """Nodes can be made, but only what is allowed can be opened."""
    with loop_device() as device:
        major, minor = os.major(os.stat(device).st_rdev), os.minor(os.stat(device).st_rdev)
        script = f"mknod /d b {major} {minor} && head -c 1 /d >/dev/null && echo opened"
        result = d.ctl("run", "--rm", "busybox", "sh", "-c", script)
        has(result.err, "Operation not permitted")
        assert "opened" not in result.out
        equal(d.shell(script, "--device-cgroup-rule", f"b {major}:{minor} rm"), "opened")
        equal(d.shell(f"head -c 1 {device} >/dev/null && echo opened", "--device", f"{device}:{device}:r"), "opened")
        has(d.ctl("run", "--rm", "--device", f"{device}:{device}:r", "busybox", "sh", "-c", f": >{device}").err,
            "not permitted")
        has(d.ctl("run", "--rm", "--cap-drop", "MKNOD", "busybox", "mknod", "/d", "b", "7", "0").err,
            "Operation not permitted")
        # All of them, by Docker's word for it.
        equal(d.shell(script, "--device-cgroup-rule", "a *:* rwm"), "opened")


def test_cgroup_parent(d):
    parent = f"/ctl-test-{os.getpid()}"
    container = d.sleeper("--cgroup-parent", parent, "-m", "64m")
    here = path(d, container, "memory", "memory.max" if V2 else "memory.limit_in_bytes")
    has(here, f"{parent}/{container}")
    try:
        # A tenant's own limit holds for all of its containers together.
        above = os.path.join(os.path.dirname(os.path.dirname(here)), os.path.basename(here))
        with open(above, "w") as file:
            file.write(str(32 * MIB))
        second = d.run_detached("--cgroup-parent", parent, *ALLOCATE)
        equal(d.ok("wait", second), "137")
    finally:
        d.ok("rm", "-f", container)
        for mount in set(host.hierarchies().values()):
            with contextlib.suppress(OSError):
                os.rmdir(mount + parent)
