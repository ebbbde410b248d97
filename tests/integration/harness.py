"""A real daemon in private roots, and the clients that drive it.

    with Daemon() as d:
        assert d.ok("run", "--rm", "busybox", "echo", "hi") == "hi"

Environment: CTL_BUILD (build directory), CTL_SLOW (factor on all time limits),
CTL_CLIENT (a client to use instead of our own), CTL_ENGINE=dockerd (run the tests against the stock daemon, to see whether a test is right)."""
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.parse

import host
from terminal import Terminal

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("CTL_BUILD", os.path.join(REPOSITORY, "build/release")))
CTLC = os.environ.get("CTL_CLIENT", f"{BUILD}/bin/ctlc")
SLOW = float(os.environ.get("CTL_SLOW", "1"))
STOCK = os.environ.get("CTL_ENGINE") == "dockerd"
VERSION = "v1.41" if STOCK else "v1.51"
IMAGE = os.path.join(BUILD, "share/containerd-lite/images/busybox.tar")
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer")

recorded = []   # (method, path, status, content type, body) of every api() reply
daemons = []    # all that were made by this process, for clean-up


class Skip(Exception):
    """Raised by a test that cannot run here; must be allowed by name in run.py."""


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}, stdout {self.out[-2000:]!r}, stderr {self.err[-2000:]!r}"


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        return self.json["message"]

    def __repr__(self):
        return f"{self.status} {self.body[:1000]!r}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, limit):
        super().__init__("localhost", timeout=limit)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def wait_for(condition, what, limit=20):
    """Poll until the condition returns something true, and return that."""
    deadline = time.monotonic() + limit * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)


def equal(got, wanted, what=""):
    assert got == wanted, f"{what or 'value'}: got {got!r}, wanted {wanted!r}"


def has(text, *parts):
    for part in parts:
        assert part in text, f"no {part!r} in {text!r}"


def query(path, **parameters):
    """path?parameters; dictionaries and lists become JSON, as filters want it."""
    if not parameters:
        return path
    values = {key: json.dumps(value) if isinstance(value, (dict, list)) else value
              for key, value in parameters.items()}
    return f"{path}?{urllib.parse.urlencode(values)}"


def demultiplex(data):
    """(stdout, stderr) of an 8-byte framed stream; anything else is an error."""
    streams = {1: b"", 2: b""}
    while data:
        assert len(data) >= 8 and data[1:4] == b"\0\0\0", f"bad frame header {data[:8]!r}"
        stream, size = data[0], struct.unpack(">I", data[4:8])[0]
        assert stream in streams and size > 0 and len(data) >= 8 + size, f"bad frame {data[:8]!r}"
        streams[stream] += data[8:8 + size]
        data = data[8 + size:]
    return streams[1], streams[2]


