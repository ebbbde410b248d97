#!/usr/bin/python3
"""Measures networks, names, ports and cp beside the stock dockerd: same machine, same run, alternating rounds.

    networks.py [--build DIR] [--rounds N] [--seconds N] [--only WORD[,WORD...]] [--alone] [--json FILE]

Each daemon has a network namespace of its own, and beside it another one that stands for a host outside.
Every figure is a median; the ratio is ours / theirs.  As root; needs iperf3 and dnsperf."""
import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

from bench import REPOSITORY, Connection, Engine, host, timed

HERE, THERE = "198.51.100.1", "198.51.100.2"
# row: (what the ratio ours / theirs may be at most, or the other way round for what should be large)
TARGETS = {"start, 1 port": 1 / 20, "start, 206 ports": 1 / 100, "start, 206 ports, 500 others": 1 / 100,
           "between containers, Gbit/s": 1, "published port, Gbit/s": 1, "cp of 1 GiB in": 1 / 2, "cp of 1 GiB out": 1 / 2}
LIMITS = {"names, p99 at 5,000/s": 1, "connect": 5, "disconnect": 5}  # ms, of ours


def run(*argv, **options):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


class Namespaces:
    """One for a daemon, one outside, a link between them."""

    def __init__(self, name):
        self.inside, self.outside = f"ctl-bench-{name}-{os.getpid()}", f"ctl-bench-{name}-out-{os.getpid()}"
        for netns in (self.inside, self.outside):
            run("ip", "netns", "add", netns)
            run("ip", "-n", netns, "link", "set", "lo", "up")
        run("ip", "-n", self.inside, "link", "add", "uplink", "type", "veth", "peer", "name", "uplink", "netns", self.outside)
        for netns, address in ((self.inside, HERE), (self.outside, THERE)):
            run("ip", "-n", netns, "addr", "add", f"{address}/30", "dev", "uplink")
            run("ip", "-n", netns, "link", "set", "uplink", "up")
        run("ip", "-n", self.inside, "route", "add", "default", "via", THERE)

    def close(self):
        for netns in (self.outside, self.inside):
            subprocess.run(["ip", "netns", "del", netns], check=False)


