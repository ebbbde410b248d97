"""Names on networks that users make: containers find each other, the rest is asked of the host's servers."""
import ctypes
import os
import random
import socket
import struct
import threading

from harness import SLOW, Daemon, equal, has, wait_for

A, PTR, TXT, AAAA, ANY = 1, 12, 16, 28, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 0, 1, 2, 3, 4
SERVER = ("127.0.0.11", 53)
IN_FLIGHT = 10000


# ---- messages ----

def encode(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def query(name, kind=A, ident=None, edns=0):
    ident = random.randrange(65536) if ident is None else ident
    text = struct.pack(">6H", ident, 0x100, 1, 0, 0, 1 if edns else 0) + encode(name) + struct.pack(">2H", kind, 1)
    return text + (b"\0" + struct.pack(">HHIH", 41, edns, 0, 0) if edns else b"")


class Answer:
    """Code, truncation and the data of the answers, of which all names are pointers to the question."""

    def __init__(self, data):
        self.id, flags, questions, answers, _, extra = struct.unpack(">6H", data[:12])
        self.code, self.truncated, self.edns = flags & 15, bool(flags & 0x200), bool(extra)
        assert flags & 0x8000 and questions <= 1, data
        at, self.found = data.index(b"\0", 12) + 5 if questions else 12, []
        for _ in range(answers):
            equal(data[at:at + 2], b"\xc0\x0c")
            kind, _, _, size = struct.unpack(">HHIH", data[at + 2:at + 12])
            rest = data[at + 12:at + 12 + size]
            self.found.append(socket.inet_ntoa(rest) if kind == A else rest)
            at += 12 + size

    def __repr__(self):
        return f"Answer({self.code}, {self.found})"


def socket_in(pid, kind):
    """A socket of the network namespace of a process; the thread that visits it ends there."""
    made = []

    def visit():
        libc = ctypes.CDLL(None, use_errno=True)
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        assert libc.setns(fd, 0x40000000) == 0, os.strerror(ctypes.get_errno())
        os.close(fd)
        made.append(socket.socket(socket.AF_INET, kind))

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    made[0].settimeout(20 * SLOW)
    return made[0]


class Client:
    """A resolver that runs in a container's network."""

    def __init__(self, d, container):
        self.pid = d.inspect(container)["State"]["Pid"]
        self.udp = socket_in(self.pid, socket.SOCK_DGRAM)
        self.udp.connect(SERVER)

    def ask(self, name, kind=A, edns=0):
        sent = query(name, kind, edns=edns)
        self.udp.send(sent)
        while True:
            got = Answer(self.udp.recv(65536))
            if got.id == struct.unpack(">H", sent[:2])[0]:
                return got

    def tcp(self):
        stream = socket_in(self.pid, socket.SOCK_STREAM)
        stream.connect(SERVER)
        return stream

    def ask_tcp(self, name, kind=A):
        with self.tcp() as stream:
            sent = query(name, kind)
            stream.sendall(struct.pack(">H", len(sent)) + sent)
            return Answer(take(stream))


def take(stream):
    file = stream.makefile("rb", 0)
    size, data = struct.unpack(">H", read(file, 2))[0], b""
    return read(file, size) + data


def read(file, n):
    data = b""
    while len(data) < n:
        more = file.read(n - len(data))
        assert more, "closed"
        data += more
    return data


class Upstream:
    """A name server on the host: WORD.example is 192.0.2.1, and what the first label says happens."""

    def __init__(self):
        self.asked, self.ports, self.held, self.hold = [], set(), [], False
        self.lock = threading.Lock()
        for _ in range(100):
            self.address = f"127.53.{random.randrange(256)}.{random.randrange(1, 255)}"
            self.udp, self.tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.udp.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
            try:
                self.udp.bind((self.address, 53))
                self.tcp.bind((self.address, 53))
                break
            except OSError:
                self.udp.close()
                self.tcp.close()
        self.tcp.listen(64)
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self.serve_udp, self.serve_tcp)]
        for thread in self.threads:
            thread.start()

    def close(self):
        for s in self.udp, self.tcp:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.udp.close()
        self.tcp.close()

    def answer(self, data, by):
        end = data.index(b"\0", 12)
        name, at = [], 12
        while at < end:
            name.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        with self.lock:
            self.asked.append((".".join(name), by))
        n, flags = 1, 0x8180
        if name[0] == "silent":
            return None
        if name[0] == "big":
            n, flags = (100, flags) if by == "tcp" else (0, flags | 0x200)
        if name[0] == "unknown":
            n, flags = 0, flags | NXDOMAIN
        return (data[:2] + struct.pack(">5H", flags, 1, n, 0, 0) + data[12:end + 5] +
                n * (b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("192.0.2.1")))

    def serve_udp(self):
        while True:
            try:
                data, who = self.udp.recvfrom(65536)
            except OSError:
                return
            if not data:
                return
            self.ports.add(who[1])
            text = self.answer(data, "udp")
            if text and self.hold:
                self.held.append((text, who))
            elif text:
                self.udp.sendto(text, who)

    def serve_tcp(self):
        while True:
            try:
                stream, _ = self.tcp.accept()
            except OSError:
                return
            with stream:
                stream.settimeout(20 * SLOW)
                text = self.answer(take(stream), "tcp")
                stream.sendall(struct.pack(">H", len(text)) + text)

    def names(self):
        with self.lock:
            return [name for name, _ in self.asked]


