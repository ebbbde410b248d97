"""Many lives leave nothing: counts before and after are the same."""
import os

import host
import imagemaker
from harness import SLOW, STOCK, equal, wait_for

RUNS = 500 if SLOW <= 1 else 60


def runs(d, count, *options):
    """Some at a time, through the client."""
    clients = []
    for _ in range(count):
        if len(clients) == 4:
            client = clients.pop(0)
            out, err = client.communicate(timeout=60 * SLOW)
            equal((client.returncode, out, err), (0, b"x\n", b""))
        clients.append(d.spawn_client("run", "--rm", *options, "busybox", "echo", "x"))
    for client in clients:
        out, err = client.communicate(timeout=60 * SLOW)
        equal((client.returncode, out, err), (0, b"x\n", b""))


def test_five_hundred_runs(d):
    if STOCK:
        return
    d.shell("true")
    before = d.settled_census()
    runs(d, RUNS)
    d.assert_counts(before)


def test_runs_with_everything(d):
    if STOCK:
        return
    options = ["-p", "127.0.0.1::80", "-v", "/tmp:/in", "--tmpfs", "/t", "-m", "64m", "--init", "--userns", "auto",
               "--hostname", "h"]
    d.shell("true", *options)
    before = d.settled_census()
    runs(d, RUNS // 5, *options)
    d.assert_counts(before)


def test_failures_leave_nothing(d):
    if STOCK:
        return
    failing = (("busybox", "nonsense"), ("busybox", "/etc"), ("-u", "nosuch", "busybox", "true"),
               ("--network", "nope", "busybox", "true"), ("-v", "/proc/nope/x:/in", "busybox", "true"),
               ("--sysctl", "kernel.nonsense=1", "busybox", "true"), ("-p", "127.0.0.1:99999:80", "busybox", "true"),
               ("--device", "/dev/nonsense", "busybox", "true"), ("-w", "/etc/passwd/x", "busybox", "true"),
               ("127.0.0.1:1/nosuchimage:1", "true"))
    for args in failing:
        d.ctl("run", "--rm", *args)
    before = d.settled_census()
    for _ in range(5):
        for args in failing:
            done = d.ctl("run", "--rm", *args)
            assert done.code in (125, 126, 127), (args, done)
    d.assert_counts(before)


def test_execs_and_clients_leave_nothing(d):
    if STOCK:
        return
    container = d.sleeper()
    d.exec(container, "true")
    before = d.settled_census()
    shim = int(host.read(f"/proc/{d.state(container)['Pid']}/stat").rpartition(")")[2].split()[1])
    descriptors = len(os.listdir(f"/proc/{shim}/fd"))
    for _ in range(50):
        d.exec(container, "true")
        d.ok("logs", container)
        d.fails(127, "exec", container, "nonsense")
    for _ in range(10):
        client = d.spawn_client("attach", container)
        client.kill()
        client.communicate()
    d.assert_counts(before)
    wait_for(lambda: len(os.listdir(f"/proc/{shim}/fd")) == descriptors, "the shim's descriptors")


def test_detached_ones_leave_nothing(d):
    if STOCK:
        return
    d.ok("rm", "-f", d.sleeper())
    before = d.settled_census()
    made = [d.sleeper() for _ in range(30)]
    d.ok("rm", "-f", *made[:15])
    d.ok("kill", *made[15:])
    d.ok("wait", *made[15:])
    d.ok("rm", *made[15:])
    d.assert_counts(before)


def test_images_leave_nothing(d):
    if STOCK:
        return

    def cycle(n):
        d.ok("load", input=imagemaker.docker_archive(
            [imagemaker.layer({"f": b"%d" % n}), imagemaker.layer({"g": b"%d" % n})], ["leak:1"]))
        d.ok("rmi", "leak:1")
    cycle(0)
    before = d.settled_census()
    for n in range(1, 10):
        cycle(n)
    d.assert_counts(before)
