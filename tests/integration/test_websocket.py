"""GET /containers/{id}/attach/ws: attach over a WebSocket."""
import os
import socket
import time

from harness import VERSION, equal, has, wait_for
from websocket import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, frame

ALL = "stream=1&stdin=1&stdout=1&stderr=1"


def created(d, script, **body):
    return d.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sh", "-c", script], "OpenStdin": True,
                                                "StdinOnce": True, **body}, status=201).json["Id"]


def started(d, script, **body):
    container = created(d, script, **body)
    d.api("POST", f"/containers/{container}/start", status=204)
    return container


def attach(d, container, parameters=ALL, version=VERSION, **how):
    return WebSocket(d, f"/{version}/containers/{container}/attach/ws?{parameters}", **how)


def test_both_ways(d):
    container = created(d, "while read l; do echo out $l; echo err $l >&2; done; exit 4")
    with attach(d, container) as ws:
        has(ws.head, "101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
        d.api("POST", f"/containers/{container}/start", status=204)
        ws.send(TEXT, b"one\n")
        seen = ws.read_until(b"err one\n")
        has(seen, b"out one\n")
        ws.send(BINARY, b"two\n")
        ws.read_until(b"err two\n")
        ws.sock.shutdown(socket.SHUT_WR)  # the end of its input
        equal(ws.read_close()[1], 1000)
    equal(d.api("POST", f"/containers/{container}/wait").json["StatusCode"], 4)


def test_bytes_are_raw(d):
    """No heads of a multiplexed stream, in the log's replay neither; nothing lost at any size."""
    container = started(d, "cat; echo behind >&2")
    sent = os.urandom(1 << 20)
    with attach(d, container, "stream=1&stdin=1&stdout=1&stderr=1") as ws:
        pieces = [sent[i:i + 70000] for i in range(0, len(sent), 70000)]
        received = b""
        for piece in pieces:
            ws.send(BINARY, piece)
            while len(received) < len(sent) and len(received) < sum(map(len, pieces[:pieces.index(piece) + 1])):
                received += ws.receive()[1]
        equal(received == sent, True, "what came back")
        ws.sock.shutdown(socket.SHUT_WR)
        equal(ws.read_close(), (b"behind\n", 1000))
    written = d.run_detached("busybox", "sh", "-c", "echo logged; echo too >&2; exec sleep 1000")
    wait_for(lambda: "too" in d.ctl("logs", written).err, "the log")
    with attach(d, written, "logs=1&stream=1&stdout=1&stderr=1") as ws:
        seen = b""
        while len(seen) < 11:
            seen += ws.receive()[1]
        equal(sorted(seen.split()), [b"logged", b"too"])
    with attach(d, written, "logs=1&stdout=1") as ws:
        equal(ws.read_close(), (b"logged\n", 1000))


def test_kinds_of_messages(d):
    container = started(d, "cat")
    with attach(d, container, version="v1.27") as ws:
        ws.send(TEXT, b"old\n")
        ws.read_until(b"old\n", TEXT)
    with attach(d, d.sleeper(), headers="Sec-WebSocket-Protocol: chat, other\r\n") as ws:
        has(ws.head, "\r\nSec-WebSocket-Protocol: chat")


def test_fragments_pings_and_early_bytes(d):
    container = started(d, "cat")
    with attach(d, container, early=frame(TEXT, b"ear", final=False) + frame(PING, b"hello") + frame(0, b"ly\n")) as ws:
        seen = b""
        pongs = []
        while b"early\n" not in seen or not pongs:
            kind, data = ws.receive()
            if kind == PONG:
                pongs.append(data)
            else:
                seen += data
        equal((seen, pongs), (b"early\n", [b"hello"]))
        for byte in frame(BINARY, b"slowly\n"):
            ws.sock.sendall(bytes([byte]))
        ws.read_until(b"slowly\n")
        ws.send(PONG, b"nobody asked")
        ws.send(BINARY)
        ws.send(CLOSE, b"\x03\xe9bye")
        equal(ws.read_close(), (b"", 1001))


def test_leaving_does_not_end_it(d):
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    before = d.settled_census()
    container = started(d, "while :; do echo tick; sleep 0.1; done", StdinOnce=False)
    for how in ("close", "vanish"):
        with attach(d, container) as ws:
            ws.read_until(b"tick")
            if how == "close":
                ws.send(CLOSE)
                equal(ws.read_close()[1], 1000)
    equal(d.state(container)["Running"], True)
    d.ok("rm", "-f", container)
    d.assert_counts(before)


def test_detach_keys(d):
    container = started(d, "cat", Tty=True)
    with attach(d, container, f"{ALL}&detachKeys=ctrl-a,x") as ws:
        ws.send(TEXT, b"hi\r")
        ws.read_until(b"hi")
        ws.send(TEXT, b"\x01x")
        equal(ws.read_close()[1], 1000)
    equal(d.state(container)["Running"], True)


def test_what_a_client_must_not_send(d):
    container = started(d, "cat", StdinOnce=False)
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    before = d.settled_census()
    for data, status in ((frame(TEXT, b"x", masked=False), 1002), (frame(0, b"x"), 1002), (frame(3, b"x"), 1002),
                         (frame(11), 1002), (b"\xc1" + frame(TEXT, b"x")[1:], 1002), (frame(PING, b"x" * 126), 1002),
                         (frame(PING, b"x", final=False), 1002), (frame(CLOSE, b"x"), 1002),
                         (frame(TEXT, b"x", final=False) + frame(TEXT, b"y"), 1002),
                         (frame(BINARY, b"", length=(16 << 20) + 1), 1009), (frame(BINARY, b"", length=1 << 62), 1009)):
        with attach(d, container, early=data) as ws:
            equal(ws.read_close()[1], status, data[:20])
    with attach(d, container) as ws:  # who pings and does not read
        ws.sock.setblocking(False)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += ws.sock.send(frame(PING, b"p" * 125) * 100)
        except BlockingIOError:
            pass
        assert sent < 8 << 20, sent
        equal(d.request("GET", "/_ping").status, 200)
    equal(d.state(container)["Running"], True)
    d.assert_counts(before)


def test_a_client_that_does_not_read(d):
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    before = d.settled_census()
    container = created(d, "head -c 20000000 /dev/zero; echo over >&2; sleep 1000")
    with attach(d, container, "stream=1&stdout=1"), attach(d, container, "stream=1&stderr=1") as other:
        d.api("POST", f"/containers/{container}/start", status=204)
        other.read_until(b"over")
    d.ok("rm", "-f", container)
    d.assert_counts(before)


def test_refused(d):
    container = d.sleeper()
    for headers in ({}, {"Upgrade": "tcp", "Connection": "Upgrade"},
                    {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"},
                    {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "12",
                     "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="},
                    {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                     "Sec-WebSocket-Key": "c2hvcnQ="}):
        reply = d.api("GET", f"/containers/{container}/attach/ws", headers=headers)
        equal(reply.status, 400, headers)
    equal(d.api("GET", "/containers/nope/attach/ws").status, 404)
    equal(attach(d, container, f"{ALL}&detachKeys=nonsense").status, 400)
    d.ok("pause", container)
    reply = d.api("GET", f"/containers/{container}/attach/ws")
    equal((reply.status, "is paused" in reply.message), (409, True))
    d.ok("unpause", container)
    # The sample of RFC 6455, 1.3.
    with attach(d, container, key="dGhlIHNhbXBsZSBub25jZQ==") as ws:
        has(ws.head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")


def test_both_close(d):
    """RFC 6455, 7.1.1: who closes waits for the other's close frame, but not for ever."""
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was removed before to be deleted")
    before = d.settled_census()
    container = started(d, "read x; echo got $x; read y; echo got $y", StdinOnce=False)
    with attach(d, container) as ws, attach(d, container) as silent:
        ws.send(TEXT, b"one\n")
        ws.read_until(b"got one\n")
        ws.send(TEXT, b"two\n")
        while (seen := ws.receive())[0] != CLOSE:
            pass
        equal(seen, (CLOSE, b"\x03\xe8"))
        time.sleep(0.2)
        for kind in (TEXT, PING, BINARY):  # it is not heard any more, but may still be on its way
            ws.send(kind, b"late\n")
        ws.send(CLOSE, b"\x03\xe8")
        equal(ws.sock.recv(100), b"")
        equal(silent.read_close(answer=False)[1], 1000)
    # The last message before its close frame comes through.
    container = started(d, "read x; echo got $x; read y; exec sleep 1000", StdinOnce=False)
    with attach(d, container, early=frame(TEXT, b"last\n") + frame(CLOSE, b"\x0b\xb8")) as ws:
        equal(ws.read_close(answer=False)[1], 3000)
    wait_for(lambda: d.ok("logs", container) == "got last", "the message")
    for status in (999, 1004, 1005, 1006, 1015, 2999, 5000):
        with attach(d, container, early=frame(CLOSE, status.to_bytes(2, "big"))) as ws:
            equal(ws.read_close(answer=False)[1], 1002)
    d.clean()
    d.assert_counts(before)


def test_the_daemon_stops(d):
    """The session ends with it; the container does not."""
    container = started(d, "while :; do echo tick; sleep 0.05; done", StdinOnce=False)
    with attach(d, container) as ws:
        ws.read_until(b"tick")
        d.stop()
        equal(ws.read_close()[1], 1001)
    d.start()
    equal(d.state(container)["Running"], True)
    time.sleep(0.1)
