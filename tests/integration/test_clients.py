"""Stock clients: the docker command, docker-py, curl; and what ctlc itself promises."""
import json
import os
import subprocess
import time

from harness import BUILD, SLOW, STOCK, VERSION, equal, has, wait_for


def test_docker_run(d):
    equal(d.docker_ok("run", "--rm", "busybox", "echo", "hi"), "hi")
    equal(d.docker("run", "--rm", "busybox", "sh", "-c", "exit 42").code, 42)
    equal(d.docker("run", "--rm", "busybox", "nonsense").code, 127)
    equal(d.docker("run", "--rm", "busybox", "/etc").code, 126)
    equal(d.docker("run", "--rm", "-m", "1m", "busybox", "true").code, 125)
    equal(d.docker_ok("run", "--rm", "-i", "busybox", "cat", input="typed"), "typed")


def test_docker_terminal(d):
    with d.terminal("run", "-it", "--rm", "busybox", "sh", program="docker", rows=31, columns=91) as terminal:
        terminal.expect("/ # ")
        # Clients before 23 tell the size only when the container runs.
        terminal.send("until stty size 2>/dev/null; do sleep 0.1; done; exit 6\n")
        terminal.expect("31 91")
        equal(terminal.wait(), 6)


def test_docker_day(d):
    container = d.docker_ok("run", "-d", "--name", "day", "-p", "127.0.0.1::80", "busybox", "sh", "-c",
                            "echo started; sleep 100000")
    has(d.docker_ok("ps"), "day", "busybox", "->80/tcp")
    wait_for(lambda: d.docker_ok("logs", "day") == "started", "the log")
    equal(d.docker_ok("exec", "day", "echo", "inside"), "inside")
    equal(d.docker_ok("inspect", "-f", "{{.Id}}", "day"), container)
    has(d.docker_ok("top", "day"), "sleep 100000")
    has(d.docker_ok("port", "day"), "80/tcp -> 127.0.0.1:")
    d.docker_ok("pause", "day")
    d.docker_ok("unpause", "day")
    d.docker_ok("rename", "day", "night")
    d.docker_ok("restart", "-t", "0", "night")
    d.docker_ok("stop", "-t", "0", "night")
    equal(d.docker_ok("wait", "night"), "137")
    d.docker_ok("rm", "night")
    equal(d.docker_ok("ps", "-aq"), "")
    has(d.docker_ok("container", "prune", "-f"), "Total reclaimed space")


def test_docker_images(d):
    has(d.docker_ok("images"), "busybox", "latest")
    d.docker_ok("tag", "busybox", "mine:1")
    has(d.docker_ok("history", "mine:1"), "BusyBox")
    has(d.docker_ok("rmi", "mine:1"), "Untagged: mine:1")
    d.docker_ok("image", "inspect", "busybox")


def test_docker_information(d):
    has(d.docker_ok("version"), "Server:", "API version:")
    has(d.docker_ok("info"), "Server Version", "Cgroup Driver")
    has(d.docker_ok("network", "ls"), "bridge", "host", "none")
    d.docker_ok("volume", "ls")
    equal(d.docker("inspect", "no-such-thing").code, 1)


def test_docker_events(d):
    since = f"{time.time():.9f}"
    d.docker_ok("run", "--rm", "busybox", "true")
    out = d.docker_ok("events", "--since", since, "--until", f"{time.time():.9f}", "--filter", "type=container",
                      "--format", "{{.Action}}")
    for action in ("create", "attach", "start", "die", "destroy"):
        has(out.split(), action)


def python_client(d):
    import docker  # Debian's python3-docker
    return docker.DockerClient(base_url=f"unix://{d.sock}", timeout=60 * SLOW)


