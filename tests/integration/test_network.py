"""bridge, none, published ports, addresses, what the API tells of them."""
import ipaddress
import re
import socket
import subprocess
import sys
import threading
import urllib.request

import host
from harness import SLOW, STOCK, Daemon, equal, has, wait_for

SERVER = "echo served-by-$HOSTNAME >/index.html; httpd -f -p 80 -h /"


def endpoint(d, container):
    return d.inspect(container)["NetworkSettings"]["Networks"]["bridge"]


def fetch(address, port):
    """The page, once the server is up."""
    def attempt():
        try:
            with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as reply:
                return reply.read().decode().strip()
        except OSError:
            return None
    return wait_for(attempt, f"an answer from {address}:{port}")


def refused(address, port):
    try:
        socket.create_connection((address, port), 2).close()
        return False
    except OSError:
        return True


def test_addresses(d):
    container = d.sleeper()
    told = endpoint(d, container)
    network = ipaddress.ip_network(f"{told['Gateway']}/{told['IPPrefixLen']}", strict=False)
    assert ipaddress.ip_address(told["IPAddress"]) in network
    out = d.exec(container, "ip", "addr", "show", "eth0")
    has(out, f"inet {told['IPAddress']}/{told['IPPrefixLen']}", told["MacAddress"], "mtu 1500")
    equal(d.exec(container, "ip", "route", "show", "default").split()[:5],
          ["default", "via", told["Gateway"], "dev", "eth0"])
    has(d.exec(container, "ip", "addr", "show", "lo"), "127.0.0.1/8", "UP")
    settings = d.inspect(container)["NetworkSettings"]
    equal((settings["IPAddress"], settings["Gateway"]), (told["IPAddress"], told["Gateway"]))


def test_gateway_answers(d):
    container = d.sleeper()
    has(d.exec(container, "ping", "-c", "1", "-W", "5", endpoint(d, container)["Gateway"]), "1 packets received")


def test_containers_reach_each_other(d):
    server = d.run_detached("--hostname", "server", "busybox", "sh", "-c", SERVER)
    address = endpoint(d, server)["IPAddress"]
    equal(d.shell(f"for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://{address}/ && break; sleep 0.2; done"),
          "served-by-server")


def test_host_reaches_the_container(d):
    server = d.run_detached("--hostname", "server", "busybox", "sh", "-c", SERVER)
    equal(fetch(endpoint(d, server)["IPAddress"], 80), "served-by-server")


def test_container_reaches_the_host(d):
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"from the host\n")

        thread = threading.Thread(target=serve)
        thread.start()
        container = d.sleeper()
        out = d.exec(container, "sh", "-c", f"sleep 1 | nc {endpoint(d, container)['Gateway']} {port}")
        thread.join(10 * SLOW)
    equal(out, "from the host")


def test_published_tcp(d):
    container = d.run_detached("--hostname", "pub", "-p", "127.0.0.1::80", "busybox", "sh", "-c", SERVER)
    bound = d.inspect(container)["NetworkSettings"]["Ports"]["80/tcp"]
    equal((len(bound), bound[0]["HostIp"]), (1, "127.0.0.1"))
    port = int(bound[0]["HostPort"])
    assert port >= 32768, port
    equal(fetch("127.0.0.1", port), "served-by-pub")
    equal(d.ok("port", container, "80/tcp") if STOCK else f"127.0.0.1:{port}", f"127.0.0.1:{port}")
    has(d.ok("ps"), f"127.0.0.1:{port}->80/tcp")
    d.ok("kill", container)
    wait_for(lambda: refused("127.0.0.1", port), "the port to close")
    equal(d.inspect(container)["NetworkSettings"]["Ports"], {})


def test_published_on_all_addresses(d):
    container = d.run_detached("--hostname", "pub", "-p", "80", "busybox", "sh", "-c", SERVER)
    told = endpoint(d, container)
    bound = d.inspect(container)["NetworkSettings"]["Ports"]["80/tcp"]
    port = int(next(b["HostPort"] for b in bound if b["HostIp"] == "0.0.0.0"))
    equal(fetch("127.0.0.1", port), "served-by-pub")
    equal(fetch(told["Gateway"], port), "served-by-pub")
    # From another container, and from the container itself, by way of the host's address.
    equal(d.shell(f"wget -qO- http://{told['Gateway']}:{port}/"), "served-by-pub")
    equal(d.exec(container, "wget", "-qO-", f"http://{told['Gateway']}:{port}/"), "served-by-pub")


def test_published_udp(d):
    container = d.sleeper("-p", "127.0.0.1::53/udp")
    server = subprocess.Popen(
        ["nsenter", f"--net=/proc/{d.state(container)['Pid']}/ns/net", sys.executable, "-c",
         "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53))\n"
         "while True: s.sendto(b'pong\\n', s.recvfrom(100)[1])"])
    port = int(d.inspect(container)["NetworkSettings"]["Ports"]["53/udp"][0]["HostPort"])

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect(("127.0.0.1", port))
            try:
                sock.send(b"ping\n")
                return sock.recv(100)
            except OSError:
                return None

    try:
        equal(wait_for(ask, "an answer by UDP"), b"pong\n")
    finally:
        server.kill()
        server.wait()


def test_publish_all_and_ranges(d):
    container = d.sleeper("-P", "--expose", "81", "--expose", "82/udp")
    ports = d.inspect(container)["NetworkSettings"]["Ports"]
    assert int(ports["81/tcp"][0]["HostPort"]) >= 32768 and int(ports["82/udp"][0]["HostPort"]) >= 32768, ports
    container = d.sleeper("-p", "127.0.0.1:31500-31502:90-92")
    ports = d.inspect(container)["NetworkSettings"]["Ports"]
    equal({p: b[0]["HostPort"] for p, b in ports.items()},
          {"90/tcp": "31500", "91/tcp": "31501", "92/tcp": "31502"})


