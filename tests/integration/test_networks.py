"""Networks that users make: their life, isolation and addresses."""
import ipaddress
import json
import os
import socket
import subprocess
import time

import host
from harness import SLOW, STOCK, Daemon, equal, has, wait_for
from netlib import FOREIGN, NET4, NET6, SLOT, fetch, links, names, network, on, port_of, reaches, remove, server, wait_reaches


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
                       (["--subnet", f"{NET4}.1.5", "x"], f"{NET4}.1.5"), (["--subnet", f"{NET4}.1.0/24", "--gateway", "10.98.0.1", "x"], "10.98.0.1"),
                       (["--subnet", f"{NET4}.1.0/24", "--ip-range", "10.98.0.0/24", "x"], "10.98.0.0/24"),
                       (["-o", "com.docker.network.driver.mtu=abc", "x"], "mtu")):
        has(d.ctl("network", "create", *args).err, told)
    if not STOCK:
        for subnet in ("127.0.0.0/8", "127.99.0.0/16", "224.0.0.0/8", "0.0.0.0/8", "0.0.0.0/0", "255.255.255.0/24"):
            has(d.fails(1, "network", "create", "--subnet", subnet, "x"), subnet)
        for subnet in ("ff00::/8", "::/64"):
            has(d.fails(1, "network", "create", "--ipv6", "--subnet", subnet, "x"), subnet)
        has(d.api("POST", "/networks/create", {"Name": "x", "Ingress": True}, status=501).json["message"], "ingress networks are not supported")
        has(d.fails(1, "network", "create", "--ingress", "x"), "ingress networks are not supported")
        has(d.fails(1, "network", "create", "--ipv4=false", "x"), "networks without IPv4 are not supported")
    for program in ("ctlc", "docker"):
        done = d.command(program, ["network", "create", "--scope", "swarm", "x"])
        equal((done.code, done.err.strip()), (1, "Error response from daemon: cannot create a swarm scoped network when swarm is not active"))
        d.ok("network", "create", "--scope", "local", "scoped")
        d.ok("network", "rm", "scoped")
    if not STOCK:
        has(d.api("POST", "/networks/create", {"Name": "x", "Scope": "galaxy"}, status=400).message, "galaxy")
        # Clients in Go can read nothing of a list with one of these in it.
        for member, path in (({"Labels": {"a": 5}}, "Labels"), ({"Options": {"a": [1]}}, "Options"), ({"IPAM": {"Options": {"a": 5}}}, "IPAM.Options"),
                             ({"IPAM": {"Config": [{"AuxiliaryAddresses": {"a": 5}}]}}, "IPAM.Config.AuxiliaryAddresses")):
            for kind in ({}, {"ConfigOnly": True}):
                has(d.api("POST", "/networks/create", {"Name": "x", **member, **kind}, status=400).message,
                    "json: cannot unmarshal ", f" into Go struct field CreateRequest.{path} of type string")
    has(d.fails(1, "network", "rm", "bridge"), "bridge is a pre-defined network and cannot be removed")
    has(d.fails(1, "network", "inspect", "nope"), "nope")
    d.ok("network", "create", "--subnet", f"{NET4}.1.0/24", "one")
    has(d.fails(1, "network", "create", "--subnet", f"{NET4}.0.0/16", "two"), "Pool overlaps with other one on this address space")
    equal(names(d), ["bridge", "host", "none", "one"])
    d.ok("network", "rm", "one")


