#!/usr/bin/python3
"""Many hands at once, for a while: a random walk over the API, with the daemon killed under it.

    soak.py [--build DIR] [--seconds N] [--hands N] [--seed N] [--no-kill]

Hands make, use and remove containers, networks, volumes and images in an order that only the seed knows, and do not care
who else has just removed what they want to use.  Meanwhile witnesses live as if they were alone: a counter in a volume,
a TCP connection between two containers.  What must hold:

- no request is answered with 5xx, but while the daemon is down, and none hangs;
- the witnesses run on, over each death of the daemon, and lose neither a tick nor a byte;
- the store is whole at the end (`system fsck`), all can be removed, and the counts of processes, mounts, namespaces,
  links, nft elements, cgroups, directories, rows and descriptors are what they were;
- the daemon has not grown by more than a bound.

Prints what was done and what went wrong; ends with 1 if something did.  As root."""
import argparse
import http.client
import io
import json
import os
import random
import signal
import socket
import sys
import tarfile
import threading
import time
import urllib.parse

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPOSITORY, "tests/integration"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--build", default=os.path.join(REPOSITORY, "build/release"))
parser.add_argument("--seconds", type=int, default=120)
parser.add_argument("--hands", type=int, default=6)
parser.add_argument("--seed", type=int, default=int(time.time()))
parser.add_argument("--tolerate", type=int, default=0, help="this many answers of 5xx are told, but no failure")
parser.add_argument("--no-kill", action="store_true", help="let the daemon live")
options = parser.parse_args()
os.environ["CTL_BUILD"] = os.path.abspath(options.build)
# The address sanitizer keeps what was freed, 256 MiB of it: less, so that growth is the daemon's own.
os.environ["ASAN_OPTIONS"] = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=16"]))

import host  # noqa: E402  (where the options said)
from harness import SLOW, Daemon, wait_for  # noqa: E402

GROWTH_MAX = 24 << 20       # of the daemon's resident memory over all of it
REQUEST_LIMIT = 60          # seconds, times SLOW
KILL_EVERY = (5, 12)        # seconds
THINGS = 12                 # names that the hands share, of each kind


def archive(name, data):
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return text.getvalue()


class Trouble(Exception):
    pass


class Soak:
    def __init__(self, daemon):
        self.d, self.stopping = daemon, threading.Event()
        self.lock = threading.Lock()
        self.done, self.refused, self.wrong, self.kills, self.tolerated = {}, {}, [], 0, 0
        self.deaths = 0     # odd while the daemon is down

    def say_wrong(self, text):
        with self.lock:
            if len(self.wrong) < 50:
                self.wrong.append(text)
                print(f"FAIL soak: {text}", file=sys.stderr, flush=True)

    def say_failed(self, text):
        """One request in ten thousand that met an end half way is to be mended, but proves nothing about a change."""
        self.tolerated += 1
        if self.tolerated > options.tolerate:
            self.say_wrong(text)
        else:
            print(f"soak: tolerated: {text}", file=sys.stderr, flush=True)

    def ask(self, method, path, body=None, headers=None, /, **parameters):
        """The reply, or None if the daemon died meanwhile."""
        path = "/v1.51" + path + ("?" + urllib.parse.urlencode(parameters) if parameters else "")
        deaths = self.deaths
        try:
            reply = self.d.request(method, path, body, headers, REQUEST_LIMIT)
        except TimeoutError:
            self.say_wrong(f"{method} {path}: no answer in {REQUEST_LIMIT * SLOW} s")
            return None
        except http.client.IncompleteRead:
            return None     # what it read was removed: the stream must not look whole
        except (OSError, http.client.HTTPException) as error:
            if deaths == self.deaths and deaths % 2 == 0:
                self.say_wrong(f"{method} {path}: {error!r}, and the daemon lives")
            while self.deaths % 2 and not self.stopping.is_set():
                time.sleep(0.05)
            return None
        counts = self.done if reply.status < 400 else self.refused
        what = f"{method} {'/'.join(part for part in path.split('?')[0].split('/')[2:] if not part[:1].isupper())}"
        with self.lock:
            counts[what] = counts.get(what, 0) + 1
        # 503 is what a request gets that the daemon's end has overtaken; that a restart fails for whatever reason is
        # always 500, as dockerd has it.
        if reply.status >= 500 and not (deaths != self.deaths and reply.status == 503) and \
                not reply.body.startswith(b'{"message":"Cannot restart container'):
            self.say_failed(f"{method} {path} {json.dumps(body) if isinstance(body, dict) else ''}: "
                            f"{reply.status} {reply.body[:300]}")
        return reply


