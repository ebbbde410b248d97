"""Networks that users make: their life, isolation, addresses, connect and disconnect."""
import ipaddress
import json
import os
import socket
import subprocess
import threading
import time

import host
from harness import STOCK, Daemon, equal, has, wait_for
from outside import Outside

SERVER = "echo served-by-$HOSTNAME >/index.html; httpd -f -p 80 -h /"


def network(d, name):
    return json.loads(d.ok("network", "inspect", name))[0]


def names(d, *args):
    return sorted(d.ok("network", "ls", "--format", "{{.Name}}", *args).split())


def on(d, container, name):
    return d.inspect(container)["NetworkSettings"]["Networks"][name]


def remove(d, *containers, networks=()):
    if containers:
        d.ok("rm", "-f", *containers)
    if networks:
        d.ok("network", "rm", *networks)


def reaches(d, container, address, port=80):
    return d.ctl("exec", container, "sh", "-c", f"nc -w 2 {address} {port} </dev/null").code == 0


def wait_reaches(d, container, address, port=80):
    wait_for(lambda: reaches(d, container, address, port), f"{address}:{port} from {container[:12]}")


def server(d, *args, host_name="server"):
    return d.run_detached("--hostname", host_name, *args, "busybox", "sh", "-c", SERVER)


def test_life_of_a_network(d):
    created = d.ok("network", "create", "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400", "first")
    assert len(created) == 64, created
    info = network(d, "first")
    equal((info["Id"], info["Name"], info["Driver"], info["Scope"], info["Internal"], info["Labels"], info["Options"]),
          (created, "first", "bridge", "local", False, {"a": "b"}, {"com.docker.network.driver.mtu": "1400"}))
    pool = info["IPAM"]["Config"][0]
    assert ipaddress.ip_address(pool["Gateway"]) in ipaddress.ip_network(pool["Subnet"])
    equal(network(d, created[:10])["Name"], "first", "by a prefix of its id")
    has(d.fails(1, "network", "create", "first"), "network with name first already exists")
    container = d.sleeper("--network", "first")
    told = on(d, container, "first")
    equal((told["NetworkID"], told["Gateway"]), (created, pool["Gateway"]))
    assert ipaddress.ip_address(told["IPAddress"]) in ipaddress.ip_network(pool["Subnet"])
    has(d.exec(container, "ip", "addr", "show", "eth0"), f"inet {told['IPAddress']}/", "mtu 1400", told["MacAddress"])
    equal(list(network(d, "first")["Containers"]), [container])
    has(d.exec(container, "ping", "-c", "1", "-W", "5", told["Gateway"]), "1 packets received")
    has(d.fails(1, "network", "rm", "first"), "network first has active endpoints", container[:12])
    d.ok("rm", "-f", container)
    equal(d.ok("network", "rm", "first"), "first")
    equal(names(d), ["bridge", "host", "none"])
    has(d.fails(1, "network", "rm", "first"), "network first not found")
    if not STOCK:
        assert not any(link.startswith("br-" + created[:12]) for link in os.listdir("/sys/class/net"))


def test_refused(d):
    for args, told in ((["bridge"], "predefined"), (["host"], "predefined"), (["-d", "nope", "x"], 'plugin "nope" not found'),
                       (["-d", "host", "x"], 'only one instance of "host" network is allowed'), (["bad/name"], "bad/name"),
                       (["--subnet", "10.99.1.5", "x"], "10.99.1.5"), (["--subnet", "10.99.1.0/24", "--gateway", "10.98.0.1", "x"], "10.98.0.1"),
                       (["--subnet", "10.99.1.0/24", "--ip-range", "10.98.0.0/24", "x"], "10.98.0.0/24"),
                       (["-o", "com.docker.network.driver.mtu=abc", "x"], "mtu")):
        has(d.ctl("network", "create", *args).err, told)
    if not STOCK:
        for subnet in ("127.0.0.0/8", "127.99.0.0/16", "224.0.0.0/8", "0.0.0.0/8", "0.0.0.0/0", "255.255.255.0/24"):
            has(d.fails(1, "network", "create", "--subnet", subnet, "x"), subnet)
        for subnet in ("ff00::/8", "::/64"):
            has(d.fails(1, "network", "create", "--ipv6", "--subnet", subnet, "x"), subnet)
        for part in ({"ConfigOnly": True}, {"ConfigFrom": {"Network": "one"}}, {"Ingress": True}):
            reply = d.api("POST", "/networks/create", {"Name": "x", **part}, status=501)
            has(reply.json["message"], "config-only and ingress networks are not supported")
        for flag in ("--config-only", "--config-from=one", "--ingress"):
            has(d.fails(1, "network", "create", flag, "x"), "config-only and ingress networks are not supported")
        has(d.fails(1, "network", "create", "--ipv4=false", "x"), "networks without IPv4 are not supported")
    for program in ("ctlc", "docker"):
        done = d.command(program, ["network", "create", "--scope", "swarm", "x"])
        equal((done.code, done.err.strip()), (1, "Error response from daemon: cannot create a swarm scoped network when swarm is not active"))
        d.ok("network", "create", "--scope", "local", "scoped")
        d.ok("network", "rm", "scoped")
    if not STOCK:
        has(d.api("POST", "/networks/create", {"Name": "x", "Scope": "galaxy"}, status=400).message, "galaxy")
    has(d.fails(1, "network", "rm", "bridge"), "bridge is a pre-defined network and cannot be removed")
    has(d.fails(1, "network", "inspect", "nope"), "nope")
    d.ok("network", "create", "--subnet", "10.99.1.0/24", "one")
    has(d.fails(1, "network", "create", "--subnet", "10.99.0.0/16", "two"), "Pool overlaps with other one on this address space")
    equal(names(d), ["bridge", "host", "none", "one"])
    d.ok("network", "rm", "one")


