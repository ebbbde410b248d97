"""Debian's python3-docker against the daemon: what people's scripts do with containers, images, networks and volumes."""
import contextlib
import io
import itertools
import tarfile
import threading

import docker
from harness import IMAGE, SLOW, equal, has, wait_for


@contextlib.contextmanager
def client_of(d):
    client = docker.DockerClient(base_url=f"unix://{d.sock}", timeout=60 * SLOW)
    try:
        yield client
    finally:
        client.close()


def raises(kind, text, function, *args, **options):
    try:
        function(*args, **options)
    except kind as error:
        has(str(error), text)
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def sleeper(client, **options):
    return client.containers.run("busybox", "sleep 100000", detach=True, **options)


def test_system(d):
    with client_of(d) as client:
        assert client.ping()
        version, info = client.version(), client.info()
        equal((version["Os"], info["OSType"], version["ApiVersion"]), ("linux", "linux", client.api.api_version))
        equal({"LayersSize", "Images", "Containers", "Volumes", "BuildCache"} - set(client.df()), set())
        raises(docker.errors.APIError, "swarm", lambda: client.nodes.list())


def test_containers(d):
    with client_of(d) as client:
        equal(client.containers.run("busybox", "echo hi", remove=True), b"hi\n")
        equal(client.containers.run("busybox", ["sh", "-c", "echo o; echo e >&2"], stderr=True, remove=True), b"o\ne\n")
        error = raises(docker.errors.ContainerError, "exit status 3", client.containers.run, "busybox", ["sh", "-c", "echo bad >&2; exit 3"])
        equal((error.exit_status, error.stderr), (3, b"bad\n"))
        equal([*client.containers.run("busybox", "printf 'a\\nb\\n'", stream=True)], [b"a\n", b"b\n"])
        raises(docker.errors.ImageNotFound, "No such image", client.containers.create, "nothere")
        raises(docker.errors.NotFound, "No such container: nobody", client.containers.get, "nobody")
        first = sleeper(client, name="py", labels={"kind": "test"}, environment={"A": "1"}, mem_limit="64m", ports={"80/tcp": ("127.0.0.1", None)},
                        volumes={"/etc": {"bind": "/host", "mode": "ro"}}, cap_add=["NET_ADMIN"], ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)],
                        healthcheck={"test": ["CMD", "true"], "interval": 3600 * 10**9}, restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
                        extra_hosts={"h": "192.0.2.7"}, tmpfs={"/t": "size=1m"}, sysctls={"kernel.msgmax": "9000"}, mounts=[docker.types.Mount("/m", None, type="tmpfs")])
        first.reload()
        equal((first.status, first.name, first.labels, first.short_id), ("running", "py", {"kind": "test"}, first.id[:len(first.short_id)]))
        equal(first.image.tags, ["busybox:latest"])
        assert int(first.ports["80/tcp"][0]["HostPort"]) > 0
        equal(first.attrs["HostConfig"]["Memory"], 64 << 20)
        raises(docker.errors.APIError, "Conflict", sleeper, client, name="py")
        for filters, wanted in (({"label": "kind=test"}, 1), ({"label": ["kind", "other"]}, 0), ({"name": "py", "status": "running"}, 1), ({"ancestor": "busybox"}, 1)):
            equal(len(client.containers.list(filters=filters)), wanted, filters)
        equal([c.name for c in client.containers.list(all=True, limit=1)], ["py"])
        equal([row[-1] for row in first.top()["Processes"]], ["sleep 100000"])
        has(first.top(ps_args="-o pid,comm")["Titles"], "COMMAND")
        first.rename("other")
        first.pause()
        first.reload()
        equal(first.status, "paused")
        first.unpause()
        first.update(mem_limit="80m", memswap_limit="160m", cpu_shares=200)
        first.resize(40, 100)
        first.restart(timeout=0)
        first.kill(signal="KILL")
        equal(first.wait()["StatusCode"], 137)
        first.start()
        first.stop(timeout=0)
        equal(first.wait(condition="not-running")["StatusCode"], 137)
        raises(docker.errors.APIError, "is not running", first.kill)
        first.remove(v=True)
        client.containers.create("busybox", name="old")
        assert len(client.containers.prune()["ContainersDeleted"]) >= 1


