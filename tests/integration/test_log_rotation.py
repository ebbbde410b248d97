"""Logs in several files: read as one, followed over a rotation, bounded."""
import gzip
import os
import struct
import threading
import time

from harness import SLOW, STOCK, Daemon, demultiplex, equal, has, wait_for

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


def test_tail_while_files_are_renamed(d):
    """A file that moves up between two looks is not counted twice, and those before it are not missed."""
    for options in ((), ("--log-opt", "compress=true")):
        container = d.run_detached(*TINY, *options, "busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; done")
        wait_for(lambda: len(files(d, container)) > 50, "rotations")
        for _ in range(150):
            reply = d.api("GET", f"/containers/{container}/logs", status=200, stdout=1, tail=600)
            found = [int(line.split()[1]) for line in demultiplex(reply.body)[0].splitlines()]
            # The last line that was counted may be half written yet.
            assert len(found) >= 599 and found == list(range(found[0], found[-1] + 1)), (len(found), found[:1], found[-1:])
        d.ok("rm", "-f", container)


def test_a_slow_reader_comes_to_an_end(d):
    """Without following a log ends where it did when it was asked for, however fast the container writes."""
    for options in ((), ("--log-opt", "compress=true"), ("--log-driver", "local"), ("--log-opt", "max-file=1")):
        container = d.run_detached("--log-opt", "max-size=300k", "--log-opt", "max-file=10", *options, "busybox", "yes", "x" * 200)
        wait_for(lambda: d.ctl("logs", "-n", "1", container).out, "lines")
        for asked in ((), ("--tail", "5000"), ("--since", "1")):
            client, size = d.spawn_client("logs", *asked, container), 0
            while piece := os.read(client.stdout.fileno(), 1 << 16):
                size += len(piece)
                assert size < 16 << 20, (options, asked)
                time.sleep(0.01)
            equal(client.wait(20 * SLOW), 0)
        d.ok("rm", "-f", container)


def test_inode_numbers_come_again(d):
    """A packed file tells the inode number that it had; the newest one may have it by now, and is not taken for it."""
    if STOCK:
        return
    container = finished(d, count_to(1000), *PACKED)
    path = d.inspect(container)["LogPath"]
    wait_for(lambda: sum(not name.endswith(".gz") for name in files(d, container)) == 1, "all others to be packed")
    for name in files(d, container):
        if name.endswith(".gz"):
            with open(name, "r+b") as file:
                file.seek(24)
                file.write(struct.pack("<Q", os.stat(path).st_ino))
    for asked in ((), ("--tail", "1000"), ("--since", "1")):
        equal(d.ctl("logs", *asked, container).out, numbers(1, 1000), asked)


def test_follow_over_rotations(d):
    container = d.run_detached(*TINY, "busybox", "sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; " + count_to(3000))
    found = []
    reader = threading.Thread(target=lambda: found.append(d.ctl("logs", "-f", container).out))
    reader.start()
    d.exec(container, "touch", "/go")
    reader.join(60 * SLOW)
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
    reader.join(60 * SLOW)
    assert found and found[0].endswith("end\n"), found
    equal(len(files(d, container)), 1)
    assert os.path.getsize(files(d, container)[0]) <= 8192 + 1024


PACKED = (*TINY, "--log-opt", "compress=true")


def packed(d, container):
    """What zcat makes of the older files, the newest last, once all of them are packed."""
    path = d.inspect(container)["LogPath"]

    def settled():
        found = files(d, container)
        return all(name == path or name.endswith(".gz") for name in found) and found
    found = wait_for(settled, "packed files")
    found.sort(key=lambda name: -int(name.split(".")[-2]) if name != path else 0)
    return [gzip.open(name).read() if name != path else b"" for name in found]


def test_compressed(d):
    if STOCK:
        return
    container = finished(d, count_to(1000) + "; echo failed >&2", *PACKED)
    texts = packed(d, container)
    assert len(texts) > 10 and texts[0].startswith(b'{"log":"line 1\\n"'), texts
    path = d.inspect(container)["LogPath"]
    assert 0 < os.path.getsize(f"{path}.1.gz") < 2048 and not os.path.exists(f"{path}.1"), files(d, container)
    done = d.ctl("logs", container)
    equal((done.out, done.err), (numbers(1, 1000), "failed\n"))
    for n in (0, 1, 5, 60, 500, 1000, 1001, 2000):
        equal(d.ctl("logs", "--tail", str(n), container).out, numbers(max(1, 1002 - n), 1000), n)
    d.ok("start", container)
    d.ok("wait", container)
    equal(d.ctl("logs", container).out, numbers(1, 1000) * 2)
    d.ok("rm", container)
    equal(os.path.exists(os.path.dirname(path)), False)


