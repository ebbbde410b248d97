"""The drivers syslog, journald and none: what the logger gets, and what happens when there is none."""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess

from harness import SLOW, STOCK, equal, has, wait_for

JOURNAL = "/run/systemd/journal/socket"
SO_RCVBUFFORCE = 33


@contextlib.contextmanager
def logger(family, address):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(address)
    sock.settimeout(20 * SLOW)
    try:
        yield sock
    finally:
        sock.close()
        if family == socket.AF_UNIX:
            os.unlink(address)


def run(d, driver, options, *command):
    flags = [part for option in options for part in ("--log-opt", option)]
    return d.run_detached("--name", "sender", "--log-driver", driver, *flags, "busybox", *command)


def test_syslog_to_a_local_socket(d):
    path = f"{d.root}/syslog"
    with logger(socket.AF_UNIX, path) as sock:
        container = run(d, "syslog", [f"syslog-address=unixgram://{path}", "tag={{.Name}}/{{.ID}}"],
                        "sh", "-c", "echo out; echo err >&2; printf unfinished")
        d.ok("wait", container)
        lines = sorted(sock.recv(65536).decode() for _ in range(3))
        tag = re.escape(f"sender/{container[:12]}")
        stamp = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
        for line, wanted in zip(lines, (r"<27>{} {}\[\d+\]: err", r"<30>{} {}\[\d+\]: out", r"<30>{} {}\[\d+\]: unfinished")):
            assert re.fullmatch(wanted.format(stamp, tag), line), (line, wanted)
    has(d.fails(1, "logs", container), "configured logging driver does not support reading")
    equal(d.inspect(container)["LogPath"], "")


