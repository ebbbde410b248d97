"""Beside firewalls: dockerd, whose iptables drop what is forwarded, with both kinds of iptables; a host whose INPUT
policy decides.  All of it in a network namespace of its own."""
import contextlib
import ctypes
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import host
from harness import SLOW, STOCK, Daemon, equal, has, wait_for

CLONE_NEWNET = 0x40000000
SERVER = "echo served >/index.html; httpd -f -p 80 -h /"
FETCH = """import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)
s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(s.makefile().read().splitlines()[-1])"""


@contextlib.contextmanager
def own_network():
    """This thread, and what it starts, in a new network namespace beside an outside host 198.51.100.2, 2001:db8:9::2."""
    libc = ctypes.CDLL(None, use_errno=True)
    outside, link = f"ctl-outside-{os.getpid()}", f"ctl-o{os.getpid()}"
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    equal(libc.unshare(CLONE_NEWNET), 0)
    try:
        host.tool("ip", "netns", "add", outside)
        for args in (("link", "set", "lo", "up"),
                     ("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", outside),
                     ("addr", "add", "198.51.100.1/30", "dev", link),
                     ("-6", "addr", "add", "2001:db8:9::1/64", "dev", link, "nodad"), ("link", "set", link, "up")):
            host.tool("ip", *args)
        for args in (("addr", "add", "198.51.100.2/30", "dev", "eth0"), ("link", "set", "lo", "up"),
                     ("-6", "addr", "add", "2001:db8:9::2/64", "dev", "eth0", "nodad"), ("link", "set", "eth0", "up"),
                     ("route", "add", "default", "via", "198.51.100.1"),
                     ("-6", "route", "add", "default", "via", "2001:db8:9::1")):
            host.tool("ip", "-n", outside, *args)
        yield outside
    finally:
        host.tool("ip", "netns", "del", outside)
        libc.setns(here, CLONE_NEWNET)
        os.close(here)


def fetch(address, port, netns=None):
    argv = ["ip", "netns", "exec", netns] if netns else []
    done = subprocess.run([*argv, "/usr/bin/python3", "-c", FETCH, address, str(port)], capture_output=True, text=True)
    return done.stdout.strip() or None