# ---- tests ----

def address(d, container, network):
    return d.inspect(container)["NetworkSettings"]["Networks"][network]["IPAddress"]


def resolv(d, container):
    return d.exec(container, "cat", "/etc/resolv.conf")


def looked_up(d, container, name):
    """By the C library of the image, as programs do it."""
    r = d.ctl("exec", container, "ping", "-c", "1", "-W", "5", name)
    return r.code == 0


def test_names_of_containers(d):
    d.ok("network", "create", "front")
    web = d.run_detached("--network", "front", "--name", "web", "--network-alias", "www", "--hostname", "shop", "busybox", "sleep", "1000")
    one = d.sleeper("--network", "front", "--name", "one")
    here = address(d, web, "front")
    equal(resolv(d, one).splitlines()[0], "nameserver 127.0.0.11")
    has(resolv(d, one), "options ndots:0")
    client = Client(d, one)
    for name in "web", "WEB", "www", "shop", web[:12], "web.front":
        has(d.exec(one, "nslookup", name, "127.0.0.11"), here)
        assert looked_up(d, one, name), name
        equal(client.ask(name).found, [here], name)
        equal(client.ask_tcp(name).found, [here], name)
    got = client.ask("web", AAAA)
    equal((got.code, got.found), (NOERROR, []), "known, without such an address")
    equal((client.ask("web", TXT).code, client.ask("web", TXT).found), (NOERROR, []))
    assert client.ask("web", edns=1232).edns and not client.ask("web").edns
    backwards = ".".join(reversed(here.split("."))) + ".in-addr.arpa"
    equal(client.ask(backwards, PTR).found, [encode("web.front")])
    d.ok("rename", "web", "shop2")
    equal(client.ask("shop2").found, [here])
    d.ok("rm", "-f", web, one)
    d.ok("network", "rm", "front")


def test_names_of_ipv6(d):
    d.ok("network", "create", "--ipv6", "six")
    web, one = d.sleeper("--network", "six", "--name", "web"), d.sleeper("--network", "six")
    told = d.inspect(web)["NetworkSettings"]["Networks"]["six"]
    client = Client(d, one)
    packed = socket.inet_pton(socket.AF_INET6, told["GlobalIPv6Address"])
    equal(client.ask("web", AAAA).found, [packed])
    equal(client.ask("web", A).found, [told["IPAddress"]])
    equal(client.ask("web", ANY).found, [told["IPAddress"], packed])
    backwards = ".".join(reversed(packed.hex())) + ".ip6.arpa"
    equal(client.ask(backwards, PTR).found, [encode("web.six")])
    d.ok("rm", "-f", web, one)
    d.ok("network", "rm", "six")


def test_names_go_with_their_containers(d):
    upstream = Upstream()
    d.ok("network", "create", "front")
    d.ok("network", "create", "back")
    one = d.sleeper("--network", "front", "--dns", upstream.address)
    client = Client(d, one)
    web = d.sleeper("--network", "front", "--name", "unknown")
    assert client.ask("unknown").found
    d.ok("stop", "-t", "0", web)
    equal(client.ask("unknown").code, NXDOMAIN, "asked of the upstream server now")
    d.ok("start", web)
    equal(client.ask("unknown").found, [address(d, web, "front")])
    other = d.sleeper("--network", "back", "--name", "other")
    equal(client.ask("other").found, ["192.0.2.1"], "not a name here")
    d.ok("network", "connect", "--alias", "late", "front", other)
    equal(client.ask("late").found, [address(d, other, "front")])
    d.ok("network", "disconnect", "front", other)
    equal(client.ask("late").found, ["192.0.2.1"])
    d.ok("rm", "-f", web, one, other)
    d.ok("network", "rm", "front", "back")
    upstream.close()


