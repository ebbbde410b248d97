"""What a hostile user may do to the daemon from its socket, and to its processes and files from beside it."""
import json
import os
import random
import shutil
import signal
import socket
import threading
import time

import host
from harness import SLOW, STOCK, equal, has, wait_for


def create(d, **body):
    reply = d.request("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], **body})
    equal(reply.status, 201, reply)
    return reply.json["Id"]


def alive(d):
    equal(d.request("GET", "/_ping", limit=10).status, 200)


def talk(d, *pieces, pause=0.0):
    """Send pieces, half-close, and read what comes; b"" if the daemon hangs up."""
    received = b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(45 * SLOW)  # a head that is not whole has 30 s, half-closed or not
        sock.connect(d.sock)
        try:
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(pause)
            sock.shutdown(socket.SHUT_WR)
            while True:
                more = sock.recv(65536)
                if not more:
                    return received
                received += more
        except (BrokenPipeError, ConnectionResetError):
            return received


def shim_of(d, container):
    return int(host.read(f"/proc/{d.state(container)['Pid']}/stat").rpartition(")")[2].split()[1])


# Bytes on the socket

def test_escapes_in_paths(d):
    for path in ("/containers/%00/json", "/containers/a%00b/json", "/containers/%2e%2e%2f%2e%2e/json",
                 "/containers/%2fetc%2fpasswd/json", "/containers/%ff%fe/json", "/containers/%c0%ae/json",
                 "/containers/%zz/json", "/containers/%/json", "/images/%00/json", "/images/..%2f..%2f/json",
                 "//containers//json", "/containers/" + "a" * 9000 + "/json",
                 "/containers/json?filters=%00", "/containers/json?filters=" + "%7B" * 2000,
                 "/containers/json?%00=1", "/containers/json?" + "a=b&" * 300, "/images/%5B%5D/json",
                 "/exec/%00/json", "/containers/*/json", "/containers/%25s%25n/json"):
        reply = d.request("GET", path)
        assert reply.status in (400, 404, 414, 431, 301), (path[:60], reply)
    reply = talk(d, b"GET /containers/json?" + b"a=b&" * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " not in reply, reply
    for name in ("%00", "a%00b", "..", "%2e%2e", "%2fa", "%ff", "a%0ab"):
        for method, path in (("POST", f"/containers/create?name={name}"),
                             ("POST", f"/images/busybox/tag?repo={name}"), ("DELETE", f"/images/{name}")):
            reply = d.request(method, path, {"Image": "busybox", "Cmd": ["true"]} if "create" in path else None)
            assert reply.status in (400, 404), (path, reply)
    alive(d)


def test_strings_in_bodies(d):
    for text in (b"\\u0000", b"\xff", b"\xc0\xaf", b"\\ud800", b"a\\u0000b", b"\x01"):
        for body in (b'{"Image":"%s","Cmd":["true"]}', b'{"Image":"busybox","Cmd":["%s"]}',
                     b'{"Image":"busybox","Cmd":["true"],"Labels":{"%s":"x"}}',
                     b'{"Image":"busybox","Cmd":["true"],"User":"%s"}',
                     b'{"Image":"busybox","Cmd":["true"],"HostConfig":{"Binds":["/tmp:/%s"]}}'):
            reply = d.request("POST", "/containers/create", body % text, {"Content-Type": "application/json"})
            if not STOCK:
                equal(reply.status, 400, body % text)
    for deep in (b'{"a":' * 100000, b"[" * 1000000, b'{"HostConfig":' * 5000 + b"1" + b"}" * 5000):
        reply = d.request("POST", "/containers/create", deep, {"Content-Type": "application/json"})
        equal(reply.status, 400)
    alive(d)


def test_heads_that_never_end(d):
    for head in (b"X: " + b"y" * 70000, b"".join(b"H%d: x\r\n" % n for n in range(10000)), b"X:\r\n" * 30000,
                 b" folded\r\n" * 5000, b"\r" * 10000):
        talk(d, b"GET /_ping HTTP/1.1\r\n" + head)
    talk(d, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 5000)
    talk(d, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500))
    slow = [talk(d, *[bytes([b]) for b in b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"], pause=0.002)]
    has(slow[0], b"200 OK")
    alive(d)


def test_chunks_that_lie(d):
    start = (b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
             b"Transfer-Encoding: chunked\r\n\r\n")
    for chunks in (b"-1\r\nx", b"ffffffffffffffff\r\nx", b"fffffffffffffffff\r\nx", b"5\r\nabc", b"1\r\nabc\r\n0\r\n\r\n",
                   b"1;" + b"x" * 100000 + b"\r\na\r\n0\r\n\r\n", b"0\r\n" + b"T: x\r\n" * 20000, b"g\r\n", b"\r\n" * 1000,
                   b"0x5\r\nhello\r\n0\r\n\r\n", b"1\na\n0\n\n"):
        reply = talk(d, start + chunks)
        assert b" 201 " not in reply, (chunks[:40], reply)
    for heads in (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n",
                  b"Content-Length: +5\r\n", b"Content-Length: 5, 5\r\n", b"Transfer-Encoding: xchunked\r\n",
                  b"Content-Length: 0x5\r\n"):
        body = b'{"Image":"busybox","Cmd":["true"]}'
        reply = talk(d, b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + heads
                     + b"\r\n" + body)
        assert STOCK or b" 201 " not in reply, (heads, reply)
        if not STOCK and b"given more than once" in reply:
            equal(reply.count(b"HTTP/1.1 "), 1, ("what follows is no request", heads, reply))
    equal(d.ok("ps", "-aq"), "")
    alive(d)


def test_ten_thousand_requests_in_one_breath(d):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30 * SLOW)
        sock.connect(d.sock)
        data = (b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 9999
                + b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        received = bytearray()
        while more := sock.recv(65536):
            received += more
        sender.join()
    equal(received.count(b"HTTP/1.1 200 OK"), 10000)


def test_who_does_not_read_is_not_waited_for(d):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(d.sock)
        sock.setblocking(False)
        try:
            while True:
                sock.send(b"GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        except BlockingIOError:
            pass
        alive(d)
        equal(d.shell("echo others"), "others")


def test_attached_clients_that_do_not_read(d):
    """A container that writes for ever, clients that stop reading: others see all of it, nothing grows."""
    container = create(d, Cmd=["sh", "-c", "read x; yes | head -c 20000000; sleep 1000"], OpenStdin=True)
    d.ok("start", container)
    socks = []
    for _ in range(10):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20 * SLOW)
        sock.connect(d.sock)
        sock.sendall(f"POST /containers/{container}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
                     "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 101")
        socks.append(sock)
    socks[0].sendall(b"go\n")
    socks[1].shutdown(socket.SHUT_WR)
    socks[2].shutdown(socket.SHUT_RD)
    socks[3].close()
    d.ok("exec", container, "true")
    received = 0
    while received < 5000000:
        received += len(socks[0].recv(1 << 20))
    alive(d)
    if not STOCK:
        status = host.read(f"/proc/{shim_of(d, container)}/status")
        size = int(status.partition("VmRSS:")[2].split()[0])
        assert size < 16384, f"the shim grew to {size} KiB"
    d.ok("stop", "-t", "0", container)
    for sock in socks:
        sock.close()


# Requests

def test_as_much_as_one_may_ask(d):
    if STOCK:
        return
    mib = "x" * (1 << 20)
    for body in ({"Env": [f"A={mib[:100000]}"] + [f"B{i}={mib[:900]}" for i in range(1000)]},
                 {"Labels": {f"l{i}": "v" for i in range(4000)}},
                 {"HostConfig": {"Tmpfs": {f"/mnt/t{i}": "" for i in range(1000)}}},
                 {"HostConfig": {"Binds": [f"/tmp:/mnt/b{i}" for i in range(400)]}},
                 {"Cmd": ["true"] + ["a" * 1000] * 1000},
                 {"ExposedPorts": {f"{i}/tcp": {} for i in range(1, 4000)}},
                 {"HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 100}] * 1000}},
                 {"HostConfig": {"ExtraHosts": [f"h{i}:1.2.3.4" for i in range(4000)]}},
                 {"HostConfig": {"GroupAdd": [str(i) for i in range(1000)]}},
                 {"HostConfig": {"ShmSize": 1 << 62}}, {"HostConfig": {"ShmSize": 1}}):
        container = create(d, **body)
        reply = d.request("POST", f"/containers/{container}/start")
        equal(reply.status, 204, (str(body)[:80], reply))
        equal(d.request("POST", f"/containers/{container}/wait").json["StatusCode"], 0, str(body)[:80])
        d.ok("rm", "-f", container)


def test_more_than_one_may_ask(d):
    """Refused, at the latest by the start, with a reason; and nothing is left."""
    if STOCK:
        return
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    before = d.settled_census()
    for body, text in (({"HostConfig": {"Binds": [f"/tmp:/mnt/b{i}" for i in range(1000)]}}, "binds"),
                       ({"HostConfig": {"Tmpfs": {"/t": "size=-5"}}}, "invalid"),
                       ({"HostConfig": {"Tmpfs": {"/": ""}}}, ""),
                       ({"HostConfig": {"NanoCpus": 10 ** 18}}, "CPUs"),
                       ({"HostConfig": {"GroupAdd": [str(i) for i in range(70000)]}}, ""),
                       ({"HostConfig": {"Binds": ["/tmp:/"]}}, ""),
                       ({"HostConfig": {"Binds": ["/tmp:/../.."]}}, ""),
                       ({"WorkingDir": "relative"}, ""), ({"WorkingDir": "/" + "a/" * 5000}, ""),
                       ({"User": "x" * 100000}, ""), ({"User": "0:0:0"}, ""), ({"User": "-1"}, ""),
                       ({"User": "4294967296"}, ""), ({"User": "../../etc/passwd"}, ""),
                       ({"HostConfig": {"Devices": [{"PathOnHost": "/proc/1/mem", "PathInContainer": "/dev/m"}]}}, ""),
                       ({"HostConfig": {"CgroupParent": "../../../x"}}, ""),
                       ({"HostConfig": {"Sysctls": {"net/../../kernel/core_pattern": "x"}}}, ""),
                       ({"HostConfig": {"Sysctls": {"net.ipv4.ip_forward": "1\n2"}}}, "")):
        reply = d.request("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], **body})
        container = reply.json.get("Id")
        if reply.status == 201:
            reply = d.request("POST", f"/containers/{container}/start")
        assert reply.status in (400, 404, 409, 413, 500), (str(body)[:80], reply)
        has(reply.message, text)
        if container:
            d.ok("rm", "-f", container)
    d.assert_counts(before)


def test_more_than_the_kernel_takes(d):
    """What execve(2) refuses ends the container, which says why, as under the others."""
    for body in ({"Env": ["A=" + "x" * 200000]}, {"Cmd": ["true", "a" * 200000]}, {"Cmd": ["true"] + ["a" * 1000] * 3000}):
        container = create(d, **body)
        d.request("POST", f"/containers/{container}/start")
        d.wait_state(container, "exited", "created")
        assert d.state(container)["ExitCode"] != 0
        has(d.ctl("logs", container).err + d.state(container)["Error"], "argument list too long")


def test_names_are_raced_for(d):
    """Many create and rename to few names: each has one owner at any time, and what is refused is refused by 409."""
    found, lock = [], threading.Lock()

    def racer(seed):
        rng = random.Random(seed)
        for _ in range(30):
            name = f"name{rng.randrange(3)}"
            if rng.random() < 0.5:
                reply = d.request("POST", f"/containers/create?name={name}", {"Image": "busybox", "Cmd": ["true"]})
            else:
                reply = d.request("POST", f"/containers/name{rng.randrange(3)}/rename?name={name}")
            gone = d.request("DELETE", f"/containers/{name}?force=1")
            with lock:
                found.extend((reply.status, gone.status))

    threads = [threading.Thread(target=racer, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) <= {201, 204, 400, 404, 409}, set(found)
    names = [name for entry in d.request("GET", "/containers/json?all=1").json for name in entry["Names"]]
    equal(len(names), len(set(names)))


# Processes

def test_a_fork_bomb(d):
    container = d.run_detached("--pids-limit", "50", "busybox", "sh", "-c",
                               "f() { f | f & }; (f) 2>/dev/null; while :; do sleep 1 || :; done")
    time.sleep(0.5)
    top = d.request("GET", f"/containers/{container}/top")
    equal(top.status, 200, top)
    assert len(top.json["Processes"]) <= 50
    equal(d.shell("echo others"), "others")
    started = d.request("POST", f"/containers/{container}/exec", {"Cmd": ["true"]}).json["Id"]
    d.request("POST", f"/exec/{started}/start", {"Detach": True})  # there may be no room for it
    pid = d.state(container)["Pid"]
    group = host.cgroup_file(pid, "pids", "cgroup.procs")
    d.ok("rm", "-f", container)
    assert group is None or not os.path.exists(group)


def test_a_container_that_stopped_itself(d):
    for how in (("stop", "-t", "1"), ("kill",), ("rm", "-f"), ("restart", "-t", "0")):
        container = d.run_detached("busybox", "sh", "-c", "while :; do sleep 0.1; done")
        os.kill(d.state(container)["Pid"], signal.SIGSTOP)
        d.ok(*how, container)


def test_a_shim_that_is_killed(d):
    """Whoever waits, follows or is attached is told; everything of it goes."""
    if STOCK:
        return
    before = d.settled_census()
    for _ in range(3):
        container = d.run_detached("-p", "127.0.0.1::80", "busybox", "sh", "-c", "sleep 1000 & sleep 2000")
        clients = [d.spawn_client(*args) for args in (("wait", container), ("logs", "-f", container),
                                                      ("attach", container), ("exec", container, "sleep", "1000"))]
        wait_for(lambda c=container: len(d.request("GET", f"/containers/{c}/top").json["Processes"]) == 3, "the exec")
        time.sleep(0.1)
        os.kill(shim_of(d, container), signal.SIGKILL)
        for client in clients:
            client.communicate(timeout=20 * SLOW)
        equal(d.state(container)["Status"], "exited")
        equal(d.state(container)["ExitCode"], 137)
        d.ok("start", container)
        d.ok("rm", "-f", container)
    d.assert_counts(before)


def test_a_shim_that_sleeps(d):
    """Only its own container waits for it."""
    if STOCK:
        return
    container = d.sleeper()
    shim = shim_of(d, container)
    os.kill(shim, signal.SIGSTOP)
    try:
        clients = [d.spawn_client(*args) for args in (("exec", container, "echo", "late"), ("wait", container),
                                                      ("stop", "-t", "0", container))]
        for _ in range(3):
            equal(d.shell("echo others"), "others")
        d.ok("ps", "-a")
        d.inspect(container)
    finally:
        os.kill(shim, signal.SIGCONT)
    for client in clients[1:]:
        client.communicate(timeout=30 * SLOW)
        equal(client.returncode, 0)
    clients[0].communicate(timeout=30 * SLOW)


def test_shims_are_killed_under_load(d):
    if STOCK:
        return
    before = d.settled_census()
    over = threading.Event()

    def run():
        while not over.is_set():
            d.ctl("run", "--rm", "-p", "127.0.0.1::80", "busybox", "sh", "-c", "sleep 0.02; echo x")

    def kill():
        rng = random.Random(1)
        while not over.is_set():
            mine = [pid for pid in host.pids() if host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1:2] == [str(d.pid)]
                    and host.read(f"/proc/{pid}/cmdline").startswith("containerd-lite-shim")]
            for pid in mine:
                if rng.random() < 0.3:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            time.sleep(rng.uniform(0, 0.02))

    threads = [threading.Thread(target=run) for _ in range(3)] + [threading.Thread(target=kill)]
    for thread in threads:
        thread.start()
    time.sleep(4)
    over.set()
    for thread in threads:
        thread.join()
    equal(d.shell("echo alive"), "alive")
    d.clean()
    d.assert_counts(before)


# Files

def test_the_run_directory_is_deleted(d):
    """Of a running container: it goes on, can be stopped and removed; the next daemon ends what it cannot reach."""
    if STOCK:
        return
    before = d.settled_census()
    container = d.sleeper()
    shutil.rmtree(f"{d.run}/{container}")
    equal(d.exec(container, "echo", "hi"), "hi")
    d.ok("stop", "-t", "0", container)
    equal(d.state(container)["ExitCode"], 137)
    d.ok("start", container)
    equal(d.exec(container, "echo", "hi"), "hi")
    pid = d.state(container)["Pid"]
    d.stop()
    shutil.rmtree(f"{d.run}/{container}")
    d.start()
    wait_for(lambda: d.state(container)["Status"] == "exited", "the lost container to be ended")
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "its process to end")
    d.ok("start", container)
    d.ok("rm", "-f", container)
    d.assert_counts(before)


def test_garbage_in_the_run_directory(d):
    """What lies there is not believed."""
    if STOCK:
        return
    before = d.settled_census()
    keep, gone = d.sleeper(), d.sleeper()
    pid = d.state(gone)["Pid"]
    d.stop()
    os.unlink(f"{d.run}/{gone}/shim.sock")
    with open(f"{d.run}/{gone}/exit", "wb") as file:
        file.write(b"\xff" * 100000)
    stray = f"{d.run}/{'ab' * 32}"
    os.mkdir(stray)
    os.symlink("/etc", f"{stray}/etc")
    os.mkfifo(f"{stray}/exit")
    os.symlink("/etc", f"{d.run}/{'cd' * 32}")
    with open(f"{d.run}/{'ef' * 32}", "w") as file:
        file.write("a file")
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.mkdir(f"{d.run}/{'12' * 32}")
    silent.bind(f"{d.run}/{'12' * 32}/shim.sock")
    d.start()
    silent.close()
    assert os.path.exists("/etc/passwd")
    equal([name for name in os.listdir(d.run) if len(name) == 64], [keep])
    equal((d.state(keep)["Status"], d.state(gone)["Status"], d.state(gone)["ExitCode"]), ("running", "exited", 255))
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the unreachable container to end")
    d.clean()
    d.assert_counts(before)


def test_the_container_directory_is_deleted(d):
    if STOCK:
        return
    before = d.settled_census()
    running, down = d.sleeper(), create(d)
    for container in (running, down):
        shutil.rmtree(f"{d.data}/containers/{container}", ignore_errors=True)
    d.request("GET", f"/containers/{running}/json?size=1")
    d.ctl("logs", running)
    d.ok("restart", "-t", "0", running)
    d.ok("rm", "-f", running, down)
    d.assert_counts(before)