def test_config_only(d):
    """A network that others take their configuration from.  What dockerd says to it is in test_differential.py."""
    create = ("network", "create")
    conf = d.ok(*create, "--config-only", "--ipv6", "--subnet", f"{NET4}.1.0/24", "--subnet", f"{NET6}:1::/64", "--ip-range", f"{NET4}.1.128/25",
                "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400", "conf")
    info = network(d, "conf")
    equal((info["Id"], info["Driver"], info["Scope"], info["ConfigOnly"], info["ConfigFrom"], info["Containers"]), (conf, "null", "local", True, {"Network": ""}, {}))
    equal(info["IPAM"]["Config"], [{"Subnet": f"{NET4}.1.0/24", "IPRange": f"{NET4}.1.128/25"}, {"Subnet": f"{NET6}:1::/64"}])
    for program in ("ctlc", "docker"):
        equal(d.command(program, ["network", "create", "--config-from", "conf", "--internal", "made"]).code, 0)
        made = network(d, "made")
        equal((made["Driver"], made["ConfigOnly"], made["ConfigFrom"], made["Internal"], made["EnableIPv6"], made["Labels"], made["Options"]),
              ("bridge", False, {"Network": "conf"}, True, True, {"a": "b"}, info["Options"]))
        c = d.sleeper("--network", "made")
        has(d.exec(c, "ip", "addr", "show", "eth0"), "mtu 1400", f"inet {NET4}.1.", f"inet6 {NET6}:1::")
        has(d.ctl(*create, "--config-from", "conf", "again").err, "Pool overlaps")
        for _ in range(2):
            has(d.fails(1, "network", "rm", "conf"), 'configuration network "conf" is in use')
            if not STOCK:
                d.kill9()
                d.start()
        remove(d, c, networks=["made"])
    # It has no addresses of its own, no link, and no containers.
    remove(d, networks=[d.ok(*create, "--subnet", f"{NET4}.1.0/24", "beside")])
    has(d.ctl("run", "--rm", "--network", "conf", "busybox", "true").err, "cannot create endpoint on configuration-only network")
    c = d.sleeper()
    has(d.fails(1, "network", "connect", "conf", c), "cannot create endpoint on configuration-only network")
    d.ok("rm", "-f", c)
    equal(d.api("POST", "/networks/prune", status=200).json, {"NetworksDeleted": None})
    # What could never be used is told at once.
    if not STOCK:
        for words, told in ((["--subnet", f"{NET4}.1.5"], f"{NET4}.1.5"), (["-o", "com.docker.network.driver.mtu=abc"], "mtu"), (["--ipv4=false"], "without IPv4")):
            has(d.fails(1, *create, "--config-only", *words, "bad"), told)
    equal(names(d), ["bridge", "conf", "host", "none"])
    # A subnet that it leaves open is chosen for each; options are the driver's that uses it.
    d.ok(*create, "--config-only", "-o", "parent=lo", "open")
    first, second = (network(d, d.ok(*create, "--config-from", "open", f"made{i}"))["IPAM"]["Config"][0]["Subnet"] for i in range(2))
    assert first != second, first
    if not STOCK:
        has(d.fails(1, *create, "-d", "macvlan", "--config-from", "open", "mac"), "a macvlan network needs an IPv4 subnet")
    # One after the other: what is named last is held by those before.
    equal(d.ok("network", "rm", "made0", "made1", "open", "conf").split(), ["made0", "made1", "open", "conf"])


def test_subnet_range_gateway_and_reserved(d):
    d.ok("network", "create", "--subnet", f"{NET4}.2.0/24", "--ip-range", f"{NET4}.2.8/29", "--gateway", f"{NET4}.2.254",
         "--aux-address", f"router={NET4}.2.9", "ranged")
    pool = network(d, "ranged")["IPAM"]["Config"]
    equal(pool, [{"Subnet": f"{NET4}.2.0/24", "IPRange": f"{NET4}.2.8/29", "Gateway": f"{NET4}.2.254",
                  "AuxiliaryAddresses": {"router": f"{NET4}.2.9"}}])
    made = [d.sleeper("--network", "ranged") for _ in range(3)]
    taken = [on(d, c, "ranged")["IPAddress"] for c in made]
    equal(taken, [f"{NET4}.2.8", f"{NET4}.2.10", f"{NET4}.2.11"])
    fixed = d.sleeper("--network", "ranged", "--ip", f"{NET4}.2.77", "--mac-address", "02:00:00:00:00:07")
    equal((on(d, fixed, "ranged")["IPAddress"], on(d, fixed, "ranged")["MacAddress"]), (f"{NET4}.2.77", "02:00:00:00:00:07"))
    equal(on(d, fixed, "ranged")["IPAMConfig"], {"IPv4Address": f"{NET4}.2.77"})
    has(d.fails(125, "run", "--network", "ranged", "--ip", f"{NET4}.2.77", "busybox", "true"), "Address already in use")
    has(d.ctl("run", "--network", "ranged", "--ip", "10.98.0.1", "busybox", "true").err, "no configured subnet contains IP address 10.98.0.1")
    has(d.fails(125, "run", "--network", "ranged", "--ip", f"{NET4}.2.9", "busybox", "true"), "Address already in use")
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
    d.docker_ok("network", "create", "--subnet", f"{NET4}.3.0/24", "by-docker")
    c = d.sleeper()
    d.docker_ok("network", "connect", "--ip", f"{NET4}.3.9", "by-docker", c)
    equal(on(d, c, "by-docker")["IPAddress"], f"{NET4}.3.9")
    has(d.docker_ok("network", "inspect", "by-docker"), f"{NET4}.3.9/24")
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
    host.tool("ip", "link", "add", FOREIGN, "type", "bridge")
    try:
        host.tool("ip", "addr", "add", f"{NET4}.4.1/24", "dev", FOREIGN)
        d.ok("network", "create", "-o", f"com.docker.network.bridge.name={FOREIGN}", "--subnet", f"{NET4}.4.0/24", "foreign")
        c = d.sleeper("--network", "foreign")
        assert on(d, c, "foreign")["IPAddress"].startswith(f"{NET4}.4."), c
        has(d.fails(1, "network", "create", "-o", f"com.docker.network.bridge.name={FOREIGN}", "again"), "is used by network foreign")
        remove(d, c, networks=["foreign"])
        assert os.path.exists(f"/sys/class/net/{FOREIGN}"), "what is not ours stays"
    finally:
        host.tool("ip", "link", "del", FOREIGN)


