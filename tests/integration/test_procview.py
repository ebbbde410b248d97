"""--proc-view: /proc shows the container's own limits, by one lxcfs for all."""
import os
import re
import shutil
import signal

from harness import Daemon, Skip, equal, has, wait_for
from test_restart import kill_shim

MIB = 1 << 20


def need_lxcfs():
    if not shutil.which("lxcfs") or not os.path.exists("/dev/fuse"):
        raise Skip("no lxcfs or no /dev/fuse")


def lxcfs_of(d):
    """Pids of the daemon's lxcfs."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                argv = file.read().decode().split("\0")
        except OSError:
            continue
        if argv[0] == "lxcfs" and f"{d.run}/lxcfs" in argv:
            found.append(int(pid))
    return found


def memory_total(d, container):
    text = d.exec(container, "cat", "/proc/meminfo")
    return int(next(line for line in text.splitlines() if line.startswith("MemTotal")).split()[1]) << 10


def processors(d, container):
    return d.exec(container, "cat", "/proc/cpuinfo").count("processor")


def test_limits_are_seen(d):
    need_lxcfs()
    plain = d.sleeper("-m", "64m")
    assert memory_total(d, plain) > 64 * MIB
    equal(lxcfs_of(d), [])
    container = d.sleeper("--proc-view", "-m", "64m", "--cpus", "1", "--cpuset-cpus", "0")
    equal(d.inspect(container)["HostConfig"]["ProcView"], True)
    equal(memory_total(d, container), 64 * MIB)
    equal(d.exec(container, "nproc"), "1")
    equal(processors(d, container), 1)
    equal(d.exec(container, "cat", "/sys/devices/system/cpu/online"), "0")
    up = float(d.exec(container, "cat", "/proc/uptime").split()[0])
    assert up < 60, up
    d.ok("update", "-m", "32m", "--memory-swap", "32m", container)
    equal(memory_total(d, container), 32 * MIB)


def test_each_file_is_the_containers(d):
    need_lxcfs()
    # Those of the host, as busybox's free asks the kernel and not /proc.
    d.ok("image", "from-host", "tools", "sleep", "cat", "env", "free", "nproc", "top")
    container = d.run_detached("--proc-view", "-m", "64m", "--memory-swap", "64m", "--cpuset-cpus", "0",
                               "-v", "/lib/terminfo:/lib/terminfo:ro", "tools", "sleep", "100000")
    mounts = {words[4]: words[words.index("-") + 1] for words in
              map(str.split, d.exec(container, "cat", "/proc/self/mountinfo").splitlines())}
    for name in ("meminfo", "cpuinfo", "stat", "uptime", "loadavg", "diskstats", "swaps"):
        equal(mounts.get(f"/proc/{name}"), "fuse.lxcfs", name)
        d.exec(container, "cat", f"/proc/{name}")
    processors = [line for line in d.exec(container, "cat", "/proc/stat").splitlines() if line.startswith("cpu")]
    equal([line.split()[0] for line in processors], ["cpu", "cpu0"])
    equal(len(d.exec(container, "cat", "/proc/swaps").splitlines()), 1)
    assert int(d.exec(container, "cat", "/proc/loadavg").split()[3].split("/")[1]) < 10, "the host's processes"
    # What programs make of them.
    equal(d.exec(container, "free", "-k").splitlines()[1].split()[1], str(64 << 10))
    equal(d.exec(container, "nproc"), "1")
    shown = d.exec(container, "env", "TERM=dumb", "top", "-b", "-n", "1")
    assert re.search(r"up 0 min(.|\n)*(MiB Mem : +64\.0|KiB Mem : +65536) total", shown), shown


def test_one_for_all_over_a_kill_of_the_daemon(d):
    need_lxcfs()
    one = d.sleeper("--proc-view", "-m", "64m")
    two = d.sleeper("-l", "containerd-lite.proc-view=true", "-m", "32m")
    [pid] = lxcfs_of(d)
    d.kill9()
    equal(lxcfs_of(d), [pid])
    d.start()
    equal((memory_total(d, one), memory_total(d, two)), (64 * MIB, 32 * MIB))
    three = d.sleeper("--proc-view", "-m", "48m")
    equal((memory_total(d, three), lxcfs_of(d)), (48 * MIB, [pid]))
    d.ok("rm", "-f", one, three)
    equal((memory_total(d, two), lxcfs_of(d)), (32 * MIB, [pid]))
    d.ok("rm", "-f", two)
    wait_for(lambda: lxcfs_of(d) == [], "its end after the last container's")


def test_a_dead_one_is_replaced(d):
    need_lxcfs()
    d.sleeper("--proc-view")
    [pid] = lxcfs_of(d)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: lxcfs_of(d) == [], "its end")
    container = d.sleeper("--proc-view", "-m", "64m")
    equal(memory_total(d, container), 64 * MIB)


def test_starts_that_hang_leave_room_for_others():
    """Policies start few at a time: what clients ask for is done though all that policies start waits for an lxcfs."""
    need_lxcfs()
    with Daemon(start=False) as d:
        with open(f"{d.root}/lxcfs", "w") as file:
            file.write(f"#!/bin/bash\nwhile [ -e {d.root}/hold ]; do sleep 0.05; done\n"
                       f"exec -a lxcfs {shutil.which('lxcfs')} \"$@\"\n")
        os.chmod(f"{d.root}/lxcfs", 0o755)
        d.start(env={**os.environ, "PATH": f"{d.root}:{os.environ['PATH']}"})
        made = [d.sleeper("--proc-view", "--restart", "always") for _ in range(12)]
        pids = [d.state(container)["Pid"] for container in made]
        d.kill9()
        for pid in pids:
            kill_shim(pid)
        for pid in lxcfs_of(d):
            os.kill(pid, signal.SIGKILL)
        open(f"{d.root}/hold", "w").close()
        d.start(env={**os.environ, "PATH": f"{d.root}:{os.environ['PATH']}"})
        equal(d.ok("run", "--rm", "busybox", "echo", "served"), "served")
        jobs = [int(re.search(r"\nengine_daemon_jobs (\d+)\n", d.api("GET", "/metrics", status=200).body.decode())[1])
                for _ in range(10)]
        assert min(jobs) <= 5, jobs  # three starts, and now and then something else
        assert not any(d.state(container)["Running"] and d.state(container)["Pid"] for container in made), "some were started"
        os.unlink(f"{d.root}/hold")
        for container in made:
            wait_for(lambda: d.state(container)["Status"] == "running", "all to be back", 60)
        d.ok("rm", "-f", *made)


def test_in_a_user_namespace(d):
    need_lxcfs()
    container = d.sleeper("--proc-view", "--userns", "auto", "-m", "64m")
    equal(memory_total(d, container), 64 * MIB)


def test_the_daemons_default(d):
    need_lxcfs()
    with Daemon("--proc-view") as other:
        equal(memory_total(other, other.sleeper("-m", "64m")), 64 * MIB)
        assert memory_total(other, other.sleeper("-m", "64m", "--proc-view=false")) > 64 * MIB


def test_only_the_request_turns_it_on(d):
    label = "containerd-lite.proc-view"
    made = d.ok("create", "-l", f"{label}=true", "busybox")
    equal(d.inspect(made)["HostConfig"].get("ProcView"), True)
    d.api("POST", "/commit", {"Labels": {label: "true"}}, container=made, repo="eager")
    equal(d.api("GET", "/images/eager/json").json["Config"]["Labels"], {label: "true"})
    other = d.ok("create", "eager")
    equal(d.inspect(other)["Config"]["Labels"], {label: "true"})
    assert not d.inspect(other)["HostConfig"].get("ProcView")
    d.ok("rm", made, other)


def test_without_lxcfs_it_is_a_clear_error(d):
    with Daemon(env={"PATH": "/nonexistent"}) as other:
        has(other.fails(125, "run", "--proc-view", "busybox", "true"), "needs lxcfs, which is not installed")
        equal(other.ok("run", "--rm", "busybox", "echo", "well"), "well")