@contextlib.contextmanager
def dockerd(variant):
    """Debian's engine with its bridge and its rules."""
    root = tempfile.mkdtemp(prefix="ctl-dockerd-")
    os.mkdir(f"{root}/bin")
    for name in ("iptables", "ip6tables"):
        os.symlink(f"/usr/sbin/{name}-{variant}", f"{root}/bin/{name}")
    argv = ["dockerd", "--data-root", f"{root}/data", "--exec-root", f"{root}/run", "--pidfile", f"{root}/pid",
            "-H", f"unix://{root}/sock", "--storage-driver", "vfs", "--bip", "10.98.0.1/24"]
    with open(f"{root}/log", "wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**os.environ, "PATH": f"{root}/bin:{os.environ['PATH']}"})
    try:
        wait_for(lambda: "API listen on" in host.read(f"{root}/log"), "dockerd to listen", 60)
        yield lambda *args: subprocess.run([f"{root}/bin/iptables", *args], capture_output=True, text=True, check=True).stdout
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60 * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        subprocess.run(["umount", f"{root}/run/netns/default"], stderr=subprocess.DEVNULL)
        shutil.rmtree(root, ignore_errors=True)


def beside_dockerd(variant):
    if STOCK:
        return
    with contextlib.ExitStack() as stack:
        outside = stack.enter_context(own_network())
        with open("/proc/sys/net/ipv4/ip_forward", "w") as file:  # who switches it on sets the policy
            file.write("0")
        iptables = stack.enter_context(dockerd(variant))
        has(iptables("-S", "FORWARD"), "-P FORWARD DROP", "-j DOCKER-USER")
        others = iptables("-S", "FORWARD").splitlines()
        with Daemon() as d:
            s = d.run_detached("-p", "8088:80", "busybox", "sh", "-c", SERVER)
            ours = [line for line in iptables("-S", "FORWARD").splitlines() if line not in others]
            equal(len(ours), 1, iptables("-S", "FORWARD"))
            equal(iptables("-S", "FORWARD").splitlines(), others + ours, "behind all others")
            wait_for(lambda: fetch("198.51.100.1", 8088, outside) == "served", "the port from outside")
            listener = subprocess.Popen(["ip", "netns", "exec", outside, "/usr/bin/python3", "-c",
                                         "import socket; s = socket.create_server(('', 7000)); print('up', flush=True); "
                                         "print(s.accept()[1][0], flush=True)"], stdout=subprocess.PIPE, text=True)
            equal(listener.stdout.readline(), "up\n")
            d.exec(s, "sh", "-c", "nc -w 2 198.51.100.2 7000 </dev/null")
            equal(listener.stdout.readline(), "198.51.100.1\n", "outwards")
            listener.wait()
            # What an administrator forbids stays forbidden, and who only passes through is not let in.
            iptables("-I", "DOCKER-USER", "-i", f"ctl-o{os.getpid()}", "-j", "DROP")
            equal(fetch("198.51.100.1", 8088, outside), None, "forbidden in DOCKER-USER")
            iptables("-D", "DOCKER-USER", "1")
            equal(fetch("198.51.100.1", 8088, outside), "served")
            # Somebody takes the rule away: it comes back.
            before = iptables("-S")
            iptables("-D", "FORWARD", str(len(others)))
            wait_for(lambda: iptables("-S") == before, "our rule again", 30)
            equal(fetch("198.51.100.1", 8088, outside), "served")
            iptables("-P", "FORWARD", "ACCEPT")
            iptables("-D", "FORWARD", str(len(others)))
            equal(fetch("198.51.100.1", 8088, outside), "served", "not needed")
            iptables("-P", "FORWARD", "DROP")
            wait_for(lambda: iptables("-S") == before, "our rule, needed again", 30)
            d.ok("rm", "-f", s)


def test_beside_dockerd_and_iptables_nft():
    beside_dockerd("nft")


def test_beside_dockerd_and_iptables_legacy():
    beside_dockerd("legacy")


# Published ports at addresses of IPv6, and where the host's INPUT chain decides

def ports_of(d, container):
    return {(port, b["HostIp"], b["HostPort"]) for port, list_ in d.inspect(container)["NetworkSettings"]["Ports"].items() for b in list_ or ()}


def test_published_on_ipv6():
    if STOCK:
        return
    with own_network() as outside, Daemon() as d:
        d.ok("network", "create", "--ipv6", "six")
        d.ok("network", "create", "--ipv6", "other")
        for network in ("bridge", "six"):  # without an address of IPv6, and with one
            s = d.run_detached("--network", network, "-p", "8088:80", "-p", "[::1]:8089:80", "-p", "[2001:db8:9::1]:8090:80",
                               "-p", "127.0.0.1:8091:80", "-p", "[::]:8092:80", "busybox", "sh", "-c", SERVER)
            wait_for(lambda: fetch("127.0.0.1", 8088) == "served", "the server")
            table = {("::1", 8088): True, ("2001:db8:9::1", 8088): True, ("::1", 8089): True, ("127.0.0.1", 8089): False,
                     ("2001:db8:9::1", 8089): False, ("2001:db8:9::1", 8090): True, ("::1", 8090): False,
                     ("127.0.0.1", 8091): True, ("::1", 8091): False, ("::1", 8092): True, ("127.0.0.1", 8092): False}
            equal({key: fetch(*key) == "served" for key in table}, table, f"from the host, network {network}")
            table = {("198.51.100.1", 8088): True, ("2001:db8:9::1", 8088): True, ("2001:db8:9::1", 8089): False,
                     ("2001:db8:9::1", 8090): True, ("198.51.100.1", 8091): False, ("2001:db8:9::1", 8092): True,
                     ("198.51.100.1", 8092): False}
            equal({key: fetch(*key, outside) == "served" for key in table}, table, f"from outside, network {network}")
            c = d.sleeper("--network", "other")
            if network == "six":
                has(d.exec(c, "wget", "-qO-", "http://[2001:db8:9::1]:8088/"), "served")
            has(d.exec(c, "wget", "-qO-", "http://198.51.100.1:8088/"), "served")
            equal(ports_of(d, s) & {("80/tcp", "::1", "8089"), ("80/tcp", "::", "8088"), ("80/tcp", "0.0.0.0", "8088"),
                                    ("80/tcp", "2001:db8:9::1", "8090"), ("80/tcp", "::", "8092")},
                  ports_of(d, s) - {("80/tcp", "127.0.0.1", "8091")})
            for taken in ("8088:80", "[::1]:8088:80", "0.0.0.0:8088:80", "[::]:8089:80", "8090:80", "[::1]:8092:80"):
                has(d.fails(125, "run", "--rm", "-p", taken, "busybox", "true"), "port is already allocated")
            d.ok("run", "--rm", "-p", "127.0.0.1:8092:80", "-p", "[::1]:8091:80", "busybox", "true")
            # Debian's nft can read what we make.
            has(host.tool("nft", "list", "ruleset"), f'elements = {{ "{d.names["bridge"]}"', "map relay")
            # Nothing is lost with the daemon; what is left of a table that was flushed comes back.
            d.kill9()
            d.start()
            host.tool("nft", "flush", "ruleset")
            wait_for(lambda: fetch("::1", 8088) == "served", "the relay")
            equal((fetch("2001:db8:9::1", 8090, outside), fetch("198.51.100.1", 8088, outside)), ("served", "served"))
            d.ok("rm", "-f", s, c)
            equal((fetch("::1", 8088), fetch("::1", 8089)), (None, None))
        with_server = "import socket; s = socket.create_server(('::1', 8095), family=socket.AF_INET6); print('up', flush=True); s.accept()"
        other = subprocess.Popen(["/usr/bin/python3", "-c", with_server], stdout=subprocess.PIPE, text=True)
        equal(other.stdout.readline(), "up\n")
        for taken in ("[::1]:8095:80", "8095:80"):
            has(d.fails(125, "run", "--rm", "-p", taken, "busybox", "true"), "address already in use")
        other.kill()
        other.wait()


def test_idle_connections_leave_descriptors():
    """Many that connect to a port and say nothing: the relay refuses some, other ports and the daemon go on."""
    if STOCK:
        return
    with own_network(), Daemon() as d, contextlib.ExitStack() as stack:
        s = d.run_detached("-p", "8088:80", "-p", "8089:80", "busybox", "sh", "-c", SERVER)
        wait_for(lambda: fetch("::1", 8088) == "served", "the server")
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (400, 400))
        for _ in range(100):
            with contextlib.suppress(ConnectionResetError):  # it was refused before we saw that it was there
                stack.enter_context(contextlib.closing(socket.create_connection(("::1", 8088), 5)))
        # 400 / 6 / 2 connections in all, half of them of one port, four ends of pipes each
        wait_for(lambda: sum("pipe:" in link for link in host.links(d.pid)) >= 16 * 4, "the relay to take some")
        equal(fetch("::1", 8088), None, "the port that has its share")
        equal(fetch("::1", 8089), "served", "the other")
        equal(d.ok("run", "--rm", "busybox", "echo", "well"), "well")
        stack.close()
        wait_for(lambda: fetch("::1", 8088) == "served", "the server again")
        d.ok("rm", "-f", s)


