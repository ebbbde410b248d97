#!/usr/bin/python3
"""What the storage drivers pay for copy-up, deletion and depth, each in a data root of its own.

    storage.py [--build DIR] [--rounds N] [--large MiB] [--drivers overlay2,vfs,btrfs]

btrfs lives in an image file mounted through the loop device.  Every figure is a median; the files of a
container are touched from the host, by /proc/PID/root, so that no client is in the figures.  As root."""
import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../integration"), HERE]
import bench  # noqa: E402
import imagemaker  # noqa: E402

MIB = 1 << 20
LAYERS, FILES = 60, 50  # of the deep image
SCRATCH_GIB = 24


def deep_image(busybox):
    layers = [imagemaker.layer(busybox)]
    layers += [imagemaker.layer({"deep": None, **{f"deep/{n}-{i}": b"" for i in range(FILES)}}) for n in range(LAYERS)]
    return imagemaker.docker_archive(layers, ["deep:1"])


def wide_image(busybox, large):
    block = os.urandom(MIB)
    files = {f"small{n}": block for n in range(20)}
    return imagemaker.docker_archive([imagemaker.layer({**busybox, **files, "large": block * large})], ["wide:1"])


def milliseconds(function, *args):
    begun = time.perf_counter()
    function(*args)
    return (time.perf_counter() - begun) * 1e3


def first_write(path):
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"x", 0)
    os.close(fd)


def forget(path):
    """Out of the page cache."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def read_all(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(4 * MIB):
            pass


class Container:
    def __init__(self, engine, image):
        self.engine = engine
        self.started = milliseconds(self.start, image)
        self.root = f"/proc/{engine('inspect', '--format', '{{.State.Pid}}', self.id)}/root"

    def start(self, image):
        self.id = self.engine("run", "-d", image, "/bin/busybox", "sleep", "1000000")

    def path(self, name):
        return f"{self.root}/{name}"

    def remove(self):
        self.engine("rm", "-f", self.id)


def measure(engine, rounds, large):
    """large: what to call the file of that name"""
    found = {}

    def note(name, value):
        found.setdefault(name, []).append(value)

    for n in range(rounds):
        one, two = Container(engine, "wide:1"), Container(engine, "wide:1")
        note("start of a container, ms", one.started)
        for path in (one.path("large"), two.path("large")):
            forget(path)
        read_all(one.path("large"))
        note(f"{large}, read by a second container, ms", milliseconds(read_all, two.path("large")))
        note("first write, 1 MiB file, ms", statistics.median(milliseconds(first_write, one.path(f"small{i}"))
                                                              for i in range(10)))
        note("second write, ms", milliseconds(first_write, one.path("small0")))
        note("delete, 1 MiB file, ms", statistics.median(milliseconds(os.unlink, one.path(f"small{i}"))
                                                         for i in range(10, 20)))
        note(f"first write, {large}, ms", milliseconds(first_write, one.path("large")))
        deep = Container(engine, "deep:1")
        note(f"readdir of {LAYERS * FILES} names in {LAYERS} layers, ms", milliseconds(os.listdir, deep.path("deep")))
        for container in (one, two, deep):
            container.remove()
    return {name: statistics.median(values) for name, values in found.items()}


@contextlib.contextmanager
def btrfs():
    """A mounted file system; the loop device goes with the mount."""
    with tempfile.TemporaryDirectory(prefix="/tmp/ctl-bench-btrfs-") as base:
        image, point = f"{base}/image", f"{base}/mnt"
        os.mkdir(point)
        with open(image, "wb") as file:
            file.truncate(SCRATCH_GIB << 30)
        subprocess.run(["mkfs.btrfs", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, point], check=True)
        try:
            yield point
        finally:
            subprocess.run(["umount", point], check=True)


def run(driver, options, archives):
    with contextlib.ExitStack() as stack:
        data = f"{stack.enter_context(btrfs())}/data" if driver == "btrfs" else "{root}/data"
        engine = bench.Engine(
            driver, f"{options.build}/bin/ctlc",
            [f"{options.build}/bin/containerd-lite", "--data-root", data, "--exec-root", "{root}/run", "-H",
             "unix://{root}/sock", "--pidfile", "{root}/pid", "--storage-driver", driver, "--bip", "10.213.77.1/24"],
            f"{options.build}/share/containerd-lite/images/busybox.tar")
        stack.callback(engine.close)
        for archive in archives:
            engine("load", "-q", "-i", archive)
        size = options.large
        return measure(engine, options.rounds, f"{size >> 10} GiB file" if size % 1024 == 0 else f"{size} MiB file")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(bench.REPOSITORY, "build/release"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=1024, help="MiB of the large file")
    parser.add_argument("--drivers", default="overlay2,vfs,btrfs")
    options = parser.parse_args()
    busybox = imagemaker.busybox_files(f"{options.build}/share/containerd-lite/images/busybox.tar")
    drivers, found = options.drivers.split(","), {}
    with tempfile.TemporaryDirectory(prefix="/tmp/ctl-bench-") as base:
        archives = [f"{base}/wide.tar", f"{base}/deep.tar"]
        for path, image in zip(archives, (wide_image(busybox, options.large), deep_image(busybox))):
            with open(path, "wb") as file:
                file.write(image)
        for driver in drivers:
            found[driver] = run(driver, options, archives)
    print(f"{'median of ' + str(options.rounds):48}" + "".join(f"{driver:>12}" for driver in drivers))
    for name in found[drivers[0]]:
        print(f"{name:48}" + "".join(f"{found[driver][name]:12.2f}" for driver in drivers))


if __name__ == "__main__":
    sys.exit(main())
