"""Many streams at once, readers that are slow, requests that never end: nobody waits for them, and nothing is left."""
import contextlib
import json
import os
import re
import resource
import select
import selectors
import socket
import threading
import time

from harness import SLOW, STOCK, demultiplex, equal, has, wait_for
from test_abuse import create

STREAMS = 1000 if SLOW <= 1 else 300
REQUESTS = 10000 if SLOW <= 1 else 2000
IN_FLIGHT = 32
ATTACHED_MAX = 1024  # SHIM_ATTACH_MAX
EVENTS = 28  # of 60 kB: more than one reader may be behind, less than a file of the journal with those of the end


def settled(d):
    """What comes with the first use of a thing is there, what others left is gone."""
    d.ok("logs", "-f", d.run_detached("--rm", "busybox", "sleep", "0.3"))
    wait_for(lambda: d.census()["descriptors: socket"] <= 12, "connections to go")
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    return {**d.settled_census(), "threads": threads(d)}


def threads(d):
    return len(os.listdir(f"/proc/{d.pid}/task"))


def resident(pid):
    """MiB."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s*(\d+)", file.read()).group(1)) >> 10


def unchanged(d, before):
    """Descriptors, processes, files of the store; threads too."""
    before = dict(before)
    wait_for(lambda before=before["threads"]: threads(d) <= max(before, 5), "threads to go")
    del before["threads"]
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "files in tmp to go")
    d.assert_counts(before)


def connected(d):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30 * SLOW)
    sock.connect(d.sock)
    return sock


@contextlib.contextmanager
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def answering(d):
    """Another client asks all the while, and is answered each time."""
    over, worst = threading.Event(), []

    def ask():
        while not over.is_set():
            begun = time.monotonic()
            try:
                status = d.request("GET", "/_ping", limit=10).status
            except OSError as error:
                status = error
            worst.append((time.monotonic() - begun, status))
            time.sleep(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield worst
    finally:
        over.set()
        thread.join()
    assert worst and {status for _, status in worst} == {200}, worst[-3:]


def read_all(socks, done, limit=60):
    """Read whatever comes on any of them until done(bytes of each) says so of every one."""
    data = {sock: b"" for sock in socks}
    left = set(socks)
    deadline = time.monotonic() + limit * SLOW
    with selectors.EpollSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ)
        while left:
            assert time.monotonic() < deadline, (len(left), [data[s][-200:] for s in list(left)[:2]])
            for key, _ in selector.select(1):
                more = key.fileobj.recv(65536)
                data[key.fileobj] += more
                if done(data[key.fileobj], not more):
                    left.discard(key.fileobj)
                if not more:
                    selector.unregister(key.fileobj)
                    assert key.fileobj not in left, data[key.fileobj][-300:]
    return data


# Many


def test_a_thousand_streams(d):
    """attach, logs and events of one container: all of them get all of it."""
    if STOCK:
        return
    container = create(d, Cmd=["sh", "-c", "while read l; do echo $l; done; sleep 1000"], OpenStdin=True)
    d.ok("start", container)
    before = settled(d)
    with many_descriptors(), contextlib.ExitStack() as stack, answering(d):
        def opened(head):
            sock = stack.enter_context(connected(d))
            sock.sendall(f"{head} HTTP/1.1\r\nHost: x\r\n".encode()
                         + (b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" if head.startswith("POST") else b"\r\n"))
            return sock

        events = [opened(f'GET /events?filters={{"container":["{container}"]}}') for _ in range(STREAMS * 3 // 10)]
        logs = [opened(f"GET /containers/{container}/logs?stdout=1&follow=1") for _ in range(STREAMS * 3 // 10)]
        attached = [opened(f"POST /containers/{container}/attach?stream=1&stdout=1") for _ in range(STREAMS * 4 // 10)]
        heads = read_all(events + logs + attached, lambda data, _: b"\r\n\r\n" in data)
        equal({data.split(b"\r\n")[0] for data in heads.values()}, {b"HTTP/1.1 200 OK", b"HTTP/1.1 101 UPGRADED"})
        speaker = opened(f"POST /containers/{container}/attach?stream=1&stdin=1")
        speaker.recv(1000)
        speaker.sendall(b"one for all\n")
        read_all(logs + attached, lambda data, _: b"one for all\n" in data)
        equal(d.request("POST", f"/containers/{container}/rename?name=renamed").status, 204)
        read_all(events, lambda data, _: b'"rename"' in data)
        for sock in events[::2] + logs[::2] + attached[::2]:
            sock.close()
        speaker.sendall(b"one for the rest\n")
        read_all(logs[1::2] + attached[1::2], lambda data, _: b"one for the rest\n" in data)
        d.ok("kill", container)
        read_all(logs[1::2] + attached[1::2], lambda data, ended: ended or data.endswith(b"0\r\n\r\n"))
        wait_for(lambda: not d.state(container)["Running"], "its end")
    d.ok("start", container)
    unchanged(d, before)


def test_no_more_clients_than_there_is_room_for(d):
    """The one too many is told so in its stream; the others do not notice."""
    if STOCK:
        return
    container = d.run_detached("busybox", "sleep", "1000")
    with many_descriptors(), contextlib.ExitStack() as stack:
        def opened():
            sock = stack.enter_context(connected(d))
            sock.sendall(f"POST /containers/{container}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
            return sock
        room = [opened() for _ in range(ATTACHED_MAX)]
        read_all(room, lambda data, _: b"\r\n\r\n" in data)
        data = read_all([opened()], lambda _, ended: ended).popitem()[1].partition(b"\r\n\r\n")[2]
        out, err = demultiplex(data)
        equal((out, err.endswith(b"too many clients are attached: cut off\n")), (b"", True))
        ready = select.poll()
        for sock in room:
            ready.register(sock, select.POLLIN)
        equal(ready.poll(0), [])
    d.ok("rm", "-f", container)


def test_requests_side_by_side(d):
    """Short ones of all kinds, 32 at a time on connections that are kept: each gets its own answer."""
    container = d.sleeper("--name", "asked")
    before = settled(d)
    paths = [("/_ping", b"OK"), ("/version", b'"ApiVersion"'), ("/containers/json", container.encode()),
             ("/containers/asked/json", container.encode()), ("/containers/none/json", b"No such container: none"),
             ("/images/json", b"busybox"), ("/networks", b"bridge"), ("/info", b'"Containers"')]
    asked, answered = 0, 0
    with contextlib.ExitStack() as stack, selectors.EpollSelector() as selector:
        def ask(sock):
            nonlocal asked
            path, wanted = paths[asked % len(paths)]
            asked += 1
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            waiting[sock] = [b"", wanted]

        waiting = {}
        for _ in range(IN_FLIGHT):
            sock = stack.enter_context(connected(d))
            selector.register(sock, selectors.EVENT_READ)
            ask(sock)
        while answered < REQUESTS:
            ready = selector.select(20 * SLOW)
            assert ready, "no answer"
            for key, _ in ready:
                sock = key.fileobj
                waiting[sock][0] += sock.recv(65536)
                data, wanted = waiting[sock]
                head, _, body = data.partition(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head, re.I)
                if not length or len(body) < int(length.group(1)):
                    continue
                assert wanted in body, (wanted, data)
                equal(len(body), int(length.group(1)), head)
                answered += 1
                ask(sock)
    unchanged(d, before)


# Slow


def created_events(data):
    return len(re.findall(rb'"Action": ?"create"', data))


def fill_events(d, count):
    """So many events of 60 kB each."""
    body = {"Image": "busybox", "Labels": {"l": "x" * 60000}}
    for n in range(count):
        equal(d.request("POST", f"/containers/create?name=event{n}", body).status, 201)


def test_slow_readers_of_events(d):
    """Who is too far behind is told so and cut; nobody else is, and what waits for them is bounded."""
    if STOCK:
        return
    before = settled(d)
    with contextlib.ExitStack() as stack, answering(d):
        slow = [stack.enter_context(connected(d)) for _ in range(10)]
        good = stack.enter_context(connected(d))
        for sock in slow + [good]:
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in sock.recv(1000)
        memory = resident(d.pid)
        thread = threading.Thread(target=fill_events, args=(d, EVENTS))
        thread.start()
        data = read_all([good], lambda data, _: created_events(data) == EVENTS)[good]
        thread.join()
        assert b'"cut"' not in data
        assert resident(d.pid) - memory < 24 or SLOW > 1, (memory, resident(d.pid))
        # What was kept for it, and why there is no more; the end of the chunked body is missing.
        data = read_all(slow[:1], lambda _, ended: ended)[slow[0]]
        chunks = re.split(rb"\r\n[0-9a-f]+\r\n", b"\r\n" + data)
        assert data.endswith(b"}\n\r\n") and not data.endswith(b"0\r\n\r\n"), data[-100:]
        last = json.loads(chunks[-1])
        equal((last["Type"], last["Action"]), ("daemon", "cut"))
        has(last["Actor"]["Attributes"]["error"], "1048576 bytes behind")
        assert 10 < created_events(data) < EVENTS, created_events(data)
        # Who never reads is hung up on.
        hung = select.poll()
        for sock in slow[1:]:
            hung.register(sock, select.POLLRDHUP)
        wait_for(lambda: len(hung.poll(0)) == len(slow) - 1, "the others to be hung up on", 30)
    d.clean()
    unchanged(d, before)


def test_slow_readers_of_a_log(d):
    """The log waits for them on the disk."""
    before = settled(d)
    container = d.run_detached("busybox", "sh", "-c", "seq 1000000; sleep 1000")
    memory = resident(d.pid)
    with contextlib.ExitStack() as stack, answering(d):
        slow = [stack.enter_context(connected(d)) for _ in range(10)]
        for sock in slow:
            sock.sendall(f"GET /containers/{container}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for(lambda: d.request("GET", f"/containers/{container}/logs?stdout=1&tail=1").body.endswith(b"1000000\n"),
                 "the log", 60)
        time.sleep(0.5)
        assert resident(d.pid) - memory < 40 or SLOW > 1, (memory, resident(d.pid))
        read_all(slow[:2], lambda data, _: b"1000000\n" in data[-100:])
    d.ok("rm", "-f", container)
    unchanged(d, before)


# Without end


def test_a_byte_at_a_time(d):
    """Heads, bodies and uploads that trickle in: each is answered in the end, nobody waits for them."""
    body = b'{"Image":"busybox","Cmd":["true"]}'
    container = create(d)
    d.request("PUT", f"/containers/{container}/archive?path=/", b"no tar")  # the container's directories are there
    before = settled(d)
    requests = ([b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"] * 10
                + [b"GET /containers/json HTTP/1.0\r\n\r\n"] * 5
                + [b"POST /images/busybox/tag?repo=slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                   b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"] * 5
                + [b"POST /containers/nope/rename?name=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                   % (len(body), body)] * 5
                + [b"PUT /containers/%s/archive?path=/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20\r\n\r\n"
                   % container.encode() + b"no tar, byte by byte"] * 5)
    with contextlib.ExitStack() as stack, answering(d):
        socks = [stack.enter_context(connected(d)) for _ in requests]
        for at in range(max(map(len, requests))):
            for sock, data in zip(socks, requests):
                if at < len(data):
                    sock.sendall(data[at:at + 1])
            time.sleep(0.02)
        answers = read_all(socks, lambda _, ended: ended)
    found = [answers[sock].split(b" ")[1] for sock in socks]
    equal(found[:25], [b"200"] * 15 + [b"201"] * 5 + [b"404"] * 5)
    assert set(found[25:]) <= {b"400", b"500"}, found[25:]
    d.ok("rmi", "slow")
    unchanged(d, before)


def test_what_no_client_should_send_leaves_nothing(d):
    """Heads too long, half a request and no more, many in one packet, silence: again and again."""
    pieces = [b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n\r\n", b"GET /_ping HTTP/1.1\r\n" + b"X: y\r\n" * 30000,
              b"GET /_ping HTTP/1.1\r\nX: " + b"y" * 200000, b"GET /_ping HTTP/1.1\r\nHo",
              b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 50 + b"GET /_pi", b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
              b"POST /containers/create HTTP/1.1\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{\"Ima",
              b"POST /containers/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{", b""]

    def round_of():
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(connected(d)) for _ in pieces * 4]
            for n, (sock, data) in enumerate(zip(socks, pieces * 4)):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    sock.sendall(data)
                    if n % 2:
                        sock.shutdown(socket.SHUT_WR)
            time.sleep(0.05)

    with answering(d):
        for _ in range(3):
            round_of()
    before, memory = settled(d), resident(d.pid)
    with answering(d):
        for _ in range(15):
            round_of()
    unchanged(d, before)
    assert resident(d.pid) - memory < 8 or SLOW > 1, (memory, resident(d.pid))


def test_a_hundred_uploads_are_aborted(d):
    """Builds, images, archives: cut in the middle of the body in each way there is."""
    container = create(d)
    paths = [b"POST /build", b"POST /images/load", b"POST /images/create?fromSrc=-&repo=aborted",
             b"PUT /containers/%s/archive?path=/" % container.encode()]
    header = bytearray(512)  # of a tar: a file of 100 MB
    header[:4], header[100:107], header[124:135] = b"file", b"0000644", b"00575360400"
    header[257:265], header[156:157] = b"ustar\x0000", b"0"
    header[148:156] = b"%06o\0 " % (sum(header) + 8 * 32)

    def abort(n):
        sock = connected(d)
        with sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(paths[n % len(paths)] + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\n"
                         + (b"Content-Length: 100000000" if n % 3 else b"Transfer-Encoding: chunked") + b"\r\n\r\n"
                         + (b"" if n % 3 else b"fffffff\r\n") + bytes(header))
            for _ in range(n % 7):
                sock.sendall(os.urandom(50000))
            if n % 5 == 0:
                sock.shutdown(socket.SHUT_WR)
                sock.recv(65536)
            elif n % 5 == 1:
                sock.shutdown(socket.SHUT_RDWR)
            elif n % 5 == 2:
                time.sleep(0.05)

    for n in range(8):
        abort(n)
    before, memory = settled(d), resident(d.pid)
    with answering(d):
        for first in range(0, 100, 10):
            clients = [threading.Thread(target=abort, args=(first + i,)) for i in range(10)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
    unchanged(d, before)
    assert resident(d.pid) - memory < 16 or SLOW > 1, (memory, resident(d.pid))
    equal(d.ok("run", "--rm", "busybox", "echo", "well"), "well")