def test_udp_flows_follow_the_port():
    """A client that never stops sending: before anything is published, to the first container, to the next."""
    if STOCK:
        return
    answer = """import socket, sys
s = socket.socket(socket.AF_INET6 if sys.argv[1] == '6' else socket.AF_INET, socket.SOCK_DGRAM)
if sys.argv[1] == '6': s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
s.bind(('', 53))
while True:
    question, who = s.recvfrom(100)
    s.sendto(question + sys.argv[2].encode(), who)"""
    numbers = itertools.count(1000)

    def ask(sock):
        question = str(next(numbers))
        for _ in range(3):
            try:
                sock.send(question.encode())
                while not (got := sock.recv(100).decode()).startswith(question):
                    pass  # late answers to earlier questions
                return got[len(question):]
            except OSError:  # nobody there: perhaps told of an earlier one
                continue
        return None

    with own_network() as outside, Daemon() as d:
        d.ok("network", "create", "--ipv6", "six")
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{outside}", os.O_RDONLY)
        libc, clients = ctypes.CDLL(None), {}
        equal(libc.setns(there, CLONE_NEWNET), 0)
        for family, address in (("4", "198.51.100.1"), ("6", "2001:db8:9::1")):
            clients[family] = socket.socket(socket.AF_INET6 if family == "6" else socket.AF_INET, socket.SOCK_DGRAM)
            clients[family].settimeout(0.5)
            clients[family].connect((address, 5353))
        equal(libc.setns(here, CLONE_NEWNET), 0)
        equal([ask(c) for c in clients.values()], [None, None])
        for name in ("first", "second"):
            c = d.sleeper("--network", "six", "-p", "5353:53/udp")
            servers = [subprocess.Popen(["nsenter", f"--net=/proc/{d.state(c)['Pid']}/ns/net", "/usr/bin/python3", "-c", answer,
                                         family, name]) for family in clients]
            try:
                for family, client in clients.items():
                    equal(wait_for(lambda: ask(client), f"{name} by IPv{family}"), name)
            finally:
                d.ok("rm", "-f", c)
                for server in servers:
                    server.kill()
                    server.wait()
            equal([ask(c) for c in clients.values()], [None, None], "nobody there")
        os.close(here)
        os.close(there)


