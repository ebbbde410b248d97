"""Networks of both families."""
import ipaddress

import host
from harness import STOCK, equal, has, wait_for
from netlib import NET4, NET6, SLOT, fetch, network, on, reaches, remove, server, wait_reaches


def test_each_address_with_its_subnet(d):
    """Ranges, gateways and reserved addresses of both families, in whatever order, by both clients."""
    if STOCK:
        return
    for create in (d.ok, d.docker_ok):
        create("network", "create", "--ipv6", "--subnet", f"{NET6}:2::/64", "--subnet", f"{NET4}.2.0/24", "--gateway", f"{NET4}.2.1", "--ip-range",
               f"{NET6}:2:0:0:1::/80", "--aux-address", f"four={NET4}.2.2", "--aux-address", f"six={NET6}:2::99", "both")
        # In the order that the client chose: the stock one's differs from time to time.
        equal(sorted(network(d, "both")["IPAM"]["Config"], key=lambda pool: pool["Subnet"]),
              [{"Subnet": f"{NET4}.2.0/24", "Gateway": f"{NET4}.2.1", "AuxiliaryAddresses": {"four": f"{NET4}.2.2"}},
               {"Subnet": f"{NET6}:2::/64", "IPRange": f"{NET6}:2:0:0:1::/80", "Gateway": f"{NET6}:2::1", "AuxiliaryAddresses": {"six": f"{NET6}:2::99"}}])
        c = d.sleeper("--network", "both")
        told = on(d, c, "both")
        equal(told["IPAddress"], f"{NET4}.2.3", "the second is reserved")
        assert ipaddress.ip_address(told["GlobalIPv6Address"]) in ipaddress.ip_network(f"{NET6}:2:0:0:1::/80"), told
        has(d.exec(c, "ip", "-6", "addr", "show", "eth0"), told["GlobalIPv6Address"] + "/64")
        has(d.exec(c, "ping", "-c", "1", "-W", "5", f"{NET6}:2::1"), "1 packets received")
        for address in (("--ip6", f"{NET6}:2::99"), ("--ip", f"{NET4}.2.2")):
            has(d.fails(125, "run", "--rm", "--network", "both", *address, "busybox", "true"), "Address already in use")
        remove(d, c, networks=["both"])
    four, six = ("--subnet", f"{NET4}.2.0/24"), ("--ipv6", "--subnet", f"{NET6}:2::/64")
    for args, told in (((*four, "--gateway", "10.98.0.1"), "no matching subnet for gateway 10.98.0.1"),
                       ((*four, "--ip-range", "10.98.0.0/24"), "no matching subnet for range 10.98.0.0/24"),
                       ((*four, "--aux-address", f"a={NET6}:2::1"), f"no matching subnet for aux-address {NET6}:2::1"),
                       ((*four, *six, "--gateway", f"{NET4}.2.1", "--gateway", f"{NET4}.2.2"),
                        f"cannot configure multiple gateways ({NET4}.2.2, {NET4}.2.1) for the same subnet ({NET4}.2.0/24)"),
                       (("--gateway", f"{NET4}.2.1"), "every ip-range or gateway must have a corresponding subnet")):
        for program in ("ctlc", "docker"):
            done = d.command(program, ["network", "create", *args, "bad"])
            equal(done.code, 1)
            has(done.err, told)
    for pool in ({"IPRange": f"{NET6}:3::/80"}, {"IPRange": f"{NET6}:2::/120"}, {"IPRange": f"{NET6}:2::/60"}, {"AuxiliaryAddresses": {"a": f"{NET6}:3::1"}}):
        d.api("POST", "/networks/create", {"Name": "bad", "EnableIPv6": True, "IPAM": {"Config": [{"Subnet": f"{NET6}:2::/64", **pool}]}}, status=400)


def test_ipv6(d):
    d.ok("network", "create", "--ipv6", "six")
    d.ok("network", "create", "--ipv6", "--subnet", f"{NET6}:1::/64", "--gateway", f"{NET6}:1::fe", "--subnet", f"{NET4}.6.0/24", "fixed")
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
    other = d.sleeper("--network", "fixed", "--ip6", f"{NET6}:1::77")
    equal(on(d, other, "fixed")["GlobalIPv6Address"], f"{NET6}:1::77")
    assert not reaches(d, other, told["GlobalIPv6Address"]), "networks do not see each other"
    has(d.fails(125, "run", "--rm", "--network", "fixed", "--ip6", f"{NET6}:1::77", "busybox", "true"), "Address already in use")
    has(d.ctl("network", "create", "--ipv6", "--subnet", f"{NET6}:1::/80", "again").err, "Pool overlaps")
    # Published on IPv6, too: on the gateway's address, from the host and from another network.
    ports = d.inspect(s)["NetworkSettings"]["Ports"]["80/tcp"]
    equal([p["HostIp"] for p in ports], ["0.0.0.0", "::"])
    port = int(ports[0]["HostPort"])
    equal(fetch(told["IPv6Gateway"], port), "served-by-server")
    equal(fetch("localhost", port), "served-by-server")
    wait_reaches(d, other, f"{NET6}:1::fe", port)
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


def test_ipv6_address_that_is_taken(d):
    """What nobody asked for is another one than what is reserved, or was asked for."""
    four = f"{0x0a00 + SLOT:x}:6"  # of the addresses with an IPv4 one at their end
    d.ok("network", "create", "--ipv6", "--subnet", f"{NET4}.6.0/24", "--subnet", f"{NET6}:6::/64", "--gateway", f"{NET6}:6::{four}02",
         "--aux-address", f"a={NET6}:6::{four}03", "six")
    first, second = d.sleeper("--network", "six"), d.sleeper("--network", "six")
    wanted = d.sleeper("--network", "six", "--ip", f"{NET4}.6.99", "--ip6", f"{NET6}:6::{four}04")
    third = d.sleeper("--network", "six")
    told = [on(d, c, "six")["GlobalIPv6Address"] for c in (first, second, wanted, third)]
    equal((len(set(told)), told[2]), (4, f"{NET6}:6::{four}04"))
    for address in (told[0], told[1], told[3]):
        assert ipaddress.ip_address(address) in ipaddress.ip_network(f"{NET6}:6::/64"), told
        assert address not in (f"{NET6}:6::{four}02", f"{NET6}:6::{four}03", f"{NET6}:6::{four}04"), told
        equal(d.ctl("exec", wanted, "ping", "-c", "1", "-W", "5", address).code, 0)
    d.ok("restart", "-t", "0", third)
    assert on(d, third, "six")["GlobalIPv6Address"] not in told[:3], told
    remove(d, first, second, wanted, third, networks=["six"])


def test_one_ipv6_address_for_two_at_once(d):
    d.ok("network", "create", "--ipv6", "--subnet", f"{NET4}.7.0/24", "--subnet", f"{NET6}:7::/64", "six")
    pair = [d.sleeper(), d.sleeper()]
    for n in range(16, 24):
        wanted = f"{NET6}:7::{n:x}"
        clients = [d.spawn_client("network", "connect", "--ip6", wanted, "six", c) for c in pair]
        told = [client.communicate(timeout=60) for client in clients]
        codes = [client.returncode for client in clients]
        equal(sorted(codes), [0, 1], (wanted, told))
        winner = pair[codes.index(0)]
        equal(on(d, winner, "six")["GlobalIPv6Address"], wanted)
        d.ok("network", "disconnect", "six", winner)
    remove(d, *pair, networks=["six"])