def test_subnet_range_gateway_and_reserved(d):
    d.ok("network", "create", "--subnet", "10.99.2.0/24", "--ip-range", "10.99.2.8/29", "--gateway", "10.99.2.254",
         "--aux-address", "router=10.99.2.9", "ranged")
    pool = network(d, "ranged")["IPAM"]["Config"]
    equal(pool, [{"Subnet": "10.99.2.0/24", "IPRange": "10.99.2.8/29", "Gateway": "10.99.2.254",
                  "AuxiliaryAddresses": {"router": "10.99.2.9"}}])
    made = [d.sleeper("--network", "ranged") for _ in range(3)]
    taken = [on(d, c, "ranged")["IPAddress"] for c in made]
    equal(taken, ["10.99.2.8", "10.99.2.10", "10.99.2.11"])
    fixed = d.sleeper("--network", "ranged", "--ip", "10.99.2.77", "--mac-address", "02:00:00:00:00:07")
    equal((on(d, fixed, "ranged")["IPAddress"], on(d, fixed, "ranged")["MacAddress"]), ("10.99.2.77", "02:00:00:00:00:07"))
    equal(on(d, fixed, "ranged")["IPAMConfig"], {"IPv4Address": "10.99.2.77"})
    has(d.fails(125, "run", "--network", "ranged", "--ip", "10.99.2.77", "busybox", "true"), "Address already in use")
    has(d.ctl("run", "--network", "ranged", "--ip", "10.98.0.1", "busybox", "true").err, "10.98.0.1" if STOCK else "invalid address")
    d.ok("container", "prune", "-f")
    remove(d, fixed, *made, networks=["ranged"])


def test_networks_do_not_see_each_other(d):
    for name in ("left", "right"):
        d.ok("network", "create", name)
    s = server(d, "--network", "left")
    address = on(d, s, "left")["IPAddress"]
    beside, other, default = d.sleeper("--network", "left"), d.sleeper("--network", "right"), d.sleeper()
    wait_reaches(d, beside, address)
    assert not reaches(d, other, address)
    assert not reaches(d, default, address)
    d.ok("network", "connect", "left", other)
    wait_reaches(d, other, address)
    d.ok("network", "disconnect", "left", other)
    assert not reaches(d, other, address)
    remove(d, s, beside, other, default, networks=["left", "right"])


def test_internal(d):
    d.ok("network", "create", "--internal", "inside")
    equal(network(d, "inside")["Internal"], True)
    s, c = server(d, "--network", "inside", "-p", "127.0.0.1::80"), d.sleeper("--network", "inside")
    wait_reaches(d, c, on(d, s, "inside")["IPAddress"])
    assert "default" not in d.exec(c, "ip", "route"), "a way out"
    equal(on(d, c, "inside")["Gateway"], "")
    outside = server(d)
    address = d.inspect(outside)["NetworkSettings"]["IPAddress"]
    # Even with a route of its own making it gets nowhere.
    router = network(d, "inside")["IPAM"]["Config"][0]["Gateway"]
    with_route = d.run_detached("--network", "inside", "--cap-add", "NET_ADMIN", "busybox", "sh", "-c",
                                f"ip route add default via {router}; sleep 1000")
    wait_for(lambda: "default" in d.exec(with_route, "ip", "route"), "the route")
    assert not reaches(d, with_route, address)
    remove(d, s, c, with_route, outside, networks=["inside"])


def test_without_icc(d):
    d.ok("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart")
    s, c = server(d, "--network", "apart"), d.sleeper("--network", "apart")
    address = on(d, s, "apart")["IPAddress"]

    def from_host():
        try:
            socket.create_connection((address, 80), 2).close()
            return True
        except OSError:
            return False

    wait_for(from_host, "the server")
    assert not reaches(d, c, address)
    remove(d, s, c, networks=["apart"])


def fetch(address, port):
    try:
        with socket.create_connection((address, port), 3) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return s.makefile("rb").read().decode().splitlines()[-1]
    except (OSError, IndexError):
        return None


def port_of(d, container):
    return int(d.ok("port", container, "80/tcp").splitlines()[0].rsplit(":", 1)[1])


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


def links(d, container):
    return sorted(d.exec(container, "ls", "/sys/class/net").split())


