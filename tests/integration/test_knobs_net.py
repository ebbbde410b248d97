"""net_cls, net_prio and perf_event of v1: few machines mount them, so the daemon gets a mount namespace
of its own that has."""
import contextlib
import os
import subprocess
import tempfile

import host
from harness import Daemon, Skip, equal, wait_for

CLASS = 0x10002
MOUNTS = ("net_cls", "net_prio", "perf_event")


def inside(d, path):
    """A path of the daemon's mount namespace."""
    return f"/proc/{d.pid}/root{path}"


@contextlib.contextmanager
def daemon():
    if host.pure_v2():
        raise Skip("systemd leaves no controller to cgroup v1")
    d = Daemon(start=False)
    cgroups = f"{d.root}/cgroups"
    script = "".join(f"mkdir -p {cgroups}/{name} && mount -t cgroup -o {name} {name} {cgroups}/{name} && "
                     for name in MOUNTS)
    try:
        d.start(["unshare", "-m", "sh", "-c", f"{script} exec \"$@\"", "sh", *d.argv()])
        yield d, cgroups
    finally:
        # A hierarchy with a cgroup in it would outlive its mount.
        if d.pid:
            d.clean()
            for name in MOUNTS:
                top = inside(d, f"{cgroups}/{name}")
                for directory, names, _ in os.walk(top, topdown=False):
                    if directory != top:
                        with contextlib.suppress(OSError):
                            os.rmdir(directory)
        d.close()
        # One that had cgroups when its last mount went is still there, and keeps its controller from cgroup v2.
        for name in MOUNTS:
            with tempfile.TemporaryDirectory() as place:
                subprocess.run(["unshare", "-m", "sh", "-c", f"mount -t cgroup -o {name} {name} {place} && umount {place}"],
                               check=True)


def bound(name):
    """Is the controller one of a hierarchy of cgroup v1?"""
    return next(line.split()[1] for line in host.read("/proc/cgroups").splitlines() if line.startswith(name)) != "0"


def own_file(d, cgroups, container, controller, name):
    for line in host.read(f"/proc/{d.state(container)['Pid']}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return inside(d, f"{cgroups}/{controller}{path}/{name}"), path
    raise AssertionError(f"not in {controller}")


def marked(d, container, match=f"meta cgroup {CLASS}"):
    """Packets that the kernel sees with the class, of some that the container sends."""
    enter = ["nsenter", "-n", "-t", str(d.state(container)["Pid"])]
    rules = f"""table inet seen {{
        chain out {{
            type filter hook output priority 0;
            {match} counter
        }}
    }}"""
    subprocess.run([*enter, "nft", "-f", "-"], input=rules, text=True, check=True)
    d.exec(container, "sh", "-c", "ping -c 3 -i 0.1 127.0.0.1 >/dev/null")
    shown = subprocess.run([*enter, "nft", "list", "table", "inet", "seen"], capture_output=True, text=True,
                           check=True).stdout
    subprocess.run([*enter, "nft", "delete", "table", "inet", "seen"], check=True)
    return int(shown.split("counter packets ")[1].split()[0])


def test_class_without_net_cls(d):
    """Where no net_cls is mounted a program marks the container's sockets."""
    if "net_cls" in host.read("/proc/self/mountinfo"):
        raise Skip("net_cls is mounted")
    for match in (f"meta mark {CLASS}", f"meta priority {CLASS >> 16:x}:{CLASS & 0xffff:x}"):
        plain, classed = d.sleeper(), d.sleeper("--net-classid", str(CLASS))
        equal(marked(d, plain, match), 0)
        assert marked(d, classed, match) >= 3
        d.api("POST", f"/containers/{plain}/update", {"NetClassId": CLASS}, status=200)
        assert marked(d, plain, match) >= 3
        d.api("POST", f"/containers/{plain}/update", {"NetClassId": CLASS + 1}, status=200)
        equal(marked(d, plain, match), 0)
        # Programs of a container that runs with privileges, or maps its users, are no different.
        for options in (("--privileged",), ("--userns", "auto")):
            assert marked(d, d.sleeper("--net-classid", str(CLASS), *options), match) >= 3, options
        d.ok("restart", "-t", "0", plain)
        equal(marked(d, plain, match.replace(str(CLASS), str(CLASS + 1)) if "mark" in match else f"meta mark {CLASS + 1}") > 0, True)


def test_class_and_priority():
    ours = [name for name in MOUNTS if not bound(name)]
    with daemon() as (d, cgroups):
        plain = d.sleeper()
        classed = d.sleeper("--net-classid", str(CLASS), "--net-prio", "lo:5")
        file, path = own_file(d, cgroups, classed, "net_cls", "net_cls.classid")
        equal(path.endswith(classed), True)
        equal(host.read(file).strip(), str(CLASS))
        file, _ = own_file(d, cgroups, classed, "net_prio", "net_prio.ifpriomap")
        assert "lo 5" in host.read(file).splitlines(), host.read(file)
        equal(marked(d, plain), 0)
        assert marked(d, classed) >= 3
        # perf_event has no limits: to be in it, as `perf stat --for-each-cgroup` wants, is all.
        for container in (plain, classed):
            assert own_file(d, cgroups, container, "perf_event", "cgroup.procs")[1].endswith(container)
        # One that was started without joins when it is given one.
        equal(own_file(d, cgroups, plain, "net_cls", "net_cls.classid")[1], "/")
        d.api("POST", f"/containers/{plain}/update", {"NetClassId": CLASS}, status=200)
        assert marked(d, plain) >= 3
        equal(d.inspect(plain)["HostConfig"]["NetClassId"], CLASS)
    wait_for(lambda: not any(map(bound, ours)), "the hierarchies to be gone")