def test_logs_and_attach(d):
    with client_of(d) as client:
        container = client.containers.run("busybox", ["sh", "-c", "echo one; echo two >&2; read line; echo got $line"], detach=True, stdin_open=True)
        wait_for(lambda: len(container.logs()) == 8, "both lines")
        equal(container.logs(stdout=False), b"two\n")
        has(container.logs(timestamps=True, stderr=False, tail=2).decode(), "T", "Z one")
        follow = container.logs(stream=True, follow=True, stderr=False)
        equal(next(follow), b"one\n")
        sock = container.attach_socket(params={"stdin": 1, "stream": 1})
        sock._sock.sendall(b"words\n")
        equal(b"".join(follow), b"got words\n")
        sock.close()
        # docker-py throws away what it reads together with the head of an answer: we wait for it.
        equal(container.attach(logs=True), b"one\ntwo\ngot words\n")
        equal(container.wait()["StatusCode"], 0)
        # A terminal's output has no frames.
        with_tty = client.containers.run("busybox", ["echo", "tty"], detach=True, tty=True)
        with_tty.wait()
        equal(with_tty.logs(), b"tty\r\n")


def test_exec(d):
    with client_of(d) as client:
        container = sleeper(client)
        result = container.exec_run(["sh", "-c", "echo o; echo e >&2; exit 3"], demux=True)
        equal((result.exit_code, result.output), (3, (b"o\n", b"e\n")))
        result = container.exec_run("sh -c 'id -u; pwd; echo $A'", user="1000", workdir="/tmp", environment=["A=b"])
        equal((result.exit_code, result.output), (0, b"1000\n/tmp\nb\n"))
        equal([*container.exec_run("echo streamed", stream=True).output], [b"streamed\n"])
        equal(container.exec_run("test -t 1", tty=True).exit_code, 0)
        equal(container.exec_run("nonsense").exit_code, 127)
        made = client.api.exec_create(container.id, ["sh", "-c", "read line; echo got $line"], stdin=True)
        sock = client.api.exec_start(made["Id"], socket=True)
        equal(client.api.exec_inspect(made["Id"])["Running"], True)
        sock._sock.sendall(b"words\n")
        data = b""
        while more := sock.read(4096):
            data += more
        sock.close()
        equal(data, b"\1\0\0\0\0\0\0\x0agot words\n")
        equal(client.api.exec_inspect(made["Id"])["ExitCode"], 0)
        assert not container.exec_run("true", detach=True).output
        raises(docker.errors.NotFound, "No such exec instance", client.api.exec_inspect, "nothere")
        container.pause()
        raises(docker.errors.APIError, "is paused", container.exec_run, "true")