def test_since_over_compressed_files(d):
    if STOCK:
        return
    container = d.run_detached(*PACKED, "busybox", "sh", "-c", count_to(300) + "; while [ ! -e /go ]; do sleep 0.05; done; "
                               "while [ $i -lt 600 ]; do i=$((i+1)); echo line $i; done")
    wait_for(lambda: d.ctl("logs", "--tail", "1", container).out == "line 300\n", "the first part")
    time.sleep(0.01)
    between = time.time()
    d.exec(container, "touch", "/go")
    d.ok("wait", container)
    packed(d, container)
    equal(d.ctl("logs", "--since", f"{between:.9f}", container).out, numbers(301, 600))
    equal(d.ctl("logs", "--until", f"{between:.9f}", container).out, numbers(1, 300))


def test_follow_while_files_are_compressed(d):
    """A file is renamed, packed and read at the same time, again and again: nothing is missed or told twice."""
    if STOCK:
        return
    container = d.run_detached(*PACKED, "busybox", "sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; " + count_to(1500) +
                               "; sleep 1.5; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done")
    found = []
    readers = [threading.Thread(target=lambda: found.append(d.ctl("logs", "-f", container).out)) for _ in range(3)]
    for reader in readers:
        reader.start()
    d.exec(container, "touch", "/go")
    while readers[0].is_alive():
        out = d.ctl("logs", container).out
        assert numbers(1, 3000).startswith(out), (out[:100], out[-100:], out.count("\n"))
    for reader in readers:
        reader.join(60 * SLOW)
    equal(found, [numbers(1, 3000)] * 3)


def test_compressed_ones_are_bounded_too(d):
    if STOCK:
        return
    container = finished(d, count_to(3000), "--log-opt", "max-size=8k", "--log-opt", "max-file=3", "--log-opt", "compress=true")
    equal(len(packed(d, container)), 3)
    out = d.ctl("logs", container).out
    assert numbers(1, 3000).endswith(out) and out.endswith("line 3000\n") and out.count("\n") > 100, out[:100]


def test_compressed_after_a_daemon_crash():
    if STOCK:
        return
    with Daemon() as d:
        container = d.run_detached(*PACKED, "-v", f"{d.root}:/shared", "busybox", "sh", "-c",
                                   "while [ ! -e /shared/go ]; do sleep 0.02; done; " + count_to(1000) +
                                   "; touch /shared/done; sleep 100000")
        d.kill9()
        open(f"{d.root}/go", "w").close()
        wait_for(lambda: os.path.exists(f"{d.root}/done"), "the lines")
        d.start()
        assert len(packed(d, container)) > 10
        equal(d.ctl("logs", container).out, numbers(1, 1000))
        d.ok("rm", "-f", container)


def test_bad_values(d):
    if STOCK:
        return
    for options, text in ((("max-size=x",), "invalid size: 'x'"), (("max-size=-5",), "invalid size: '-5'"),
                          (("max-size=10q",), "invalid size"), (("max-file=0",), "max-file cannot be less than 1"),
                          (("max-file=many",), "invalid max-file: 'many'"), (("colour=red",), "unknown log opt 'colour'")):
        done = d.ctl("create", *[word for o in options for word in ("--log-opt", o)], "busybox", "true")
        equal(done.code, 1)
        has(done.err, text)
    for options, text in ((["max-file=2", "compress=maybe"], 'parsing "maybe": invalid syntax'),
                          (["max-size=1m", "compress=true"], "compress cannot be true when max-file is less than 2 or"),
                          (["max-size=-1", "max-file=3", "compress=true"], "compress cannot be true")):
        has(d.fails(1, "create", *[word for o in options for word in ("--log-opt", o)], "busybox", "true"), text)
    d.ok("rm", d.ok("create", "--log-opt", "compress=true", "busybox", "true"))
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
        assert d.process.wait(30 * SLOW) != 0, process
