"""logs: streams, tail, since, until, timestamps, follow, the file on disk."""
import json
import os
import re
import time

from harness import SLOW, STOCK, demultiplex, equal, has, wait_for

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


def finished(d, script, *options):
    container = d.run_detached(*options, "busybox", "sh", "-c", script)
    d.ok("wait", container)
    return container


def test_streams_are_kept_apart(d):
    container = finished(d, "echo out; echo err >&2; echo out2")
    done = d.ctl("logs", container)
    equal((done.out, done.err), ("out\nout2\n", "err\n"))
    for select, wanted in (({"stdout": 1}, (b"out\nout2\n", b"")), ({"stderr": 1}, (b"", b"err\n"))):
        reply = d.api("GET", f"/containers/{container}/logs", status=200, **select)
        equal(demultiplex(reply.body), wanted)
        if not STOCK:
            equal(reply.headers["Content-Type"], "application/vnd.docker.multiplexed-stream")


def test_a_frame_per_line(d):
    container = finished(d, "printf 'a\\nbb\\n'")
    body = d.api("GET", f"/containers/{container}/logs", stdout=1, status=200).body
    equal(body, b"\1\0\0\0\0\0\0\2a\n\1\0\0\0\0\0\0\3bb\n")


def test_tail(d):
    container = finished(d, "seq 1 1000")
    equal(d.ok("logs", "--tail", "3", container).split(), ["998", "999", "1000"])
    equal(d.ok("logs", "-n", "1", container), "1000")
    equal(d.ok("logs", "--tail", "0", container), "")
    for everything in ("all", "5000", "-1"):
        equal(len(d.ok("logs", "--tail", everything, container).split()), 1000, everything)


def test_timestamps(d):
    container = finished(d, "echo a; echo b")
    lines = d.ok("logs", "-t", container).splitlines()
    for line, word in zip(lines, "ab"):
        assert re.fullmatch(f"{STAMP} {word}", line), line


def test_since_and_until(d):
    container = finished(d, "echo one; sleep 0.3; echo two; sleep 0.3; echo three")
    stamps = [line.split()[0] for line in d.ok("logs", "-t", container).splitlines()]
    equal(d.ok("logs", "--since", stamps[1], container).split(), ["two", "three"])
    equal(d.ok("logs", "--until", stamps[1], container).split()[0], "one")
    assert "three" not in d.ok("logs", "--until", stamps[1], container)
    equal(d.ok("logs", "--since", "10m", container).split(), ["one", "two", "three"])
    later = f"{time.time() + 100:.9f}"
    body = d.api("GET", f"/containers/{container}/logs", stdout=1, since=later, status=200).body
    equal(body, b"")


def test_follow_ends_with_the_container(d):
    container = d.run_detached("busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done")
    equal(d.ok("logs", "-f", container).split(), list("12345"))


def test_follow_of_a_finished_one_ends(d):
    container = finished(d, "echo a")
    equal(d.ok("logs", "-f", container), "a")


def test_follow_shows_lines_as_they_come(d):
    container = d.run_detached("-i", "busybox", "sh", "-c", "echo first; sleep 100000")
    client = d.spawn_client("logs", "-f", "--tail", "1", container)
    equal(client.stdout.readline(), b"first\n")
    d.ok("kill", container)
    equal(client.wait(30 * SLOW), 0)
    client.communicate()


def test_many_followers(d):
    container = d.run_detached("busybox", "sh", "-c", "sleep 0.3; seq 1 2000")
    clients = [d.spawn_client("logs", "-f", container) for _ in range(5)]
    for client in clients:
        out, _ = client.communicate(timeout=60 * SLOW)
        equal(len(out.split()), 2000)


def test_a_follower_that_does_not_read_blocks_nobody(d):
    container = d.run_detached("busybox", "sh", "-c", "yes 0123456789012345678901234567890 | head -c 20000000")
    lazy = d.spawn_client("logs", "-f", container)
    equal(d.ok("wait", container), "0")
    lazy.kill()
    lazy.communicate()
    equal(len(d.ctl("logs", container).out), 20000000)