def test_docker_py(d):
    client = python_client(d)
    try:
        assert client.ping()
        equal(client.containers.run("busybox", "echo hi", remove=True), b"hi\n")
        container = client.containers.run("busybox", "sh -c 'echo out; sleep 100000'", detach=True, name="py",
                                          labels={"a": "b"}, mem_limit="64m", ports={"80/tcp": ("127.0.0.1", None)})
        container.reload()
        equal((container.status, container.name, container.labels), ("running", "py", {"a": "b"}))
        assert int(container.ports["80/tcp"][0]["HostPort"]) > 0
        equal(client.containers.list(filters={"label": "a=b"})[0].id, container.id)
        result = container.exec_run(["sh", "-c", "echo in; exit 3"])
        equal((result.exit_code, result.output), (3, b"in\n"))
        out, err = container.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True).output
        equal((out, err), (b"o\n", b"e\n"))
        wait_for(lambda: container.logs() == b"out\n", "the log")
        container.stop(timeout=0)
        equal(container.wait()["StatusCode"], 137)
        container.remove()
        import docker
        for call, kind in ((lambda: client.containers.get("py"), docker.errors.NotFound),
                           (lambda: client.images.get("nope"), docker.errors.ImageNotFound),
                           (lambda: client.containers.run("busybox", "false"), docker.errors.ContainerError)):
            try:
                call()
            except kind:
                continue
            raise AssertionError(f"{kind} was not raised")
        equal(client.images.get("busybox").tags, ["busybox:latest"])
    finally:
        client.close()


def test_docker_py_events_stream(d):
    client = python_client(d)
    try:
        stream = client.events(decode=True, since=int(time.time()) - 1, filters={"event": "start"})
        container = d.sleeper()
        wait_for(lambda: next(stream)["id"] == container, "the event")
        stream.close()
    finally:
        client.close()


def test_curl(d):
    done = subprocess.run(["curl", "-sS", "--unix-socket", d.sock, "-H", "Content-Type: application/json", "-d",
                           '{"Image":"busybox","Cmd":["true"]}', f"http://localhost/{VERSION}/containers/create"],
                          stdout=subprocess.PIPE, check=True)
    container = json.loads(done.stdout)["Id"]
    done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "--unix-socket", d.sock,
                           f"http://localhost/containers/{container}/start"], stdout=subprocess.PIPE, check=True)
    equal(done.stdout, b"204")


def ctlc(d, *args, **environment):
    base = {k: v for k, v in os.environ.items() if k not in ("CTLC_HOST", "DOCKER_HOST")}
    return subprocess.run([f"{BUILD}/bin/ctlc", *args], env={**base, **environment}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * SLOW, check=False)


def test_where_ctlc_looks(d):
    if STOCK:
        return
    right, wrong = f"unix://{d.sock}", "unix:///nonexistent.sock"
    for args, environment in (((), {"CTLC_HOST": right, "DOCKER_HOST": wrong}), ((), {"DOCKER_HOST": right}),
                              (("-H", right), {"CTLC_HOST": wrong}), (("--host", right), {}),
                              ((f"--host={right}",), {})):
        done = ctlc(d, *args, "ps", "-q", **environment)
        equal(done.returncode, 0, (args, environment, done.stderr))


def test_help_of_every_command(d):
    if STOCK:
        return
    commands = ("run create start stop restart kill rm ps logs exec attach wait top rename pause unpause inspect "
                "images load import tag rmi history events info version prune").split()
    overview = ctlc(d, "--help")
    equal(overview.returncode, 0)
    for command in commands:
        has(overview.stdout.decode(), command)
        done = ctlc(d, command, "--help")
        equal((done.returncode, done.stderr), (0, b""), command)
        has(done.stdout.decode(), f"ctlc {command}")


def test_ctlc_mistakes(d):
    if STOCK:
        return
    for args, text in ((("nonsense",), "nonsense"), (("run",), "run"), (("ps", "--nonsense"), "--nonsense"),
                       (("rm",), "rm"), (("exec", "x"), "exec")):
        done = ctlc(d, *args, CTLC_HOST=f"unix://{d.sock}")
        assert done.returncode in (1, 125), (args, done)
        has(done.stderr.decode(), text)


def test_ctlc_knows_dockers_long_forms(d):
    """`container` and `image` command groups, as scripts write them."""
    container = d.ok("container", "run", "-d", "busybox", "sleep", "100000") if STOCK else d.sleeper()
    equal(json.loads(d.ok("version", "--format", "{{json .}}"))["Server"]["Os"], "linux")
    has(d.ok("info"), "Containers:")
    d.ok("rm", "-f", container)
