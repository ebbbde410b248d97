#!/usr/bin/python3
"""What containers cost while they live: a daemon that comes back to many of them, and health checks.

    life.py [--build DIR] [--containers N] [--rounds N] [--seconds N]

Prints, with N containers running, the time from a start of the daemon after kill -9 until it answers and until
its list shows all of them running; and the processor time of 100 health checks a second, which is also told in
parts: the daemon's, the shims' and that of the probes themselves, of which the container's program is one.  As root."""
import argparse
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    """Seconds of (the process, the children it has waited for)."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / TICKS, sum(map(int, fields[13:15])) / TICKS


def shim_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("PPid:"))


def start_all(d, count, body):
    made = []
    for _ in range(count):
        made.append(d.request("POST", "/containers/create", body).json["Id"])
        reply = d.request("POST", f"/containers/{made[-1]}/start")
        assert reply.status == 204, reply
    return made


def back(d, count):
    """(until it answers, until all are listed as running), ms."""
    d.kill9()
    started = time.monotonic()
    d.spawn()
    while True:
        try:
            if d.request("GET", "/_ping").status == 200:
                break
        except OSError:
            time.sleep(0.001)
    ready = time.monotonic() - started
    while len(d.request("GET", "/containers/json").json) < count:
        time.sleep(0.001)
    return ready * 1000, (time.monotonic() - started) * 1000


def after_kill(harness, count, rounds):
    with harness.Daemon() as d:
        made = start_all(d, count, {"Image": "busybox", "Cmd": ["sleep", "100000"],
                                    "HostConfig": {"RestartPolicy": {"Name": "always"}}})
        pids = {d.state(c)["Pid"] for c in made}
        ready, listed = zip(*(back(d, count) for _ in range(rounds)))
        assert {d.state(c)["Pid"] for c in made} == pids, "a container was started again"
        print(f"{f'{count} containers: daemon ready after kill -9, ms':54}{statistics.median(ready):9.1f}")
        print(f"{f'{count} containers: all listed as running, ms':54}{statistics.median(listed):9.1f}")


def probes(harness, seconds):
    with harness.Daemon() as d:
        body = {"Image": "busybox", "Cmd": ["sleep", "100000"],
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 100_000_000}}
        made = start_all(d, 10, body)
        shims = [shim_of(d.state(c)["Pid"]) for c in made]
        time.sleep(1)
        before = [cpu(d.pid)] + [cpu(s) for s in shims]
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        after = [cpu(d.pid)] + [cpu(s) for s in shims]
        share = [[100 * (a - b) / passed for a, b in zip(*pair)] for pair in zip(after, before)]
        print(f"{'100 health checks a second: the daemon, % of a core':54}{share[0][0]:9.2f}")
        print(f"{'                            the shims':54}{sum(s[0] for s in share[1:]):9.2f}")
        print(f"{'                            the probes':54}{sum(s[1] for s in share[1:]):9.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    parser.add_argument("--containers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20, help="how long the health checks are measured")
    options = parser.parse_args()
    os.environ["CTL_BUILD"] = os.path.abspath(options.build)
    sys.path.insert(0, os.path.join(HERE, "../integration"))
    import harness
    if options.containers:
        after_kill(harness, options.containers, options.rounds)
    if options.seconds:
        probes(harness, options.seconds)


if __name__ == "__main__":
    main()
