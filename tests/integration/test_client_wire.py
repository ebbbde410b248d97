"""ctlc against a daemon that is played here: orders of bytes that the real one shows only now and then."""
import contextlib
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time

from harness import CTLC, SLOW, STOCK, equal

ID = "a" * 64


def reply(status, body=b"", headers=""):
    return f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


EXITED_7 = reply(200, b'{"StatusCode":7}')


class Fake:
    """Answers create, attach, wait and start; wait(n, connection) is the test's, n counts from 0."""

    def __init__(self, wait):
        self.directory = tempfile.TemporaryDirectory()
        self.sock = f"{self.directory.name}/sock"
        self.wait, self.waits, self.attached = wait, 0, None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.sock)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        data = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head, re.I)
            while length and len(body) < int(length[1]):
                body += connection.recv(65536)
            self.answer(head.split(b"\r\n")[0].decode(), connection)

    def answer(self, line, connection):
        if "/wait" in line:
            self.waits += 1
            self.wait(self.waits - 1, connection)
        elif "/attach" in line:
            connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            self.attached = connection
        elif "/create" in line:
            connection.sendall(reply(201, json.dumps({"Id": ID, "Warnings": []}).encode()))
        else:
            connection.sendall(b"HTTP/1.1 204 x\r\n\r\n")

    def run(self, **options):
        return subprocess.Popen([CTLC, "-H", f"unix://{self.sock}", "run", "-i", "busybox", "cat"],
                                env=dict(os.environ, LC_ALL="C.UTF-8"), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def close(self):
        self.listener.close()
        self.directory.cleanup()


@contextlib.contextmanager
def fake(wait):
    f = Fake(wait)
    try:
        yield f
    finally:
        f.close()


def finish(client, f):
    """The stream ends, and so must the client."""
    while f.attached is None:
        time.sleep(0.01)
    f.attached.shutdown(socket.SHUT_RDWR)
    try:
        out, err = client.communicate(timeout=20 * SLOW)
    finally:
        client.kill()
    equal(client.returncode, 7, (out, err))


def test_answer_in_one_piece_with_its_head():
    if STOCK:
        return
    with fake(lambda n, c: c.sendall(EXITED_7)) as f:
        finish(f.run(stdin=subprocess.DEVNULL), f)


def test_answer_in_one_piece_when_asked_again():
    if STOCK:
        return

    def wait(n, connection):
        if n == 0:
            connection.sendall(EXITED_7.partition(b"{")[0])
            while f.attached is None:
                time.sleep(0.01)
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.sendall(EXITED_7)

    with fake(wait) as f:
        finish(f.run(stdin=subprocess.DEVNULL), f)
        equal(f.waits, 2)


def test_stream_goes_on_while_the_daemon_is_slow():
    """Somebody else listens on the socket of a daemon that is being replaced: the service manager."""
    if STOCK:
        return
    asked, go = threading.Event(), threading.Event()

    def wait(n, connection):
        if n == 0:
            connection.sendall(EXITED_7.partition(b"{")[0])
            while f.attached is None:
                time.sleep(0.01)
            connection.shutdown(socket.SHUT_RDWR)
        else:
            asked.set()
            go.wait(30 * SLOW)
            connection.sendall(EXITED_7)

    with fake(wait) as f:
        client = f.run(stdin=subprocess.PIPE)
        assert asked.wait(20 * SLOW), "asked again"
        client.stdin.write(b"typed\n")
        client.stdin.flush()
        f.attached.settimeout(20 * SLOW)
        equal(f.attached.recv(100), b"typed\n")
        go.set()
        finish(client, f)