def test_options_of_the_bridge(d):
    """The kernel's rules for names of links, and what IPv6 asks for."""
    if STOCK:
        return

    def create(status, options, **more):
        d.api("POST", "/networks/create", {"Name": "odd", "Options": {f"com.docker.network.{k}": v for k, v in options.items()}, **more}, status=status)

    for name in (f"ctl-{SLOT}-%d", "%", "a:b", "a b", "a/b", "a\tb", "..", "all", "default", "sixteen-letters-"):
        create(400, {"bridge.name": name})
    create(400, {"driver.mtu": "1279"}, EnableIPv6=True)
    assert not os.path.exists(f"/sys/class/net/ctl-{SLOT}-0")
    create(201, {"bridge.name": "", "driver.mtu": "1280"}, EnableIPv6=True)
    d.ok("network", "rm", "odd")
    create(201, {"driver.mtu": "1279"})
    d.ok("network", "rm", "odd")


def test_one_that_cannot_be_made(d):
    """It leaves nothing: here some of its subnet is in the table already."""
    if STOCK:
        return
    d.ok("network", "create", "other")
    elements = host.nft_elements(d.names["table"])
    foreign = (*d.names["table"], "subnets", f"{{ {NET4}.5.128-{NET4}.6.5 }}")
    host.tool("nft", "add", "element", *foreign)
    try:
        d.fails(1, "network", "create", "--ipv6", "--subnet", f"{NET4}.5.0/24", "late")
        equal(host.tool("ip", "-o", "addr", "show", "to", f"{NET4}.5.0/24"), "")
    finally:
        host.tool("nft", "delete", "element", *foreign)
    d.ok("network", "create", "--ipv6", "--subnet", f"{NET4}.5.0/24", "late")
    d.ok("network", "rm", "late")
    wait_for(lambda: host.nft_elements(d.names["table"]) == elements, "the table")
    d.ok("network", "rm", "other")


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


def test_default_address_pools():
    if STOCK:
        return
    with Daemon(start=False) as d:
        with open(f"{d.root}/daemon.json", "w") as file:
            json.dump({"default-address-pools": [{"base": f"{NET4}.16.0/24", "size": 28}, {"base": f"{NET4}.32.0/24", "size": 24}]}, file)
        d.start()
        d.ok("network", "create", "--subnet", f"{NET4}.16.16/28", "taken")
        subnets = [network(d, n)["IPAM"]["Config"][0]["Subnet"] for n in ("bridge", *(d.ok("network", "create", f"n{i}") for i in range(15)))]
        equal(subnets, [f"{NET4}.16.{16 * i}/28" for i in range(16) if i != 1] + [f"{NET4}.32.0/24"])
        has(d.fails(1, "network", "create", "more"), "could not find an available, non-overlapping IPv4 address pool")
        c = d.sleeper("--network", "n3")
        equal(on(d, c, "n3")["IPAddress"], on(d, c, "n3")["Gateway"].rpartition(".")[0] + ".82")
        remove(d, c, networks=["taken", *(f"n{i}" for i in range(15))])
    with Daemon("--default-address-pool", f"base={NET4}.16.0/24,size=8", start=False) as d:
        equal(d.spawn().wait(20 * SLOW), 1)
        has(host.read(d.log), f"invalid default address pool: base={NET4}.16.0/24,size=8")


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
      back: {ipv4_address: NET4.7.9}
networks:
  front: {}
  back:
    internal: true
    ipam: {config: [{subnet: NET4.7.0/24}]}
"""


def test_docker_compose(d):
    file = f"{d.root}/docker-compose.yml"
    with open(file, "w") as out:
        out.write(COMPOSE.replace("NET4", NET4))

    def compose(*args):
        done = subprocess.run(["docker-compose", "-p", "shop", "-f", file, *args], capture_output=True, text=True, timeout=120 * SLOW,
                              env={**os.environ, "DOCKER_HOST": f"unix://{d.sock}", "COMPOSE_ANSI": "never"}, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    compose("up", "-d")
    web, client, store = (compose("ps", "-q", name).strip() for name in ("web", "client", "store"))
    for name in ("web", "www", "shop_web_1", web[:12]):
        wait_for(lambda: "served-by-web" in d.ctl("exec", client, "wget", "-qO-", f"http://{name}/").out, f"{name} by its name")
    equal(on(d, store, "shop_back")["IPAddress"], f"{NET4}.7.9")
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


def test_daemon_restart():
    if STOCK:
        return
    with Daemon() as d:
        for name, args in (("one", []), ("two", ["--internal", "--subnet", f"{NET4}.5.0/24"]), ("idle", [])):
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
