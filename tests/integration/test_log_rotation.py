"""Logs in several files: read as one, followed over a rotation, bounded."""
import os
import threading
import time

from harness import STOCK, Daemon, equal, has, wait_for

TINY = ("--log-opt", "max-size=4k", "--log-opt", "max-file=200")


def finished(d, script, *options):
    container = d.run_detached(*options, "busybox", "sh", "-c", script)
    d.ok("wait", container)
    return container


def numbers(first, last):
    return "".join(f"line {n}\n" for n in range(first, last + 1))


def count_to(last):
    return f"i=0; while [ $i -lt {last} ]; do i=$((i+1)); echo line $i; done"


def files(d, container):
    path = d.inspect(container)["LogPath"]
    return [os.path.join(os.path.dirname(path), name) for name in os.listdir(os.path.dirname(path))
            if name.startswith(os.path.basename(path))]


def test_read_as_one(d):
    container = finished(d, count_to(1000), *TINY)
    assert len(files(d, container)) > 10, files(d, container)
    equal(d.ctl("logs", container).out, numbers(1, 1000))
    for n in (0, 1, 5, 60, 500, 999, 1000, 2000):
        equal(d.ctl("logs", "--tail", str(n), container).out, numbers(max(1, 1001 - n), 1000), n)


def test_since_over_files(d):
    container = d.run_detached(*TINY, "busybox", "sh", "-c", count_to(300) + "; while [ ! -e /go ]; do sleep 0.05; done; "
                               "while [ $i -lt 600 ]; do i=$((i+1)); echo line $i; done")
    wait_for(lambda: d.ctl("logs", "--tail", "1", container).out == "line 300\n", "the first part")
    time.sleep(0.01)
    between = time.time()
    d.exec(container, "touch", "/go")
    d.ok("wait", container)
    equal(d.ctl("logs", "--since", f"{between:.9f}", container).out, numbers(301, 600))
    equal(d.ctl("logs", "--until", f"{between:.9f}", container).out, numbers(1, 300))


def test_since_in_one_large_file(d):
    container = d.run_detached("busybox", "sh", "-c", "yes early | head -n 40000; while [ ! -e /go ]; do sleep 0.05; done; "
                               "yes late | head -n 40000")
    wait_for(lambda: d.ctl("logs", container).out.count("\n") == 40000, "the first part")
    between = time.time()
    d.exec(container, "touch", "/go")
    d.ok("wait", container)
    equal(d.ctl("logs", "--since", f"{between:.9f}", container).out, "late\n" * 40000)


def test_follow_over_rotations(d):
    container = d.run_detached(*TINY, "busybox", "sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; " + count_to(3000))
    found = []
    reader = threading.Thread(target=lambda: found.append(d.ctl("logs", "-f", container).out))
    reader.start()
    d.exec(container, "touch", "/go")
    reader.join(60)
    equal(found, [numbers(1, 3000)])


def test_bounded(d):
    container = finished(d, count_to(3000), "--log-opt", "max-size=8k", "--log-opt", "max-file=3")
    equal(len(files(d, container)), 3)
    assert all(os.path.getsize(path) <= 8192 + 1024 for path in files(d, container))
    out = d.ctl("logs", container).out
    assert numbers(1, 3000).endswith(out) and out.endswith("line 3000\n") and out.count("\n") > 100, out[:100]


def test_a_single_file_is_emptied(d):
    container = d.run_detached("--log-opt", "max-size=8k", "busybox", "sh", "-c",
                               "while [ ! -e /go ]; do sleep 0.02; done; " + count_to(2000) + "; echo end")
    found = []
    reader = threading.Thread(target=lambda: found.append(d.ctl("logs", "-f", container).out))
    reader.start()
    d.exec(container, "touch", "/go")
    reader.join(60)
    assert found and found[0].endswith("end\n"), found
    equal(len(files(d, container)), 1)
    assert os.path.getsize(files(d, container)[0]) <= 8192 + 1024


def test_bad_values(d):
    if STOCK:
        return
    for options, text in ((("max-size=x",), "invalid size: 'x'"), (("max-size=-5",), "invalid size: '-5'"),
                          (("max-size=10q",), "invalid size"), (("max-file=0",), "max-file cannot be less than 1"),
                          (("max-file=many",), "invalid max-file: 'many'"), (("colour=red",), "unknown log opt 'colour'")):
        done = d.ctl("create", *[word for o in options for word in ("--log-opt", o)], "busybox", "true")
        equal(done.code, 1)
        has(done.err, text)
    for good in ("-1", "1", "1k", "2KB", "1.5m", "1g"):
        d.ok("rm", d.ok("create", "--log-opt", f"max-size={good}", "busybox", "true"))


def test_defaults_of_the_daemon():
    if STOCK:
        return
    with Daemon("--log-opt", "max-size=4k", "--log-opt", "max-file=2") as d:
        container = finished(d, count_to(1000))
        equal(len(files(d, container)), 2)
        equal(d.inspect(container)["HostConfig"]["LogConfig"],
              {"Type": "json-file", "Config": {"max-size": "4k", "max-file": "2"}})
        container = finished(d, count_to(1000), "--log-opt", "max-size=1m")
        equal(len(files(d, container)), 1)
    with Daemon(start=False) as d:
        with open(f"{d.root}/daemon.json", "w") as file:
            file.write('{"log-driver": "none", "log-opts": {}}')
        d.start()
        equal(d.api("GET", "/info", status=200).json["LoggingDriver"], "none")
        equal(d.api("GET", f"/containers/{finished(d, 'echo x')}/logs", stdout=1).status, 501)
    with Daemon(start=False) as d:
        with open(f"{d.root}/daemon.json", "w") as file:
            file.write('{"log-opts": {"max-size": 5}}')
        process = d.spawn()
        assert d.process.wait(30) != 0, process