def test_an_alias_of_many(d):
    d.ok("network", "create", "front")
    replicas = [d.sleeper("--network", "front", "--network-alias", "api") for _ in range(3)]
    one = d.sleeper("--network", "front")
    client = Client(d, one)
    answers = [client.ask("api").found for _ in range(100)]
    equal({tuple(sorted(a)) for a in answers}, {tuple(sorted(address(d, c, "front") for c in replicas))})
    equal(len({a[0] for a in answers}), 3, "each comes first at times")
    d.ok("rm", "-f", one, *replicas)
    d.ok("network", "rm", "front")


def test_resolv_conf_of_containers(d):
    d.ok("network", "create", "front")
    upstream = Upstream()
    options = ["--dns", upstream.address, "--dns-search", "a.example", "--dns-search", "b.example", "--dns-option", "ndots:2"]
    one = d.sleeper("--network", "front", *options)
    text = resolv(d, one)
    has(text, "nameserver 127.0.0.11\n", "search a.example b.example", "options ndots:2")
    assert "ndots:0" not in text and upstream.address not in text, text
    d.exec(one, "nslookup", "word.a.example")
    two = d.sleeper(*options)
    has(resolv(d, two), f"nameserver {upstream.address}\n", "search a.example b.example", "options ndots:2")
    three = d.sleeper("--network", "front", "--dns-search", ".")
    assert "search" not in resolv(d, three)
    before = resolv(d, two)
    d.ok("network", "connect", "front", two)
    wait_for(lambda: "nameserver 127.0.0.11" in resolv(d, two), f"a name server of ours after {before}")
    equal(Client(d, two).ask("word.example").found, ["192.0.2.1"])
    equal(Client(d, two).ask(one[:12]).found, [address(d, one, "front")])
    d.ok("rm", "-f", one, two, three)
    d.ok("network", "rm", "front")
    upstream.close()


def test_other_names_are_forwarded(d):
    del d
    upstream = Upstream()
    with Daemon("--dns", upstream.address) as d:
        d.ok("network", "create", "front")
        one = d.sleeper("--network", "front")
        client = Client(d, one)
        for _ in range(20):
            equal(client.ask("word.example").found, ["192.0.2.1"])
        assert len(upstream.ports) > 10, f"source ports do not change: {upstream.ports}"
        has(d.exec(one, "nslookup", "word.example"), "192.0.2.1")
        equal(client.ask("unknown.example").code, NXDOMAIN)
        got = client.ask("big.example")
        assert got.truncated, got
        equal(len(client.ask_tcp("big.example").found), 100)
        assert ("big.example", "tcp") in upstream.asked
        d.ok("rm", "-f", one)
    upstream.close()


def test_a_server_that_is_silent_or_gone(d):
    good, silent = Upstream(), Upstream()
    d.ok("network", "create", "front")
    one = d.sleeper("--network", "front", "--dns", "127.53.0.255", "--dns", good.address)
    equal(Client(d, one).ask("word.example").found, ["192.0.2.1"], "nobody listens at the first")
    two = d.sleeper("--network", "front", "--dns", silent.address)
    equal(Client(d, two).ask("silent.example").code, SERVFAIL)
    assert silent.names().count("silent.example") > 1
    d.ok("rm", "-f", one, two)
    d.ok("network", "rm", "front")
    good.close()
    silent.close()


def test_internal_networks_forward_nothing(d):
    upstream = Upstream()
    d.ok("network", "create", "--internal", "inside")
    one = d.sleeper("--network", "inside", "--dns", upstream.address, "--name", "one")
    client = Client(d, one)
    equal(client.ask("one").found, [address(d, one, "inside")])
    equal(client.ask("word.example").code, NXDOMAIN)
    equal(client.ask_tcp("word.example").code, NXDOMAIN)
    equal(upstream.names(), [])
    d.ok("rm", "-f", one)
    d.ok("network", "rm", "inside")
    upstream.close()