def test_syslog_by_rfc5424_over_udp(d):
    with logger(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        d.ok("wait", run(d, "syslog", [f"syslog-address=udp://127.0.0.1:{port}", "syslog-format=rfc5424",
                                       "syslog-facility=local3", "tag=app"], "echo", "hello"))
        line = sock.recv(65536).decode()
        assert re.fullmatch(r"<158>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z \S+ app \d+ - - hello", line), line


def test_syslog_over_tcp(d):
    """A line each, in order; a connection that is cut is made anew."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20 * SLOW)
        # Room for all of it: a slow reader would have lines dropped, as it should.
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        port = server.getsockname()[1]
        container = run(d, "syslog", [f"syslog-address=tcp://127.0.0.1:{port}", "tag=app"], "sh", "-c",
                        "seq 20000; while [ ! -e /go ]; do sleep 0.05; done; n=0; while :; do echo more $n; n=$((n+1)); sleep 0.1; done")
        with server.accept()[0] as sock:
            sock.settimeout(20 * SLOW)
            with sock.makefile() as stream:
                for n in range(1, 20001):
                    line = stream.readline()
                    assert re.fullmatch(rf"<30>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d \S+ app\[\d+\]: {n}\n", line), (n, line)
        d.exec(container, "touch", "/go")
        with server.accept()[0] as sock:
            sock.settimeout(20 * SLOW)
            with sock.makefile() as stream:
                has(stream.readline(), "]: more ")


def test_a_stuck_connection_loses_whole_lines(d):
    if STOCK:
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20 * SLOW)
        container = run(d, "syslog", [f"syslog-address=tcp://127.0.0.1:{server.getsockname()[1]}", "mode=non-blocking",
                                      "max-buffer-size=64k", "tag=app"], "sh", "-c", "seq 1000000; echo end; sleep 100000")
        with server.accept()[0] as sock:
            sock.settimeout(20 * SLOW)
            wait_for(lambda: d.inspect(container).get("LogDropped", {}).get("Lines", 0) > 100000, "the lines to be dropped")
            d.ok("kill", container)
            with sock.makefile() as stream:
                lines = stream.readlines()
        shape = re.compile(r"<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ app\[\d+\]: (\d+|end)\n")
        # The shim does not wait for long when it ends: the last one may be cut off.
        assert len(lines) > 1 and all(shape.fullmatch(line) for line in lines[:-1]), lines[-3:]


def test_a_logger_that_comes_later_and_is_started_anew(d):
    path = f"{d.root}/late"
    container = run(d, "syslog", [f"syslog-address=unixgram://{path}", "mode=non-blocking"],
                    "sh", "-c", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done")
    wait_for(lambda: d.inspect(container).get("LogDropped", {}).get("Lines", 0) > 0, "dropped lines to be told")
    for _ in range(2):
        with logger(socket.AF_UNIX, path) as sock:
            assert sock.recv(65536)
    assert re.search(r'container_log_dropped_lines_total{[^}]*} [1-9]', d.api("GET", "/metrics").body.decode())


def test_a_logger_that_hangs_does_not_stop_the_container(d):
    path = f"{d.root}/hangs"
    with logger(socket.AF_UNIX, path):
        container = run(d, "syslog", [f"syslog-address=unixgram://{path}", "mode=non-blocking",
                                      "max-buffer-size=64k"], "sh", "-c", "yes | head -n 200000; sleep 100000")
        wait_for(lambda: d.inspect(container).get("LogDropped", {}).get("Lines", 0) > 100000, "the lines to be dropped")


def test_a_logger_that_hangs_does_not_hold_up_the_operator(d):
    """The container waits for it, as it is asked to by default; who wants to end the container does not."""
    path = f"{d.root}/stuck"
    with logger(socket.AF_UNIX, path):
        container = run(d, "syslog", [f"syslog-address=unixgram://{path}"], "sh", "-c", "seq 1000000; sleep 100000")
        wait_for(lambda: d.inspect(container).get("LogDropped", {}).get("Lines", 0) > 0, "lines to be dropped")
        equal(d.exec(container, "echo", "well"), "well")
        d.ok("kill", container)
        equal(d.ok("wait", container), "137")


def test_a_line_without_end_comes_in_parts(d):
    path = f"{d.root}/parts"
    with logger(socket.AF_UNIX, path) as sock:
        run(d, "syslog", [f"syslog-address=unixgram://{path}"], "sh", "-c",
            "head -c 40000 /dev/zero | tr '\\0' x; sleep 100000")
        parts = [sock.recv(65536).decode().split(": ")[1] for _ in range(2)]
        equal([len(part) for part in parts], [16384, 16384])


def journal_of(d, script, name, image, tag):
    """The container, and its two entries by their priority."""
    command = ("run", "-d", "--name", name, "--log-driver", "journald", "--log-opt", f"tag={tag}", image, "sh", "-c", script)
    if os.path.exists(JOURNAL):
        container = d.ok(*command)
        d.ok("wait", container)
        def entries():
            out = subprocess.run(["journalctl", "-o", "json", f"CONTAINER_ID_FULL={container}"],
                                 capture_output=True, check=True).stdout.splitlines()
            return len(out) == 2 and [json.loads(line) for line in out]
        found = wait_for(entries, "the journal's entries")
    else:
        made = not os.path.exists(os.path.dirname(JOURNAL))
        os.makedirs(os.path.dirname(JOURNAL), exist_ok=True)
        with logger(socket.AF_UNIX, JOURNAL) as sock:
            container = d.ok(*command)
            d.ok("wait", container)
            found = [dict(line.split("=", 1) for line in sock.recv(65536).decode().splitlines()) for _ in range(2)]
        if made:
            shutil.rmtree(os.path.dirname(JOURNAL))
    return container, sorted(found, key=lambda entry: entry["PRIORITY"])


def test_journald(d):
    container, found = journal_of(d, "echo to the journal; echo an error >&2", "sender", "busybox", "told")
    equal([(entry["PRIORITY"], entry["MESSAGE"]) for entry in found], [("3", "an error"), ("6", "to the journal")])
    for entry in found:
        equal((entry["CONTAINER_ID_FULL"], entry["CONTAINER_ID"], entry["CONTAINER_NAME"], entry["CONTAINER_TAG"],
               entry["IMAGE_NAME"], entry["SYSLOG_IDENTIFIER"]),
              (container, container[:12], "sender", "told", "busybox", "told"))


def test_journald_with_the_longest_names(d):
    """Each field is cut by itself; none takes another's place."""
    image, name, tag = "/".join(["long" * 30] * 2) + ":" + "v" * 127, "n" * 255, "t" * 300
    d.ok("tag", "busybox", image)
    container, found = journal_of(d, "echo said; echo loudly >&2", name, image, tag)
    for entry, priority, text in zip(found, "36", ("loudly", "said")):
        equal((entry["CONTAINER_ID_FULL"], entry["CONTAINER_NAME"], entry["CONTAINER_TAG"], entry["IMAGE_NAME"],
               entry["SYSLOG_IDENTIFIER"], entry["PRIORITY"], entry["MESSAGE"]),
              (container, name, "t" * 128, image[:255], "t" * 128, priority, text))
    d.ok("rm", container)
    d.ok("rmi", image)


def test_refusals(d):
    if STOCK:
        return
    for driver, options, text in (
            ("nope", [], "no log driver named 'nope' is registered"),
            ("journald", ["max-size=1m"], "unknown log opt 'max-size' for journald log driver"),
            ("syslog", ["syslog-address=ftp://x"], "syslog-address should be in form proto://address"),
            ("syslog", ["syslog-address=udp://names.example:514"], "numeric address"),
            ("syslog", ["syslog-facility=nope"], "invalid syslog facility"),
            ("syslog", ["syslog-format=nope"], "invalid syslog format"),
            ("json-file", ["mode=nope"], "logging mode not supported: nope"),
            ("json-file", ["max-buffer-size=1m"], "max-buffer-size option is only supported with 'mode=non-blocking'"),
            ("syslog", ["mode=non-blocking", "max-buffer-size=x"], "invalid size: 'x'")):
        flags = [part for option in options for part in ("--log-opt", option)]
        has(d.fails(125, "run", "--log-driver", driver, *flags, "busybox", "true"), text)
    drivers = d.api("GET", "/info").json["Plugins"]["Log"]
    equal(drivers, ["json-file", "journald", "local", "none", "syslog"])