def test_a_table_that_cannot_be_rebuilt():
    """It is tried again, and at once when what was in the way is gone."""
    if STOCK:
        return
    with own_network(), Daemon("--bip", "10.99.0.1/24") as d:
        c = d.run_detached("-p", "8080:80", "busybox", "sh", "-c", SERVER)
        wait_for(lambda: fetch("127.0.0.1", 8080) == "served", "the port")
        family, table = d.names["table"]
        # A table with an owner is nobody else's to change, and goes with its owner.
        with subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as owner:
            owner.stdin.write(f"delete table {family} {table}; add table {family} {table} {{ flags owner; }}\n")
            owner.stdin.flush()
            wait_for(lambda: host.read(d.log).count("cannot rebuild the nftables table") >= 4, "more than one try")
            equal(fetch("127.0.0.1", 8080), None)
        wait_for(lambda: fetch("127.0.0.1", 8080) == "served", "the port")
        d.ok("rm", "-f", c)


def test_networks_are_closed():
    """What a container of one network gets of another, of an internal one, and of the host's loopback: nothing."""
    if STOCK:
        return
    with own_network() as outside, Daemon() as d:
        d.ok("network", "create", "--ipv6", "a")
        d.ok("network", "create", "--ipv6", "b")
        d.ok("network", "create", "--ipv6", "--internal", "inside")
        a, b = (d.run_detached("--network", n, "--name", n + "1", *more, "busybox", "sh", "-c", SERVER)
                for n, more in (("a", ("-p", "127.0.0.1:8087:80")), ("b", ("-p", "8088:80"))))
        i = d.sleeper("--network", "inside", "--cap-add", "NET_ADMIN")
        of = d.inspect(b)["NetworkSettings"]["Networks"]["b"]
        wait_for(lambda: fetch(of["IPAddress"], 80) == "served", "the server")

        def gets(container, url):
            return d.ctl("exec", container, "timeout", "2", "wget", "-qO-", url).out.strip() == "served"
        urls = {f"http://{of['IPAddress']}/": False, f"http://[{of['GlobalIPv6Address']}]/": False,
                "http://198.51.100.1:8088/": True, "http://[2001:db8:9::1]:8088/": True, "http://198.51.100.1:8087/": False,
                f"http://{of['Gateway']}:8087/": False}
        equal({url: gets(a, url) for url in urls}, urls, "from another network")
        gateways = [p["Gateway"] for p in json.loads(d.ok("network", "inspect", "inside"))[0]["IPAM"]["Config"]]
        d.exec(i, "ip", "route", "add", "default", "via", gateways[0])
        d.exec(i, "ip", "-6", "route", "add", "default", "via", gateways[1])
        equal({url: gets(i, url) for url in urls}, {url: False for url in urls}, "from an internal one")
        has(d.ctl("exec", i, "nslookup", "b1").out + d.ctl("exec", i, "nslookup", "example.org").out, "can't find b1", "can't find example.org")
        # A host on the link of ours that routes to containers, or to our loopback.
        for args in (("route", "add", of["IPAddress"], "via", "198.51.100.1"), ("-6", "route", "add", of["GlobalIPv6Address"], "via", "2001:db8:9::1"),
                     ("route", "add", "127.0.0.9/32", "via", "198.51.100.1", "dev", "eth0", "table", "local")):
            host.tool("ip", "-n", outside, *args)
        with open("/proc/sys/net/ipv4/conf/all/route_localnet", "w") as file:  # as others may have set it
            file.write("1")
        equal([fetch(of["IPAddress"], 80, outside), fetch(of["GlobalIPv6Address"], 80, outside), fetch("127.0.0.9", 8087, outside),
               fetch("198.51.100.1", 8087, outside), fetch(of["Gateway"], 8087, outside)], [None] * 5)
        equal(fetch("127.0.0.1", 8087), "served")