def test_connect_and_disconnect_while_it_runs(d):
    for name in ("aa", "bb"):
        d.ok("network", "create", name)
    c = d.sleeper("--network", "aa")
    equal(links(d, c), ["eth0", "lo"])
    d.ok("network", "connect", "--ip", network(d, "bb")["IPAM"]["Config"][0]["Gateway"][:-1] + "9", "--alias", "x", "bb", c)
    equal(links(d, c), ["eth0", "eth1", "lo"])
    told = on(d, c, "bb")
    assert told["IPAddress"].endswith(".9") and "x" in told["Aliases"], told
    has(d.exec(c, "ip", "addr", "show", "eth1"), f"inet {told['IPAddress']}/")
    has(d.exec(c, "cat", "/etc/hosts"), told["IPAddress"], on(d, c, "aa")["IPAddress"])
    equal(d.exec(c, "ip", "route", "show", "default").split()[2], on(d, c, "aa")["Gateway"], "the way out stays")
    has(d.fails(1, "network", "connect", "bb", c), f"already exists in network bb")
    equal(sorted(network(d, "bb")["Containers"]), [c])
    d.ok("network", "disconnect", "aa", c)
    equal(links(d, c), ["eth1", "lo"])
    equal(d.exec(c, "ip", "route", "show", "default").split()[2], told["Gateway"])
    d.ok("network", "rm", "aa")
    has(d.fails(1, "network", "disconnect", "bridge", c), "is not connected to")
    d.ok("network", "disconnect", "bb", c)
    equal(links(d, c), ["lo"])
    equal(d.inspect(c)["NetworkSettings"]["Networks"], {})
    d.ok("network", "connect", "bridge", c)
    equal(links(d, c), ["eth0", "lo"])
    # It comes back so when it is started again.
    d.ok("restart", "-t", "0", c)
    equal(list(d.inspect(c)["NetworkSettings"]["Networks"]), ["bridge"])
    equal(links(d, c), ["eth0", "lo"])
    remove(d, c, networks=["bb"])


def test_several_networks_from_the_start(d):
    for name in ("zz", "mm"):
        d.ok("network", "create", name)
    c = d.ok("run", "-d", "--network", "zz", "--network", "name=mm,gw-priority=-1", "busybox", "sleep", "1000")
    equal(sorted(d.inspect(c)["NetworkSettings"]["Networks"]), ["mm", "zz"])
    has(d.exec(c, "ip", "addr", "show", "eth0"), on(d, c, "zz")["IPAddress"])
    has(d.exec(c, "ip", "addr", "show", "eth1"), on(d, c, "mm")["IPAddress"])
    equal(d.exec(c, "ip", "route", "show", "default").split()[2], on(d, c, "zz")["Gateway"])
    remove(d, c, networks=["zz", "mm"])


def routes(d, c):
    """(subnets that are reached by a link of its own, gateways of default routes)"""
    lines = [line.split() for line in d.exec(c, "ip", "-4", "route", "show").splitlines()]
    return (sorted(words[0] for words in lines if words[0] != "default" and "via" not in words),
            [words[2] for words in lines if words[0] == "default"])


def test_routes(d):
    """A route to each network, and one default route, by the network of the highest priority."""
    subnets = {"low": "10.97.1.0/24", "mid": "10.97.2.0/24", "top": "10.97.3.0/24", "shut": "10.97.4.0/24"}
    for name, subnet in subnets.items():
        d.ok("network", "create", "--subnet", subnet, *(["--internal"] if name == "shut" else []), name)
    if STOCK:  # which has no priorities: by name
        c = d.sleeper("--network", "low")
        d.ok("network", "connect", "mid", c)
    else:
        c = d.ok("run", "-d", "--network", "name=low,gw-priority=-1", "--network", "mid", "busybox", "sleep", "1000")
    equal(routes(d, c), ([subnets["low"], subnets["mid"]], ["10.97.1.1" if STOCK else "10.97.2.1"]))
    d.ok("network", "connect", *([] if STOCK else ["--gw-priority", "7"]), "top", c)
    d.ok("network", "connect", *([] if STOCK else ["--gw-priority", "9"]), "shut", c)  # leads nowhere
    equal(routes(d, c), (sorted(subnets.values()), ["10.97.1.1" if STOCK else "10.97.3.1"]))
    if not STOCK:
        equal(d.inspect(c)["NetworkSettings"]["Networks"]["top"]["GwPriority"], 7)
    d.ok("restart", "-t", "0", c)
    equal(routes(d, c), (sorted(subnets.values()), ["10.97.1.1" if STOCK else "10.97.3.1"]))
    d.ok("network", "disconnect", "top", c)
    equal(routes(d, c)[1], ["10.97.1.1" if STOCK else "10.97.2.1"])
    d.ok("network", "disconnect", "mid", c)
    equal(routes(d, c), ([subnets["low"], subnets["shut"]], ["10.97.1.1"]))
    d.ok("network", "disconnect", "low", c)
    equal(routes(d, c), ([subnets["shut"]], []))
    remove(d, c, networks=list(subnets))


def test_host_by_name(d):
    """host-gateway stands for the host on the default bridge, whatever the container's network is."""
    d.ok("network", "create", "own")
    gateway = d.ok("run", "--rm", "busybox", "ip", "route", "show", "default").split()[2]
    for args in ((), ("--network", "own")):
        hosts = d.ok("run", "--rm", *args, "--add-host", "outside:host-gateway", "--add-host", "there:192.0.2.7", "busybox", "cat", "/etc/hosts")
        assert [gateway, "outside"] in [line.split() for line in hosts.splitlines()], hosts
        assert ["192.0.2.7", "there"] in [line.split() for line in hosts.splitlines()], hosts
    remove(d, networks=["own"])


def test_attachable(d):
    """Told, and nothing else: it is about services."""
    d.ok("network", "create", "--attachable", "open")
    d.ok("network", "create", "shut")
    equal((network(d, "open")["Attachable"], network(d, "shut")["Attachable"]), (True, False))
    c = d.sleeper("--network", "open")
    d.ok("network", "connect", "shut", c)
    d.kill9()
    d.start()
    equal((network(d, "open")["Attachable"], network(d, "shut")["Attachable"]), (True, False))
    remove(d, c, networks=["open", "shut"])


