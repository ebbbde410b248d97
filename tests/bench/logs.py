#!/usr/bin/python3
"""Logs and figures of use, beside dockerd.

    logs.py [--build DIR] [--rounds N] [--alone] [--only logs|stats] [--driver NAME]

Prints medians: 100 MB of lines written, from the start of the container to its end; 50 MB of them read by the engine's
own client; the last 10 lines of 1 GB by the API; and, of this engine, one pass of `stats` over 100 containers and what
the daemon spends on all of their streams.  As root."""
import argparse
import os
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import bench  # noqa: E402  (beside this file)

LINE = "01234567890123456789012345678901234567890123456789"
PASSES = 100
TICKS = os.sysconf("SC_CLK_TCK")


def talk(engine, size, *options):
    container = engine("run", "-d", *options, "busybox", "sh", "-c", f"yes {LINE} | head -c {size - size % (len(LINE) + 1)}")
    engine("wait", container)
    return container


def written(engine, options):
    begun = time.perf_counter()
    container = talk(engine, 100_000_000, *options)
    taken = (time.perf_counter() - begun) * 1e3
    engine("rm", container)
    return taken


def read(engine, container):
    begun = time.perf_counter()
    subprocess.run([engine.client, "logs", container], env=engine.environment, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begun) * 1e3


def tail(engine, container):
    begun = time.perf_counter()
    status, body = engine.api("GET", f"/containers/{container}/logs?stdout=1&tail=10")
    taken = (time.perf_counter() - begun) * 1e3
    assert status == 200 and body.count(LINE.encode()) == 10, (status, body)
    return taken


def row(name, figures, unit="ms"):
    line = f"{name + ', ' + unit:46}" + "".join(f"{value:12.2f}" for value in figures)
    print(line + (f"{figures[0] / figures[1]:10.3f}" if len(figures) == 2 else ""), flush=True)


def medians(engines, rounds, function):
    taken = [[] for _ in engines]
    for _ in range(rounds):
        for place, engine in enumerate(engines):
            taken[place].append(function(place, engine))
    return [statistics.median(values) for values in taken]


def processor(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return sum(map(int, stat.read().rpartition(")")[2].split()[11:13])) / TICKS


def stream(engine, container, stop):
    connection = bench.Connection(engine.sock)
    connection.request("GET", f"/containers/{container}/stats")
    reply = connection.getresponse()
    while not stop.is_set() and reply.readline():
        pass
    connection.close()


def stats(engine, count):
    made = [engine("run", "-d", "busybox", "sleep", "1000000") for _ in range(count)]
    taken, before = [], processor(engine.process.pid)
    for _ in range(PASSES):
        begun = time.perf_counter()
        assert engine.api("GET", "/metrics")[0] == 200
        taken.append((time.perf_counter() - begun) * 1e3)
    row(f"one pass over {count} containers (/metrics)", [statistics.median(taken)])
    row("of it the daemon's processor time", [1e3 * (processor(engine.process.pid) - before) / PASSES])
    stop = threading.Event()
    readers = [threading.Thread(target=stream, args=(engine, c, stop)) for c in made]
    for reader in readers:
        reader.start()
    time.sleep(3)
    before, begun = processor(engine.process.pid), time.perf_counter()
    time.sleep(20)
    share = 100 * (processor(engine.process.pid) - before) / (time.perf_counter() - begun)
    stop.set()
    for reader in readers:
        reader.join()
    row(f"stats of {count} containers streamed", [share], "% of a core")
    engine("rm", "-f", *made)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(bench.REPOSITORY, "build/release"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without dockerd")
    parser.add_argument("--only", choices=("logs", "stats"), help="one half of it")
    parser.add_argument("--driver", default="json-file", help="the logging driver")
    options = parser.parse_args()
    driver = ("--log-driver", options.driver)
    whole = (*driver, "--log-opt", "max-size=300m", "--log-opt", "max-file=5")
    with bench.engines(options.build, options.alone) as engines:
        if options.only == "stats":
            stats(engines[0], 100)
            return
        row("100 MB of logs written", medians(engines, options.rounds, lambda _, e: written(e, driver)))
        half = [talk(e, 50_000_000, *driver) for e in engines]
        row("50 MB of logs read", medians(engines, options.rounds, lambda n, e: read(e, half[n])))
        gigabyte = [talk(e, 1_000_000_000, *whole) for e in engines]
        row("the last 10 lines of 1 GB", medians(engines, 11, lambda n, e: tail(e, gigabyte[n])))
        if options.only != "logs":
            stats(engines[0], 100)


if __name__ == "__main__":
    main()