def test_much_through_the_relay():
    """Bytes arrive whole both ways, an end of one direction is passed on, many connections at once."""
    if STOCK:
        return
    client = """import hashlib, socket, threading
failed = []
def one(n):
    data = bytes((n + i) % 251 for i in range(65536)) * 16
    s = socket.create_connection(("::1", 8088), 20)
    def send():
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send); t.start()
    got = b""
    while chunk := s.recv(1 << 20):
        got += chunk
    t.join()
    if got != data: failed.append((n, len(got)))
threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
print(failed)"""
    with own_network(), Daemon() as d:
        pid = d.state(d.sleeper("-p", "8088:80"))["Pid"]
        # busybox's server takes three at a time and turns the others away.
        server = subprocess.Popen(["nsenter", "-t", str(pid), "-n", "/usr/bin/python3", "-c", """import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(1 << 16):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 128
s = Server(("", 80), Echo)
print("up", flush=True)
s.serve_forever()"""], stdout=subprocess.PIPE, text=True)
        try:
            equal(server.stdout.readline(), "up\n")
            done = subprocess.run(["/usr/bin/python3", "-c", client], capture_output=True, text=True)
            equal((done.stdout.strip(), done.stderr), ("[]", ""))
        finally:
            server.kill()
            server.wait()
        wait_for(lambda: sum("pipe:" in link for link in host.links(d.pid)) <= 8, "the relay to let go of its pipes")


