"""Debian's docker-compose 1.29 against the daemon, through a project of every sort of thing (composefile.py)."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.request

import composefile
from harness import CTLC, SLOW, STOCK, Daemon, Result, equal, has, wait_for
from registries import Registry

COMMANDS = "build config create down events exec images kill logs pause port ps pull push restart rm run scale start stop top unpause up version".split()


class Project:
    """A directory with the files; a project's name of its own; docker-compose in it."""

    used = set()  # commands

    def __init__(self, d, registry="nowhere", through_ctlc=False):
        self.d, self.directory = d, tempfile.mkdtemp(prefix="ctl-compose-")
        self.program = [CTLC, "compose"] if through_ctlc else ["docker-compose"]
        self.environment = {**d.environment(), "COMPOSE_PROJECT_NAME": "tested", "REGISTRY": registry, "HOME": self.directory, "COMPOSE_HTTP_TIMEOUT": "100", "COMPOSE_ANSI": "never", "PYTHONUNBUFFERED": "1"}
        composefile.write(self.directory)

    def start(self, *args, **options):
        self.used.update(arg for arg in args if arg in COMMANDS)
        return subprocess.Popen([*self.program, *args], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def run(self, *args):
        process = self.start(*args)
        try:
            out, err = process.communicate(timeout=100 * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"docker-compose {' '.join(args)} does not end: {process.communicate()}") from None
        return Result(process.returncode, out, err)

    def ok(self, *args):
        done = self.run(*args)
        assert done.code == 0, f"docker-compose {' '.join(args)}: {done}"
        return done.out + done.err

    def containers(self, service):
        return sorted(self.d.api("GET", "/containers/json", all=1, filters={"label": [f"com.docker.compose.service={service}"]}).json, key=lambda c: c["Names"])

    def close(self):
        self.run("--profile", "build", "--profile", "tools", "down", "-v", "-t", "0", "--remove-orphans")
        shutil.rmtree(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@contextlib.contextmanager
def followed(process):
    """The lines of a process that does not end by itself, as they come."""
    lines = []

    def read():
        for line in process.stdout:
            lines.append(line)
    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield lines
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30 * SLOW)
        thread.join()
        process.stderr.close()


def test_project(d):
    with Project(d) as p:
        config = p.ok("config")
        has(config, "WORD: common", "OTHER: fromfile", "image: busybox", "from: common", "condition: service_healthy")
        equal(set(p.ok("config", "--services").split()), {"base", "made", "store", "tool", "web", "worker"})
        equal(p.ok("--env-file", "other.env", "config", "--volumes").split(), ["data"])
        has(p.ok("up", "-d"), "Creating tested_store_1", "Creating tested_web_1")
        store, web = d.inspect("tested_store_1"), d.inspect("tested_web_1")
        equal(store["State"]["Health"]["Status"], "healthy", "web waited for it")
        equal(store["NetworkSettings"]["Networks"]["tested_back"]["IPAddress"], "10.83.0.10")
        equal((store["HostConfig"]["Memory"], store["HostConfig"]["RestartPolicy"]["Name"]), (64 << 20, "unless-stopped"))
        equal(set(web["NetworkSettings"]["Networks"]), {"tested_back", "tested_front"})
        assert "OTHER=fromfile" in web["Config"]["Env"] and web["Config"]["Labels"]["from"] == "common"
        wait_for(lambda: "common data" in p.ok("logs", "web"), "web to have asked store by its alias")
        has(p.ok("logs", "--no-color", "--tail=1", "-t", "store"), "store_1", "store up")
        address = p.ok("port", "web", "80").strip()
        equal(urllib.request.urlopen(f"http://{address}/", timeout=20 * SLOW).read(), b"page\n")
        has(p.ok("ps"), "tested_web_1", "Up (healthy)", address)
        equal(p.ok("ps", "-q", "web").strip(), web["Id"])
        has(p.ok("images"), "busybox", "tested_store_1")
        has(p.ok("top", "worker"), "sleep 100000")
        has(p.ok("up", "-d"), "tested_web_1 is up-to-date")
        volume = d.api("GET", "/volumes/tested_data", status=200).json
        equal((volume["Labels"]["which"], volume["Labels"]["com.docker.compose.project"]), ("data", "tested"))
        exec_and_run(p)
        has(p.ok("down", "-v", "-t", "0"), "Removing network tested_back", "Removing volume tested_data")
        for path in ("/volumes/tested_data", "/networks/tested_back", "/containers/tested_web_1/json"):
            d.api("GET", path, status=404)


def exec_and_run(p):
    equal(p.ok("exec", "-T", "web", "sh", "-c", "hostname; pwd; echo $OTHER"), "webhost\n/conf\nfromfile\n")
    equal(p.run("exec", "-T", "-e", "A=b", "-u", "1000", "-w", "/tmp", "worker", "sh", "-c", 'test "$A $(id -u) $(pwd)" = "b 1000 /tmp" && exit 7').code, 7)
    p.ok("exec", "-d", "worker", "true")
    has(p.ok("run", "--rm", "-T", "tool", "word"), "tool word")
    done = p.run("run", "--rm", "-T", "--no-deps", "-e", "A=b", "--entrypoint", "sh", "-u", "1000", "-w", "/tmp", "worker", "-c", "echo $A; id -u; pwd; exit 3")
    equal((done.code, done.out), (3, "b\n1000\n/tmp\n"))
    has(p.ok("run", "-d", "--name", "oneoff", "worker"), "oneoff")
    has(p.ok("rm", "-s", "-f", "worker"), "Removing tested_worker_1")
    p.ok("up", "-d", "worker")


def test_life(d):
    with Project(d) as p:
        p.ok("up", "-d", "store", "worker")
        stops_and_starts(d, p)
        changes(d, p)


def paused(d, p):
    p.ok("pause", "worker")
    equal(d.state("tested_worker_1")["Status"], "paused")
    p.ok("unpause", "worker")


def stops_and_starts(d, p):
    with followed(p.start("events", "--json", "worker")) as events:
        # It says nothing before the first event: one that it sees is waited for.
        wait_for(lambda: paused(d, p) or any('"pause"' in line for line in events), "the event", 60)
        seen = [json.loads(line) for line in events if '"pause"' in line][0]
    equal((seen["service"], seen["type"], seen["attributes"]["name"]), ("worker", "container", "tested_worker_1"))
    with followed(p.start("logs", "-f", "--no-color", "store")) as lines:
        wait_for(lambda: any("store up" in line for line in lines), "the log")
    p.ok("kill", "-s", "KILL", "worker")
    wait_for(lambda: d.state("tested_worker_1")["ExitCode"] == 137, "the exit code")
    p.ok("start", "worker")
    p.ok("restart", "-t", "0", "worker")
    equal(d.state("tested_worker_1")["Running"], True)
    p.ok("stop", "-t", "0", "worker")
    equal(d.state("tested_worker_1")["Running"], False)


def changes(d, p):
    """More of them, and others when the file has changed; what is in volumes stays."""
    p.ok("up", "-d", "--scale", "worker=3")
    equal([c["Names"] for c in p.containers("worker")], [[f"/tested_worker_{n}"] for n in (1, 2, 3)])
    p.ok("scale", "worker=1")
    equal([c["Names"] for c in p.containers("worker")], [["/tested_worker_1"]])
    old, store = d.inspect("tested_worker_1")["Id"], d.inspect("tested_store_1")["Id"]
    has(p.ok("-f", "docker-compose.yml", "-f", "change.yml", "up", "-d"), "Recreating tested_worker_1")
    new = d.inspect("tested_worker_1")
    assert new["Id"] != old and "ADDED=1" in new["Config"]["Env"]
    has(p.ok("up", "-d", "--force-recreate", "--no-deps", "-V", "store"), "Recreating tested_store_1")
    assert d.inspect("tested_store_1")["Id"] != store
    equal(p.ok("exec", "-T", "store", "cat", "/data/file"), "data\n")
    p.ok("create")
    has(p.ok("rm", "-f"), "Removing tested_worker_1")


def test_foreground(d):
    """What `up` prints; ^C stops all."""
    with Project(d) as p:
        process = p.start("up", "--no-color", "store", "worker")
        with followed(process) as lines:
            wait_for(lambda: any("store up" in line for line in lines), "the log line")
        wait_for(lambda: not d.state("tested_store_1")["Running"] and not d.state("tested_worker_1")["Running"], "both to stop", 30)
        done = p.run("--profile", "tools", "up", "--no-color", "--abort-on-container-exit", "--exit-code-from", "tool", "tool")
        equal(done.code, 0, done)
        has(done.out + done.err, "tool_1", "exited with code 0")


def test_build_push_pull(d):
    with tempfile.TemporaryDirectory(prefix="ctl-compose-") as directory, Registry(directory) as registry, Daemon() as own:
        with Project(own, registry.host) as p:
            name = f"{registry.host}/made:1"
            has(p.ok("build", "--no-cache", "--force-rm", "--parallel", "made"), "Successfully built", f"Successfully tagged {name}")
            equal(own.api("GET", f"/images/{name}/json", status=200).json["Config"]["Labels"]["made"], "yes")
            p.ok("push", "made")
            own.api("DELETE", f"/images/{name}", force=1, status=200)
            p.ok("--profile", "build", "pull", "made")
            own.api("GET", f"/images/{name}/json", status=200)
            equal(p.run("run", "--rm", "-T", "made").out, "built\n")
            p.ok("--profile", "build", "up", "-d", "made")
            has(p.ok("--profile", "build", "down", "-v", "--rmi", "all", "-t", "0"), f"Removing image {name}")
            own.api("GET", f"/images/{name}/json", status=404)


def test_through_ctlc(d):
    if STOCK:
        return
    with Project(d, through_ctlc=True) as p:
        p.ok("up", "-d", "worker")
        has(p.ok("ps"), "tested_worker_1")


def test_every_command():
    """All that docker-compose --help lists were used by the tests before this one."""
    text = subprocess.run(["docker-compose", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    listed = set(re.findall(r"^  (\w+)  ", text.partition("Commands:")[2], re.M)) - {"help", "version"}
    equal(listed - Project.used, set())
