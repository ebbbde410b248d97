"""Many changes at once, beside connections that stay."""
import subprocess
import threading

from harness import equal, wait_for
from netlib import network, on, port_of, reaches, remove

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
