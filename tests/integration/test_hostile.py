"""What a hostile client, image or container tries: races, hang-ups, absurd input, ways out."""
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time

from harness import IMAGE, SLOW, STOCK, Daemon, Skip, equal, has, wait_for
from imagemaker import busybox_files, docker_archive, layer, link

BB = "/bin/busybox"


def send(d, method, path, body=None, upgrade=False):
    """A request whose answer is not read (yet); the socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30 * SLOW)
    sock.connect(d.sock)
    data = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
    if upgrade:
        head += "Connection: Upgrade\r\nUpgrade: tcp\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    sock.sendall(head.encode() + b"\r\n" + data)
    return sock


def status_of(sock):
    """The status of a request that was sent; a daemon that never answers is a timeout here."""
    with sock:
        return int(sock.recv(65536).split()[1])


def create(d, name=None, **body):
    path = "/containers/create" + (f"?name={name}" if name else "")
    reply = d.request("POST", path, {"Image": "busybox", "Cmd": ["sleep", "1000"], **body})
    equal(reply.status, 201, reply)
    return reply.json["Id"]


def load(d, name, files, config=None):
    archive = docker_archive([layer({**busybox_files(IMAGE), **files})], [f"{name}:1"], config)
    return d.request("POST", "/images/load?quiet=1", archive, {"Content-Type": "application/x-tar"}).body


# Callbacks that must come

def test_restart_and_forced_removal_are_both_answered(d):
    for auto_remove in (False, True) * 4:
        container = create(d, HostConfig={"AutoRemove": auto_remove})
        equal(d.request("POST", f"/containers/{container}/start").status, 204)
        restart = send(d, "POST", f"/containers/{container}/restart?t=0")
        removal = send(d, "DELETE", f"/containers/{container}?force=1")
        start = send(d, "POST", f"/containers/{container}/start")
        found = [status_of(sock) for sock in (removal, restart, start)]
        assert found[0] in (204, 404, 409) and found[1] in (204, 404, 409), found
        assert found[2] in (204, 304, 404, 409), found
        d.request("DELETE", f"/containers/{container}?force=1")


def test_start_of_a_container_that_removes_itself_is_answered(d):
    for _ in range(5):
        container = create(d, HostConfig={"AutoRemove": True})
        equal(d.request("POST", f"/containers/{container}/start").status, 204)
        pid = d.state(container)["Pid"]
        os.kill(pid, 9)
        asked = [send(d, "POST", f"/containers/{container}/start") for _ in range(5)]
        assert all(status_of(sock) in (204, 304, 404, 409) for sock in asked)
        d.request("DELETE", f"/containers/{container}?force=1")


def test_waits_and_logs_end_with_a_failed_start(d):
    container = create(d, Cmd=["/nonexistent"])
    start = send(d, "POST", f"/containers/{container}/start")
    wait = send(d, "POST", f"/containers/{container}/wait")
    logs = send(d, "GET", f"/containers/{container}/logs?stdout=1&follow=1")
    assert status_of(start) in (400, 404)
    for sock in (wait, logs):
        with sock:
            received = b""
            while not received.endswith(b"0\r\n\r\n"):
                more = sock.recv(65536)
                assert more, received
                received += more


def test_stop_during_the_start_stops(d):
    if STOCK:
        return
    for method, path in (("stop?t=0", "stop"), ("kill", "kill")) * 3:
        container = create(d)
        start = send(d, "POST", f"/containers/{container}/start")
        time.sleep(0.003)
        stop = send(d, "POST", f"/containers/{container}/{method}")
        equal((status_of(start), status_of(stop)), (204, 204), path)
        equal(d.state(container)["Status"], "exited", path)


def test_stop_wins_against_the_restart_policy(d):
    for i in range(8):
        container = d.run_detached("--restart", "always", "busybox", "sh", "-c", "exit 1")
        time.sleep(0.03 * i)
        d.ok("stop", "-t", "0", container)
        time.sleep(0.25)
        equal(d.state(container)["Status"], "exited")


def test_a_pause_does_not_outlive_a_kill(d):
    for _ in range(8):
        container = d.sleeper()
        pause = send(d, "POST", f"/containers/{container}/pause")
        kill = send(d, "POST", f"/containers/{container}/kill")
        again = send(d, "POST", f"/containers/{container}/pause")
        found = [status_of(sock) for sock in (kill, pause, again)]
        assert found[0] == 204 and {*found[1:]} <= {204, 409}, found
        equal(d.state(container)["Status"], "exited")
    container = d.sleeper()
    stop = send(d, "POST", f"/containers/{container}/stop?t=1")
    assert d.request("POST", f"/containers/{container}/pause").status in (204, 409)
    equal(status_of(stop), 204)


# Limits

def test_execs_that_nobody_starts_do_not_use_up_the_container(d):
    container = d.sleeper()
    for _ in range(300):
        equal(d.request("POST", f"/containers/{container}/exec", {"Cmd": ["true"]}).status, 201)
    equal(d.exec(container, "echo", "hi"), "hi")


def test_clients_that_leave_before_the_start_hold_nothing(d):
    container = create(d)
    count = lambda: len(os.listdir(f"/proc/{d.pid}/fd"))
    before = count()
    for _ in range(300):
        with send(d, "POST", f"/containers/{container}/attach?stream=1&stdout=1", None, True) as sock:
            assert sock.recv(100).startswith(b"HTTP/1.1 101")
    if not STOCK:
        wait_for(lambda: count() < before + 10, "descriptors to be closed")
    equal(d.request("POST", f"/containers/{container}/start").status, 204)


def test_a_thousand_clients_that_say_nothing(d):
    socks = []
    try:
        for i in range(1000):
            sock = socket.socket(socket.AF_UNIX)
            socks.append(sock)
            sock.settimeout(20 * SLOW)
            sock.connect(d.sock)
            if i % 2:
                sock.sendall(b"POST /containers/create HTTP/1.1\r\nHost: x\r\n"
                             b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        equal(d.request("GET", "/_ping", limit=10).status, 200)
    finally:
        for sock in socks:
            sock.close()


def test_absurd_numbers_are_no_internal_errors(d):
    if STOCK:
        return
    for name in ("Memory", "MemorySwap", "MemoryReservation", "MemorySwappiness", "CpuShares", "CpuPeriod",
                 "CpuQuota", "NanoCpus", "PidsLimit", "OomScoreAdj", "ShmSize", "BlkioWeight"):
        for value in ("-9223372036854775808", "-1", "9223372036854775807", "9223372036854775808", "1e400",
                      "1.5", "true", '"5"', "[]"):
            body = '{"Image":"busybox","Cmd":["true"],"HostConfig":{"%s":%s}}' % (name, value)
            reply = d.request("POST", "/containers/create", body, {"Content-Type": "application/json"})
            assert reply.status in (201, 400), (name, value, reply)


def test_a_failed_limit_is_named(d):
    if STOCK:
        return
    for attached in ([], ["-d"]):
        done = d.ctl("run", *attached, "--pids-limit", str(2 ** 40), "busybox", "true")
        equal(done.code, 125)
        has(done.err, "pids.max", "invalid argument")


# Images

def test_links_of_an_image_lead_nowhere_outside(d):
    outside = f"{d.root}/outside"
    os.mkdir(outside)
    target = f"{outside}/made"
    for name in ("etc/hosts", "etc/resolv.conf", "etc/hostname"):
        for to in (target, "../" * 20 + target[1:]):
            has(load(d, "links", {"etc": None, name: link(to)}).decode(), "Loaded")
            has(d.ok("run", "--rm", "links:1", BB, "cat", f"/{name}"), "")
            equal(os.listdir(outside), [], name)
    for name in ("dev", "proc", "sys", "etc", "mnt"):
        load(d, "links", {name: link(outside)})
        d.ctl("run", "--rm", "-v", "/usr/share:/mnt/x", "links:1", BB, "true")
        equal(os.listdir(outside), [], name)
    load(d, "links", {"w": link("/proc/self/fd/5")})
    for directory in ("/w", "/proc/self/fd/3", "/proc/self/fd/10"):
        # It does not start, or it starts inside.
        done = d.ctl("run", "--rm", "-w", directory, "links:1", BB, "test", "-L", f"/proc/self/cwd/{'../' * 9}w")
        assert done.code != 1, done
    container = d.sleeper()
    for n in range(24):
        done = d.ctl("exec", "-w", f"/proc/self/fd/{n}", container, "test", "-e", f"/proc/self/cwd/{'../' * 9}bin/busybox")
        assert done.code != 1, done
    os.rmdir(outside)


def test_dangling_links_become_whole(d):
    load(d, "dangling", {"etc": None, "etc/resolv.conf": link("../run/systemd/stub.conf"),
                         "var": None, "var/run": link("/run/nothing/yet")})
    equal(d.ok("run", "--rm", "dangling:1", BB, "cat", "/etc/resolv.conf"),
          d.ok("run", "--rm", "dangling:1", BB, "cat", "/run/systemd/stub.conf"))
    os.mkdir(f"{d.root}/bound")
    open(f"{d.root}/bound/seen", "w").close()
    equal(d.ok("run", "--rm", "-v", f"{d.root}/bound:/var/run/x", "dangling:1", BB, "ls", "/run/nothing/yet/x"),
          "seen")
    load(d, "loop", {"etc": None, "etc/hosts": link("hosts")})
    equal(d.ctl("run", "--rm", "loop:1", BB, "true").code, 125)
    os.unlink(f"{d.root}/bound/seen")
    os.rmdir(f"{d.root}/bound")


def test_users_of_a_hostile_passwd(d):
    fifo = tarfile.TarInfo()
    fifo.type, fifo.mode = tarfile.FIFOTYPE, 0o666
    for content in (b"evil:x:4294967296:0::/:\nneg:x:-1:-1::/:\nempty:x::::\nhex:x:0x1:0::/:\n",
                    b"x" * 3000000 + b"\n", link("/dev/zero"), link("/proc/kmsg"), fifo):
        load(d, "users", {"etc": None, "etc/passwd": content})
        for user in ("evil", "neg", "hex", "nosuch"):
            done = d.ctl("run", "--rm", "-u", user, "users:1", BB, "id")
            equal(done.code, 125, user)
            has(done.err, "unable to find user")


def test_archives_cannot_write_outside(d):
    outside = f"{d.root}/outside"
    os.mkdir(outside)
    up = "../" * 12
    for files in ({up + outside[1:] + "/x": b"x"}, {outside + "/x": b"x"},
                  {"a": link(outside), "a/x": b"x"}, {"a": link(up), "a/" + outside[1:] + "/x": b"x"},
                  {"h": link(d.log, tarfile.LNKTYPE)}, {"h": link(up + d.log[1:], tarfile.LNKTYPE)},
                  {".wh...": b""}, {".wh.": b""}, {".": link(outside), "x": b"x"}, {"a/" * 2000 + "f": b""}):
        load(d, "outside", files)
        equal(os.listdir(outside), [], files)
    assert os.stat(d.log).st_nlink == 1
    os.rmdir(outside)


def test_no_tag_looks_like_an_image_id(d):
    for name in ("sha256", "sha256:" + "0" * 64):
        equal(d.request("POST", f"/images/busybox/tag?repo={name}").status, 400, name)
    if not STOCK:
        archive = docker_archive([layer(busybox_files(IMAGE))], ["sha256:1"])
        reply = d.request("POST", "/images/load?quiet=1", archive, {"Content-Type": "application/x-tar"})
        has(reply.body.decode(), "refusing to create an ambiguous tag")


# Everything at once

NAMES = ("one", "two", "three", "four")
OPERATIONS = [  # weight, method, path, what may be its body
    (6, "POST", "/containers/create?name={n}", "create"), (8, "POST", "/containers/{n}/start", None),
    (2, "POST", "/containers/{n}/stop?t=0", None), (1, "POST", "/containers/{n}/stop?t=1", None),
    (2, "POST", "/containers/{n}/kill", None), (1, "POST", "/containers/{n}/kill?signal=TERM", None),
    (1, "DELETE", "/containers/{n}?force=1", None), (1, "DELETE", "/containers/{n}", None),
    (2, "POST", "/containers/{n}/restart?t=0", None), (2, "POST", "/containers/{n}/pause", None),
    (2, "POST", "/containers/{n}/unpause", None), (1, "POST", "/containers/{n}/rename?name={m}", None),
    (2, "GET", "/containers/{n}/json?size=1", None), (1, "GET", "/containers/json?all=1&size=1", None),
    (1, "GET", "/containers/{n}/top", None), (3, "POST", "/containers/{n}/exec", "exec"),
    (1, "POST", "/containers/{n}/update", "update"), (1, "GET", "/containers/{n}/logs?stdout=1", None)]
LEAVING = [("GET", "/containers/{n}/logs?stdout=1&follow=1"), ("POST", "/containers/{n}/wait?condition=removed"),
           ("POST", "/containers/{n}/wait"), ("POST", "/containers/{n}/attach?stream=1&stdin=1&stdout=1"),
           ("POST", "/containers/{n}/attach?stream=1&stdout=1&logs=1"), ("GET", "/events")]


def body_of(kind, rng):
    if kind == "create":
        host = {"AutoRemove": rng.random() < 0.2}
        if not host["AutoRemove"] and rng.random() < 0.3:
            host["RestartPolicy"] = {"Name": rng.choice(["always", "on-failure"])}
        if rng.random() < 0.3:
            host["PortBindings"] = {"80/tcp": [{}]}
        command = rng.choice(["exec sleep 1000", "true", "sleep 0.05; exit 3", "yes | head -c 100000"])
        return {"Image": "busybox", "Cmd": ["sh", "-c", command], "HostConfig": host}
    return {"exec": {"Cmd": ["sleep", "0.02"]}, "update": {"CpuShares": 100}, None: None}[kind]


def one_request(d, rng, failures):
    n, m = rng.choice(NAMES), rng.choice(NAMES)
    if rng.random() < 0.25:
        method, path = rng.choice(LEAVING)
        with send(d, method, path.format(n=n), None, "attach" in path):
            time.sleep(rng.choice([0, 0, 0.01, 0.03]))
        return
    _, method, path, kind = rng.choices(OPERATIONS, [o[0] for o in OPERATIONS])[0]
    path = path.format(n=n, m=m)
    try:
        reply = d.request(method, path, body_of(kind, rng), limit=30)
        if kind == "exec" and reply.status == 201:
            reply = d.request("POST", f"/exec/{reply.json['Id']}/start", {"Detach": True}, limit=30)
    except TimeoutError:
        failures.append(f"{method} {path} is never answered")
        return
    if reply.status >= 500:
        failures.append(f"{method} {path}: {reply}")


def hammer(d, seed, requests, failures, daemon_may_be_gone):
    rng = random.Random(seed)
    done, deadline = 0, time.monotonic() + 100 * SLOW
    while done < requests and time.monotonic() < deadline:
        try:
            one_request(d, rng, failures)
            done += 1
        except (OSError, http.client.HTTPException) as error:
            if not daemon_may_be_gone:
                failures.append(repr(error))
                return
            time.sleep(0.02)


def under_load(d, seed, requests, during=None):
    failures = []
    threads = [threading.Thread(target=hammer, daemon=True,
                                args=(d, seed * 100 + i, requests, failures, during is not None))
               for i in range(8)]
    for thread in threads:
        thread.start()
    if during:
        during(threads)
    for thread in threads:
        thread.join(120 * SLOW)
        assert not thread.is_alive(), "a client hangs"
    return failures


def test_eight_clients_at_once(d):
    before = d.settled_census()
    failures = under_load(d, 1, 80)
    if not STOCK:
        equal(failures, [])
    d.clean()
    d.assert_counts(before)


def test_a_daemon_killed_under_load():
    if STOCK:
        raise Skip("takes minutes")
    with Daemon() as d:
        d.learn_from(d.sleeper())
        d.clean()
        before = d.settled_census()

        def kill_some_times(threads):
            rng = random.Random(2)
            for _ in range(6):
                time.sleep(rng.uniform(0.1, 0.5))
                d.kill9()
                d.start()

        under_load(d, 2, 60, kill_some_times)
        d.clean()
        d.assert_counts(before)


def test_renames_of_others_stop_no_start(d):
    """openat2(2) asks to try again when anything was renamed while it followed a "..": that is never an error of a start."""
    place = f"{d.root}/renamed"
    os.mkdir(place)
    load(d, "links", {"etc": None, "a": None, "a/b": None, **{f"etc/{name}": link("../" * 30 + f"a/b/../../a/b/../{name}")
                                                              for name in ("hosts", "resolv.conf", "hostname")}})
    script = "import os\nos.mkdir('x')\nwhile True:\n    os.rename('x', 'y')\n    os.rename('y', 'x')\n"
    churn = subprocess.Popen([sys.executable, "-c", script], cwd=place, stderr=subprocess.DEVNULL)
    try:
        for _ in range(12):
            has(d.ok("run", "--rm", "-w", "/a/b/../b/../../a", "links:1", BB, "cat", "/etc/hosts"), "localhost")
    finally:
        churn.kill()
        churn.wait()
    shutil.rmtree(place)
