"""Ports of containers on networks that users make, from the host, from neighbours and from outside."""
import json
import subprocess

import host
from harness import STOCK, Daemon, equal, has, wait_for
from netlib import NET4, PORT, SERVER, fetch, network, on, port_of, reaches, remove, server
from outside import HERE, THERE, Outside


def test_published_on_user_networks(d):
    for name in ("web", "other"):
        d.ok("network", "create", name)
    s = server(d, "--network", "web", "-p", "80")
    port = port_of(d, s)
    wait_for(lambda: fetch("127.0.0.1", port) == "served-by-server", "the port on the loopback")
    gateway = network(d, "web")["IPAM"]["Config"][0]["Gateway"]
    equal(fetch(gateway, port), "served-by-server")
    # A neighbour by the host's address, and one on another network: the way in is the published port.
    for client in (d.sleeper("--network", "web"), d.sleeper("--network", "other"), d.sleeper(), s):
        has(d.exec(client, "wget", "-qO-", f"http://{gateway}:{port}/"), "served-by-server")
        if client != s:
            d.ok("rm", "-f", client)
    # The port follows when its network goes.
    d.ok("network", "connect", "other", s)
    d.ok("network", "disconnect", "web", s)
    equal(list(d.inspect(s)["NetworkSettings"]["Networks"]), ["other"])
    equal(fetch("127.0.0.1", port), "served-by-server")
    d.ok("network", "disconnect", "other", s)
    equal(fetch("127.0.0.1", port), None)
    d.ok("network", "connect", "web", s)
    wait_for(lambda: fetch("127.0.0.1", port_of(d, s)) == "served-by-server", "the port again")
    remove(d, s, networks=["web", "other"])