class Daemon:
    """One daemon.  Its roots, socket and log are in a directory of its own below /tmp."""

    def __init__(self, *args, start=True, load=True, data=None, env=None):
        self.root = tempfile.mkdtemp(prefix=host.PREFIX)
        os.chmod(self.root, 0o755)
        with open(f"{self.root}/{host.OWNER}", "w") as file:
            file.write(f"{os.getpid()} {host.start_time(os.getpid())}")
        self.data, self.run = data or f"{self.root}/data", f"{self.root}/run"
        self.sock, self.log = f"{self.root}/sock", f"{self.root}/log"
        self.args, self.process, self.load = list(args), None, load
        self.terminals, self.env = [], env or {}
        with open(f"{self.root}/daemon.json", "w") as file:
            file.write("{}")
        daemons.append(self)
        self.names = {} if STOCK else host.names_of(self.data)
        self.save_names()
        if start:
            self.start()

    # Life

    def argv(self):
        if STOCK:
            return ["dockerd", "--data-root", self.data, "--exec-root", self.run, "--pidfile",
                    f"{self.root}/pid", "-H", f"unix://{self.sock}", "--live-restore", *self.args]
        return [f"{BUILD}/bin/containerd-lite", "--data-root", self.data, "--exec-root", self.run,
                "--config-file", f"{self.root}/daemon.json", "--pidfile", f"{self.root}/pid",
                "-H", f"unix://{self.sock}", "--log-level", "debug", *self.args]

    def spawn(self, argv=None, env=None):
        """Start without waiting; for tests of the start itself."""
        # Nothing in these tests may depend on, or bother, the world's registries.
        nowhere = "http://127.0.0.1:1"
        env = {name: value for name, value in (os.environ if env is None else env).items()
               if not name.lower().endswith("_proxy")}
        env |= {"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, **self.env}
        log = open(self.log, "ab")
        self.process = subprocess.Popen(argv or self.argv(), stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=log, env=env, start_new_session=True)
        log.close()
        return self.process

    def start(self, argv=None, env=None):
        self.spawn(argv, env)
        wait_for(self.answers, f"the daemon to answer; log: {host.read(self.log)[-3000:]}", 30)
        if STOCK and self.load:
            self.ok("load", "-q", "-i", IMAGE)
        self.learn_names()
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}; log: "
                                 f"{host.read(self.log)[-3000:]}")
        try:
            return self.request("GET", "/_ping").status == 200
        except OSError:
            return False

    def learn_names(self):
        """What the daemon itself says of its kernel objects."""
        options = self.request("GET", "/networks/bridge")
        bridge = None
        if options.status == 200:
            bridge = (options.json.get("Options") or {}).get("com.docker.network.bridge.name")
        self.names["bridge"] = bridge
        self.names["bridge_is_ours"] = bool(bridge) and not STOCK and not any(
            arg.startswith("--bridge") for arg in self.args)
        if bridge:
            self.names["table"] = host.nft_table_of(bridge)
        self.save_names()

    def learn_from(self, container):
        """A running container shows the cgroup parent and how veths are called."""
        state = self.inspect(container)
        path = host.read(f"/proc/{state['State']['Pid']}/cgroup").splitlines()
        found = [line.split(":", 2)[2] for line in path if state["Id"] in line]
        if found:
            self.names["cgroup_parent"] = os.path.dirname(found[0])
        ours = [v["ifname"] for v in host.veths() if v.get("master") == self.names["bridge"]]
        if ours:
            self.names["veth_prefix"] = ours[0][:5]  # "v" and four digits of a mark
        self.save_names()

    def save_names(self):
        host.save_names(self.root, self.names)

    @property
    def pid(self):
        return self.process.pid if self.process and self.process.poll() is None else None

    def stop(self, signum=signal.SIGTERM):
        """End the daemon, not its containers; returns its exit status."""
        if self.process is None:
            return None
        self.process.send_signal(signum)
        return self.process.wait(30 * SLOW)

    def kill9(self):
        self.stop(signal.SIGKILL)

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """Remove everything, whatever state it is in; sanitizer reports are failures."""
        for terminal in self.terminals:
            terminal.close()
        report = None
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(20 * SLOW)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            log = host.read(self.log)
            found = SANITIZER.search(log)
            report = log[found.start():][:20000] if found else None
        host.remove_root(self.root)
        if self in daemons:
            daemons.remove(self)
        assert report is None, f"sanitizer: {report}"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def clean(self):
        """Remove all containers, so that one test does not see another's."""
        for terminal in self.terminals:
            terminal.close()
        self.terminals.clear()
        for entry in self.request("GET", "/containers/json?all=1").json:
            if entry["State"] == "paused":
                self.request("POST", f"/containers/{entry['Id']}/unpause")
            reply = self.request("DELETE", f"/containers/{entry['Id']}?force=1&v=1")
            assert reply.status in (204, 404, 409), reply
        wait_for(lambda: not self.request("GET", "/containers/json?all=1").json, "containers to go")

    # Clients

    def environment(self):
        return dict(os.environ, DOCKER_HOST=f"unix://{self.sock}", CTLC_HOST=f"unix://{self.sock}",
                    LC_ALL="C.UTF-8", DOCKER_CLI_HINTS="false")

    def client(self, program):
        return "docker" if STOCK or program == "docker" else CTLC

    def command(self, program, args, input=None, timeout=60):
        argv = [self.client(program), *args]
        data = input.encode() if isinstance(input, str) else input
        try:
            done = subprocess.run(argv, env=self.environment(), timeout=timeout * SLOW,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                                  **({"stdin": subprocess.DEVNULL} if data is None
                                     else {"input": data}))
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{' '.join(argv)} does not end; output so far: "
                                 f"{error.stdout!r} {error.stderr!r}") from None
        err = done.stderr.decode(errors="replace")
        assert not SANITIZER.search(err), err
        return Result(done.returncode, done.stdout.decode(errors="replace"), err)

    def ctl(self, *args, input=None, timeout=60):
        return self.command("ctlc", args, input, timeout)

    def ok(self, *args, input=None, timeout=60):
        """ctlc must succeed; its standard output without the last newline."""
        done = self.ctl(*args, input=input, timeout=timeout)
        assert done.code == 0, f"ctlc {' '.join(args)}: {done}"
        return done.out.rstrip("\n")

    def fails(self, code, *args, input=None):
        """ctlc must end with this code; its standard error."""
        done = self.ctl(*args, input=input)
        assert done.code == code, f"ctlc {' '.join(args)}: wanted exit {code}: {done}"
        return done.err

    def docker(self, *args, input=None, timeout=60):
        return self.command("docker", args, input, timeout)

    def docker_ok(self, *args, input=None, timeout=60):
        done = self.docker(*args, input=input, timeout=timeout)
        assert done.code == 0, f"docker {' '.join(args)}: {done}"
        return done.out.rstrip("\n")

    def spawn_client(self, *args, program="ctlc", **options):
        """A client in the background with pipes."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([self.client(program), *args], env=self.environment(), **options)

    def terminal(self, *args, program="ctlc", **options):
        terminal = Terminal([self.client(program), *args],
                            dict(self.environment(), TERM="xterm"), **options)
        self.terminals.append(terminal)
        return terminal

    # API

    def connect(self, limit=60):
        return UnixConnection(self.sock, limit * SLOW)

    def request(self, method, path, body=None, headers=None, limit=60):
        """One request, exactly this path, not recorded."""
        connection = self.connect(limit)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=body, headers=headers)
            reply = connection.getresponse()
            return Reply(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def api(self, method, path, body=None, headers=None, limit=60, status=None, **parameters):
        """A versioned request, recorded to be held against the contract."""
        path = query(path, **parameters)
        reply = self.request(method, f"/{VERSION}{path}", body, headers, limit)
        recorded.append((method, path, reply.status, reply.headers.get("Content-Type", ""),
                         reply.body.decode(errors="replace")))
        assert status is None or reply.status == status, \
            f"{method} {path}: wanted {status}, got {reply}"
        return reply

    def raw(self, data, limit=20):
        """Bytes to the socket, everything until the daemon closes back."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(limit * SLOW)
            sock.connect(self.sock)
            sock.sendall(data)
            received = b""
            while True:
                more = sock.recv(65536)
                if not more:
                    return received
                received += more

    # Short cuts

    def run_detached(self, *args):
        """ctlc run -d; the full id."""
        return self.ok("run", "-d", *args)

    def sleeper(self, *options):
        return self.run_detached(*options, "busybox", "sleep", "100000")

    def inspect(self, container):
        return self.api("GET", f"/containers/{container}/json", status=200).json

    def state(self, container):
        return self.inspect(container)["State"]

    def shell(self, script, *options):
        """Standard output of a script in a fresh container."""
        return self.ok("run", "--rm", *options, "busybox", "sh", "-c", script)

    def exec(self, container, *command):
        return self.ok("exec", container, *command)

    def wait_state(self, container, *states):
        wait_for(lambda: self.state(container)["Status"] in states, f"{container} to be {states}")

    def events(self, since, **filters):
        """All events from then until now."""
        parameters = {"since": since, "until": f"{time.time():.9f}"}
        if filters:
            parameters["filters"] = filters
        reply = self.api("GET", "/events", status=200, **parameters)
        return [json.loads(line) for line in reply.body.splitlines() if line.strip()]

    def census(self):
        return host.census(self.root, self.data, self.run, self.pid, self.names)

    def at_rest(self):
        """After clean(): no shim or worker of what is gone lives on, and the trash is empty."""
        if STOCK:
            return True
        helpers = [pid for pid in host.processes(self.root)
                   if re.search("containerd-lite-(shim|layer)", host.read(f"/proc/{pid}/cmdline"))]
        return not helpers and not os.listdir(f"{self.data}/tmp")

    def settled_census(self):
        """A baseline: what ends in the background (shims, connections) has ended."""
        found = [self.census()]

        def unchanged():
            time.sleep(0.1 * SLOW)
            found.append(self.census())
            return len(found) >= 4 and all(census == found[-1] for census in found[-4:])

        wait_for(unchanged, "the counts to settle")
        return found[-1]

    def assert_counts(self, before):
        """All counts are, or will soon be, what they were; a new daemon's descriptors are its own affair."""
        difference = {}
        same_daemon = before.get("daemon") == self.pid

        def same():
            difference.clear()
            difference.update({kind: values for kind, values
                               in host.differences(before, self.census()).items()
                               if same_daemon or not kind.startswith(("daemon", "descriptors"))})
            return not difference

        try:
            wait_for(same, "the counts to go back")
        except AssertionError:
            running = host.describe(self.root) if "processes" in difference else ""
            raise AssertionError(f"(before, after): {difference}{running}") from None
