"""Connecting and disconnecting, and what a container has of several networks."""
import os
import signal
import time

import host
from harness import STOCK, equal, has, wait_for
from netlib import NET4, NET6, links, network, on, remove, server


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
    has(d.fails(1, "network", "connect", "bb", c), "already exists in network bb")
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


def test_who_ends_with_words_unheard(d):
    """A socket with something to say to nobody keeps its network namespace for minutes: not the link and its address."""
    if STOCK:
        return
    d.ok("network", "create", "--subnet", f"{NET4}.41.0/24", "unheard")
    peer = d.ok("run", "-d", "--network", "unheard", "busybox", "nc", "-l", "-p", "7", "-e", "sleep", "1000")
    wait_for(lambda: ":7 " in d.exec(peer, "netstat", "-tln"), "somebody to talk to")
    talker = d.ok("run", "-d", "--network", "unheard", "--ip", f"{NET4}.41.9", "busybox", "sh", "-c",
                  f"sleep 1000 | nc {on(d, peer, 'unheard')['IPAddress']} 7")
    wait_for(lambda: "ESTABLISHED" in d.exec(talker, "netstat", "-tn"), "the connection")
    links = lambda: {link["ifname"] for link in host.veths() if link.get("master") == bridge}  # noqa: E731
    bridge = "br-" + network(d, "unheard")["Id"][:12]
    equal(len(links()), 2)
    d.ok("network", "disconnect", "unheard", peer)
    d.ok("rm", "-f", talker)
    wait_for(lambda: not links(), "the link to go", limit=10)
    remove(d, peer, networks=["unheard"])


def test_who_ends_at_this_moment(d):
    """Its end is not told yet, and it can be connected as one that is down: that is waited for."""
    if STOCK:
        return
    for name in ("one", "two"):
        d.ok("network", "create", name)
    for words, left in ((("connect", "two"), ["one", "two"]), (("disconnect", "one"), [])):
        c = d.sleeper("--network", "one")
        pid = d.inspect(c)["State"]["Pid"]
        shim = int(host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
        os.kill(shim, signal.SIGSTOP)
        try:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] == "Z", "the end")
            client = d.spawn_client("network", *words, c)
            time.sleep(0.3)  # or it would be told first
        finally:
            os.kill(shim, signal.SIGCONT)
        err = client.communicate(timeout=60)[1]
        equal((client.returncode, sorted(d.inspect(c)["NetworkSettings"]["Networks"])), (0, left), err)
        d.ok("rm", c)
    remove(d, networks=["one", "two"])


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
    subnets = {"low": f"{NET4}.61.0/24", "mid": f"{NET4}.62.0/24", "top": f"{NET4}.63.0/24", "shut": f"{NET4}.64.0/24"}
    for name, subnet in subnets.items():
        d.ok("network", "create", "--subnet", subnet, *(["--internal"] if name == "shut" else []), name)
    if STOCK:  # which has no priorities: by name
        c = d.sleeper("--network", "low")
        d.ok("network", "connect", "mid", c)
    else:
        c = d.ok("run", "-d", "--network", "name=low,gw-priority=-1", "--network", "mid", "busybox", "sleep", "1000")
    equal(routes(d, c), ([subnets["low"], subnets["mid"]], [f"{NET4}.61.1" if STOCK else f"{NET4}.62.1"]))
    d.ok("network", "connect", *([] if STOCK else ["--gw-priority", "7"]), "top", c)
    d.ok("network", "connect", *([] if STOCK else ["--gw-priority", "9"]), "shut", c)  # leads nowhere
    equal(routes(d, c), (sorted(subnets.values()), [f"{NET4}.61.1" if STOCK else f"{NET4}.63.1"]))
    if not STOCK:
        equal(d.inspect(c)["NetworkSettings"]["Networks"]["top"]["GwPriority"], 7)
    d.ok("restart", "-t", "0", c)
    equal(routes(d, c), (sorted(subnets.values()), [f"{NET4}.61.1" if STOCK else f"{NET4}.63.1"]))
    d.ok("network", "disconnect", "top", c)
    equal(routes(d, c)[1], [f"{NET4}.61.1" if STOCK else f"{NET4}.62.1"])
    d.ok("network", "disconnect", "mid", c)
    equal(routes(d, c), ([subnets["low"], subnets["shut"]], [f"{NET4}.61.1"]))
    d.ok("network", "disconnect", "low", c)
    equal(routes(d, c), ([subnets["shut"]], []))
    remove(d, c, networks=list(subnets))


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


def test_link_local_addresses(d):
    """Beside the network's own, from its start and with a connection."""
    if STOCK:
        return
    for name in ("one", "two"):
        d.ok("network", "create", name)
    c = d.sleeper("--network", "one", "--link-local-ip", "169.254.7.7")
    d.ok("network", "connect", "--link-local-ip", "169.254.8.8", "--link-local-ip", "169.254.8.9", "two", c)
    has(d.exec(c, "ip", "addr", "show", "eth0"), "inet 169.254.7.7/16", "inet " + on(d, c, "one")["IPAddress"])
    has(d.exec(c, "ip", "addr", "show", "eth1"), "inet 169.254.8.8/16", "inet 169.254.8.9/16")
    beside = d.sleeper("--network", "one", "--link-local-ip", "169.254.7.8")
    has(d.exec(beside, "ping", "-c", "1", "-W", "5", "169.254.7.7"), "1 packets received")
    d.ok("restart", "-t", "0", c)
    has(d.exec(c, "ip", "addr"), "169.254.7.7", "169.254.8.8", "169.254.8.9")
    for address in ("10.1.1.1", "nonsense"):
        reply = d.api("POST", "/networks/two/connect", {"Container": beside, "EndpointConfig": {"IPAMConfig": {"LinkLocalIPs": [address]}}}, status=400)
        has(reply.message, address)
    remove(d, c, beside, networks=["one", "two"])