def test_default_binding(d):
    d.ok("network", "create", "-o", "com.docker.network.bridge.host_binding_ipv4=127.0.0.1", "bound")
    s = server(d, "--network", "bound", "-p", "80")
    equal(d.inspect(s)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostIp"], "127.0.0.1")
    port = port_of(d, s)
    wait_for(lambda: fetch("127.0.0.1", port) == "served-by-server", "the port on the loopback")
    equal(fetch(network(d, "bound")["IPAM"]["Config"][0]["Gateway"], port), None)
    remove(d, s, networks=["bound"])


def test_default_address_of_published_ports():
    if STOCK:
        return
    with Daemon("--ip", "127.0.0.1") as d:
        s = server(d, "-p", "80", "-p", "0.0.0.0::81")
        ports = d.inspect(s)["NetworkSettings"]["Ports"]
        equal((ports["80/tcp"][0]["HostIp"], ports["81/tcp"][0]["HostIp"]), ("127.0.0.1", "0.0.0.0"))
        d.ok("rm", "-f", s)


def map_elements(d, name, family=None):
    table = d.names["table"]
    listed = json.loads(host.tool("nft", "-j", "list", "map", family or table[0], table[1], name))
    return next(entry["map"].get("elem", []) for entry in listed["nftables"] if "map" in entry)


def test_a_range_of_ports(d):
    """One interval, with the numbers kept; reached from everywhere, and its parts taken for others."""
    serve = f"for p in {PORT} {PORT + 37} {PORT + 205}; do httpd -p $p -h /; done; " + SERVER
    d.ok("network", "create", "--ipv6", "ranged")
    s = d.run_detached("--network", "ranged", "--hostname", "server", "-p", f"{PORT}-{PORT + 205}:{PORT}-{PORT + 205}",
                       "-p", f"127.0.0.1:{PORT + 300}-{PORT + 309}:{PORT + 300}-{PORT + 309}/udp",
                       "-p", f"{PORT + 400}-{PORT + 409}:80-89", "busybox", "sh", "-c", serve)
    other = d.sleeper()

    def all_reach():
        for port in (PORT, PORT + 37, PORT + 205, PORT + 400):
            wait_for(lambda port=port: fetch("127.0.0.1", port) == "served-by-server", f"port {port}")
            equal(fetch("::1", port), "served-by-server")
            assert reaches(d, other, gateway, port), "by the host's address"
        equal(outside.fetch(HERE, PORT + 37), "served-by-server")
        equal(fetch("127.0.0.1", PORT + 1), None, "nobody listens")

    with Outside() as outside:
        gateway = d.inspect(other)["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
        all_reach()
        if not STOCK:
            family, table = d.names["table"]
            equal((len(map_elements(d, "published_ranges")), len(map_elements(d, "published_ranges_on"))), (1, 1))
            equal(len(map_elements(d, "published_ranges", "ip6")), 1)
            equal(len(map_elements(d, "published")), 10, "those that get other numbers")
            host.tool("nft", "flush", "set", family, table, "published_ranges")
            all_reach()
        for taken in (f"{PORT + 37}:80", f"127.0.0.1:{PORT}:80", f"{PORT + 100}-{PORT + 110}:100-110", f"{PORT + 205}-{PORT + 220}:205-220"):
            has(d.fails(125, "run", "--rm", "-p", taken, "busybox", "true"), "port is already allocated")
        d.ok("restart", "-t", "0", s)
        all_reach()
        d.kill9()
        d.start()
        if STOCK:
            d.ok("start", s)
            d.ok("start", other)
        all_reach()
    d.ok("rm", "-f", s, other)
    if not STOCK:
        wait_for(lambda: not map_elements(d, "published_ranges") and not map_elements(d, "published_ranges_on") and
                 not map_elements(d, "published_ranges", "ip6"), "the ranges to go")
    remove(d, d.sleeper("-p", f"{PORT + 37}:80"), networks=["ranged"])


def test_relay_of_the_next_daemon(d):
    """The tables outlive a daemon, its relay does not."""
    d.ok("rm", "-f", server(d, "-p", f"{PORT}:80"))
    d.kill9()
    d.start()
    s = server(d, "-p", f"{PORT}:80")
    wait_for(lambda: fetch("::1", PORT) == "served-by-server", "the port on ::1")
    d.ok("rm", "-f", s)


def test_seen_from_outside(d):
    d.ok("network", "create", "dmz")
    s = server(d, "--network", "dmz", "-p", f"{PORT}:80", "-p", f"127.0.0.1:{PORT + 1}:80")
    address, gateway = on(d, s, "dmz")["IPAddress"], on(d, s, "dmz")["Gateway"]
    with Outside() as outside:
        wait_for(lambda: outside.fetch(HERE, PORT) == "served-by-server", "the published port")
        equal(fetch("127.0.0.1", PORT + 1), "served-by-server")
        equal(outside.fetch(HERE, PORT + 1), None, "a port published on the loopback")
        equal(outside.fetch(address, 80), None, "the container's own address")
        equal(outside.fetch(gateway, PORT), "served-by-server")
        # Even where a packet to the loopback comes over the wire.
        host.tool("ip", "-n", outside.netns, "route", "add", "127.0.0.2/32", "via", HERE, "dev", "eth0", "table", "local")
        equal(outside.fetch("127.0.0.2", PORT + 1), None)
        # Outwards the host's address stands for the container's.
        listener = subprocess.Popen(["ip", "netns", "exec", outside.netns, "/usr/bin/python3", "-c",
                                     "import socket; s = socket.create_server(('', 7000)); print('up', flush=True); "
                                     "print(s.accept()[1][0], flush=True)"], stdout=subprocess.PIPE, text=True)
        equal(listener.stdout.readline(), "up\n")
        d.exec(s, "sh", "-c", f"nc -w 2 {THERE} 7000 </dev/null")
        equal(listener.stdout.readline(), f"{HERE}\n")
        listener.wait()
    remove(d, s, networks=["dmz"])


def test_without_masquerade(d):
    """Outside they are seen by their own addresses, and reached only with answers."""
    d.ok("network", "create", "--subnet", f"{NET4}.9.0/24", "-o", "com.docker.network.bridge.enable_ip_masquerade=false", "plain")
    s = server(d, "--network", "plain")
    address = on(d, s, "plain")["IPAddress"]
    with Outside() as outside:
        listener = outside.start("/usr/bin/python3", "-c", "import socket; s = socket.create_server(('', 7000)); print('up', flush=True); "
                                                           "c, who = s.accept(); c.sendall(b'heard'); print(who[0], flush=True)")
        equal(listener.stdout.readline(), "up\n")
        equal(d.exec(s, "sh", "-c", f"nc -w 2 {THERE} 7000 </dev/null"), "heard")
        equal(listener.stdout.readline(), f"{address}\n")
        listener.wait()
        equal(outside.fetch(address, 80), None if not STOCK else "served-by-server")
    remove(d, s, networks=["plain"])


def test_many_ports_are_one_transaction(d):
    d.ok("network", "create", "wide")
    s = server(d, "--network", "wide", "-p", f"{PORT}-{PORT + 205}:{PORT}-{PORT + 205}", "-p", f"{PORT + 206}:80")
    equal(len(d.inspect(s)["NetworkSettings"]["Ports"]), 207)
    wait_for(lambda: fetch("127.0.0.1", PORT + 206) == "served-by-server", "the last of them")
    has(d.fails(125, "run", "--rm", "-p", f"{PORT + 100}:80", "busybox", "true"), "port is already allocated")
    remove(d, s, networks=["wide"])
    equal(d.ctl("run", "--rm", "-p", f"{PORT + 100}:80", "busybox", "true").code, 0)
