"""Networks beside the host, on a link of its own."""
import fcntl
import os
import re
import signal
import sqlite3
from contextlib import closing

import host
from harness import STOCK, Daemon, equal, has, wait_for
from netlib import NET4, NET6, PARENT, PEER, PORT, fetch, links, network, on, remove, server, wait_reaches


def test_macvlan(d):
    host.tool("ip", "link", "add", PARENT, "type", "veth", "peer", "name", PEER)
    host.tool("ip", "link", "set", PEER, "up")
    try:
        host.tool("ip", "link", "set", PARENT, "up")
        has(d.ctl("network", "create", "-d", "macvlan", "--subnet", f"{NET4}.8.0/24", "-o", "parent=ctl-none", "mac").err, "ctl-none")
        d.ok("network", "create", "-d", "macvlan", "--subnet", f"{NET4}.8.0/24", "-o", f"parent={PARENT}", "mac")
        equal(network(d, "mac")["Driver"], "macvlan")
        s, c = server(d, "--network", "mac", "-p", "80"), d.sleeper()
        address = on(d, s, "mac")["IPAddress"]
        d.ok("network", "connect", "mac", c)
        wait_reaches(d, c, address)
        has(d.exec(s, "ip", "route"), f"default via {NET4}.8.1 dev eth0")
        if not STOCK:
            equal(d.inspect(s)["NetworkSettings"]["Ports"], {"80/tcp": None}, "nothing is published")
        d.ok("network", "disconnect", "mac", c)
        equal(links(d, c), ["eth0", "lo"])
        if not STOCK:
            # A container may call its links what it likes, also by the name of another.
            hostile = d.sleeper("--cap-add", "NET_ADMIN")
            d.ok("network", "connect", "mac", hostile)
            for words in ("set eth1 down", "set eth1 name hidden", "set hidden address 02:00:00:00:00:77", "add eth1 type bridge"):
                d.exec(hostile, "ip", "link", *words.split())
            d.ok("network", "disconnect", "mac", hostile)
            equal(links(d, hostile), ["eth0", "eth1", "lo"], "its own link stays")
            equal(d.exec(hostile, "ip", "-o", "link").count("hidden"), 0)
            d.ok("rm", "-f", hostile)
            # The parent is made again, and has another index.
            d.ok("rm", "-f", s)
            host.tool("ip", "link", "del", PARENT)
            has(d.ctl("run", "--rm", "--network", "mac", "busybox", "true").err, f"parent interface {PARENT} does not exist")
            for args in (("add", PARENT, "type", "veth", "peer", "name", PEER), ("set", PEER, "up"), ("set", PARENT, "up")):
                host.tool("ip", "link", *args)
            s = server(d, "--network", "mac", "-p", "80")
            address = on(d, s, "mac")["IPAddress"]
            d.kill9()
            d.start()
            equal(on(d, s, "mac")["IPAddress"], address)
        remove(d, s, c, networks=["mac"])
    finally:
        host.tool("ip", "link", "del", PARENT)


def test_macvlan_of_both_families(d):
    """Their subnets come in any order, as the stock client sends them."""
    host.tool("ip", "link", "add", PARENT, "type", "veth", "peer", "name", PEER)
    try:
        host.tool("ip", "link", "set", PEER, "up")
        host.tool("ip", "link", "set", PARENT, "up")
        pools = [{"Subnet": f"{NET6}:8::/64"}, {"Subnet": f"{NET4}.8.0/24"}]
        for order in (pools, pools[::-1]):
            d.api("POST", "/networks/create", {"Name": "mac", "Driver": "macvlan", "EnableIPv6": True, "Options": {"parent": PARENT},
                                               "IPAM": {"Config": order}}, status=201)
            c, beside = d.sleeper("--network", "mac"), d.sleeper("--network", "mac")
            for family, key in (("-4", "IPAddress"), ("-6", "GlobalIPv6Address")):
                has(d.exec(c, "ping", family, "-c", "1", "-W", "5", on(d, beside, "mac")[key]), "1 packets received")
            remove(d, c, beside, networks=["mac"])
        if not STOCK:
            d.api("POST", "/networks/create", {"Name": "mac", "Driver": "macvlan", "EnableIPv6": True, "Options": {"parent": PARENT},
                                               "IPAM": {"Config": pools[:1]}}, status=400)
    finally:
        host.tool("ip", "link", "del", PARENT)


def test_ports_when_another_network_leads_out(d):
    """A macvlan network publishes nothing; what takes its place as the gateway does."""
    if STOCK:
        return
    host.tool("ip", "link", "add", PARENT, "type", "veth", "peer", "name", PEER)
    try:
        host.tool("ip", "link", "set", PEER, "up")
        host.tool("ip", "link", "set", PARENT, "up")
        d.ok("network", "create", "-d", "macvlan", "--subnet", f"{NET4}.8.0/24", "-o", f"parent={PARENT}", "mac")
        for name in ("plain", "inside"):
            d.ok("network", "create", *(("--internal",) if name == "inside" else ()), name)
        s = server(d, "--network", "mac", "-p", f"{PORT}:80")
        equal(d.ctl("port", s).out, "")
        d.ok("network", "connect", "plain", s)  # 'mac' is the first by name
        equal((d.ctl("port", s).out, fetch("127.0.0.1", PORT)), ("", None))
        d.ok("network", "disconnect", "mac", s)
        wait_for(lambda: fetch("127.0.0.1", PORT) == "served-by-server", "the port, after a disconnection")
        d.ok("network", "connect", "--gw-priority", "9", "mac", s)
        equal(fetch("127.0.0.1", PORT), None)
        d.ok("network", "disconnect", "mac", s)
        wait_for(lambda: fetch("127.0.0.1", PORT) == "served-by-server", "the port again")
        remove(d, s)
        s = server(d, "--network", "mac", "-p", f"{PORT}:80")
        # What somebody else has by then: one cannot have it, the other goes without.
        other = server(d, "-p", f"{PORT}:80", host_name="other")
        has(d.fails(1, "network", "connect", "--gw-priority", "9", "plain", s), "port is already allocated")
        equal((links(d, s), d.exec(s, "ip", "route", "show", "default").split()[2]), (["eth0", "lo"], f"{NET4}.8.1"))
        d.ok("network", "connect", "inside", s)
        d.ok("network", "connect", "plain", s)
        d.ok("network", "disconnect", "mac", s)
        equal((d.ctl("port", s).out, fetch("127.0.0.1", PORT)), ("", "served-by-other"))
        d.ok("network", "disconnect", "plain", s)
        remove(d, other)
        d.ok("network", "connect", "mac", s)
        d.ok("network", "connect", "--gw-priority", "9", "plain", s)
        wait_for(lambda: fetch("127.0.0.1", PORT) == "served-by-server", "the port, after a connection")
        d.restart()
        equal(fetch("127.0.0.1", PORT), "served-by-server")
        remove(d, s, networks=["mac", "plain", "inside"])
    finally:
        host.tool("ip", "link", "del", PARENT)