def test_connect_before_the_start(d):
    """As docker-compose does it: create, disconnect, connect with aliases, start."""
    d.ok("network", "create", "app")
    c = d.ok("create", "--network", "app", "busybox", "sleep", "1000")
    d.ok("network", "disconnect", "app", c)
    equal(d.inspect(c)["NetworkSettings"]["Networks"], {})
    d.ok("network", "connect", "--alias", "service", "app", c)
    d.ok("start", c)
    told = on(d, c, "app")
    assert "service" in told["Aliases"] and told["IPAddress"], told
    equal(links(d, c), ["eth0", "lo"])
    older = d.request("GET", f"/v1.41/containers/{c}/json").json["NetworkSettings"]["Networks"]["app"]
    assert c[:12] in older["Aliases"], older
    remove(d, c, networks=["app"])


def test_refused_connections(d):
    d.ok("network", "create", "n")
    c = d.sleeper("--network", "host")
    has(d.fails(1, "network", "connect", "n", c), "container sharing network namespace with another container or host cannot be connected to any other network")
    has(d.fails(1, "network", "connect", "host", d.sleeper()), "container cannot be disconnected from host network or connected to host network")
    d.ok("rm", "-f", c)
    c = d.sleeper("--network", "none")
    has(d.fails(1, "network", "connect", "n", c), "private (none) mode")
    d.ok("rm", "-f", c)
    has(d.fails(1, "network", "connect", "n", "nope"), "No such container: nope")
    has(d.fails(1, "network", "connect", "nope", "nope"), "No such container: nope")
    has(d.fails(1, "network", "disconnect", "nope", "nope"), "No such container: nope")
    c = d.sleeper()
    has(d.fails(1, "network", "connect", "nope", c), "network nope not found")
    d.ok("rm", "-f", c)
    d.api("POST", "/networks/n/connect", {}, status=400)
    d.ok("network", "rm", "n")


def test_filters_and_prune(d):
    made = {}
    for name, label in (("alpha", "x=1"), ("beta", "x=2"), ("gamma", "y=1")):
        made[name] = d.ok("network", "create", "--label", label, name)
    c = d.sleeper("--network", "beta")
    equal(names(d, "-f", "label=x"), ["alpha", "beta"])
    equal(names(d, "-f", "type=custom", "-f", "name=a"), ["alpha", "beta", "gamma"])
    equal(names(d, "-f", "dangling=true"), ["alpha", "gamma"])
    equal(names(d, "-f", f"id={made['gamma'][:12]}"), ["gamma"])
    equal(names(d, "-f", "driver=null"), ["none"])
    equal(d.docker_ok("network", "ls", "-q", "--no-trunc", "-f", "name=alpha"), made["alpha"])
    equal(d.ok("ps", "-q", "--no-trunc", "-f", "network=beta"), c)
    equal(d.api("POST", "/networks/prune", filters=json.dumps({"label!": ["y"]}), status=200).json, {"NetworksDeleted": ["alpha"]})
    has(d.ok("network", "prune", "-f"), "Deleted Networks:", "gamma")
    equal(names(d), ["beta", "bridge", "host", "none"])
    equal(d.api("POST", "/networks/prune", status=200).json, {"NetworksDeleted": None})
    remove(d, c, networks=["beta"])


def test_docker_client(d):
    d.docker_ok("network", "create", "--subnet", "10.99.3.0/24", "by-docker")
    c = d.sleeper()
    d.docker_ok("network", "connect", "--ip", "10.99.3.9", "by-docker", c)
    equal(on(d, c, "by-docker")["IPAddress"], "10.99.3.9")
    has(d.docker_ok("network", "inspect", "by-docker"), "10.99.3.9/24")
    d.docker_ok("network", "disconnect", "by-docker", c)
    d.docker_ok("network", "rm", "by-docker")
    d.ok("rm", "-f", c)


def test_events(d):
    since = str(int(time.time()))
    d.ok("network", "create", "seen")
    c = d.sleeper()
    d.ok("network", "connect", "seen", c)
    d.ok("network", "disconnect", "seen", c)
    d.ok("network", "rm", "seen")
    lines = d.ok("events", "--since", since, "--until", str(int(time.time()) + 1), "--filter", "network=seen", "--format", "{{.Action}}")
    equal(lines.split(), ["create", "connect", "disconnect", "destroy"])
    d.ok("rm", "-f", c)


def test_bridge_of_somebody_else(d):
    if STOCK:
        return
    host.tool("ip", "link", "add", "ctl-foreign", "type", "bridge")
    try:
        host.tool("ip", "addr", "add", "10.99.4.1/24", "dev", "ctl-foreign")
        d.ok("network", "create", "-o", "com.docker.network.bridge.name=ctl-foreign", "--subnet", "10.99.4.0/24", "foreign")
        c = d.sleeper("--network", "foreign")
        assert on(d, c, "foreign")["IPAddress"].startswith("10.99.4."), c
        has(d.fails(1, "network", "create", "-o", "com.docker.network.bridge.name=ctl-foreign", "again"), "is used by network foreign")
        remove(d, c, networks=["foreign"])
        assert os.path.exists("/sys/class/net/ctl-foreign"), "what is not ours stays"
    finally:
        host.tool("ip", "link", "del", "ctl-foreign")


