"""A WebSocket client (RFC 6455) small enough to send what a client must not."""
import base64
import contextlib
import hashlib
import os
import socket
import struct

from harness import SLOW

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(op, data=b"", final=True, masked=True, length=None):
    size = len(data) if length is None else length
    head = bytes([(0x80 if final else 0) | op])
    if size < 126:
        head += bytes([(0x80 if masked else 0) | size])
    elif size < 65536:
        head += bytes([(0x80 if masked else 0) | 126]) + struct.pack(">H", size)
    else:
        head += bytes([(0x80 if masked else 0) | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + data
    mask = os.urandom(4)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


class WebSocket:
    def __init__(self, d, path, headers="", early=b"", key=None):
        key = key or base64.b64encode(os.urandom(16)).decode()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20 * SLOW)
        self.sock.connect(d.sock)
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                          f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode() + early)
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(self.head.split()[1])
        if self.status == 101:
            accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
            assert f"Sec-WebSocket-Accept: {accept}" in self.head, self.head

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def more(self):
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError
        self.data += data

    def take(self, size):
        while len(self.data) < size:
            self.more()
        data, self.data = self.data[:size], self.data[size:]
        return data

    def send(self, op, data=b"", **how):
        self.sock.sendall(frame(op, data, **how))

    def receive(self):
        """(op, payload) of the next frame."""
        first, second = self.take(2)
        assert first & 0xf0 == 0x80 and second < 0x80, (first, second)  # whole messages, not masked
        size = second
        if size == 126:
            size = struct.unpack(">H", self.take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.take(8))[0]
        return first & 0xf, self.take(size)

    def read_until(self, text, op=BINARY):
        """Messages of that kind until the text is there."""
        seen = b""
        while text not in seen:
            kind, data = self.receive()
            assert kind == op, (kind, data, seen)
            seen += data
        return seen

    def read_close(self, answer=True):
        """The output that is left, and the status of the close frame, which is answered; then the daemon hangs up."""
        seen = b""
        while True:
            kind, data = self.receive()
            if kind == CLOSE:
                break
            if kind in (TEXT, BINARY):
                seen += data
        if answer:
            with contextlib.suppress(BrokenPipeError):  # hung up already: it was our turn to close first
                self.send(CLOSE, data[:2])
        try:
            self.more()
            raise AssertionError("something follows the close frame")
        except (EOFError, ConnectionResetError):
            return seen, struct.unpack(">H", data[:2])[0]
