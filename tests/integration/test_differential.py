"""The same requests to Debian's dockerd (20.10, API 1.41) and to us: status, shape and values of the replies.

What may differ is in known_differences.py, field by field, with the line of docs/api-differences.md that says so; one that
no longer differs fails."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

import harness
import host
import known_differences
from harness import IMAGE, SLOW, STOCK, Daemon, equal, wait_for
from test_firewalls import own_network
from test_stock_python import archive

V = "/v1.41"
DOC = os.path.join(harness.REPOSITORY, "docs/api-differences.md")
SLEEP = {"Image": "busybox", "Cmd": ["sleep", "100000"], "HostConfig": {}}


@contextlib.contextmanager
def stock():
    """Debian's engine, in the network namespace of this thread."""
    root = tempfile.mkdtemp(prefix="ctl-dockerd-")
    argv = ["dockerd", "--data-root", f"{root}/data", "--exec-root", f"{root}/run", "--pidfile", f"{root}/pid", "-H", f"unix://{root}/sock",
            "--storage-driver", "vfs", "--bip", "10.98.0.1/24", "--exec-opt", "native.cgroupdriver=cgroupfs"]  # systemd's by itself on v2
    with open(f"{root}/log", "wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**os.environ, "HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1"})
    try:
        wait_for(lambda: "API listen on" in host.read(f"{root}/log"), "dockerd to listen", 60)
        engine = Daemon.__new__(Daemon)
        engine.sock = f"{root}/sock"
        yield engine
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60 * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        subprocess.run(["umount", f"{root}/run/netns/default"], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(root, ignore_errors=True)


# The requests: (name, method, path, body).  Names in {} are of earlier replies.

def create(name, **fields):
    host_config = fields.pop("HostConfig", {})
    return [(f"create {name}", "POST", f"/containers/create?name={name}", {**SLEEP, "HostConfig": host_config, **fields}),
            (f"inspect {name}", "GET", f"/containers/{name}/json", None)]


MIB = 1 << 20
REQUESTS = [
    ("version", "GET", "/version", None), ("info", "GET", "/info", None), ("ping", "GET", "/_ping", None), ("df", "GET", "/system/df", None),
    ("no such page", "GET", "/nonsense", None), ("wrong method", "DELETE", "/info", None),
    # Containers of many shapes.
    *create("plain"), *create("labels", Labels={"a": "b"}, Env=["A=1"], WorkingDir="/tmp", User="1000", Hostname="h", Domainname="d"),
    *create("limits", HostConfig={"Memory": 64 * MIB, "CpuShares": 300, "PidsLimit": 50, "CpuQuota": 50000, "CpuPeriod": 100000, "CpusetCpus": "0"}),
    *create("nano", HostConfig={"NanoCpus": 500000000, "OomScoreAdj": 10, "ShmSize": MIB, "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}]}),
    *create("caps", HostConfig={"CapAdd": ["NET_ADMIN"], "CapDrop": ["CHOWN"], "SecurityOpt": ["no-new-privileges"], "ReadonlyRootfs": True}),
    *create("strong", HostConfig={"Privileged": True}), *create("hostnet", HostConfig={"NetworkMode": "host"}), *create("nonet", HostConfig={"NetworkMode": "none"}),
    *create("spaces", HostConfig={"PidMode": "host", "IpcMode": "shareable", "UTSMode": "host", "CgroupnsMode": "private"}),
    *create("policy", HostConfig={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "AutoRemove": False}),
    *create("ports", ExposedPorts={"80/tcp": {}, "81/udp": {}}, HostConfig={"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}),
    *create("logs", HostConfig={"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}}),
    *create("mounts", HostConfig={"Binds": ["/tmp:/from:ro", "vol:/vol"], "Tmpfs": {"/scratch": "size=1m"}, "Mounts": [{"Type": "volume", "Source": "vol2", "Target": "/v2"}]}),
    *create("anonymous", Volumes={"/anon": {}}), *create("health", Healthcheck={"Test": ["CMD-SHELL", "true"], "Interval": 10**9}),
    *create("dns", HostConfig={"Dns": ["192.0.2.1"], "DnsSearch": ["x"], "DnsOptions": ["ndots:2"], "ExtraHosts": ["h:192.0.2.7"]}),
    *create("tty", Tty=True, OpenStdin=True, StdinOnce=True, AttachStdin=True), *create("entry", Entrypoint="sleep", Cmd="5"),
    *create("sysctl", HostConfig={"Sysctls": {"net.ipv4.ip_default_ttl": "33"}, "GroupAdd": ["7"], "Init": True}),
    *create("stop", StopSignal="USR1", StopTimeout=3), *create("device", HostConfig={"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}]}),
    *create("masked", HostConfig={"MaskedPaths": [], "ReadonlyPaths": []}), *create("parent", HostConfig={"CgroupParent": "/ctl-diff"}),
    # What goes wrong there.
    ("no image", "POST", "/containers/create", {"Image": "nothere"}), ("no image named", "POST", "/containers/create", {"Cmd": ["x"]}),
    ("no command", "POST", "/containers/create", {"Image": "empty:1"}),
    ("name taken", "POST", "/containers/create?name=plain", SLEEP), ("bad name", "POST", "/containers/create?name=b$d", SLEEP),
    ("empty create", "POST", "/containers/create", b""), ("not JSON", "POST", "/containers/create", b"{"), ("no network at create", "POST", "/containers/create?name=lost", {**SLEEP, "HostConfig": {"NetworkMode": "nowhere"}}),
    ("little memory", "POST", "/containers/create", {**SLEEP, "HostConfig": {"Memory": 1}}), ("swap below memory", "POST", "/containers/create", {**SLEEP, "HostConfig": {"Memory": 64 * MIB, "MemorySwap": MIB}}),
    ("swap alone", "POST", "/containers/create", {**SLEEP, "HostConfig": {"MemorySwap": 64 * MIB}}), ("cpus and quota", "POST", "/containers/create", {**SLEEP, "HostConfig": {"NanoCpus": 10**8, "CpuQuota": 5000}}),
    ("short period", "POST", "/containers/create", {**SLEEP, "HostConfig": {"CpuPeriod": 1}}), ("little quota", "POST", "/containers/create", {**SLEEP, "HostConfig": {"CpuQuota": 1}}),
    ("oom score", "POST", "/containers/create", {**SLEEP, "HostConfig": {"OomScoreAdj": 2000}}), ("remove and restart", "POST", "/containers/create", {**SLEEP, "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}}),
    ("no bind source", "POST", "/containers/create", {**SLEEP, "HostConfig": {"Mounts": [{"Type": "bind", "Source": "/nothere", "Target": "/x"}]}}),
    ("mount twice", "POST", "/containers/create", {**SLEEP, "HostConfig": {"Binds": ["/tmp:/x", "/etc:/x"]}}), ("unknown logger", "POST", "/containers/create", {**SLEEP, "HostConfig": {"LogConfig": {"Type": "asdf"}}}),
    ("unknown policy", "POST", "/containers/create", {**SLEEP, "HostConfig": {"RestartPolicy": {"Name": "sometimes"}}}), ("short interval", "POST", "/containers/create", {**SLEEP, "Healthcheck": {"Interval": 5}}),
    # The life of some.
    *[(f"start {name}", "POST", f"/containers/{name}/start", None) for name in ("plain", "limits", "ports", "mounts", "health", "dns", "tty", "hostnet", "nonet", "lost")],
    ("start again", "POST", "/containers/plain/start", None), ("start nobody", "POST", "/containers/nobody/start", None),
    *[(f"inspect running {name}", "GET", f"/containers/{name}/json", None) for name in ("plain", "limits", "ports", "mounts", "dns", "hostnet", "nonet")],
    ("inspect with size", "GET", "/containers/plain/json?size=1", None), ("inspect nobody", "GET", "/containers/nobody/json", None),
    ("list", "GET", "/containers/json?filters=" + urllib.parse.quote('{"name":["plain"]}'), None), ("list all", "GET", "/containers/json?all=1&limit=1&filters=" + urllib.parse.quote('{"name":["parent"]}'), None),
    ("list with size", "GET", "/containers/json?size=1&limit=1", None), ("list nobody", "GET", "/containers/json?filters=" + urllib.parse.quote('{"name":["nobody"]}'), None),
    ("list bad filter", "GET", "/containers/json?filters=" + urllib.parse.quote('{"foo":["x"]}'), None), ("list bad filters", "GET", "/containers/json?filters=x", None),
    ("list mounts", "GET", "/containers/json?filters=" + urllib.parse.quote('{"name":["mounts"]}'), None), ("list ports", "GET", "/containers/json?filters=" + urllib.parse.quote('{"name":["ports"]}'), None),
    ("top", "GET", "/containers/plain/top", None), ("top nobody", "GET", "/containers/nobody/top", None), ("top stopped", "GET", "/containers/labels/top", None),
    ("stats", "GET", "/containers/plain/stats?stream=0&one-shot=1", None), ("stats nobody", "GET", "/containers/nobody/stats?stream=0", None), ("stats stopped", "GET", "/containers/labels/stats?stream=0", None),
    ("no stream of logs", "GET", "/containers/plain/logs", None), ("logs nobody", "GET", "/containers/nobody/logs?stdout=1", None),
    ("changes", "GET", "/containers/plain/changes", None), ("changes nobody", "GET", "/containers/nobody/changes", None),
    ("rename to itself", "POST", "/containers/plain/rename?name=plain", None), ("rename to another", "POST", "/containers/plain/rename?name=labels", None),
    ("rename to nothing", "POST", "/containers/plain/rename?name=", None), ("rename badly", "POST", "/containers/plain/rename?name=b$d", None),
    ("pause", "POST", "/containers/plain/pause", None), ("pause again", "POST", "/containers/plain/pause", None), ("start paused", "POST", "/containers/plain/start", None),
    ("exec in paused", "POST", "/containers/plain/exec", {"Cmd": ["true"]}), ("inspect paused", "GET", "/containers/plain/json", None),
    ("unpause", "POST", "/containers/plain/unpause", None), ("unpause again", "POST", "/containers/plain/unpause", None), ("pause stopped", "POST", "/containers/labels/pause", None),
    ("update", "POST", "/containers/limits/update", {"CpuShares": 400, "RestartPolicy": {"Name": "always"}}), ("update nobody", "POST", "/containers/nobody/update", {"CpuShares": 400}),
    ("kill badly", "POST", "/containers/plain/kill?signal=SIG42X", None), ("kill stopped", "POST", "/containers/labels/kill", None), ("kill nobody", "POST", "/containers/nobody/kill", None),
    ("wait nobody", "POST", "/containers/nobody/wait", None), ("wait created", "POST", "/containers/labels/wait", None),
    ("resize stopped", "POST", "/containers/labels/resize?h=10&w=10", None), ("resize badly", "POST", "/containers/tty/resize?h=x&w=10", None), ("resize", "POST", "/containers/tty/resize?h=10&w=10", None),
    ("remove running", "DELETE", "/containers/plain", None), ("remove nobody", "DELETE", "/containers/nobody", None),
    # Commands in them.
    ("exec", "POST", "/containers/plain/exec", {"Cmd": ["sh", "-c", "exit 3"], "AttachStdout": True}), ("exec inspect", "GET", "/exec/{exec}/json", None),
    ("exec detached", "POST", "/exec/{exec}/start", {"Detach": True}), ("exec again", "POST", "/exec/{exec}/start", {"Detach": True}),
    ("exec nothing", "POST", "/containers/plain/exec", {"Cmd": []}), ("exec nobody", "POST", "/containers/nobody/exec", {"Cmd": ["true"]}), ("exec stopped", "POST", "/containers/labels/exec", {"Cmd": ["true"]}),
    ("exec unknown", "GET", "/exec/nothere/json", None), ("exec start unknown", "POST", "/exec/nothere/start", {"Detach": True}), ("exec resize unknown", "POST", "/exec/nothere/resize?h=1&w=1", None),
    # Files.
    ("stat", "HEAD", "/containers/plain/archive?path=/etc", None), ("no path", "GET", "/containers/plain/archive", None), ("no such file", "GET", "/containers/plain/archive?path=/nothere", None),
    ("stat nothing", "HEAD", "/containers/plain/archive?path=/nothere", None), ("archive nobody", "GET", "/containers/nobody/archive?path=/", None),
    ("put to nothing", "PUT", "/containers/plain/archive?path=/nothere", b""), ("put to a file", "PUT", "/containers/plain/archive?path=/etc/passwd", b""),
    # Images.
    ("images", "GET", "/images/json", None), ("images all", "GET", "/images/json?all=1&digests=1", None), ("images none", "GET", "/images/json?filters=" + urllib.parse.quote('{"reference":["nothere"]}'), None),
    ("images bad filter", "GET", "/images/json?filters=" + urllib.parse.quote('{"foo":["x"]}'), None), ("image", "GET", "/images/busybox/json", None), ("image unknown", "GET", "/images/nothere/json", None),
    ("history", "GET", "/images/busybox/history", None), ("history unknown", "GET", "/images/nothere/history", None), ("tag", "POST", "/images/busybox/tag?repo=mine&tag=1", None),
    ("tag unknown", "POST", "/images/nothere/tag?repo=mine&tag=1", None), ("tag badly", "POST", "/images/busybox/tag?repo=MINE&tag=1", None), ("tag badly too", "POST", "/images/busybox/tag?repo=mine&tag=b$d", None),
    ("untag", "DELETE", "/images/mine:1", None), ("remove used", "DELETE", "/images/busybox", None), ("remove unknown", "DELETE", "/images/nothere", None), ("save unknown", "GET", "/images/nothere/get", None),
    ("push unknown", "POST", "/images/nothere/push", None), ("search badly", "GET", "/images/search?limit=1000&term=x", None), ("commit nobody", "POST", "/commit?container=nobody", {}),
    ("commit", "POST", "/commit?container=labels&repo=committed&tag=1&comment=c&author=a", {}), ("committed", "GET", "/images/committed:1/json", None), ("prune images", "POST", "/images/prune", None),
    ("build badly", "POST", "/build?dockerfile=nothere", b""), ("build securely", "POST", "/build?securityopt=" + urllib.parse.quote('["a=b"]'), b""), ("prune builds", "POST", "/build/prune", None),
    # Networks.
    ("networks", "GET", "/networks?filters=" + urllib.parse.quote('{"name":["host","none"]}'), None), ("network bridge", "GET", "/networks/bridge", None), ("network unknown", "GET", "/networks/nothere", None),
    ("network", "POST", "/networks/create", {"Name": "net", "IPAM": {"Config": [{"Subnet": "10.97.0.0/24", "Gateway": "10.97.0.1"}]}, "Labels": {"a": "b"}, "Attachable": True}),
    ("network inspect", "GET", "/networks/net", None), ("network plain", "POST", "/networks/create", {"Name": "plain"}), ("network twice", "POST", "/networks/create", {"Name": "net", "CheckDuplicate": True}),
    ("network nameless", "POST", "/networks/create", {}), ("network driver", "POST", "/networks/create", {"Name": "bad", "Driver": "nothere"}), ("network overlap", "POST", "/networks/create", {"Name": "bad", "IPAM": {"Config": [{"Subnet": "10.97.0.0/25"}]}}),
    ("network bad subnet", "POST", "/networks/create", {"Name": "bad", "IPAM": {"Config": [{"Subnet": "x"}]}}), ("network of a swarm", "POST", "/networks/create", {"Name": "sw", "Driver": "overlay"}),
    ("connect", "POST", "/networks/net/connect", {"Container": "plain", "EndpointConfig": {"Aliases": ["nick"], "IPAMConfig": {"IPv4Address": "10.97.0.9"}}}), ("connected", "GET", "/containers/plain/json", None),
    ("network used", "GET", "/networks/net", None), ("connect again", "POST", "/networks/net/connect", {"Container": "plain"}), ("connect nobody", "POST", "/networks/net/connect", {"Container": "nobody"}),
    ("connect to nothing", "POST", "/networks/nothere/connect", {"Container": "plain"}), ("connect to host", "POST", "/networks/host/connect", {"Container": "plain"}), ("remove used network", "DELETE", "/networks/net", None),
    ("remove bridge", "DELETE", "/networks/bridge", None), ("disconnect", "POST", "/networks/net/disconnect", {"Container": "plain"}), ("disconnect again", "POST", "/networks/net/disconnect", {"Container": "plain"}),
    # Templates of networks.
    ("template", "POST", "/networks/create", {"Name": "conf", "Driver": "bridge", "ConfigOnly": True, "Labels": {"c": "d"}, "Options": {"com.docker.network.driver.mtu": "1400"},
                                              "IPAM": {"Config": [{"Subnet": "10.96.0.0/24"}]}}),
    ("template inspect", "GET", "/networks/conf", None), ("template empty", "POST", "/networks/create", {"Name": "conf0", "ConfigOnly": True, "EnableIPv6": True}), ("template empty inspect", "GET", "/networks/conf0", None),
    ("template twice", "POST", "/networks/create", {"Name": "conf", "ConfigOnly": True, "CheckDuplicate": True}), ("template internal", "POST", "/networks/create", {"Name": "bad", "ConfigOnly": True, "Internal": True}),
    ("template of a template", "POST", "/networks/create", {"Name": "bad", "ConfigOnly": True, "ConfigFrom": {"Network": "conf"}}),
    ("from nothing", "POST", "/networks/create", {"Name": "bad", "ConfigFrom": {"Network": "nothere"}}), ("from a network", "POST", "/networks/create", {"Name": "bad", "ConfigFrom": {"Network": "plain"}}),
    ("from and more", "POST", "/networks/create", {"Name": "bad", "ConfigFrom": {"Network": "conf"}, "Labels": {"x": "y"}}),
    ("from and options", "POST", "/networks/create", {"Name": "bad", "ConfigFrom": {"Network": "conf"}, "Options": {"com.docker.network.driver.mtu": "1400"}}),
    ("from a template", "POST", "/networks/create", {"Name": "from", "ConfigFrom": {"Network": "conf"}, "Internal": True}), ("made from a template", "GET", "/networks/from", None),
    ("create victim", "POST", "/containers/create?name=victim", SLEEP), ("start victim", "POST", "/containers/victim/start", None),
    ("connect to a template", "POST", "/networks/conf/connect", {"Container": "victim"}),
    ("remove victim", "DELETE", "/containers/victim?force=1", None),
    ("remove used template", "DELETE", "/networks/conf", None), ("remove from a template", "DELETE", "/networks/from", None),
    ("remove template", "DELETE", "/networks/conf", None), ("template gone", "GET", "/networks/conf", None),
    ("remove network", "DELETE", "/networks/net", None), ("remove network again", "DELETE", "/networks/net", None), ("networks bad filter", "GET", "/networks?filters=" + urllib.parse.quote('{"foo":["x"]}'), None),
    # Volumes.
    ("volumes", "GET", "/volumes?filters=" + urllib.parse.quote('{"name":["vol2"]}'), None), ("volume", "GET", "/volumes/vol", None), ("volume unknown", "GET", "/volumes/nothere", None),
    ("volume create", "POST", "/volumes/create", {"Name": "made", "Labels": {"a": "b"}}), ("volume again", "POST", "/volumes/create", {"Name": "made"}), ("volume options", "POST", "/volumes/create", {"Name": "opts", "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}}),
    ("volume bad option", "POST", "/volumes/create", {"Name": "bad", "DriverOpts": {"foo": "x"}}), ("volume bad name", "POST", "/volumes/create", {"Name": "b$d"}), ("volume driver", "POST", "/volumes/create", {"Name": "bad", "Driver": "nothere"}),
    ("remove used volume", "DELETE", "/volumes/vol", None), ("remove unknown volume", "DELETE", "/volumes/nothere", None), ("remove unknown volume by force", "DELETE", "/volumes/nothere?force=1", None), ("remove volume", "DELETE", "/volumes/made", None),
    ("volumes bad filter", "GET", "/volumes?filters=" + urllib.parse.quote('{"foo":["x"]}'), None),
    # What only a swarm has, and plugins.
    *[(f"swarm {what}", "GET", f"/{what}", None) for what in ("swarm", "nodes", "services", "tasks", "secrets", "configs")], ("plugins", "GET", "/plugins", None), ("plugin", "GET", "/plugins/nothere/json", None),
    # The end of some.
    ("stop", "POST", "/containers/plain/stop?t=0", None), ("stop again", "POST", "/containers/plain/stop?t=0", None), ("stopped", "GET", "/containers/plain/json", None), ("wait stopped", "POST", "/containers/plain/wait", None),
    ("restart", "POST", "/containers/plain/restart?t=0", None), ("restart nobody", "POST", "/containers/nobody/restart", None), ("remove by force", "DELETE", "/containers/plain?force=1", None), ("remove again", "DELETE", "/containers/plain?force=1", None),
    ("events", "GET", "/events?since=1&until=2", None), ("events bad filter", "GET", "/events?until=1&filters=" + urllib.parse.quote('{"foo":["x"]}'), None),
    ("prune containers", "POST", "/containers/prune?filters=" + urllib.parse.quote('{"label":["none"]}'), None), ("prune networks", "POST", "/networks/prune?filters=" + urllib.parse.quote('{"label":["none"]}'), None),
    ("prune volumes", "POST", "/volumes/prune?filters=" + urllib.parse.quote('{"label":["none"]}'), None), ("prune bad filter", "POST", "/containers/prune?filters=" + urllib.parse.quote('{"foo":["x"]}'), None),
]


# The comparison

PLAIN = [(r"sha256:[0-9a-f]{64}", "<digest>"), (r"\b[0-9a-f]{64}\b", "<id>"), (r"\b[0-9a-f]{12}\b", "<short>"), (r"\b10\.9[89]\.0\.\d+\b", "<ip>"),
         (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\dZ+:-]*", "<time>"), (r"(02|[0-9a-f]{2}):[0-9a-f]{2}(:[0-9a-f]{2}){4}", "<mac>"), (r"/tmp/ctl-\S*?/(data|run)/", "<root>/")]
SHAPES = {"version", "info", "df", "stats", "stats stopped"}  # values are the machine's, or the engine's own
OWN = re.compile(r"/(Pid|HostPort|PublicPort|SizeRw|SizeRootFs|Created|Status|\w+Path|Source|Mountpoint|LastTagTime|Size|VirtualSize|SandboxKey|<id>/Name)$")


def plain(text):
    if text.startswith("0001-01-01"):
        return text
    for pattern, name in PLAIN:
        text = re.sub(pattern, name, text)
    return text


def kind(value):
    return {bool: "boolean", int: "number", float: "number", str: "text", list: "list", dict: "object", type(None): "null"}[type(value)]


def differences(theirs, ours, path="", values=True):
    """(path, theirs, ours) of all that dockerd says otherwise.  What only we say is not counted: clients skip it."""
    if kind(theirs) != kind(ours):
        yield path, theirs, ours
    elif isinstance(theirs, dict):
        for key, value in theirs.items():
            if key in ours:
                yield from differences(value, ours[key], f"{path}/{key}", values)
            else:
                yield f"{path}/{key}", value, "absent"
    elif isinstance(theirs, list):
        if values and len(theirs) != len(ours):
            yield path, theirs, ours
        else:
            for index, (a, b) in enumerate(zip(theirs, ours)):
                yield from differences(a, b, f"{path}/{index}", values)
    elif values and not OWN.search(path) and (plain(theirs) != plain(ours) if isinstance(theirs, str) else theirs != ours):
        yield path, theirs, ours


def normal(value):
    """Without what is by chance: ids as keys, the order of mounts, networks and ports, block I/O that there was or was not."""
    if isinstance(value, dict):
        return {plain(key): [] if each is None and key.endswith("_recursive") else normal(each) for key, each in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):  # dockerd has them in maps
        value = sorted(value, key=lambda each: (each.get("Destination") or "", each.get("Driver") or "", each.get("PrivatePort") or 0))
    return [normal(each) for each in value] if isinstance(value, list) else value


def ask(engine):
    """{name: (status, content type, body)} of all requests."""
    answers, known = {}, {"exec": "nothere"}
    with open(IMAGE, "rb") as file:
        equal(engine.request("POST", f"{V}/images/load?quiet=1", file.read(), {"Content-Type": "application/x-tar"}).status, 200)
    engine.request("POST", f"{V}/build?t=empty:1", archive(Dockerfile=b"FROM scratch\nCOPY Dockerfile /\n"), {"Content-Type": "application/x-tar"})
    for name, method, path, body in REQUESTS:
        headers = {"Content-Type": "application/x-tar"} if path.startswith("/build?") or method == "PUT" else \
            {"Content-Type": "application/json"} if isinstance(body, bytes) else {}
        try:
            reply = engine.request(method, V + path.format(**known), body, headers, 20)
        except TimeoutError:
            raise AssertionError(f"{name}: no end of a reply") from None
        kind_of = reply.headers.get("Content-Type", "").partition(";")[0]
        text = reply.body.decode(errors="replace")
        answers[name] = reply.status, kind_of, normal(json.loads(text)) if kind_of == "application/json" and text.count("\n") < 2 and text.strip() else text
        if name == "exec":
            known["exec"] = reply.json["Id"]
    return answers


def text_of(body):
    return plain(body["message"]) if isinstance(body, dict) and set(body) == {"message"} else plain(body) if isinstance(body, str) else body


def without_chance(value):
    if isinstance(value, dict):
        return {key: without_chance(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_chance(each) for each in value]
    return plain(value) if isinstance(value, str) else value


def compare(theirs, ours):
    """(request, path, their value, our value) of all that differs."""
    found = []
    for name, _, _, _ in REQUESTS:
        (status, kind_of, body), (our_status, our_kind, our_body) = theirs[name], ours[name]
        if status != our_status:
            found.append((name, "status", (status, text_of(body)), (our_status, text_of(our_body))))
        elif kind_of != our_kind:
            found.append((name, "content type", kind_of, our_kind))
        else:
            found += [(name, path, without_chance(a), without_chance(b)) for path, a, b in differences(body, our_body, "", name not in SHAPES)]
    return found


def test_both():
    if STOCK:
        return
    with own_network(), contextlib.ExitStack() as stack:
        with stock() as engine:
            theirs = ask(engine)
        with Daemon("--bip", "10.99.0.1/24") as d:
            ours = ask(d)
    met, unknown = set(), []
    for name, path, a, b in compare(theirs, ours):
        known = known_differences.find(name, path, a, b)
        if known:
            met.add(known)
        else:
            unknown.append(f"{name}: {path}: dockerd {a!r}, here {b!r}")
    stale = [f"no longer differs: {known}" for known in sorted(known_differences.all_known() - met)]
    assert not unknown and not stale, "\n".join(unknown + stale)


def test_all_that_is_known_is_told():
    text = host.read(DOC)
    equal({line for line in known_differences.LINES if f"\n| {line} |" not in text}, set())