def test_host_by_name(d):
    """host-gateway stands for the host on the default bridge, whatever the container's network is."""
    d.ok("network", "create", "own")
    gateway = d.ok("run", "--rm", "busybox", "ip", "route", "show", "default").split()[2]
    for args in ((), ("--network", "own")):
        hosts = d.ok("run", "--rm", *args, "--add-host", "outside:host-gateway", "--add-host", "there:192.0.2.7", "busybox", "cat", "/etc/hosts")
        assert [gateway, "outside"] in [line.split() for line in hosts.splitlines()], hosts
        assert ["192.0.2.7", "there"] in [line.split() for line in hosts.splitlines()], hosts
    remove(d, networks=["own"])


def test_addresses_that_nobody_can_have(d):
    """They are refused when they are asked for, not passed over, and not at the start alone."""
    if STOCK:
        return
    d.ok("network", "create", "--ipv6", "--subnet", f"{NET4}.9.0/24", "--subnet", f"{NET6}:9::/64", "n")
    d.ok("network", "create", "four")
    up, down = d.sleeper(), d.ok("create", "busybox", "true")
    no_subnet, group = "no configured subnet contains IP address ", "01:02:03:04:05:06"
    for net, config, told in (
            *(("n", {"IPAMConfig": {"IPv4Address": a}}, no_subnet + a) for a in ("junk", f"{NET4}.9.5/24", f"{NET6}:9::5", "192.0.2.1")),
            *(("n", {"IPAMConfig": {"IPv6Address": a}}, no_subnet + a) for a in ("junk", f"{NET6}:9::5/64", f"{NET4}.9.5", "2001:db8::1")),
            ("four", {"IPAMConfig": {"IPv6Address": f"{NET6}:9::5"}}, no_subnet),
            *(("n", {"MacAddress": a}, f"invalid MAC address: {a}") for a in ("junk", group, "00:00:00:00:00:00")),
            ("n", {"IPAMConfig": {"LinkLocalIPs": ["192.0.2.1"]}}, "invalid link-local IP address: 192.0.2.1")):
        for c in (up, down):
            has(d.api("POST", f"/networks/{net}/connect", {"Container": c, "EndpointConfig": config}, status=400).message, told)
        body = {"Image": "busybox", "HostConfig": {"NetworkMode": net}, "NetworkingConfig": {"EndpointsConfig": {net: config}}}
        has(d.api("POST", "/containers/create", body, status=400).message, f"invalid config for network {net}: ", told)
    has(d.fails(125, "run", "--rm", "--mac-address", group, "busybox", "true"), f"invalid MAC address: {group}")
    equal(list(d.inspect(down)["NetworkSettings"]["Networks"]), ["bridge"])
    d.ok("start", "-a", down)
    # A network that is not there yet may have any subnet; what fits is as good as ever.
    later = d.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"NetworkMode": "later"}, "NetworkingConfig": {
        "EndpointsConfig": {"later": {"IPAMConfig": {"IPv4Address": f"{NET4}.10.5"}}}}}, status=201).json["Id"]
    d.ok("network", "create", "--subnet", f"{NET4}.11.0/24", "later")
    has(d.fails(1, "start", later), no_subnet + f"{NET4}.10.5")
    c = d.sleeper("--network", "n", "--ip", f"{NET4}.9.9", "--ip6", f"{NET6}:9::9", "--mac-address", "02:42:00:00:00:09")
    told = on(d, c, "n")
    equal((told["IPAddress"], told["GlobalIPv6Address"], told["MacAddress"]), (f"{NET4}.9.9", f"{NET6}:9::9", "02:42:00:00:00:09"))
    remove(d, up, down, later, c, networks=["n", "four", "later"])


def test_members_of_another_type(d):
    """What nobody could read again is refused, and what is there stays as it was."""
    if STOCK:
        return
    d.ok("network", "create", "typed")
    c = d.ok("create", "busybox", "true")
    for settings, path, kind in (({"Aliases": [5]}, ".Aliases", "string"), ({"Aliases": "x"}, ".Aliases", "[]string"), ({"Links": [None]}, ".Links", "string"),
                                 ({"DriverOpts": {"a": 5}}, ".DriverOpts", "string"), ({"MacAddress": 5}, ".MacAddress", "string"), (5, "", "network.EndpointSettings"),
                                 ({"IPAMConfig": 5}, ".IPAMConfig", "network.EndpointIPAMConfig"), ({"IPAMConfig": {"IPv4Address": 5}}, ".IPAMConfig.IPv4Address", "string")):
        has(d.api("POST", "/networks/typed/connect", {"Container": c, "EndpointConfig": settings}, status=400).message,
            f" into Go struct field ConnectOptions.EndpointConfig{path} of type {kind}")
        equal(list(d.inspect(c)["NetworkSettings"]["Networks"]), ["bridge"])
    none = {name: None for name in ("Aliases", "Links", "DriverOpts", "IPAMConfig")}
    d.api("POST", "/networks/typed/connect", {"Container": c, "EndpointConfig": none}, status=200)
    d.api("POST", "/networks/typed/disconnect", {"Container": c, "Force": "x"}, status=400)
    d.ok("rm", c)
    d.ok("network", "rm", "typed")
