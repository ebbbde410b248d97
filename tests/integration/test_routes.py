"""Static routes of a network: its containers reach by them what lies behind another container, by both families."""
import json
import subprocess

import host
from harness import SLOW, STOCK, equal, has, wait_for
from netlib import NET4, NET6, PARENT, PEER

OPTION = "containerd-lite.network.routes"
SERVER = "echo served >/index.html; httpd -f -p 80 -h /"
FRONT = ("--ipv6", "--subnet", f"{NET4}.11.0/24", "--subnet", f"{NET6}:11::/64")
BACK = ("--ipv6", "--subnet", f"{NET4}.12.0/24", "--subnet", f"{NET6}:12::/64")
TO_BACK = (f"{NET4}.12.0/24={NET4}.11.5", f"{NET6}:12::/64={NET6}:11::5")
TO_FRONT = (f"{NET4}.11.0/24={NET4}.12.5", f"{NET6}:11::/64={NET6}:12::5")
# Who asks is told, so that nobody has put on another address on the way.
LISTENER = """import socket
s = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
print("up", flush=True)
for _ in range(2): print(s.accept()[1][0], flush=True)"""


def options(d, name):
    return json.loads(d.ok("network", "inspect", name))[0]["Options"]


def flags(routes):
    return [word for route in routes for word in ("--route", route)]


def on(d, container, name):
    return d.inspect(container)["NetworkSettings"]["Networks"][name]


def routes(d, container):
    """{destination: gateway} of what is led by another than the default route."""
    lines = [line.split() for family in "46" for line in d.exec(container, "ip", f"-{family}", "route").splitlines()]
    return {words[0]: words[2] for words in lines if words[1:2] == ["via"] and words[0] != "default"}


def gets(d, container, address):
    host_part = f"[{address}]" if ":" in address else address
    return d.ctl("exec", container, "timeout", "2", "wget", "-qO-", f"http://{host_part}/").out.strip() == "served"


def listen(d, container):
    process = subprocess.Popen(["nsenter", f"--net=/proc/{d.state(container)['Pid']}/ns/net", "/usr/bin/python3", "-c", LISTENER],
                               stdout=subprocess.PIPE, text=True)
    equal(process.stdout.readline(), "up\n")
    return process


def test_through_a_router(d):
    if STOCK:
        return
    d.ok("network", "create", *FRONT, *flags(TO_BACK), "front")
    d.ok("network", "create", *BACK, "-o", f"{OPTION}={','.join(TO_FRONT)}", "back")
    equal((options(d, "front"), options(d, "back")), ({OPTION: ",".join(TO_BACK)}, {OPTION: ",".join(TO_FRONT)}))
    router = d.ok("create", "--network", "front", "--ip", f"{NET4}.11.5", "--ip6", f"{NET6}:11::5", "--sysctl", "net.ipv4.ip_forward=1",
                  "--sysctl", "net.ipv6.conf.all.forwarding=1", "busybox", "sleep", "1000")
    d.ok("network", "connect", "--ip", f"{NET4}.12.5", "--ip6", f"{NET6}:12::5", "back", router)
    d.ok("start", router)
    server = d.run_detached("--network", "back", "busybox", "sh", "-c", SERVER)
    client, without = d.sleeper("--network", "front"), d.sleeper()
    addresses = [on(d, server, "back")[key] for key in ("IPAddress", "GlobalIPv6Address")]
    there, back = (dict(route.split("=") for route in list_) for list_ in (TO_BACK, TO_FRONT))
    equal((routes(d, client), routes(d, server)), (there, back))
    equal(routes(d, router), {}, "it is the gateway itself")
    for address in addresses:
        wait_for(lambda: gets(d, client, address), f"{address} through the router")
        assert not gets(d, without, address), "networks do not see each other"
    listener = listen(d, server)
    try:
        for address in addresses:
            d.exec(client, "sh", "-c", f"nc -w 2 {address} 7000 </dev/null")
        equal(sorted(listener.communicate(timeout=20 * SLOW)[0].split()),
              sorted(["::ffff:" + on(d, client, "front")["IPAddress"], on(d, client, "front")["GlobalIPv6Address"]]))
    finally:
        listener.kill()
        listener.wait()
    # It comes with the network and goes with it.
    d.ok("network", "disconnect", "front", client)
    equal(routes(d, client), {})
    assert not gets(d, client, addresses[0])
    d.ok("network", "connect", "front", without)
    equal(routes(d, without), there)
    for address in addresses:
        wait_for(lambda: gets(d, without, address), f"{address} of a network that was joined later")
    d.ok("restart", "-t", "0", without)
    equal(routes(d, without), there)
    d.kill9()
    d.start()
    equal(options(d, "front"), {OPTION: ",".join(TO_BACK)})
    equal((routes(d, without), routes(d, server)), (there, back), "those that ran on")
    late = d.sleeper("--network", "front")
    equal(routes(d, late), there)
    for address in addresses:
        wait_for(lambda: gets(d, late, address), f"{address} of one that began with the next daemon")
    # Without the router there is no way.
    d.ok("kill", router)
    wait_for(lambda: not any(gets(d, late, address) for address in addresses), "the way to be cut")
    d.ok("rm", "-f", router, server, client, without, late)
    d.ok("network", "rm", "front", "back")


