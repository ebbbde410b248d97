"""What the tests of networks share; and names, subnets and ports that nobody else on this host has, as several of their
files, of several runs, may go side by side."""
import itertools
import json
import os
import socket

import host
from harness import wait_for

SLOTS = range(100, 164)
PORTS = 480  # in a row; those of all slots are below what the kernel gives out itself


def _are_free(first):
    for number, kind in itertools.product(range(first, first + PORTS), (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
        with socket.socket(socket.AF_INET6, kind) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("::", number))
            except OSError:
                return False
    return True


def _take():
    """The number of a slot, and what holds it until this process ends: a name of this network namespace."""
    for turn in range(len(SLOTS)):
        slot = SLOTS[(os.getpid() + turn) % len(SLOTS)]
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0ctl-test-slot-{slot}")
        except OSError:
            lock.close()
            continue
        if not host.tool("ip", "route", "show", "table", "all", "root", f"10.{slot}.0.0/16").strip() and _are_free(_first_port(slot)):
            return slot, lock
        lock.close()
    raise AssertionError("no subnet and no ports are free")


def _first_port(slot):
    return 2048 + (slot - SLOTS[0]) * PORTS


SLOT, _LOCK = _take()
PORT = _first_port(SLOT)                          # the first of PORTS
NET4, NET6 = f"10.{SLOT}", f"fd{SLOT:02x}"        # of a /16 each: what subnets begin with
PARENT, PEER, FOREIGN = (f"ctl-{name}{SLOT}" for name in ("parent", "peer", "foreign"))  # links


# Written once: a second start must not show the page half written.
SERVER = "[ -s /index.html ] || echo served-by-$HOSTNAME >/index.html; httpd -f -p 80 -h /"


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


def fetch(address, port):
    try:
        with socket.create_connection((address, port), 3) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return s.makefile("rb").read().decode().splitlines()[-1]
    except (OSError, IndexError):
        return None


def port_of(d, container):
    return int(d.ok("port", container, "80/tcp").splitlines()[0].rsplit(":", 1)[1])


def links(d, container):
    return sorted(d.exec(container, "ls", "/sys/class/net").split())
