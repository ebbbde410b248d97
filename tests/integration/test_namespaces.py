"""Own, host's and shared namespaces."""
import os
import subprocess

from harness import STOCK, equal, has

KINDS = ("mnt", "pid", "uts", "ipc", "net")


def inside(d, container, kind):
    return os.readlink(f"/proc/{d.state(container)['Pid']}/ns/{kind}")


def ours(kind):
    return os.readlink(f"/proc/self/ns/{kind}")


def test_each_has_its_own(d):
    one, two = d.sleeper(), d.sleeper()
    for kind in KINDS:
        assert len({inside(d, one, kind), inside(d, two, kind), ours(kind)}) == 3, kind


def test_hosts_namespaces(d):
    for option, kind in (("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--network", "net")):
        equal(inside(d, d.sleeper(option, "host"), kind), ours(kind), option)


def test_host_pid_sees_the_host(d):
    has(d.shell(f"cat /proc/{os.getpid()}/comm", "--pid", "host"), "python3")


def test_host_uts_has_the_hosts_name(d):
    equal(d.shell("hostname", "--uts", "host"), os.uname().nodename)
    equal(d.shell("hostname", "--network", "host"), os.uname().nodename)


def test_shared_with_a_container(d):
    first = d.sleeper("--ipc", "shareable", "--name", "first")
    for option, kind in (("--pid", "pid"), ("--ipc", "ipc"), ("--network", "net")):
        second = d.sleeper(option, "container:first")
        equal(inside(d, second, kind), inside(d, first, kind), option)
        assert inside(d, second, "mnt") != inside(d, first, "mnt")


def test_shared_pid_sees_the_other(d):
    d.sleeper("--name", "first")
    has(d.shell("ps -o args", "--pid", "container:first"), "sleep 100000")


def test_shared_network(d):
    d.run_detached("--name", "server", "busybox", "sh", "-c", "echo served >/index.html; httpd -f -p 127.0.0.1:7000 -h /")
    out = d.shell("for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://127.0.0.1:7000/ && break; sleep 0.2; done",
                  "--network", "container:server")
    equal(out, "served")
    equal(d.shell("cat /etc/hosts; hostname", "--network", "container:server"),
          d.exec("server", "sh", "-c", "cat /etc/hosts; hostname"))


def test_shared_ipc(d):
    d.sleeper("--name", "first", "--ipc", "shareable")
    d.exec("first", "sh", "-c", "echo shared >/dev/shm/file")
    equal(d.shell("cat /dev/shm/file", "--ipc", "container:first"), "shared")
    d.sleeper("--name", "private")
    done = d.ctl("run", "--rm", "--ipc", "container:private", "busybox", "true")
    assert done.code in (125, 126), done
    has(done.err, "non-shareable IPC" if not STOCK else "IPC")


def test_none_ipc(d):
    equal(d.shell("grep -c /dev/shm /proc/mounts || true", "--ipc", "none"), "0")


def test_sharing_with_a_stopped_or_unknown_one(d):
    d.ok("create", "--name", "stopped", "busybox", "true")
    done = d.ctl("run", "--rm", "--network", "container:stopped", "busybox", "true")
    equal(done.code, 125)
    has(done.err, "running")
    done = d.ctl("run", "--rm", "--pid", "container:nope", "busybox", "true")
    equal(done.code, 125)
    has(done.err, "No such container: nope")


def test_pid_1_and_its_namespace_end_together(d):
    container = d.run_detached("busybox", "sh", "-c", "setsid sleep 100002 & setsid sleep 100003 & wait")
    pid = d.state(container)["Pid"]
    d.ok("kill", container)
    left = subprocess.run(["pgrep", "-f", "sleep 10000[23]"], stdout=subprocess.PIPE, check=False).stdout
    equal(left, b"", "processes of a dead container")
    assert not os.path.exists(f"/proc/{pid}/ns/net")


def test_cgroup_namespace(d):
    if STOCK:
        return
    private = d.sleeper("--cgroupns", "private")
    shared = d.sleeper("--cgroupns", "host")
    assert inside(d, private, "cgroup") != ours("cgroup")
    equal(inside(d, shared, "cgroup"), ours("cgroup"))