class Hand:
    """Names begin with a capital letter, so that counts are by what was done, not to whom."""

    def __init__(self, soak, number):
        self.soak, self.dice = soak, random.Random(options.seed * 1000 + number)

    def work(self):
        deeds, weights = zip(*DEEDS)
        while not self.soak.stopping.is_set():
            deed = self.dice.choices(deeds, weights)[0]
            try:
                deed(self)
            except Exception as error:  # a hand that gives up would hide what comes after
                self.soak.say_wrong(f"{deed.__name__}: {error!r}")

    def ask(self, *args, **more):
        return self.soak.ask(*args, **more)

    def name(self, kind):
        return f"{kind}{self.dice.randrange(THINGS)}"

    # Containers

    def create(self):
        dice = self.dice
        network = dice.choice(["bridge", "bridge", "none", "host", self.name("N"), self.name("N")])
        body = {"Image": dice.choice(["busybox", "busybox", "busybox", self.name("I").lower()]),
                "Cmd": dice.choice([["sleep", "100000"], ["sh", "-c", "while :; do echo x; sleep 0.05; done"], ["true"],
                                    ["sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"],
                                    ["sh", "-c", "sleep 0.3; exit 1"], ["cat"], ["nonsense"]]),
                "Tty": dice.random() < 0.2, "OpenStdin": dice.random() < 0.3, "Labels": {"soak": "1"},
                "HostConfig": {"NetworkMode": network, "AutoRemove": dice.random() < 0.2, "Init": dice.random() < 0.2,
                               "ReadonlyRootfs": dice.random() < 0.1}}
        config = body["HostConfig"]
        if dice.random() < 0.3:
            config["Binds"] = [f"{self.name('V')}:/data"]
        if dice.random() < 0.3:
            config["Memory"] = 64 << 20
        if dice.random() < 0.3 and network not in ("none", "host"):
            body["ExposedPorts"] = {"80/tcp": {}, "53/udp": {}}
            config["PublishAllPorts"] = True
        if dice.random() < 0.2:
            body["Healthcheck"] = {"Test": ["CMD", "true"], "Interval": 200_000_000}
        if dice.random() < 0.2:
            config["Tmpfs"] = {"/t": "size=1m"}
        if not config["AutoRemove"] and dice.random() < 0.3:
            config["RestartPolicy"] = dice.choice([{"Name": "always"}, {"Name": "unless-stopped"},
                                                   {"Name": "on-failure", "MaximumRetryCount": 3}])
        name = self.name("C")
        self.ask("POST", "/containers/create", body, name=name)
        if dice.random() < 0.8:
            self.ask("POST", f"/containers/{name}/start")

    def remove(self):
        self.ask("DELETE", f"/containers/{self.name('C')}", force=self.dice.choice("111110"), v=self.dice.choice("01"))

    def simple(self, what, **parameters):
        self.ask("POST", f"/containers/{self.name('C')}/{what}", **parameters)

    def start(self):
        self.simple("start")

    def stop(self):
        self.simple("stop", t=self.dice.choice("001"))

    def kill(self):
        self.simple("kill", signal=self.dice.choice(["KILL", "TERM", "HUP"]))

    def restart(self):
        self.simple("restart", t=0)

    def pause(self):
        self.simple("pause")
        self.simple("unpause")

    def rename(self):
        self.simple("rename", name=self.name("C"))

    def update(self):
        self.ask("POST", f"/containers/{self.name('C')}/update",
                 {"Memory": self.dice.choice([64, 96, 128]) << 20, "MemorySwap": -1, "CpuShares": self.dice.choice([128, 512])})

    def resize(self):
        self.simple("resize", h=self.dice.randrange(1, 200), w=self.dice.randrange(1, 200))

    def look(self):
        name = self.name("C")
        path = self.dice.choice([f"/containers/{name}/json?size=1", f"/containers/{name}/logs?stdout=1&stderr=1&tail=20",
                                 f"/containers/{name}/stats?stream=0&one-shot=1", f"/containers/{name}/top",
                                 f"/containers/{name}/changes", "/containers/json?all=1&size=1", "/system/df", "/info",
                                 "/networks", "/volumes", "/images/json?all=1", "/events?since=0&until=1", "/metrics"])
        self.ask("GET", path)

    def execute(self):
        reply = self.ask("POST", f"/containers/{self.name('C')}/exec",
                         {"Cmd": ["sh", "-c", "echo x; exit 3"], "AttachStdout": True})
        if not reply or reply.status != 201:
            return
        session = reply.json["Id"]
        reply = self.ask("POST", f"/exec/{session}/start", {"Detach": self.dice.random() < 0.3})
        self.ask("GET", f"/exec/{session}/json")

    def copy(self):
        name = self.name("C")
        self.ask("PUT", f"/containers/{name}/archive", archive("f", os.urandom(1000)), {"Content-Type": "application/x-tar"},
                 path=self.dice.choice(["/tmp", "/data", "/t", "/nonsense"]))
        self.ask("GET", f"/containers/{name}/archive", path=self.dice.choice(["/etc", "/tmp/f", "/data"]))

    def follow(self):
        """Somebody who leaves in the middle of what has no end."""
        name = self.name("C")
        method, path = self.dice.choice([
            ("GET", f"/containers/{name}/logs?follow=1&stdout=1"), ("GET", f"/containers/{name}/stats"),
            ("GET", "/events"), ("POST", f"/containers/{name}/wait?condition=next-exit")])
        connection = self.soak.d.connect(self.dice.choice([0.1, 1]))
        try:
            connection.request(method, "/v1.51" + path)
            connection.getresponse().read(10)
        except (OSError, http.client.HTTPException):
            pass    # it said nothing so far, or the daemon died
        finally:
            connection.close()

    def attach(self):
        """To a container's streams or a new session's; what is typed there is read or not."""
        path, body = f"/containers/{self.name('C')}/attach?stream=1&stdin=1&stdout=1&stderr=1", ""
        if self.dice.random() < 0.5:
            reply = self.ask("POST", f"/containers/{self.name('C')}/exec",
                             {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True, "Tty": self.dice.random() < 0.5})
            if not reply or reply.status != 201:
                return
            path, body = f"/exec/{reply.json['Id']}/start", "{}"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(1)
            try:
                sock.connect(self.soak.d.sock)
                sock.sendall(f"POST /v1.51{path} HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n"
                             f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                if sock.recv(64).startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
                    sock.sendall(b"echo\n" * 1000)
                    if self.dice.random() < 0.5:
                        sock.shutdown(socket.SHUT_WR)
                        sock.recv(100)
            except OSError:
                pass    # slow, or the daemon died

    # Images

    def commit(self):
        self.ask("POST", "/commit", container=self.name("C"), repo=self.name("I").lower(), tag="latest")

    def build(self):
        text = f"FROM busybox\nRUN echo {self.dice.randrange(5)} >/f\nCOPY g /g\nCMD [\"sleep\", \"1000\"]\n".encode()
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            for name, data in ("Dockerfile", text), ("g", b"%d" % self.dice.randrange(5)):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        self.ask("POST", "/build", context.getvalue(), {"Content-Type": "application/x-tar"}, t=self.name("I").lower())

    def untag(self):
        self.ask("DELETE", f"/images/{self.name('I').lower()}", force=self.dice.choice("01"))

    def save(self):
        reply = self.ask("GET", f"/images/{self.name('I').lower()}/get")
        if reply and reply.status == 200:
            self.ask("POST", "/images/load", reply.body, {"Content-Type": "application/x-tar"})

    # Networks, volumes, and what sweeps

    def network(self):
        self.ask("POST", "/networks/create", {"Name": self.name("N"), "Internal": self.dice.random() < 0.2,
                                              "EnableIPv6": self.dice.random() < 0.2})

    def connect(self):
        self.ask("POST", f"/networks/{self.name('N')}/connect", {"Container": self.name("C")})

    def disconnect(self):
        self.ask("POST", f"/networks/{self.name('N')}/disconnect", {"Container": self.name("C"), "Force": True})

    def unnetwork(self):
        self.ask("DELETE", f"/networks/{self.name('N')}")

    def volume(self):
        self.ask("POST", "/volumes/create", {"Name": self.name("V")})

    def unvolume(self):
        self.ask("DELETE", f"/volumes/{self.name('V')}")

    def prune(self):
        what = self.dice.choice(["containers", "networks", "volumes", "images"])
        self.ask("POST", f"/{what}/prune")


DEEDS = [(Hand.create, 12), (Hand.remove, 8), (Hand.start, 4), (Hand.stop, 3), (Hand.kill, 3), (Hand.restart, 2),
         (Hand.pause, 2), (Hand.rename, 1), (Hand.update, 2), (Hand.resize, 1), (Hand.look, 8), (Hand.execute, 5),
         (Hand.copy, 3), (Hand.follow, 2), (Hand.attach, 2), (Hand.commit, 1), (Hand.build, 1), (Hand.untag, 1), (Hand.save, 0.5),
         (Hand.network, 2), (Hand.connect, 3), (Hand.disconnect, 3), (Hand.unnetwork, 1), (Hand.volume, 2),
         (Hand.unvolume, 1), (Hand.prune, 0.5)]


class Witnesses:
    """Containers that nobody touches; their names are none of the hands'."""

    def __init__(self, d):
        self.d = d
        d.ok("network", "create", "witness-net")
        # An image of their own: the hands may prune, and busybox must stay for them.
        self.counter = d.ok("run", "-d", "--name", "witness-counter", "-v", "witness:/w", "busybox", "sh", "-c",
                            "n=0; while :; do n=$((n + 1)); echo $n >>/w/ticks; sleep 0.2; done")
        self.server = d.ok("run", "-d", "--name", "witness-server", "--network", "witness-net", "busybox",
                           "nc", "-ll", "-p", "7", "-e", "cat")
        self.client = d.ok("run", "-d", "--name", "witness-client", "--network", "witness-net", "busybox", "sh", "-c",
                           "sleep 1; mkfifo /in; (n=0; while :; do n=$((n + 1)); echo $n; sleep 0.1; done) >/in & "
                           "nc witness-server 7 </in >/out; echo over >>/out")
        self.started = self.starts()

    def starts(self):
        return [self.d.inspect(name)["State"]["StartedAt"] for name in (self.counter, self.server, self.client)]

    @staticmethod
    def count(text):
        """How many lines, if they are 1, 2, 3, ...; the last one may be half written."""
        lines = text.split("\n")[:-1]
        wrong = [line for number, line in enumerate(lines, 1) if line != str(number)]
        if wrong:
            raise Trouble(f"lines that do not follow: {wrong[:3]}")
        return len(lines)

    def check(self, seconds):
        if self.starts() != self.started:
            raise Trouble("a witness was started again")
        ticks = self.count(self.d.exec(self.counter, "cat", "/w/ticks") + "\n")
        echoes = self.count(self.d.exec(self.client, "cat", "/out") + "\n")
        print(f"soak: witnesses: {ticks} ticks, {echoes} echoes in {seconds:.0f} s", flush=True)
        # Half the pace is a busy machine; less is a container that stood still.
        if ticks < seconds * 5 / 4 / SLOW or echoes < seconds * 10 / 4 / SLOW:
            raise Trouble("the witnesses stood still")

    def close(self):
        self.d.ok("rm", "-f", self.counter, self.server, self.client)
        self.d.ok("volume", "rm", "witness")
        self.d.ok("network", "rm", "witness-net")


def killer(soak):
    dice = random.Random(options.seed)
    while not soak.stopping.wait(dice.uniform(*KILL_EVERY)):
        soak.deaths += 1
        soak.d.stop(signal.SIGKILL if dice.random() < 0.7 else signal.SIGTERM)
        soak.d.start()
        soak.deaths += 1
        soak.kills += 1


def resident(pid):
    for line in host.read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


def remove_all(d):
    d.clean()
    for path, key, name in ("/networks", None, "Name"), ("/volumes", "Volumes", "Name"):
        entries = d.request("GET", path).json
        for entry in (entries[key] if key else entries):
            if entry[name] not in ("bridge", "host", "none"):
                reply = d.request("DELETE", f"{path}/{entry[name]}")
                if reply.status != 204:
                    raise Trouble(f"{path}/{entry[name]} stays: {reply}")
    for _ in range(3):  # children first
        for image in d.request("GET", "/images/json?all=1").json:
            if not any(tag.startswith("busybox:") for tag in image["RepoTags"]):
                d.request("DELETE", f"/images/{image['Id']}?force=1")
    d.request("POST", "/build/prune?all=1")


def finish(soak, witnesses, seconds, before):
    d = soak.d
    for what, function in (("witnesses", lambda: witnesses.check(seconds)), ("witnesses' end", witnesses.close),
                           ("removal", lambda: remove_all(d)),
                           ("fsck", lambda: d.ok("system", "fsck", timeout=120)),
                           ("counts", lambda: d.assert_counts(before))):
        try:
            function()
        except Exception as error:  # what comes after is wanted, too
            soak.say_wrong(f"{what}: {error}")


def warm_up(d):
    """What the first of its kind opens for good: libuv's one descriptor for watched files."""
    container = d.ok("run", "-d", "busybox", "sh", "-c", "while :; do echo x; sleep 0.05; done")
    client = d.spawn_client("logs", "-f", container)
    client.stdout.read(20)
    client.kill()
    client.communicate()
    d.ok("rm", "-f", container)


def main():
    print(f"soak: seed {options.seed}, {options.seconds} s, {options.hands} hands", flush=True)
    with Daemon() as d:
        warm_up(d)
        before = d.settled_census()
        soak, witnesses = Soak(d), Witnesses(d)
        threads = [threading.Thread(target=Hand(soak, number).work, name=f"hand {number}", daemon=True)
                   for number in range(options.hands)]
        if not options.no_kill:
            threads.append(threading.Thread(target=killer, args=(soak,), name="killer", daemon=True))
        begun, size = time.monotonic(), resident(d.pid)
        for thread in threads:
            thread.start()
        time.sleep(options.seconds)
        soak.stopping.set()
        for thread in threads:
            thread.join(2 * REQUEST_LIMIT * SLOW)
            if thread.is_alive():
                soak.say_wrong(f"{thread.name} does not end")
        wait_for(lambda: d.request("GET", "/_ping").status == 200, "the daemon")
        finish(soak, witnesses, time.monotonic() - begun, before)
        growth = resident(d.pid) - size
        if growth > GROWTH_MAX * SLOW:
            soak.say_wrong(f"the daemon grew by {growth >> 20} MiB")
        done, refused = sum(soak.done.values()), sum(soak.refused.values())
        print(f"soak: {done} requests done, {refused} refused, {soak.kills} ends of the daemon, "
              f"{growth / (1 << 20):+.1f} MiB")
        if soak.wrong:
            print("".join(line for line in host.read(d.log).splitlines(True) if " debug: " not in line)[-20000:], file=sys.stderr)
            print("".join(f"FAIL soak: {text}\n" for text in soak.wrong), file=sys.stderr, end="", flush=True)
    # As the other tests tell it.
    print(f"{0 if soak.wrong else 1} passed, {len(soak.wrong)} failed")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