def test_terminal_logs_are_raw(d):
    container = finished(d, "echo a", "-t")
    reply = d.api("GET", f"/containers/{container}/logs", stdout=1, stderr=1, status=200)
    equal(reply.body, b"a\r\n")
    if not STOCK:
        equal(reply.headers["Content-Type"], "application/vnd.docker.raw-stream")


def test_long_lines_are_whole_again(d):
    container = finished(d, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end")
    equal(d.ok("logs", container), "x" * 100000 + "\nend")
    equal(d.ctl("logs", "--tail", "1", container).out, "end\n")


def test_output_without_newline(d):
    equal(d.ctl("logs", finished(d, "printf abc")).out, "abc")


def test_file_is_json_lines(d):
    container = finished(d, "echo hello; echo 'q\"\\\\ü' >&2")
    with open(d.inspect(container)["LogPath"]) as file:
        entries = [json.loads(line) for line in file]
    equal([(e["log"], e["stream"]) for e in entries], [("hello\n", "stdout"), ('q"\\\\ü\n', "stderr")])
    for entry in entries:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", entry["time"]), entry


def test_no_stream_chosen_is_400(d):
    container = d.ok("create", "busybox", "true")
    has(d.api("GET", f"/containers/{container}/logs", status=400).message,
        "you must choose at least one stream")


def test_of_a_created_container_is_empty(d):
    equal(d.ctl("logs", d.ok("create", "busybox", "true")).out, "")


def test_logs_of_two_lives(d):
    container = finished(d, "echo life")
    d.ok("start", container)
    d.ok("wait", container)
    wait_for(lambda: d.ok("logs", container).split() == ["life", "life"], "both lives")


def test_driver_none_cannot_be_read(d):
    container = d.ok("create", "--log-driver", "none", "busybox", "echo", "x")
    equal(d.ok("start", "-a", container), "x")
    reply = d.api("GET", f"/containers/{container}/logs", stdout=1, status=501)
    has(reply.message, "configured logging driver does not support reading")


def test_unknown_driver_is_an_error(d):
    done = d.ctl("run", "--rm", "--log-driver", "asdf", "busybox", "true")
    equal(done.code, 125)
    has(done.err, "asdf" if STOCK else "logger: no log driver named 'asdf' is registered")


def test_several_at_once(d):
    one = d.run_detached("--name", "one", "busybox", "sh", "-c", "echo first; echo second; printf rest")
    two = d.run_detached("--name", "second-one", "busybox", "sh", "-c", "echo to err >&2; echo out")
    d.ok("wait", one, two)
    done = d.ctl("logs", "one", "second-one")
    equal(done.code, 0)
    equal([line for line in done.out.splitlines() if line.startswith("one ")],
          ["one        | first", "one        | second", "one        | rest"])
    equal([line for line in done.out.splitlines() if line.startswith("second")], ["second-one | out"])
    equal(done.err, "second-one | to err\n")
    terminal = d.terminal("logs", "one", "second-one")
    terminal.expect("\x1b\\[36mone        \\|\x1b\\[0m first")
    equal(terminal.wait(), 0)
    equal(d.ctl("logs", "one", "nope").code, 1)


def test_what_is_no_file_any_more(d):
    """Somebody's mistake: neither the daemon nor the container waits for the other end of a FIFO."""
    container = finished(d, "echo a line")
    path = d.inspect(container)["LogPath"]
    os.rename(path, f"{path}.kept")
    os.mkfifo(path)
    for _ in range(6):  # more than the pool has threads
        equal(d.api("GET", f"/containers/{container}/logs?stdout=1", status=200, limit=20).body, b"")
    has(d.fails(1, "start", container), "cannot open the log")
    os.rename(f"{path}.kept", path)
    d.ok("start", container)
    d.ok("wait", container)
    equal(d.ok("logs", container), "a line\na line")