class NetEngine(Engine):
    """In a namespace; the client talks to it by its socket as ever."""

    def __init__(self, name, client, argv, image):
        self.namespaces = Namespaces(name)
        # Not "ip netns exec": that hides the cgroups below a new /sys.
        super().__init__(name, client, ["nsenter", f"--net=/run/netns/{self.namespaces.inside}", *argv], image)

    def call(self, method, path, body=None, want=(200, 201, 204)):
        connection = Connection(self.sock)
        text = json.dumps(body) if body is not None else None
        connection.request(method, path, text, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        if reply.status not in want:
            raise RuntimeError(f"{self.name}: {method} {path}: {reply.status} {data[:300]}")
        return json.loads(data) if data else None

    def address(self, container, network="bridge"):
        return self.call("GET", f"/containers/{container}/json")["NetworkSettings"]["Networks"][network]["IPAddress"]

    def close(self):
        super().close()
        self.namespaces.close()


# Ports

def start(engine, first, count):
    """Milliseconds of the call that starts a container with that many ports."""
    ports = {f"{first + i}/tcp": [{"HostPort": str(first + i)}] for i in range(count)}
    made = engine.call("POST", "/containers/create", {
        "Image": "busybox", "Cmd": ["sleep", "1000"], "ExposedPorts": {p: {} for p in ports},
        "HostConfig": {"PortBindings": ports}})["Id"]
    taken = timed(engine.call, "POST", f"/containers/{made}/start")
    engine.call("DELETE", f"/containers/{made}?force=1")
    return taken


class Others:
    """A container with 500 published ports beside."""

    def __init__(self, engine):
        self.engine, self.container = engine, engine("run", "-d", "-p", "20000-20499:20000-20499", "busybox", "sleep", "100000")

    def close(self):
        self.engine("rm", "-f", self.container)


# Throughput, Gbit/s

def iperf(*argv):
    return json.loads(run(*argv))["end"]["sum_received"]["bits_per_second"] / 1e9


def until(function, *args):
    for _ in range(50):
        try:
            return function(*args)
        except (subprocess.CalledProcessError, RuntimeError, OSError):
            time.sleep(0.1)
    return function(*args)


class Speed:
    def __init__(self, engine, seconds):
        self.engine, self.seconds = engine, seconds
        self.server = engine("run", "-d", "-p", "5201:5201", "tools", "iperf3", "-s")
        self.client = engine("run", "-d", "tools", "sleep", "100000")

    def between(self):
        return until(self.measure_between)

    def measure_between(self):
        return json.loads(self.engine("exec", self.client, "iperf3", "-J", "-t", str(self.seconds), "-c",
                                      self.engine.address(self.server)))["end"]["sum_received"]["bits_per_second"] / 1e9

    def published(self):
        return until(iperf, "nsenter", f"--net=/run/netns/{self.engine.namespaces.outside}", "iperf3", "-J", "-t",
                     str(self.seconds), "-c", HERE)

    def close(self):
        self.engine("rm", "-f", self.server, self.client)


# Names

class Names:
    """dnsperf in a container of a network with 20 others."""

    def __init__(self, engine, seconds):
        self.engine, self.seconds = engine, seconds
        engine("network", "create", "named")
        self.containers = [engine("run", "-d", "--network", "named", "--name", f"named{i}", "tools", "sleep", "100000")
                           for i in range(20)]
        queries = "".join(f"named{i} A\n" for i in range(20))
        run(engine.client, "exec", "-i", "named0", "sh", "-c", "cat >/queries", env=engine.environment, input=queries)

    def latencies(self, rate):
        """(median, p99, lost) in ms at so many queries a second."""
        out = self.engine("exec", "named0", "dnsperf", "-v", "-s", "127.0.0.11", "-d", "/queries", "-Q", str(rate),
                          "-l", str(self.seconds), "-c", "4", "-t", "2")
        times = sorted(float(t) * 1e3 for t in re.findall(r"^> \S+ \S+ \S+ ([\d.]+)$", out, re.M))
        lost = int(re.search(r"Queries lost:\s+(\d+)", out).group(1))
        if len(times) < rate * self.seconds * 0.9:
            print(f"  {self.engine.name}: only {len(times)} answers of {rate * self.seconds:.0f}, {lost} lost", flush=True)
        return times[len(times) // 2], times[int(len(times) * 0.99)]

    def close(self):
        self.engine("rm", "-f", *self.containers)
        self.engine("network", "rm", "named")


# Connect and disconnect

class Plug:
    def __init__(self, engine):
        self.engine = engine
        engine("network", "create", "plug")
        self.container = engine("run", "-d", "busybox", "sleep", "100000")

    def round(self):
        body = {"Container": self.container}
        return (timed(self.engine.call, "POST", "/networks/plug/connect", body),
                timed(self.engine.call, "POST", "/networks/plug/disconnect", body))

    def close(self):
        self.engine("rm", "-f", self.container)
        self.engine("network", "rm", "plug")


# cp

class Copy:
    """Of a file that does not compress; to and from memory, so that the engines' side is what is measured."""
    source, target = f"/dev/shm/ctl-bench-{os.getpid()}", f"/dev/shm/ctl-bench-{os.getpid()}-back"

    def __init__(self, engine):
        self.engine = engine
        if not os.path.exists(self.source):
            with open(self.source, "wb") as file:
                for _ in range(64):
                    file.write(os.urandom(1 << 20) * 16)
        self.container = engine("run", "-d", "--tmpfs", "/memory:size=1200m", "busybox", "sleep", "100000")

    def round(self):
        os.sync()
        taken = (timed(self.engine, "cp", self.source, f"{self.container}:/big"),)
        os.sync()
        taken += (timed(self.engine, "cp", f"{self.container}:/big", self.target),)
        os.unlink(self.target)
        self.engine("exec", self.container, "rm", "/big")
        return taken

    def close(self):
        self.engine("rm", "-f", self.container)
        for path in (self.source, self.target):
            if os.path.exists(path):
                os.unlink(path)


# The table

class Table:
    def __init__(self, engines):
        self.engines, self.figures, self.missed = engines, {}, 0
        print(f"{'median':34}" + "".join(f"{e.name:>18}" for e in engines) + f"{'ratio':>9}{'target':>9}")

    def row(self, name, values):
        self.figures[name] = dict(zip((e.name for e in self.engines), values))
        line = f"{name + ('' if '/s' in name[-6:] and 'Gbit' in name else ', ms'):34}" + "".join(f"{v:18.2f}" for v in values)
        bad = False
        if len(values) == 2 and values[1]:
            ratio, target = values[0] / values[1], TARGETS.get(name)
            line += f"{ratio:9.3f}"
            if target:
                bad = ratio < 0.97 * target if "Gbit" in name else ratio > target
                line += f"{target:9.3f}"
        if name in LIMITS:
            bad = values[0] > LIMITS[name]
            line += f"{'<' + str(LIMITS[name]) + ' ms':>9}"
        self.missed += bad
        print(line + ("  missed" if bad else ""), flush=True)


def alternate(engines, rounds, function):
    """Per engine a list of what the rounds returned; the first warms up."""
    taken = [[] for _ in engines]
    for number in range(rounds + 1):
        for engine, values in zip(engines, taken):
            value = function(engine)
            if number:
                values.append(value)
    return taken


def medians(taken, part=None):
    return [statistics.median(v if part is None else v[part] for v in values) for values in taken]


def with_each(make, engines, work):
    made = {}
    try:
        for engine in engines:
            made[engine] = make(engine)
        work(made)
    finally:
        for thing in made.values():
            thing.close()


def measure(table, engines, options):
    def wanted(name):
        return not options.only or any(word in name for word in options.only.split(","))

    rounds, few = options.rounds, max(3, options.rounds // 3)

    def ports(name, count, times):
        if wanted(name):
            table.row(name, medians(alternate(engines, times, lambda e: start(e, 8000, count))))

    def speed(made):
        for name, function in (("between containers, Gbit/s", Speed.between), ("published port, Gbit/s", Speed.published)):
            table.row(name, medians(alternate(engines, few, lambda e: function(made[e]))))

    def names(made):
        for rate in (5000, 20000):
            taken = alternate(engines, few, lambda e: made[e].latencies(rate))
            table.row(f"names, median at {rate:,}/s", medians(taken, 0))
            table.row(f"names, p99 at {rate:,}/s", medians(taken, 1))

    def pairs(first, second, times):
        def work(made):
            taken = alternate(engines, times, lambda e: made[e].round())
            table.row(first, medians(taken, 0))
            table.row(second, medians(taken, 1))
        return work

    ports("start, 1 port", 1, rounds)
    ports("start, 206 ports", 206, few)
    if wanted("start, 206 ports, 500 others"):
        with_each(Others, engines, lambda made: ports("start, 206 ports, 500 others", 206, few))
    if wanted("Gbit"):
        with_each(lambda e: Speed(e, options.seconds), engines, speed)
    if wanted("names"):
        with_each(lambda e: Names(e, options.seconds), engines, names)
    if wanted("connect"):
        with_each(Plug, engines, pairs("connect", "disconnect", rounds))
    if wanted("cp"):
        with_each(Copy, engines, pairs("cp of 1 GiB in", "cp of 1 GiB out", few))


def give_tools(engines, ctlc):
    """The image with the programs that measure, of this host's own files."""
    ours = next(e for e in engines if e.client == ctlc)
    ours("image", "from-host", "tools", "sleep", "sh", "cat", "iperf3", "dnsperf")
    archive = f"{ours.root}/tools.tar"
    ours("save", "-o", archive, "tools")
    for engine in engines:
        if engine is not ours:
            engine("load", "-q", "-i", archive)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(REPOSITORY, "build/release"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=5, help="of one measurement of throughput or names")
    parser.add_argument("--only", help="rows whose name holds one of these words")
    parser.add_argument("--alone", action="store_true", help="without dockerd")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # everything is removed on the way out
    image = f"{options.build}/share/containerd-lite/images/busybox.tar"
    common = ["--data-root", "{root}/data", "--exec-root", "{root}/run", "-H", "unix://{root}/sock", "--pidfile", "{root}/pid"]
    option, engines = host.Favordynmods(), []
    try:
        engines.append(NetEngine("containerd-lite", f"{options.build}/bin/ctlc",
                                 [f"{options.build}/bin/containerd-lite", *common], image))
        if not options.alone:
            engines.append(NetEngine("dockerd", "docker", ["dockerd", *common, "--log-level", "error"], image))
        give_tools(engines, f"{options.build}/bin/ctlc")
        table = Table(engines)
        measure(table, engines, options)
    finally:
        for engine in reversed(engines):
            engine.close()
        option.restore()
    if options.json:
        with open(options.json, "w") as file:
            json.dump(table.figures, file, indent=1)
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