def test_flushed_table_comes_back(d):
    if STOCK:
        return
    family, table = d.names["table"]
    d.ok("network", "create", "kept")
    s = server(d, "--network", "kept", "-p", "127.0.0.1::80")
    port = port_of(d, s)
    wait_for(lambda: fetch("127.0.0.1", port) == "served-by-server", "the port")
    elements = host.nft_elements(d.names["table"])
    listed = host.tool("nft", "list", "table", family, table)
    for damage in (("delete", "table", family, table), ("flush", "table", family, table),
                   ("flush", "set", family, table, "bridges"), ("flush", "chain", family, table, "forward")):
        host.tool("nft", *damage)
        wait_for(lambda: sorted(host.tool("nft", "list", "table", family, table).split()) == sorted(listed.split()), f"{damage}")
        equal(host.nft_elements(d.names["table"]), elements)
        equal(fetch("127.0.0.1", port), "served-by-server")
    remove(d, s, networks=["kept"])


def test_links(d):
    s = server(d, "--name", "target", host_name="target")
    c = d.sleeper("--link", "target:db")
    has(d.exec(c, "wget", "-qO-", "http://db/"), "served-by-target")
    d.sleeper("--name", "between")  # so that the address is another one
    d.ok("stop", "-t", "0", s)
    d.sleeper("--name", "after")
    d.ok("start", s)
    address = d.inspect(s)["NetworkSettings"]["IPAddress"]
    wait_for(lambda: f"{address}\tdb " in d.exec(c, "cat", "/etc/hosts"), "the new address")
    d.ok("stop", "-t", "0", s)
    has(d.fails(125, "run", "--rm", "--name", "linked", "--link", "target:db", "busybox", "true"),
        "Cannot link to a non running container: /target AS /linked/db")
    remove(d, s, c, "between", "after")


def test_default_address_of_published_ports():
    if STOCK:
        return
    with Daemon("--ip", "127.0.0.1") as d:
        s = server(d, "-p", "80", "-p", "0.0.0.0::81")
        ports = d.inspect(s)["NetworkSettings"]["Ports"]
        equal((ports["80/tcp"][0]["HostIp"], ports["81/tcp"][0]["HostIp"]), ("127.0.0.1", "0.0.0.0"))
        d.ok("rm", "-f", s)


def test_default_address_pools():
    if STOCK:
        return
    with Daemon(start=False) as d:
        with open(f"{d.root}/daemon.json", "w") as file:
            json.dump({"default-address-pools": [{"base": "10.99.16.0/24", "size": 28}, {"base": "10.99.32.0/24", "size": 24}]}, file)
        d.start()
        d.ok("network", "create", "--subnet", "10.99.16.16/28", "taken")
        subnets = [network(d, n)["IPAM"]["Config"][0]["Subnet"] for n in ("bridge", *(d.ok("network", "create", f"n{i}") for i in range(15)))]
        equal(subnets, [f"10.99.16.{16 * i}/28" for i in range(16) if i != 1] + ["10.99.32.0/24"])
        has(d.fails(1, "network", "create", "more"), "could not find an available, non-overlapping IPv4 address pool")
        c = d.sleeper("--network", "n3")
        equal(on(d, c, "n3")["IPAddress"], on(d, c, "n3")["Gateway"].rpartition(".")[0] + ".82")
        remove(d, c, networks=["taken", *(f"n{i}" for i in range(15))])
    with Daemon("--default-address-pool", "base=10.99.16.0/24,size=8", start=False) as d:
        equal(d.spawn().wait(20), 1)
        has(host.read(d.log), "invalid default address pool: base=10.99.16.0/24,size=8")


