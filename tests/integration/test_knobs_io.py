"""Operations a second, writes through the page cache, weights of block I/O, and realtime, seen to bite."""
import contextlib
import os
import subprocess
import tempfile
import threading
import time

import host
from harness import STOCK, Skip, equal, wait_for
from test_knobs_effect import MIB, SPIN, V2, best, loop_device, share_of_a_core, value


def number_of(device):
    return f"{os.major(os.stat(device).st_rdev)}:{os.minor(os.stat(device).st_rdev)}"


def done(d, container, device, direction, what):
    """Operations or bytes of the device so far.  what: ios, bytes."""
    if V2:
        for line in value(d, container, "", "io.stat").splitlines():
            if line.startswith(number_of(device) + " "):
                return int(dict(p.split("=") for p in line.split()[1:])[f"{direction[0]}{what}"])
        return 0
    file = {"ios": "blkio.throttle.io_serviced", "bytes": "blkio.throttle.io_service_bytes"}[what]
    for line in value(d, container, "blkio", file).splitlines():
        if line.startswith(f"{number_of(device)} {direction.title()} "):
            return int(line.split()[2])
    return 0


def rates(d, containers, device, direction, what, seconds=2):
    before, since = [done(d, c, device, direction, what) for c in containers], time.monotonic()
    time.sleep(seconds)
    taken = time.monotonic() - since
    return [(done(d, c, device, direction, what) - b) / taken for c, b in zip(containers, before)]


def operations(d, direction):
    """How many a second a container is left of 100."""
    with loop_device() as device:
        ends = ("if=/dev/zero", f"of={device}", "oflag=direct") if direction == "write" else \
            (f"if={device}", "of=/dev/null", "iflag=direct")
        container = d.run_detached("--device", device, f"--device-{direction}-iops", f"{device}:100", "busybox", "sh", "-c",
                                   f"while :; do dd {' '.join(ends)} bs=4k count=200 2>/dev/null || exit 1; done")
        seen = best(lambda: rates(d, [container], device, direction, "ios")[0], lambda r: 80 <= r <= 120)
        d.ok("rm", "-f", container)
        return seen


def test_operations_a_second(d):
    for direction in ("read", "write"):
        seen = operations(d, direction)
        assert 80 <= seen[-1] <= 120, (direction, seen)


# Writes through the page cache

@contextlib.contextmanager
def filesystem(kind):
    """A device of our own, and where its filesystem is mounted."""
    with loop_device(300) as device, tempfile.TemporaryDirectory(prefix="ctl-fs-") as where:
        subprocess.run([f"mkfs.{kind}", "-q", device], check=True, capture_output=True)
        subprocess.run(["mount", device, where], check=True)
        try:
            yield device, where
        finally:
            subprocess.run(["umount", where], check=True)


def written(device):
    """Bytes so far, by whomever."""
    return int(host.read(f"/sys/block/{os.path.basename(device)}/stat").split()[6]) * 512


@contextlib.contextmanager
def later(where):
    """The kernel's own threads write what is dirty there, and soon."""
    enough = threading.Event()

    def ask():
        while not enough.wait(0.2):
            subprocess.run(["sync", "-f", where], check=False)
    asks = threading.Thread(target=ask)
    asks.start()
    try:
        yield
    finally:
        enough.set()
        asks.join()


def writer(d, device, where, conv):
    """A container of three that write into the page cache, again and again, with a limit of 1 MiB/s."""
    return d.run_detached("-v", f"{where}:/data", "--device-write-bps", f"{device}:1mb", "busybox", "sh", "-c",
                          "for w in 1 2 3; do n=0; while n=$(((n + 1) % 8)); do dd if=/dev/zero of=/data/$w.$n bs=256k "
                          f"count=1 conv={conv} 2>/dev/null || exit 1; done & done; wait")


def written_by(d, container, device, good):
    """Bytes a second of its own, and of the device."""
    wait_for(lambda: written(device) > 4 * MIB, "the first bytes", 60)

    def rate():
        before, since = written(device), time.monotonic()
        own, = rates(d, [container], device, "write", "bytes", 4)
        return own, (written(device) - before) / (time.monotonic() - since)
    seen = best(rate, good)
    equal(d.state(container)["Running"], True)
    d.ok("rm", "-f", container)
    assert good(seen[-1]), seen


def limited(rate):
    return 0.8 * MIB <= rate[0] <= 1.2 * MIB


def test_buffered_writes_that_are_waited_for(d):
    for kind in ("ext4", "btrfs"):
        with filesystem(kind) as (device, where):
            written_by(d, writer(d, device, where, "notrunc,fsync"), device, limited)


def test_buffered_writes_written_later(d):
    """By the kernel: on v2 in the name of who made the pages dirty, and within the limit (less, as it pauses between
    two rounds); on v1 in nobody's."""
    for kind in ("ext4", "btrfs"):
        with filesystem(kind) as (device, where), later(where):
            written_by(d, writer(d, device, where, "notrunc"), device,
                       (lambda rate: 0.4 * MIB <= rate[0] <= 1.2 * MIB) if V2 else
                       (lambda rate: rate[0] < 0.2 * MIB and rate[1] > 2 * MIB))