def test_of_one_family(d):
    """Routes of IPv6 alone go to containers that have it; on a network that is internal, too."""
    if STOCK:
        return
    d.ok("network", "create", "--internal", "--subnet", f"{NET4}.13.0/24", "--route", f"192.0.2.0/24={NET4}.13.9", "inside")
    d.docker_ok("network", "create", *FRONT, "-o", f"{OPTION}={TO_BACK[1]}", "front")
    c = d.sleeper("--network", "inside")
    equal(routes(d, c), {"192.0.2.0/24": f"{NET4}.13.9"})
    d.ok("network", "connect", "front", c)
    equal(routes(d, c), {"192.0.2.0/24": f"{NET4}.13.9", f"{NET6}:12::/64": f"{NET6}:11::5"})
    d.ok("network", "disconnect", "inside", c)
    equal(routes(d, c), {f"{NET6}:12::/64": f"{NET6}:11::5"})
    d.ok("rm", "-f", c)
    d.ok("network", "rm", "inside", "front")


def test_two_networks_lead_to_one_place(d):
    """The one that was there first counts; when it goes, the other does.  What is on a link itself needs no router."""
    if STOCK:
        return
    d.ok("network", "create", "--subnet", f"{NET4}.14.0/24", "--ipv6", "--subnet", f"{NET6}:14::/64", "--route", f"{NET4}.16.0/24={NET4}.14.9",
         "--route", f"{NET6}:16::/64={NET6}:14::9", "one")
    d.ok("network", "create", "--subnet", f"{NET4}.15.0/24", "--ipv6", "--subnet", f"{NET6}:15::/64", "--route", f"{NET4}.16.0/24={NET4}.15.9",
         "--route", f"{NET6}:16::/64={NET6}:15::9", "two")
    d.ok("network", "create", "--subnet", f"{NET4}.16.0/24", "--ipv6", "--subnet", f"{NET6}:16::/64", "three")
    c = d.sleeper("--network", "one")
    d.ok("network", "connect", "two", c)

    def ways():
        enter = ("nsenter", f"--net=/proc/{d.state(c)['Pid']}/ns/net", "ip", "route", "get")
        told = [host.tool(*enter, place).split() for place in (f"{NET4}.16.77", f"{NET6}:16::77")]
        return [words[words.index("via") + 1] if "via" in words else "link" for words in told]

    equal(ways(), [f"{NET4}.14.9", f"{NET6}:14::9"])
    d.ok("network", "connect", "three", c)
    equal(ways(), ["link", "link"])
    d.ok("network", "disconnect", "three", c)
    d.ok("network", "disconnect", "one", c)
    equal(ways(), [f"{NET4}.15.9", f"{NET6}:15::9"])
    d.ok("rm", "-f", c)
    d.ok("network", "rm", "one", "two", "three")


