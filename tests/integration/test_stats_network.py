"""Whose traffic stats tell, in which direction, and that looking holds nothing."""
import contextlib
import json
import os

import host
from harness import equal, wait_for

MIB = 1 << 20


def now(d, container):
    """The interfaces by name; None: the engine tells of none."""
    return d.api("GET", f"/containers/{container}/stats?stream=0&one-shot=1", status=200).json.get("networks")


@contextlib.contextmanager
def streamed(d, container):
    connection = d.connect()
    connection.request("GET", f"/v1.51/containers/{container}/stats")
    reply = connection.getresponse()
    try:
        yield lambda: json.loads(reply.readline())
    finally:
        connection.close()


def until(read, condition, what):
    """The interfaces of the first sample that meets the condition."""
    seen = []
    for _ in range(20):
        seen.append(read().get("networks"))
        if condition(seen[-1]):
            return seen[-1]
    raise AssertionError(f"{what}: {seen}")


def address(d, container, network="bridge"):
    return d.inspect(container)["NetworkSettings"]["Networks"][network]["IPAddress"]


def send(d, sender, receiver, to, size=MIB):
    """So many bytes to a container that waits for them."""
    d.ok("exec", "-d", receiver, "sh", "-c", "tail -f /dev/null | nc -l -p 99 > /dev/null")
    wait_for(lambda: ":0063 " in d.exec(receiver, "cat", "/proc/net/tcp", "/proc/net/tcp6"), "the receiver")
    d.exec(sender, "sh", "-c", f"head -c {size} /dev/zero | nc {to} 99")


def test_received_is_what_comes_in(d):
    one, other = d.sleeper(), d.sleeper()
    with streamed(d, one) as of_one, streamed(d, other) as of_other:
        of_one(), of_other()
        send(d, one, other, address(d, other))
        sender = until(of_one, lambda n: n["eth0"]["tx_bytes"] >= MIB, "what was sent")["eth0"]
        receiver = until(of_other, lambda n: n["eth0"]["rx_bytes"] >= MIB, "what was received")["eth0"]
        assert sender["rx_bytes"] < MIB // 2 and receiver["tx_bytes"] < MIB // 2, (sender, receiver)
        assert sender["tx_packets"] > sender["rx_packets"] / 2 > 0, sender
        send(d, other, one, address(d, one))
        until(of_one, lambda n: n["eth0"]["rx_bytes"] >= MIB, "the way back")
        until(of_other, lambda n: n["eth0"]["tx_bytes"] >= MIB, "the way back")
    for container in (one, other):
        inside = d.exec(container, "sh", "-c", "cd /sys/class/net/eth0/statistics; cat rx_packets tx_packets rx_dropped tx_dropped")
        told = now(d, container)["eth0"]
        equal([told[key] for key in ("rx_packets", "tx_packets", "rx_dropped", "tx_dropped")], [int(n) for n in inside.split()])


def test_each_network_by_itself(d):
    """Also of one that comes and goes while somebody looks."""
    d.ok("network", "create", "sight1")
    d.ok("network", "create", "sight2")
    one, other = d.sleeper("--network", "sight1"), d.sleeper("--network", "sight2")
    with streamed(d, one) as read:
        equal(list(read()["networks"]), ["eth0"])
        d.ok("network", "connect", "sight2", one)
        before = until(read, lambda n: set(n) == {"eth0", "eth1"}, "the second network")
        send(d, one, other, address(d, other, "sight2"))
        after = until(read, lambda n: n["eth1"]["tx_bytes"] >= MIB, "the traffic")
        assert after["eth0"]["tx_bytes"] < before["eth0"]["tx_bytes"] + MIB // 2, (before, after)
        d.ok("network", "disconnect", "sight2", one)
        until(read, lambda n: set(n) == {"eth0"}, "its end")
    d.ok("rm", "-f", one, other)
    d.ok("network", "rm", "sight1", "sight2")


def test_macvlan(d):
    """It has no end on the host."""
    host.tool("ip", "link", "add", "ctl-sight", "type", "veth", "peer", "name", "ctl-sightpeer")
    try:
        for name in ("ctl-sight", "ctl-sightpeer"):
            host.tool("ip", "link", "set", name, "up")
        d.ok("network", "create", "-d", "macvlan", "--subnet", "10.99.18.0/24", "-o", "parent=ctl-sight", "sightmac")
        one, other = d.sleeper("--network", "sightmac"), d.sleeper("--network", "sightmac")
        with streamed(d, other) as read:
            equal(list(read()["networks"]), ["eth0"])
            send(d, one, other, address(d, other, "sightmac"))
            until(read, lambda n: n["eth0"]["rx_bytes"] >= MIB > 2 * n["eth0"]["tx_bytes"], "the traffic")
        d.ok("rm", "-f", one, other)
        d.ok("network", "rm", "sightmac")
    finally:
        host.tool("ip", "link", "del", "ctl-sight")


def test_of_others(d):
    """The host's interfaces are not a container's; those of the one that was joined are."""
    on_host, alone, owner = d.sleeper("--network", "host"), d.sleeper("--network", "none"), d.sleeper()
    joined = d.sleeper("--network", f"container:{owner}")
    equal((now(d, on_host), now(d, alone)), (None, {}))
    equal(now(d, d.sleeper("--network", f"container:{on_host}")), None)
    d.exec(joined, "ping", "-c", "1", "-s", "1000", d.inspect(owner)["NetworkSettings"]["Gateway"])
    equal((list(now(d, joined)), now(d, joined)["eth0"]["rx_bytes"] > 1000), (["eth0"], True))


def test_interfaces_that_the_container_makes(d):
    container = d.sleeper("--cap-add", "NET_ADMIN")
    with streamed(d, container) as read:
        equal(list(read()["networks"]), ["eth0"])
        for words in ("add made type bridge", "set eth0 down", "set eth0 name moved"):
            d.exec(container, "ip", "link", *words.split())
        until(read, lambda n: set(n) == {"made", "moved"}, "its own names")


def watched(d):
    """How many network namespaces the daemon holds by files of /proc."""
    found = []
    for name in os.listdir(f"/proc/{d.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{d.pid}/fd/{name}"))
    return sum("/net/dev" in link for link in found)


def test_a_namespace_is_held_no_longer_than_the_run(d):
    container = d.sleeper()
    with streamed(d, container) as read:
        read()
        equal(watched(d), 1)
        d.exec(container, "ping", "-c", "1", d.inspect(container)["NetworkSettings"]["Gateway"])
        before = until(read, lambda n: n["eth0"]["rx_bytes"] > 0, "any packet")["eth0"]["rx_bytes"]
        d.ok("stop", "-t", "0", container)
        wait_for(lambda: watched(d) == 0, "its network namespace to be let go")
        d.ok("start", container)
        read()
        d.exec(container, "ping", "-c", "1", d.inspect(container)["NetworkSettings"]["Gateway"])
        now_in = until(read, lambda n: n["eth0"]["rx_packets"] > 0, "those of the new run")
        equal(watched(d), 1)
        assert now_in["eth0"]["rx_bytes"] < before + 10000, (before, now_in)
        d.kill9()
    d.start()
    with streamed(d, container) as read:
        equal(list(read()["networks"]), ["eth0"])
    wait_for(lambda: watched(d) == 0, "the file to be closed with its reader")