# Weights

@contextlib.contextmanager
def weighing_device():
    """One whose scheduler knows weights."""
    with loop_device(64) as device:
        queue = f"/sys/block/{os.path.basename(device)}/queue"
        if "bfq" not in host.read(f"{queue}/scheduler"):
            raise Skip("no BFQ")
        for file, text in (("scheduler", "bfq"), ("iosched/low_latency", "0"), ("iosched/strict_guarantees", "1")):
            with open(f"{queue}/{file}", "w") as f:
                f.write(text)
        yield device


def pair(d, device, *options):
    """Two that read all they can."""
    return [d.run_detached("--device", device, *option, "busybox", "sh", "-c",
                           f"for n in 1 2 3; do while :; do dd if={device} of=/dev/null bs=1M iflag=direct 2>/e$n || "
                           "{ cat /e$n; exit 1; }; done & done; wait") for option in options]


def leads(d, device, first, second, times=2):
    """One of the two is served so many times as much: the device is as fast as memory, and processors are
    not shared out by these weights, so that the whole of 100 to 1 is never seen."""
    def ratio():
        one, other = rates(d, (first, second), device, "read", "bytes")
        return one / max(other, 1)
    seen = best(ratio, lambda r: r >= times)
    assert seen[-1] >= times, (seen, [(d.state(c), d.ctl("logs", c).out) for c in (first, second)])


if not STOCK:
    def test_weights(d):
        with weighing_device() as device:
            both = pair(d, device, ("--blkio-weight", "1000"), ("--blkio-weight", "10"))
            leads(d, device, *both)
            for container, weight in zip(both, ("10", "1000")):
                d.ok("update", "--blkio-weight", weight, container)
            leads(d, device, *reversed(both))
            d.ok("rm", "-f", *both)
            both = pair(d, device, ("--blkio-weight-device", f"{device}:10"), ("--blkio-weight-device", f"{device}:1000"))
            leads(d, device, *reversed(both))
            d.ok("rm", "-f", *both)


# Huge pages

POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


@contextlib.contextmanager
def huge_pages(number):
    before = int(host.read(POOL)) if os.path.exists(POOL) else None
    try:
        if before is not None:
            with contextlib.suppress(OSError), open(POOL, "w") as file:
                file.write(str(before + number))
        if before is None or int(host.read(POOL)) < before + number:
            raise Skip("no huge pages to be had")
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError), open(POOL, "w") as file:
                file.write(str(before))


if not STOCK:
    def test_huge_pages(d):
        """A file of huge pages grows up to the limit."""
        with huge_pages(8):
            container = d.sleeper("--privileged", "--hugetlb-limit", "2MB:8m")
            d.exec(container, "sh", "-c", "mkdir /huge && mount -t hugetlbfs none /huge && fallocate -l 8m /huge/fits")
            done = d.ctl("exec", container, "fallocate", "-l", "10m", "/huge/fits")
            assert done.code != 0, done
            d.ok("update", "--hugetlb-limit", "2MB:12m", container)
            d.exec(container, "fallocate", "-l", "10m", "/huge/fits")
            d.exec(container, "umount", "/huge")
            d.ok("rm", "-f", container)


# Realtime

@contextlib.contextmanager
def realtime_parent(name, runtime):
    """A cgroup above the containers with realtime to give away."""
    mount = next((m for key, m in host.hierarchies().items() if "cpu" in key.split(",")), None)
    if V2 or not mount or not os.path.exists(f"{mount}/cpu.rt_runtime_us"):
        raise Skip("no group scheduling of realtime tasks")
    os.makedirs(f"{mount}/{name}", exist_ok=True)
    try:
        with open(f"{mount}/{name}/cpu.rt_runtime_us", "w") as file:
            file.write(str(runtime))
        yield f"/{name}"
    finally:
        for other in set(host.hierarchies().values()):
            with contextlib.suppress(OSError):
                os.rmdir(f"{other}/{name}")


if not V2:
    def test_realtime(d):
        """A realtime process spins for as much of each second as it was given, and no more."""
        with realtime_parent(f"ctl-rt-{os.getpid()}", 300000) as parent:
            fifo = os.sched_param(5)
            without = d.run_detached("--cgroup-parent", parent, *SPIN)
            try:
                os.sched_setscheduler(d.state(without)["Pid"], os.SCHED_FIFO, fifo)
                raise AssertionError("it has no runtime")
            except PermissionError:
                d.ok("rm", "-f", without)
            container = d.run_detached("--cgroup-parent", parent, "--cpu-rt-runtime", "200000", *SPIN)
            equal(value(d, container, "cpu", "cpu.rt_runtime_us"), "200000")
            os.sched_setscheduler(d.state(container)["Pid"], os.SCHED_FIFO, fifo)
            seen = best(lambda: share_of_a_core(d, container, 3), lambda s: abs(s - 0.2) < 0.03)
            assert abs(seen[-1] - 0.2) < 0.03, seen
            d.ok("rm", "-f", container)