def test_ports_obey_the_input_chain():
    if STOCK:
        return
    with own_network() as outside, Daemon("--publish-obeys-input") as d:
        d.ok("network", "create", "--ipv6", "six")
        s = d.run_detached("--network", "six", "-p", "8088:80", "-p", "127.0.0.1:8089:80", "busybox", "sh", "-c", SERVER)
        wait_for(lambda: fetch("127.0.0.1", 8088) == "served", "the server")
        everywhere = [("198.51.100.1", 8088, outside), ("2001:db8:9::1", 8088, outside), ("198.51.100.1", 8088), ("::1", 8088)]
        equal([fetch(*where) for where in everywhere], ["served"] * 4)
        equal(fetch("198.51.100.1", 8089, outside), None)
        c = d.sleeper()
        has(d.exec(c, "wget", "-qO-", "http://198.51.100.1:8088/"), "served")
        link = f"ctl-o{os.getpid()}"
        for tool in ("iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"):
            subprocess.run([tool, "-A", "INPUT", "-i", link, "-p", "tcp", "--dport", "8088", "-j", "DROP"], check=True)
            number = 1 if tool.startswith("ip6") else 0
            equal(fetch(*everywhere[number]), None, f"refused by {tool}")
            equal(fetch(*everywhere[1 - number]), "served")
            equal(fetch("127.0.0.1", 8088), "served", "from the host")
            subprocess.run([tool, "-F", "INPUT"], check=True)
            equal(fetch(*everywhere[number]), "served")
        d.kill9()
        d.start()
        equal([fetch(*where) for where in everywhere], ["served"] * 4)
        d.ok("rm", "-f", s, c)


def test_a_full_bridge():
    """The kernel takes 1,023 ports: the container after them is refused, with a reason, and leaves nothing."""
    if STOCK:
        return
    with own_network(), Daemon() as d:
        first = d.sleeper()
        bridge = d.names["bridge"]
        lines = [line for n in range(510) for line in (f"link add p{n} type veth peer name q{n}", f"link set p{n} master {bridge}",
                                                       f"link set q{n} master {bridge}")]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        d.sleeper()
        last = d.sleeper()  # the 1,023rd
        done = d.ctl("run", "--rm", "busybox", "true")
        equal(done.code, 125)
        has(done.err, f"bridge {bridge} is full: the kernel allows 1023 containers on one bridge")
        equal(d.exec(last, "ping", "-c", "1", "-W", "5", d.inspect(first)["NetworkSettings"]["IPAddress"]).count("1 packets received"), 1)
        d.ok("rm", "-f", last)
        # The kernel takes the dead one's port away in its own time.
        wait_for(lambda: d.ctl("run", "--rm", "busybox", "true").code == 0, "room again")


def sctp_init(source, target):
    """The first packet of an association (RFC 9260), with its CRC-32c."""
    init = struct.pack("!BBHIIHHI", 1, 0, 20, 0x11223344, 65536, 10, 10, 1)
    packet = struct.pack("!HHII", source, target, 0, 0) + init
    crc = 0xffffffff
    for byte in packet:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return packet[:8] + struct.pack("<I", crc ^ 0xffffffff) + packet[12:]


def test_published_sctp():
    """Without the kernel's SCTP: what a packet from outside looks like when the container has it."""
    if STOCK:
        return
    listen = """import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132); print("up", flush=True)
packet, who = s.recvfrom(1000)
print(who[0], packet[20] << 8 | packet[21], packet[22] << 8 | packet[23], flush=True)"""
    with own_network() as outside, Daemon() as d:
        c = d.sleeper("-p", "8400:80/sctp")
        equal(ports_of(d, c), {("80/sctp", "0.0.0.0", "8400")})
        server = subprocess.Popen(["nsenter", f"--net=/proc/{d.state(c)['Pid']}/ns/net", "/usr/bin/python3", "-c", listen],
                                  stdout=subprocess.PIPE, text=True)
        equal(server.stdout.readline(), "up\n")
        send = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).sendto({sctp_init(5000, 8400)!r}, ('198.51.100.1', 0))"
        subprocess.run(["ip", "netns", "exec", outside, "/usr/bin/python3", "-c", send], check=True)
        try:
            equal(server.communicate(timeout=20 * SLOW)[0], "198.51.100.2 5000 80\n")
        finally:
            server.kill()
            server.wait()
        has(d.fails(125, "run", "--rm", "-p", "8400:80/sctp", "busybox", "true"), "port is already allocated")
        d.ok("rm", "-f", c)