def test_port_conflict(d):
    first = d.sleeper("-p", "127.0.0.1:31510:80")
    done = d.ctl("run", "-d", "--name", "second", "-p", "127.0.0.1:31510:80", "busybox", "sleep", "100000")
    equal(done.code, 125)
    has(done.err, "Bind for 127.0.0.1:31510 failed: port is already allocated")
    d.ok("rm", "-f", first)
    d.ok("start", "second")
    equal(d.state("second")["Running"], True)


def test_port_that_the_host_uses(d):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = d.ctl("run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox", "true")
        equal(done.code, 125)
        has(done.err, "address already in use")


def test_none(d):
    equal(d.shell("ls /sys/class/net; ip route; ip -4 addr show lo | grep -c 127.0.0.1", "--network", "none"),
          "lo\n1")


def test_host_network(d):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        d.shell(f"nc 127.0.0.1 {port} </dev/null", "--network", "host")
        thread.join(10 * SLOW)
    equal(d.inspect(d.sleeper("--network", "host"))["NetworkSettings"]["Networks"]["host"]["IPAddress"], "")


def test_addresses_are_given_back(d):
    first = d.sleeper()
    taken = endpoint(d, first)["IPAddress"]
    d.ok("kill", first)
    wait_for(lambda: endpoint(d, first)["IPAddress"] == "", "the address to go")
    seen = set()
    for _ in range(3):
        container = d.sleeper()
        seen.add(endpoint(d, container)["IPAddress"])
    equal(len(seen), 3)
    assert taken


def test_addresses_are_unique_in_parallel(d):
    clients = [d.spawn_client("run", "-d", "busybox", "sleep", "100000") for _ in range(20)]
    for client in clients:
        client.communicate(timeout=120 * SLOW)
        equal(client.returncode, 0)
    entries = d.api("GET", "/containers/json", status=200).json
    addresses = {e["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] for e in entries}
    equal(len(addresses), 20)


def test_mac_address(d):
    mac = "02:42:aa:bb:cc:dd"
    if STOCK:
        return
    has(d.shell("cat /sys/class/net/eth0/address", "--mac-address", mac), mac)


def test_lists(d):
    networks = {n["Name"]: n for n in d.api("GET", "/networks", status=200).json}
    equal({name: n["Driver"] for name, n in networks.items()}, {"bridge": "bridge", "host": "host", "none": "null"})
    equal(d.api("GET", "/volumes", status=200).json["Volumes"], [])
    equal(d.api("GET", "/plugins", status=200).json, [])
    container = d.sleeper("--name", "member")
    for name in ("bridge", networks["bridge"]["Id"], networks["bridge"]["Id"][:12]):
        details = d.api("GET", f"/networks/{name}", status=200).json
        equal(details["Containers"][container]["Name"], "member")
    told = endpoint(d, container)
    equal(details["Containers"][container]["IPv4Address"], f"{told['IPAddress']}/{told['IPPrefixLen']}")
    equal(details["IPAM"]["Config"][0]["Gateway"], told["Gateway"])
    has(d.api("GET", "/networks/nope", status=404).message, "network nope not found")
    has(d.api("GET", "/volumes/nope", status=404).message, "get nope: no such volume")


def test_unknown_network_fails_at_start(d):
    done = d.ctl("run", "--rm", "--network", "nope", "busybox", "true")
    equal(done.code, 125)
    has(done.err, "network nope not found")
    equal(d.ok("ps", "-aq"), "")
    # A 404 of create would send the stock client to pull the image.
    container = d.ok("create", "--network", "nope", "busybox", "true")
    d.api("POST", f"/containers/{container}/start", status=404)
    for kind in ("network", "pid", "ipc"):
        container = d.ok("create", f"--{kind}", "container:nope", "busybox", "true")
        equal(d.api("POST", f"/containers/{container}/start", status=404).message, "No such container: nope")


def test_rules_do_not_grow_with_containers(d):
    if STOCK:
        return
    table = d.names["table"]
    assert table, "no nftables table that names the bridge"

    def rules():
        return len(re.findall("handle", host.tool("nft", "-a", "list", "table", *table)))

    def elements():
        return host.nft_elements(table)

    before, before_elements = rules(), elements()
    made = [d.sleeper("-p", "127.0.0.1::80") for _ in range(3)]
    equal(rules(), before)
    assert elements() > before_elements
    d.ok("rm", "-f", *made)
    wait_for(lambda: elements() == before_elements, "the elements to go")


def test_other_tables_are_left_alone(d):
    if STOCK:
        return
    host.tool("nft", "add", "table", "ip", "ctl_test_foreign")
    try:
        with Daemon() as other:
            other.shell("true")
        assert ("ip", "ctl_test_foreign") in host.nft_tables()
    finally:
        host.tool("nft", "delete", "table", "ip", "ctl_test_foreign")


def test_bip():
    if STOCK:
        return
    with Daemon("--bip", "10.213.7.1/24") as d:
        container = d.sleeper()
        told = endpoint(d, container)
        equal((told["Gateway"], told["IPPrefixLen"]), ("10.213.7.1", 24))
        assert told["IPAddress"].startswith("10.213.7.")


def test_no_bridge():
    if STOCK:
        return
    with Daemon("--bridge", "none") as d:
        equal(d.shell("ls /sys/class/net", "--network", "none"), "lo")
        assert not [v for v in host.veths() if d.names.get("bridge") and v.get("master") == d.names["bridge"]]