def test_macvlan(d):
    if STOCK:
        return
    host.tool("ip", "link", "add", PARENT, "type", "veth", "peer", "name", PEER)
    try:
        host.tool("ip", "link", "set", PARENT, "up")
        d.ok("network", "create", "-d", "macvlan", "-o", f"parent={PARENT}", "--subnet", f"{NET4}.17.0/24", "--route", f"192.0.2.0/24={NET4}.17.9", "mac")
        c = d.sleeper("--network", "mac")
        equal(routes(d, c), {"192.0.2.0/24": f"{NET4}.17.9"})
        d.ok("rm", "-f", c)
        d.ok("network", "rm", "mac")
    finally:
        host.tool("ip", "link", "del", PARENT)


def test_bad_values(d):
    if STOCK:
        return
    six = ("--ipv6", "--subnet", f"{NET6}:18::/64")
    four = ("--subnet", f"{NET4}.18.0/24")
    many = ",".join(f"10.{n // 256}.{n % 256}.0/24={NET4}.18.5" for n in range(65))
    for args, text, told in (
            (four, "10.9.0.0/16", "no DESTINATION/PREFIX=GATEWAY"), (four, "10.9.0.0/16=router", "no DESTINATION/PREFIX=GATEWAY"),
            (four, f"10.9.0.0/16={NET4}.18.5,", "no DESTINATION/PREFIX=GATEWAY"), (four, f"10.9.0.0/16={NET6}:18::5", "of one family"),
            (four, f"10.9.0.1/16={NET4}.18.5", "bits behind its prefix"), (four, f"0.0.0.0/0={NET4}.18.5", "default route"),
            (four, f"127.0.0.0/8={NET4}.18.5", "not for hosts"), (four, f"10.9.0.0/16={NET4}.19.5", "no address of the network"),
            (four, f"10.9.0.0/16={NET4}.18.0", "no address of the network"), (four, f"10.9.0.0/16={NET4}.18.255", "no address of the network"),
            (four, f"{NET4}.18.0/25={NET4}.18.5", "in the network itself"), (four, f"10.9.0.0/16={NET4}.18.5,10.9.0.0/16={NET4}.18.6", "already"),
            (four, f"fd00:9::/64={NET6}:18::5", "needs IPv6"), ((), "10.9.0.0/16=172.17.0.5", "needs an IPv4 subnet that is named"),
            ((*four, *six), f"::/0={NET6}:18::5", "default route"), ((*four, *six), f"fd00:9::/64={NET6}:19::5", "no address of the network"),
            ((*four, "--ipv6"), f"fd00:9::/64={NET6}:18::5", "no address of the network"), (four, many, "at most 64 routes")):
        has(d.fails(1, "network", "create", *args, "-o", f"{OPTION}={text}", "bad"), told)
        has(d.fails(1, "network", "create", *args, *flags(text.split(",")), "bad"), told)
    pool = {"Name": "bad", "IPAM": {"Config": [{"Subnet": f"{NET4}.18.0/24"}]}}
    for value in ([f"10.9.0.0/16={NET4}.18.5"], 7):
        d.api("POST", "/networks/create", {**pool, "Options": {OPTION: value}}, status=400)
    equal([n for n in d.ok("network", "ls", "--format", "{{.Name}}").split() if n == "bad"], [])
    d.ok("network", "create", *four, "-o", f"{OPTION}=10.8.0.0/16={NET4}.18.4", "--route", f"10.9.0.0/16={NET4}.18.5", "good")
    equal(options(d, "good"), {OPTION: f"10.8.0.0/16={NET4}.18.4,10.9.0.0/16={NET4}.18.5"})
    d.ok("network", "rm", "good")