def links_of(netns):
    """What is in a network namespace that lives on."""
    listed = host.tool("nsenter", f"--net=/proc/{os.getpid()}/fd/{netns}", "ip", "-o", "link")
    return [line.split(": ")[1].split("@")[0] for line in listed.splitlines()]


def test_macvlan_of_a_namespace_that_lives_on(d):
    """Its link would go on answering for an address that others have by then."""
    if STOCK:
        return
    host.tool("ip", "link", "add", PARENT, "type", "veth", "peer", "name", PEER)
    host.tool("ip", "link", "set", PEER, "up")
    kept = []
    try:
        host.tool("ip", "link", "set", PARENT, "up")
        d.ok("network", "create", "-d", "macvlan", "--subnet", f"{NET4}.8.0/24", "-o", f"parent={PARENT}", "mac")

        def run(*args):
            c = d.sleeper("--network", "mac", "--ip", f"{NET4}.8.9", "--mac-address", "02:42:0a:63:08:09", *args)
            kept.append(os.open(f"/proc/{d.inspect(c)['State']['Pid']}/ns/net", os.O_RDONLY))
            return c

        c = run("--cap-add", "NET_ADMIN")
        # It may have another name by then, and others may look like it.
        for words in ("set eth0 down", "set eth0 name hidden", "add name decoy index 2000000000 type bridge", "set hidden up"):
            d.exec(c, "ip", "link", *words.split())
        equal(sorted(links_of(kept[0])), ["decoy", "hidden", "lo"])
        d.ok("rm", "-f", c)
        equal(sorted(links_of(kept[0])), ["decoy", "lo"])
        # Whoever has its addresses next, at once; the end is seen by the shim alone.
        c = run()
        pid = d.inspect(c)["State"]["Pid"]
        d.kill9()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: links_of(kept[1]) == ["lo"], "the link to go")
        d.start()
        wait_for(lambda: not d.inspect(c)["State"]["Running"], "the end")
        for _ in range(5):
            d.ok("restart", "-t", "0", c)
        d.ok("rm", "-f", c)
        # The end is seen by the daemon alone.
        c = run()
        with open(f"/proc/{d.inspect(c)['State']['Pid']}/stat") as file:
            os.kill(int(file.read().rpartition(")")[2].split()[1]), signal.SIGKILL)
        wait_for(lambda: links_of(kept[2]) == ["lo"], "the link to go")
        wait_for(lambda: not d.inspect(c)["State"]["Running"], "the end")
        remove(d, c, networks=["mac"])
    finally:
        for fd in kept:
            os.close(fd)
        host.tool("ip", "link", "del", PARENT)


def leases(d, container):
    with closing(sqlite3.connect(f"file:{d.data}/db.sqlite?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM addresses WHERE container_id=?", (container,)).fetchone()[0]


def test_macvlan_of_one_that_ends_meanwhile():
    """Its link is made when the shim has looked already, in a namespace that lives on: here while the pool is busy."""
    if STOCK:
        return
    host.tool("ip", "link", "add", PARENT, "type", "veth", "peer", "name", PEER)
    try:
        host.tool("ip", "link", "set", PARENT, "up")
        with Daemon(env={"UV_THREADPOOL_SIZE": "1"}) as d, open("/run/containerd-lite.network.lock", "a") as choice:
            d.ok("network", "create", "-d", "macvlan", "--subnet", f"{NET4}.8.0/24", "-o", f"parent={PARENT}", "mac")
            d.ok("network", "create", "plain")
            c = d.sleeper("--network", "plain")
            pid = d.inspect(c)["State"]["Pid"]
            kept = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            try:
                fcntl.flock(choice, fcntl.LOCK_EX)
                clients = [d.spawn_client("network", "create", "busy")]
                wait_for(lambda: re.search(f"-> FLOCK .* {d.pid} ", host.read("/proc/locks")), "the pool to be busy")
                clients.append(d.spawn_client("network", "connect", "mac", c))
                wait_for(lambda: leases(d, c) == 2, "the connection to begin")
                os.kill(pid, signal.SIGKILL)
                d.wait_state(c, "exited")
                fcntl.flock(choice, fcntl.LOCK_UN)
                equal([client.communicate(timeout=60) and client.returncode for client in clients], [0, 0])
                wait_for(lambda: leases(d, c) == 0, "its addresses to be given back")
                wait_for(lambda: links_of(kept) == ["lo"], "the links to go")
            finally:
                os.close(kept)
    finally:
        host.tool("ip", "link", "del", PARENT)
