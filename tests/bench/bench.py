#!/usr/bin/python3
"""Measures containerd-lite beside the stock dockerd: same machine, same run, alternating rounds.

    bench.py [--build DIR] [--rounds N] [--density N] [--only WORD[,WORD...]] [--alone] [--json FILE]

Starts both daemons itself in private directories, each client talks to its own daemon (ctlc, docker).
Every figure is a median; the ratio is ours / theirs.  As root."""
import argparse
import contextlib
import http.client
import json
import os
import re
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../integration"))
import host  # noqa: E402  what a daemon has on the host, and how to remove it

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUSYBOX = ("busybox", "true")
# test: how much of dockerd's figure we want to be at most (1: not worse)
TARGETS = {"run --rm, bridge": 1 / 15, "run --rm, network none": 1 / 20, "exec": 1 / 10, "list (API)": 1,
           "inspect (API)": 1, "start detached": 1 / 10, "build, 10 steps": 1 / 5, "memory per container": 1 / 3}


def read(path, default=""):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return default


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Engine:
    """A daemon, its client, and the processes it makes."""

    def __init__(self, name, client, argv, image):
        self.name, self.client = name, client
        self.root = tempfile.mkdtemp(prefix=f"/tmp/ctl-bench-{name}-")
        self.sock = f"{self.root}/sock"
        if name != "dockerd":
            host.save_names(self.root, host.names_of(f"{self.root}/data"))
        self.environment = dict(os.environ, CTLC_HOST=f"unix://{self.sock}", DOCKER_HOST=f"unix://{self.sock}",
                                DOCKER_CLI_HINTS="false")
        with open(f"{self.root}/log", "wb") as log:
            self.process = subprocess.Popen(
                [part.format(root=self.root) for part in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        self.started = self.until_it_answers()
        if not self("images", "-q", "busybox"):
            self("load", "-q", "-i", image)
        self.sleeper = self("run", "-d", "busybox", "sleep", "1000000")

    def until_it_answers(self):
        begun = time.perf_counter()
        while time.perf_counter() - begun < 60:
            if self.process.poll() is not None:
                break
            try:
                if self.api("GET", "/_ping")[0] == 200:
                    return time.perf_counter() - begun
            except OSError:
                time.sleep(0.005)
        raise SystemExit(f"{self.name} does not start:\n{read(f'{self.root}/log')[-3000:]}")

    def __call__(self, *args):
        done = subprocess.run([self.client, *args], env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(args)}: exit {done.returncode}: {done.stderr.decode()[-500:]}")
        return done.stdout.decode().strip()

    def api(self, method, path):
        connection = Connection(self.sock)
        connection.request(method, path)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply.status, body

    def shims(self):
        return [pid for pid in host.processes(self.root) if "shim" in read(f"/proc/{pid}/comm")
                or "shim" in read(f"/proc/{pid}/cmdline").partition("\0")[0]]

    def close(self):
        for line in self("ps", "-aq").split():
            self("rm", "-f", line)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        host.remove_root(self.root)


# Rounds: each returns milliseconds

def timed(function, *args):
    begun = time.perf_counter()
    function(*args)
    return (time.perf_counter() - begun) * 1e3


def api_median(engine, path, times=50):
    connection = Connection(engine.sock)
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        connection.request("GET", path)
        connection.getresponse().read()
        taken.append((time.perf_counter() - begun) * 1e3)
    connection.close()
    return statistics.median(taken)


def requests_p99(engine, count=10000, in_flight=32):
    """Short requests of several kinds on connections that are kept; ms, this program's own work included."""
    paths = ("/_ping", "/version", "/containers/json", f"/containers/{engine.sleeper}/json", "/images/json", "/networks")
    taken, sent, waiting = [], 0, {}
    with selectors.EpollSelector() as selector:
        def ask(sock):
            nonlocal sent
            waiting[sock] = [b"", time.perf_counter()]
            sock.sendall(f"GET {paths[sent % len(paths)]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sent += 1

        for _ in range(in_flight):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(engine.sock)
            selector.register(sock, selectors.EVENT_READ)
            ask(sock)
        while len(taken) < count:
            for key, _ in selector.select():
                reply = waiting[key.fileobj]
                reply[0] += key.fileobj.recv(262144)
                head, _, body = reply[0].partition(b"\r\n\r\n")
                length = re.search(rb"\r\nContent-Length: (\d+)", head, re.I)
                if not (body.endswith(b"0\r\n\r\n") if b"chunked" in head else length and len(body) == int(length.group(1))):
                    continue
                taken.append((time.perf_counter() - reply[1]) * 1e3)
                ask(key.fileobj)
        for sock in waiting:
            sock.close()
    return statistics.quantiles(taken, n=100)[98]


def create_remove(engine):
    engine("rm", engine("create", *BUSYBOX))


def kill_remove(engine):
    container = engine("run", "-d", "busybox", "sleep", "1000")
    return timed(engine, "rm", "-f", container)


def write_logs(engine):
    container = engine("run", "-d", "busybox", "sh", "-c", "yes 01234567890123456789012345678901234567890123456789"
                       " | head -c 20000000")
    engine("wait", container)
    engine("rm", container)


def read_logs(engine):
    container = engine("run", "-d", "busybox", "sh", "-c", "yes 01234567890123456789012345678901234567890123456789"
                       " | head -c 20000000")
    engine("wait", container)
    taken = timed(engine, "logs", container)
    engine("rm", container)
    return taken


DOCKERFILE = """FROM busybox
ENV a=b
WORKDIR /work
COPY one /one
RUN echo 1 > /made
COPY two three /work/
RUN cat /one /made > /both
LABEL l=m
EXPOSE 80
CMD true
"""


def build(engine, *options):
    place = f"{engine.root}/context"
    if not os.path.isdir(place):
        os.mkdir(place)
        for name, text in (("Dockerfile", DOCKERFILE), ("one", "1"), ("two", "2" * 4096), ("three", "3" * 65536)):
            with open(f"{place}/{name}", "w") as file:
                file.write(text)
    return timed(engine, "build", "-q", "-t", "built", *options, place)


ROUNDS = {
    "client: version": lambda e: timed(e, "version"),
    "run --rm, bridge": lambda e: timed(e, "run", "--rm", *BUSYBOX),
    "run --rm, network none": lambda e: timed(e, "run", "--rm", "--network", "none", *BUSYBOX),
    "run --rm, published port": lambda e: timed(e, "run", "--rm", "-p", "127.0.0.1::80", *BUSYBOX),
    "run --rm, limits": lambda e: timed(e, "run", "--rm", "-m", "64m", "--cpus", "0.5", "--pids-limit", "50", *BUSYBOX),
    "create + rm": lambda e: timed(create_remove, e),
    "exec": lambda e: timed(e, "exec", e.sleeper, "true"),
    "rm -f of a running one": kill_remove,
    "list (API)": lambda e: api_median(e, "/containers/json?all=1"),
    "inspect (API)": lambda e: api_median(e, f"/containers/{e.sleeper}/json"),
}
HEAVY = {
    "build, 10 steps": lambda e: build(e, "--no-cache"),
    "build, all in the cache": build,
    "10,000 requests, 32 at once: p99": requests_p99,
    "20 MB of logs written": lambda e: timed(write_logs, e),
    "20 MB of logs read": read_logs,
}


# Density

def available():
    """KiB that new processes could use, after the caches are dropped."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
    return int(next(l for l in read("/proc/meminfo").splitlines() if l.startswith("MemAvailable")).split()[1])


def memory(pids, keys):
    """KiB, the sum of some lines of smaps_rollup."""
    total = 0
    for pid in pids:
        for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.partition(":")[0] in keys:
                total += int(line.split()[1])
    return total


def rss(pid):
    return int(next((l for l in read(f"/proc/{pid}/status").splitlines() if l.startswith("VmRSS")), "x 0").split()[1])


def density(engine, count):
    before, known = available(), set(engine.shims())
    begun = time.perf_counter()
    made = [engine("run", "-d", "busybox", "sleep", "1000000") for _ in range(count)]
    taken = (time.perf_counter() - begun) * 1e3
    time.sleep(1)
    after, shims = available(), [pid for pid in engine.shims() if pid not in known]
    figures = {
        "start detached": taken / count,
        "memory per container": (before - after) / count,
        "private memory of its shim": memory(shims, ("Private_Clean", "Private_Dirty")) / max(1, len(shims)),
        "RSS of a shim": statistics.median([rss(pid) for pid in shims] or [0]),
        "RSS of the daemon": rss(engine.process.pid),
        "list with all of them (API)": api_median(engine, "/containers/json"),
    }
    begun = time.perf_counter()
    engine("rm", "-f", *made)
    figures["rm -f of all, each"] = (time.perf_counter() - begun) * 1e3 / count
    return figures


def unit(name):
    return "KiB" if "memory" in name or "RSS" in name else "ms"


# The table

class Table:
    def __init__(self, engines):
        self.engines, self.figures = engines, {}
        print(f"{'median':32}" + "".join(f"{e.name:>18}" for e in engines) + f"{'ratio':>9}{'target':>9}")

    def row(self, name, values):
        self.figures[name] = dict(zip((e.name for e in self.engines), values))
        line = f"{name + ', ' + unit(name):32}" + "".join(f"{v:18.2f}" for v in values)
        if len(values) == 2 and values[1]:
            ratio = values[0] / values[1]
            target = TARGETS.get(name)
            line += f"{ratio:9.3f}"
            if target:
                line += f"{target:9.3f}" + ("" if ratio <= target else "  missed")
        print(line, flush=True)


def measure(table, engines, options):
    def wanted(name):
        return not options.only or any(word in name for word in options.only.split(","))

    if wanted("start of the daemon"):
        table.row("start of the daemon", [e.started * 1e3 for e in engines])
    for group, rounds in ((ROUNDS, options.rounds), (HEAVY, max(3, options.rounds // 4))):
        for name, function in group.items():
            if not wanted(name):
                continue
            taken = {e.name: [] for e in engines}
            for number in range(rounds + 1):
                for engine in engines:
                    value = function(engine)
                    if number:  # the first round warms up
                        taken[engine.name].append(value)
            table.row(name, [statistics.median(taken[e.name]) for e in engines])
    if options.density and wanted("density"):
        figures = [density(e, options.density) for e in engines]
        for name in figures[0]:
            table.row(name, [f[name] for f in figures])


@contextlib.contextmanager
def engines(build, alone):
    """Both engines, or ours alone, for as long as it lasts."""
    image = f"{build}/share/containerd-lite/images/busybox.tar"
    common = ["--data-root", "{root}/data", "--exec-root", "{root}/run", "-H", "unix://{root}/sock", "--pidfile",
              "{root}/pid"]
    option, made = host.Favordynmods(), []
    try:
        made.append(Engine("containerd-lite", f"{build}/bin/ctlc", [f"{build}/bin/containerd-lite", *common], image))
        if not alone:
            # A network namespace of its own keeps its bridge and rules off the machine, and is gone with it.
            made.append(Engine("dockerd", "docker",
                               ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec dockerd "$@"', "x",
                                *common, "--log-level", "error"], image))
        yield made
    finally:
        for engine in reversed(made):
            engine.close()
        option.restore()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(REPOSITORY, "build/release"))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--density", type=int, default=100, help="containers at once; 0 leaves it out")
    parser.add_argument("--only", help="rows whose name holds one of these words; 'density' for the last part")
    parser.add_argument("--alone", action="store_true", help="without dockerd")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    with engines(options.build, options.alone) as both:
        table = Table(both)
        measure(table, both, options)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(table.figures, file, indent=1)


if __name__ == "__main__":
    sys.exit(main())