def archive(**files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return data.getvalue()


def test_archive_export_diff(d):
    with client_of(d) as client:
        container = sleeper(client)
        assert container.put_archive("/tmp", archive(hello=b"words"))
        stream, stat = container.get_archive("/tmp/hello")
        equal((stat["name"], stat["size"], stat["linkTarget"]), ("hello", 5, ""))
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            equal(tar.extractfile("hello").read(), b"words")
        raises(docker.errors.NotFound, "nothere", container.get_archive, "/nothere")
        raises(docker.errors.NotFound, "nothere", container.put_archive, "/nothere", archive(x=b""))
        has([(c["Path"], c["Kind"]) for c in container.diff()], ("/tmp/hello", 1))
        with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as tar:
            has(tar.getnames(), "tmp/hello")
        image = container.commit(repository="mine", tag="1", message="m", author="a", changes="CMD [\"cat\", \"/tmp/hello\"]", conf={"Labels": {"x": "y"}})
        equal((image.tags, image.labels), (["mine:1"], {"x": "y"}))
        equal(client.containers.run("mine:1", remove=True), b"words")


def test_images(d):
    with client_of(d) as client:
        busybox = client.images.get("busybox")
        equal((busybox.tags, [i.id for i in client.images.list(name="busybox")]), (["busybox:latest"], [busybox.id]))
        assert busybox.tag("mine", tag="2") and busybox.history()
        equal([i.tags for i in client.images.list(filters={"reference": "mine"})], [["busybox:latest", "mine:2"]])
        data = b"".join(client.images.get("mine:2").save(named="mine:2"))
        client.images.remove("mine:2", force=True, noprune=True)
        equal([i.tags for i in client.images.load(data)], [["busybox:latest", "mine:2"]])
        client.images.remove("mine:2")
        raises(docker.errors.ImageNotFound, "No such image: mine:2", client.images.get, "mine:2")
        raises(docker.errors.NotFound, "No such image", client.images.remove, "nothere")
        context = io.BytesIO(archive(Dockerfile=b"FROM busybox\nARG A\nRUN echo $A >/arg\nCMD cat /arg\n"))
        built, log = client.images.build(fileobj=context, custom_context=True, tag="built:1", buildargs={"A": "arg"}, labels={"l": "m"}, rm=True, nocache=True)
        equal((built.tags, built.labels), (["built:1"], {"l": "m"}))
        has("".join(line.get("stream", "") for line in log), "Step 1/5 : FROM busybox", "Step 5/5 : LABEL l=m", "Successfully built")
        equal(client.containers.run("built:1", remove=True), b"arg\n")
        error = raises(docker.errors.BuildError, "returned a non-zero code: 7", client.images.build,
                       fileobj=io.BytesIO(b"FROM busybox\nRUN exit 7\n"), rm=True)
        has("".join(str(line) for line in error.build_log), "Step 2/2")
        with open(IMAGE, "rb") as file:
            equal(client.images.load(file)[0].tags[0], "busybox:latest")
        client.images.remove("built:1")
        equal(sorted(client.images.prune()), ["ImagesDeleted", "SpaceReclaimed"])


def test_networks_and_volumes(d):
    with client_of(d) as client:
        pool = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet="10.81.0.0/24", gateway="10.81.0.254")])
        network = client.networks.create("py", driver="bridge", ipam=pool, labels={"a": "b"}, attachable=True, options={"com.docker.network.bridge.enable_icc": "true"})
        raises(docker.errors.APIError, "already exists", client.networks.create, "py", check_duplicate=True)
        container = client.containers.create("busybox", "sleep 100000")
        network.connect(container, aliases=["nick"], ipv4_address="10.81.0.7")
        container.start()
        network.reload()
        equal([c.id for c in network.containers], [container.id])
        equal(network.attrs["Containers"][container.id]["IPv4Address"], "10.81.0.7/24")
        equal(client.containers.run("busybox", "ping -c 1 -w 5 nick", network="py", remove=True)[:4], b"PING")
        raises(docker.errors.APIError, "has active endpoints", network.remove)
        equal([n.name for n in client.networks.list(names=["py"], filters={"label": "a=b"})], ["py"])
        network.disconnect(container, force=True)
        network.remove()
        raises(docker.errors.NotFound, "network py not found", client.networks.get, "py")
        equal(client.networks.prune(), {"NetworksDeleted": None})
        volume = client.volumes.create("py", labels={"a": "b"})
        user = sleeper(client, volumes={"py": {"bind": "/v", "mode": "rw"}})
        equal([v.name for v in client.volumes.list(filters={"label": "a=b"})], ["py"])
        raises(docker.errors.APIError, "volume is in use", volume.remove)
        user.remove(force=True)
        volume.remove(force=True)
        raises(docker.errors.NotFound, "no such volume", client.volumes.get, "py")
        equal(sorted(client.volumes.prune()), ["SpaceReclaimed", "VolumesDeleted"])


def test_events(d):
    with client_of(d) as client:
        stream, seen = client.events(decode=True, filters={"type": "container", "label": "watched"}), []
        thread = threading.Thread(target=lambda: seen.extend(itertools.islice(stream, 4)))
        thread.start()
        container = sleeper(client, labels={"watched": ""})
        container.remove(force=True)
        thread.join(30 * SLOW)
        stream.close()
        equal([(e["status"], e["id"], e["from"]) for e in seen], [(what, container.id, "busybox") for what in ("create", "start", "kill", "die")])


def test_stats(d):
    with client_of(d) as client:
        container = sleeper(client)
        once = container.stats(stream=False)
        assert once["memory_stats"]["usage"] > 0 and once["precpu_stats"]["cpu_usage"]["total_usage"] > 0, once
        stream = container.stats(stream=True, decode=True)
        equal([sample["id"] for sample in itertools.islice(stream, 2)], [container.id] * 2)
        stream.close()
