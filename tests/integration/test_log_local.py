"""The log driver `local`: numbered files, the full ones packed, read as one log."""
import os
import subprocess
import threading
import time

from harness import SLOW, STOCK, Daemon, equal, has, wait_for

TINY = ("--log-driver", "local", "--log-opt", "max-size=8k", "--log-opt", "max-file=100")
ZSTD = b"\x28\xb5\x2f\xfd"


def numbers(first, last):
    return "".join(f"line {n}\n" for n in range(first, last + 1))


def count_to(last):
    return f"i=0; while [ $i -lt {last} ]; do i=$((i+1)); echo line $i; done"


def files(d, container):
    """Number -> the file's bytes."""
    place = os.path.dirname(d.inspect(container)["HostsPath"])
    found = {}
    for name in os.listdir(place):
        if name.startswith(f"{container}-local.log.") and name[-1].isdigit():
            with open(f"{place}/{name}", "rb") as file:
                found[int(name.rsplit(".", 1)[1])] = file.read()
    return found


def packed(d, container):
    """The files once all but the last are packed."""
    def settled():
        found = files(d, container)
        return all(data[:4] == ZSTD for number, data in found.items() if number < max(found)) and found
    return wait_for(settled, "packed files")


def finished(d, script, *options):
    container = d.run_detached(*options, "busybox", "sh", "-c", script)
    d.ok("wait", container)
    return container


def test_read_as_one(d):
    if STOCK:
        return
    container = finished(d, count_to(1000) + "; echo failed >&2", *TINY)
    found = packed(d, container)
    assert len(found) > 5 and found[max(found)][:1] == b"{", found
    done = d.ctl("logs", container)
    equal((done.out, done.err), (numbers(1, 1000), "failed\n"))
    for n in (0, 1, 5, 60, 500, 1000, 1001, 2000):
        equal(d.ctl("logs", "--tail", str(n), container).out, numbers(max(1, 1002 - n), 1000), n)
    equal(d.inspect(container)["LogPath"], "")
    first = subprocess.run(["zstd", "-dc"], input=found[min(found)], capture_output=True)
    has(first.stdout.decode(), '"log":"line 1\\n"')
    # A second run goes on in the same files.
    d.ok("start", container)
    d.ok("wait", container)
    equal(d.ctl("logs", container).out, numbers(1, 1000) * 2)


def test_since_over_packed_files(d):
    if STOCK:
        return
    container = d.run_detached(*TINY, "busybox", "sh", "-c", count_to(600) + "; while [ ! -e /go ]; do sleep 0.05; done; "
                               "while [ $i -lt 1200 ]; do i=$((i+1)); echo line $i; done")
    wait_for(lambda: d.ctl("logs", "--tail", "1", container).out == "line 600\n", "the first part")
    time.sleep(0.01)
    between = time.time()
    d.exec(container, "touch", "/go")
    d.ok("wait", container)
    packed(d, container)
    equal(d.ctl("logs", "--since", f"{between:.9f}", container).out, numbers(601, 1200))
    equal(d.ctl("logs", "--until", f"{between:.9f}", container).out, numbers(1, 600))


def test_since_in_one_large_packed_file(d):
    if STOCK:
        return
    container = d.run_detached("--log-driver", "local", "--log-opt", "max-size=8m", "busybox", "sh", "-c",
                               "yes early | head -n 40000; while [ ! -e /go ]; do sleep 0.05; done; "
                               "yes late | head -n 40000; while [ ! -e /on ]; do sleep 0.05; done; yes more | head -n 60000")
    wait_for(lambda: d.ctl("logs", container).out.count("\n") == 40000, "the first part")
    between = time.time()
    d.exec(container, "touch", "/go")
    wait_for(lambda: d.ctl("logs", "--since", f"{between:.9f}", container).out.count("\n") == 40000, "the second part")
    d.exec(container, "touch", "/on")
    d.ok("wait", container)
    equal(sorted(packed(d, container)), [1, 2])
    equal(d.ctl("logs", "--since", f"{between:.9f}", container).out, "late\n" * 40000 + "more\n" * 60000)
    equal(d.ctl("logs", "--tail", "100001", container).out, "early\n" + "late\n" * 40000 + "more\n" * 60000)


def test_follow_over_rotations(d):
    if STOCK:
        return
    container = d.run_detached(*TINY, "busybox", "sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; " + count_to(3000))
    found = []
    reader = threading.Thread(target=lambda: found.append(d.ctl("logs", "-f", container).out))
    reader.start()
    d.exec(container, "touch", "/go")
    reader.join(60 * SLOW)
    equal(found, [numbers(1, 3000)])


def test_bounded(d):
    if STOCK:
        return
    container = finished(d, count_to(3000), "--log-driver", "local", "--log-opt", "max-size=8k", "--log-opt", "max-file=3")
    found = packed(d, container)
    equal(len(found), 3)
    assert all(len(data) <= 8192 + 1024 for data in found.values())
    out = d.ctl("logs", container).out
    assert numbers(1, 3000).endswith(out) and out.endswith("line 3000\n") and out.count("\n") > 100, out[:100]
    plain = finished(d, count_to(3000), "--log-driver", "local", "--log-opt", "max-size=8k", "--log-opt", "max-file=3",
                     "--log-opt", "compress=false")
    assert all(data[:1] == b"{" for data in files(d, plain).values())
    single = finished(d, count_to(3000), "--log-driver", "local", "--log-opt", "max-size=8k", "--log-opt", "max-file=1",
                      "--log-opt", "compress=false")
    equal(len(files(d, single)), 1)
    d.ok("rm", container)


def test_over_a_daemon_crash():
    """The shim goes on alone; what it left unpacked is packed by the next daemon."""
    if STOCK:
        return
    with Daemon() as d:
        container = d.run_detached(*TINY, "-v", f"{d.root}:/shared", "busybox", "sh", "-c",
                                   "while [ ! -e /shared/go ]; do sleep 0.02; done; " + count_to(2000) + "; sleep 100000")
        d.kill9()
        open(f"{d.root}/go", "w").close()
        time.sleep(0.5)
        d.start()
        wait_for(lambda: d.ctl("logs", "--tail", "1", container).out == "line 2000\n", "all lines")
        equal(d.ctl("logs", container).out, numbers(1, 2000))
        assert len(packed(d, container)) > 10
        equal(d.ctl("logs", container).out, numbers(1, 2000))
        d.ok("rm", "-f", container)


def test_daemon_default():
    if STOCK:
        return
    with Daemon("--log-driver", "local", "--log-opt", "max-size=8k") as d:
        equal(d.api("GET", "/info", status=200).json["LoggingDriver"], "local")
        container = finished(d, "echo x")
        equal(d.inspect(container)["HostConfig"]["LogConfig"], {"Type": "local", "Config": {"max-size": "8k"}})
        equal(d.ctl("logs", container).out, "x\n")


def test_bad_values(d):
    if STOCK:
        return
    for options, text in ((["tag=x"], "unknown log opt 'tag' for log driver local"),
                          (["max-size=x"], "invalid size: 'x'"), (["max-file=0"], "max-file cannot be less than 1"),
                          (["compress=maybe"], "invalid value: 'maybe'"),
                          (["max-file=1"], "compression cannot be enabled when max file count is 1")):
        flags = [word for option in options for word in ("--log-opt", option)]
        has(d.fails(1, "create", "--log-driver", "local", *flags, "busybox", "true"), text)