def test_the_daemon_dies(d):
    del d
    upstream = Upstream()
    with Daemon("--dns", upstream.address) as d:
        d.ok("network", "create", "front")
        one, web = d.sleeper("--network", "front"), d.sleeper("--network", "front", "--name", "web")
        client = Client(d, one)
        here = address(d, web, "front")
        equal(client.ask("web").found, [here])
        d.kill9()
        sent = query("web")
        client.udp.send(sent)  # while nobody is there: it waits
        late = query("word.example")
        client.udp.send(late)
        d.start()
        got = {a.id: a.found for a in (Answer(client.udp.recv(65536)) for _ in range(2))}
        equal(got, {struct.unpack(">H", sent[:2])[0]: [here], struct.unpack(">H", late[:2])[0]: ["192.0.2.1"]})
        # The C library asks no longer than some seconds, which a machine may take that does much else.
        wait_for(lambda: looked_up(d, one, "web"), "web by its name")
        equal(client.ask_tcp("web").found, [here])
        d.restart()
        equal(client.ask("web").found, [here])
        d.ok("restart", "-t", "0", one)
        equal(Client(d, one).ask("web").found, [here])
        d.ok("rm", "-f", one, web)
    upstream.close()


def test_many_queries_in_flight(d):
    upstream = Upstream()
    upstream.hold = True
    d.ok("network", "create", "front")
    one = d.sleeper("--network", "front", "--dns", upstream.address)
    client = Client(d, one)
    client.udp.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
    for ident in range(IN_FLIGHT):
        client.udp.send(query("word.example", ident=ident))
        if ident % 100 == 99:
            wait_for(lambda n=ident: len(upstream.held) > n * 9 // 10, "queries at the upstream server")
    wait_for(lambda: len({text[:2] for text, _ in upstream.held}) and len(upstream.held) >= IN_FLIGHT, "all queries")
    equal(client.ask(one[:12]).found, [address(d, one, "front")], "others are answered meanwhile")
    upstream.hold = False
    for text, who in upstream.held:
        upstream.udp.sendto(text, who)
    got = set()
    while len(got) < IN_FLIGHT:
        got.add(Answer(client.udp.recv(65536)).id)
    d.ok("rm", "-f", one)
    d.ok("network", "rm", "front")
    upstream.close()


def test_malformed_packets(d):
    d.ok("network", "create", "front")
    one = d.sleeper("--network", "front", "--dns", "127.53.0.255", "--name", "one")
    client = Client(d, one)
    here = address(d, one, "front")
    rng = random.Random(1)
    for _ in range(5000):
        data = bytearray(query("some.name.example", edns=512)) if rng.random() < 0.8 else bytearray(rng.randbytes(rng.randrange(600)))
        for _ in range(rng.randrange(8)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        client.udp.send(bytes(data[:rng.randrange(len(data) + 1)]))
    client.udp.send(bytes([7, 7, 1, 0, 0, 2]) + bytes(6))
    client.udp.settimeout(0.2)
    try:
        while client.udp.recv(65536):
            pass
    except TimeoutError:
        client.udp.settimeout(20 * SLOW)
    equal(client.ask("one").found, [here])
    for data in b"\0", b"\xff\xff" + bytes(100), b"\0\0" * 50, struct.pack(">H", 13) + bytes(13), rng.randbytes(3000):
        with client.tcp() as stream:
            stream.sendall(data)
    streams = [client.tcp() for _ in range(100)]  # more than one container may hold
    for stream in streams:
        stream.close()
    wait_for(lambda: answers_tcp(client), "connections to be free again")
    equal(client.ask_tcp("one").found, [here])
    d.ok("rm", "-f", one)
    d.ok("network", "rm", "front")


def answers_tcp(client):
    try:
        return bool(client.ask_tcp("one").found)
    except (AssertionError, OSError):
        return False


def test_a_name_server_in_a_container(d):
    """Port 53 of a container is its own."""
    d.ok("network", "create", "front")
    one = d.sleeper("--network", "front", "--name", "one")
    client = Client(d, one)
    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
        with socket_in(client.pid, kind) as own:
            own.bind(("0.0.0.0", 53))
            equal(client.ask("one").found, [address(d, one, "front")])
    d.ok("rm", "-f", one)
    d.ok("network", "rm", "front")