def test_ipv6(d):
    d.ok("network", "create", "--ipv6", "six")
    d.ok("network", "create", "--ipv6", "--subnet", "fd99:1::/64", "--gateway", "fd99:1::fe", "--subnet", "10.99.6.0/24", "fixed")
    info = network(d, "six")
    pools = [ipaddress.ip_network(p["Subnet"]) for p in info["IPAM"]["Config"]]
    equal(([p.version for p in pools], pools[1].prefixlen, info["EnableIPv6"]), ([4, 6], 64, True))
    assert pools[1].subnet_of(ipaddress.ip_network("fd00::/8")), pools
    s = server(d, "--network", "six", "-p", "80")
    told = on(d, s, "six")
    assert ipaddress.ip_address(told["GlobalIPv6Address"]) in pools[1], told
    equal((told["GlobalIPv6PrefixLen"], told["IPv6Gateway"]), (64, str(pools[1][1])))
    equal(list(network(d, "six")["Containers"].values())[0]["IPv6Address"], told["GlobalIPv6Address"] + "/64")
    has(d.exec(s, "ip", "-6", "addr", "show", "eth0"), told["GlobalIPv6Address"] + "/64")
    has(d.exec(s, "ip", "-6", "route"), f"default via {told['IPv6Gateway']}")
    has(d.exec(s, "cat", "/etc/hosts"), told["GlobalIPv6Address"])
    beside = d.sleeper("--network", "six")
    wait_reaches(d, beside, told["GlobalIPv6Address"])
    other = d.sleeper("--network", "fixed", "--ip6", "fd99:1::77")
    equal(on(d, other, "fixed")["GlobalIPv6Address"], "fd99:1::77")
    assert not reaches(d, other, told["GlobalIPv6Address"]), "networks do not see each other"
    has(d.fails(125, "run", "--rm", "--network", "fixed", "--ip6", "fd99:1::77", "busybox", "true"), "Address already in use")
    has(d.ctl("network", "create", "--ipv6", "--subnet", "fd99:1::/80", "again").err, "Pool overlaps")
    # Published on IPv6, too: on the gateway's address, from the host and from another network.
    ports = d.inspect(s)["NetworkSettings"]["Ports"]["80/tcp"]
    equal([p["HostIp"] for p in ports], ["0.0.0.0", "::"])
    port = int(ports[0]["HostPort"])
    equal(fetch(told["IPv6Gateway"], port), "served-by-server")
    equal(fetch("localhost", port), "served-by-server")
    wait_reaches(d, other, "fd99:1::fe", port)
    if STOCK:
        remove(d, s, beside, other, networks=["six", "fixed"])
        return
    d.kill9()
    host.tool("nft", "delete", "table", "ip6", d.names["table"][1])
    d.start()
    equal(on(d, s, "six"), told)
    equal(fetch(told["IPv6Gateway"], port), "served-by-server")
    host.tool("nft", "delete", "table", "ip6", d.names["table"][1])
    wait_for(lambda: fetch(told["IPv6Gateway"], port) == "served-by-server", "the table")
    d.ok("network", "connect", "six", other)
    wait_reaches(d, other, told["GlobalIPv6Address"])
    d.ok("network", "disconnect", "fixed", other)
    has(d.exec(other, "ip", "-6", "route"), f"default via {told['IPv6Gateway']}")
    remove(d, s, beside, other, networks=["six", "fixed"])


COMPOSE = """
version: "2.4"
services:
  web:
    image: busybox
    command: ["sh", "-c", "echo served-by-web >/index.html; httpd -f -p 80 -h /"]
    ports: ["80"]
    networks:
      front: {aliases: [www]}
      back: {}
  client:
    image: busybox
    command: ["sleep", "1000"]
    depends_on: [web]
    networks: [front]
  store:
    image: busybox
    command: ["sleep", "1000"]
    networks:
      back: {ipv4_address: 10.99.7.9}
networks:
  front: {}
  back:
    internal: true
    ipam: {config: [{subnet: 10.99.7.0/24}]}
"""


def test_docker_compose(d):
    file = f"{d.root}/docker-compose.yml"
    with open(file, "w") as out:
        out.write(COMPOSE)

    def compose(*args):
        done = subprocess.run(["docker-compose", "-p", "shop", "-f", file, *args], capture_output=True, text=True, timeout=120,
                              env={**os.environ, "DOCKER_HOST": f"unix://{d.sock}", "COMPOSE_ANSI": "never"}, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    compose("up", "-d")
    web, client, store = (compose("ps", "-q", name).strip() for name in ("web", "client", "store"))
    for name in ("web", "www", "shop_web_1", web[:12]):
        wait_for(lambda: "served-by-web" in d.ctl("exec", client, "wget", "-qO-", f"http://{name}/").out, f"{name} by its name")
    equal(on(d, store, "shop_back")["IPAddress"], "10.99.7.9")
    wait_for(lambda: d.ctl("exec", store, "wget", "-qO-", "http://web/").code == 0, "web from the internal network")
    equal(d.ctl("exec", store, "sh", "-c", f"nc -w 2 {on(d, web, 'shop_front')['IPAddress']} 80 </dev/null").code, 1)
    equal(fetch("127.0.0.1", port_of(d, web)), "served-by-web")
    compose("up", "-d")
    equal(compose("ps", "-q", "web").strip(), web, "nothing changed: nothing is made again")
    compose("up", "-d", "--scale", "client=3")
    equal(len(compose("ps", "-q", "client").split()), 3)
    has(compose("exec", "-T", "client", "wget", "-qO-", "http://www/"), "served-by-web")
    compose("down", "-t", "0")
    equal(names(d), ["bridge", "host", "none"])
    equal(d.ok("ps", "-aq"), "")


def test_macvlan(d):
    host.tool("ip", "link", "add", "ctl-parent", "type", "veth", "peer", "name", "ctl-peer")
    host.tool("ip", "link", "set", "ctl-peer", "up")
    try:
        host.tool("ip", "link", "set", "ctl-parent", "up")
        has(d.ctl("network", "create", "-d", "macvlan", "--subnet", "10.99.8.0/24", "-o", "parent=ctl-none", "mac").err, "ctl-none")
        d.ok("network", "create", "-d", "macvlan", "--subnet", "10.99.8.0/24", "-o", "parent=ctl-parent", "mac")
        equal(network(d, "mac")["Driver"], "macvlan")
        s, c = server(d, "--network", "mac", "-p", "80"), d.sleeper()
        address = on(d, s, "mac")["IPAddress"]
        d.ok("network", "connect", "mac", c)
        wait_reaches(d, c, address)
        has(d.exec(s, "ip", "route"), "default via 10.99.8.1 dev eth0")
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
            host.tool("ip", "link", "del", "ctl-parent")
            has(d.ctl("run", "--rm", "--network", "mac", "busybox", "true").err, "parent interface ctl-parent does not exist")
            for args in (("add", "ctl-parent", "type", "veth", "peer", "name", "ctl-peer"), ("set", "ctl-peer", "up"), ("set", "ctl-parent", "up")):
                host.tool("ip", "link", *args)
            s = server(d, "--network", "mac", "-p", "80")
            address = on(d, s, "mac")["IPAddress"]
            d.kill9()
            d.start()
            equal(on(d, s, "mac")["IPAddress"], address)
        remove(d, s, c, networks=["mac"])
    finally:
        host.tool("ip", "link", "del", "ctl-parent")


def map_elements(d, name, family=None):
    table = d.names["table"]
    listed = json.loads(host.tool("nft", "-j", "list", "map", family or table[0], table[1], name))
    return next(entry["map"].get("elem", []) for entry in listed["nftables"] if "map" in entry)


def test_a_range_of_ports(d):
    """One interval, with the numbers kept; reached from everywhere, and its parts taken for others."""
    serve = "for p in 8000 8037 8205; do httpd -p $p -h /; done; " + SERVER
    d.ok("network", "create", "--ipv6", "ranged")
    s = d.run_detached("--network", "ranged", "--hostname", "server", "-p", "8000-8205:8000-8205", "-p", "127.0.0.1:9000-9009:9000-9009/udp",
                       "-p", "8300-8309:80-89", "busybox", "sh", "-c", serve)
    other = d.sleeper()

    def all_reach():
        for port in (8000, 8037, 8205, 8300):
            wait_for(lambda port=port: fetch("127.0.0.1", port) == "served-by-server", f"port {port}")
            equal(fetch("::1", port), "served-by-server")
            assert reaches(d, other, gateway, port), "by the host's address"
        equal(outside.fetch("198.51.100.1", 8037), "served-by-server")
        equal(fetch("127.0.0.1", 8001), None, "nobody listens")

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
        for taken in ("8037:80", "127.0.0.1:8000:80", "8100-8110:8100-8110", "8205-8220:8205-8220"):
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
    remove(d, d.sleeper("-p", "8037:80"), networks=["ranged"])


def test_relay_of_the_next_daemon(d):
    """The tables outlive a daemon, its relay does not."""
    d.ok("rm", "-f", server(d, "-p", "8088:80"))
    d.kill9()
    d.start()
    s = server(d, "-p", "8088:80")
    wait_for(lambda: fetch("::1", 8088) == "served-by-server", "the port on ::1")
    d.ok("rm", "-f", s)


def test_seen_from_outside(d):
    d.ok("network", "create", "dmz")
    s = server(d, "--network", "dmz", "-p", "8088:80", "-p", "127.0.0.1:8089:80")
    address, gateway = on(d, s, "dmz")["IPAddress"], on(d, s, "dmz")["Gateway"]
    with Outside() as outside:
        wait_for(lambda: outside.fetch("198.51.100.1", 8088) == "served-by-server", "the published port")
        equal(fetch("127.0.0.1", 8089), "served-by-server")
        equal(outside.fetch("198.51.100.1", 8089), None, "a port published on the loopback")
        equal(outside.fetch(address, 80), None, "the container's own address")
        equal(outside.fetch(gateway, 8088), "served-by-server")
        # Even where a packet to the loopback comes over the wire.
        host.tool("ip", "-n", outside.netns, "route", "add", "127.0.0.2/32", "via", "198.51.100.1", "dev", "eth0", "table", "local")
        equal(outside.fetch("127.0.0.2", 8089), None)
        # Outwards the host's address stands for the container's.
        listener = subprocess.Popen(["ip", "netns", "exec", outside.netns, "/usr/bin/python3", "-c",
                                     "import socket; s = socket.create_server(('', 7000)); print('up', flush=True); "
                                     "print(s.accept()[1][0], flush=True)"], stdout=subprocess.PIPE, text=True)
        equal(listener.stdout.readline(), "up\n")
        d.exec(s, "sh", "-c", "nc -w 2 198.51.100.2 7000 </dev/null")
        equal(listener.stdout.readline(), "198.51.100.1\n")
        listener.wait()
    remove(d, s, networks=["dmz"])


def test_many_ports_are_one_transaction(d):
    d.ok("network", "create", "wide")
    s = server(d, "--network", "wide", "-p", "8100-8305:8100-8305", "-p", "8306:80")
    equal(len(d.inspect(s)["NetworkSettings"]["Ports"]), 207)
    wait_for(lambda: fetch("127.0.0.1", 8306) == "served-by-server", "the last of them")
    has(d.fails(125, "run", "--rm", "-p", "8200:80", "busybox", "true"), "port is already allocated")
    remove(d, s, networks=["wide"])
    equal(d.ctl("run", "--rm", "-p", "8200:80", "busybox", "true").code, 0)


# One program, many connections: "x" is sent and comes back, over and over; it tells when one fails.
KEEPER = """
import socket, sys, time
made = [socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) for _ in range(int(sys.argv[3]))]
print("up", flush=True)
for turns in range(1, 100000):
    for s in made:
        s.sendall(b"x")
        if s.recv(1) != b"x":
            sys.exit("a connection was closed")
    if turns % 50 == 0:
        print(turns, flush=True)
    time.sleep(0.01)
"""
# Names, asked for all the time by the container's own C library: what fails is counted.
ASKER = "n=0; bad=0; while [ ! -e /stop ]; do nslookup echo 127.0.0.11 >/dev/null 2>&1 || bad=$((bad+1)); n=$((n+1)); done; echo $n $bad"


class Chaos:
    """Threads that start, connect, disconnect and kill containers, so many operations altogether."""

    def __init__(self, d, nets, operations, threads=4):
        self.d, self.nets, self.failed, self.done, self.left = d, nets, [], 0, operations
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def more(self, count):
        with self.lock:
            self.left -= count
            self.done += count
            return self.left > 0

    def run(self, n):
        try:
            turn = 0
            while True:
                c = self.d.ok("run", "-d", "--network", self.nets[n % 3], "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
                self.d.ok("network", "connect", self.nets[(n + 1) % 3], c)
                if turn % 2 == 0:
                    self.d.ok("kill", c)
                self.d.ok("network", "disconnect", self.nets[n % 3], c)
                if turn % 3 == 1:
                    self.d.ctl("restart", "-t", "0", c)
                self.d.ok("network", "connect", self.nets[(n + 2) % 3], c)
                self.d.ok("rm", "-f", c)
                turn += 1
                if not self.more(7):
                    return
        except AssertionError as e:
            self.failed.append(e)

    def alive(self):
        return any(thread.is_alive() for thread in self.threads)


def lease_counts(d, nets):
    return {name: len(network(d, name)["Containers"]) for name in nets}


def test_chaos(d):
    """200 operations beside connections and lookups: none of these is lost, and nothing is left."""
    nets = ["c0", "c1", "c2"]
    for name in nets:
        d.ok("network", "create", name)
    s = d.run_detached("--network", "c0", "--name", "echo", "-p", "127.0.0.1::80", "busybox", "nc", "-ll", "-p", "80", "-e", "cat")
    asker = d.run_detached("--network", "c0", "busybox", "sh", "-c", ASKER)
    port = port_of(d, s)
    wait_for(lambda: reaches(d, asker, "echo"), "the server, by its name")
    keepers = [subprocess.Popen(["/usr/bin/python3", "-c", KEEPER, address, str(at), "10"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
               for address, at in (("127.0.0.1", port), (on(d, s, "c0")["IPAddress"], 80))]
    try:
        for keeper in keepers:
            equal(keeper.stdout.readline(), "up\n")
        before = d.settled_census()
        leases = lease_counts(d, nets)
        chaos = Chaos(d, nets, 200)
        while chaos.alive():
            for keeper in keepers:
                assert keeper.stdout.readline().strip().isdigit(), keeper.communicate()
        equal(chaos.failed, [])
        assert chaos.done >= 200, chaos.done
        for keeper in keepers:
            equal(keeper.poll(), None, "no connection was lost")
        equal(lease_counts(d, nets), leases)
        d.assert_counts(before)
    finally:
        for keeper in keepers:
            keeper.kill()
            keeper.communicate()
    d.exec(asker, "touch", "/stop")
    equal(d.ok("wait", asker), "0")
    asked, lost = map(int, d.ok("logs", asker).split())
    assert asked > 50 and lost == 0, (asked, lost)
    remove(d, s, asker, networks=nets)


def test_daemon_restart():
    if STOCK:
        return
    with Daemon() as d:
        for name, args in (("one", []), ("two", ["--internal", "--subnet", "10.99.5.0/24"]), ("idle", [])):
            d.ok("network", "create", *args, name)
        before = {n: network(d, n) for n in ("one", "two", "idle")}
        s = server(d, "--network", "one", "-p", "127.0.0.1::80")
        d.ok("network", "connect", "two", s)
        gone = d.sleeper("--network", "one")
        port, networks = port_of(d, s), d.inspect(s)["NetworkSettings"]
        wait_for(lambda: fetch("127.0.0.1", port) == "served-by-server", "the port")
        pid = d.inspect(gone)["State"]["Pid"]
        d.kill9()
        os.kill(pid, 9)
        host.tool("ip", "link", "del", "br-" + before["idle"]["Id"][:12])
        host.tool("nft", "delete", "table", *d.names["table"])
        d.start()
        equal({n: {k: v for k, v in network(d, n).items() if k != "Containers"} for n in before},
              {n: {k: v for k, v in before[n].items() if k != "Containers"} for n in before})
        equal(d.inspect(s)["NetworkSettings"], networks)
        equal(fetch("127.0.0.1", port), "served-by-server")
        equal(sorted(network(d, "one")["Containers"]), [s])
        assert os.path.exists("/sys/class/net/br-" + before["idle"]["Id"][:12])
        d.ok("network", "disconnect", "one", s)
        equal(links(d, s), ["eth1", "lo"])
        remove(d, s, gone, networks=["one", "two", "idle"])


def test_the_calls_themselves(d):
    body = {"Name": "called", "Labels": {"a": "b"}}
    network = d.api("POST", "/networks/create", body, status=201).json["Id"]
    container = d.sleeper()
    d.api("POST", f"/networks/{network}/connect", {"Container": container}, status=200)
    equal(list(d.api("GET", f"/networks/{network}", status=200).json["Containers"]), [container])
    d.api("DELETE", f"/networks/{network}", status=403)
    d.api("POST", f"/networks/{network}/disconnect", {"Container": container}, status=200)
    d.api("DELETE", f"/networks/{network}", status=204)
    d.api("DELETE", f"/networks/{network}", status=404)
    d.api("POST", f"/networks/{network}/disconnect", {"Container": container}, status=404)
    d.api("POST", "/networks/create", {"Name": ""}, status=400)
