"""Checkpoints: what the daemon and the shim make of CRIU, shown with a stand-in for it that obeys.
What the real one does is shown in tests/vm."""
import contextlib
import json
import os
import shutil
import stat
import subprocess
import tempfile

from harness import SLOW, Daemon, equal, has, wait_for

STAND_IN = r'''#!/usr/bin/python3
import json, os, re, signal, sys, time

here = os.path.dirname(os.path.realpath(__file__))
with open(f"{here}/{sys.argv[1]}.pid", "w") as file:
    file.write(str(os.getpid()))
command, words = sys.argv[1], sys.argv[2:]
with open(f"{here}/calls", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\n")


def option(name):
    return next((word.split("=", 1)[1] for word in words if word.startswith(f"--{name}=")), None)


def told(what):
    return os.path.exists(f"{here}/{what}")


def fail(place):
    line = f"(00.01) Error (criu/{command}.c:7): {command}: it does not please\n"
    if place:
        with open(f"{place}/{option('log-file')}", "w") as file:
            file.write("(00.00) all is well\n" + line)
    else:
        sys.stderr.write(line)
    sys.exit(1)


def wait():
    for _ in range(3000):
        if not told(f"{command}.waits"):
            return
        time.sleep(0.01)


if told(f"{command}.fails"):
    fail({"dump": option("images-dir"), "restore": option("work-dir")}.get(command))
if command == "check":
    wait()
if command == "dump":
    with open(f"{option('images-dir')}/pages.img", "w") as file:
        file.write("pages")
    wait()
    with open(f"{option('images-dir')}/stats-dump", "w") as file:
        file.write("done")
    if "--leave-running" not in words:
        os.kill(int(option("tree")), signal.SIGKILL)
if command == "restore":
    streams = [int(number) for number in re.findall(r"fd\[(\d+)\]:pipe:", " ".join(words))]
    child = os.fork()
    if child == 0:
        os.dup2(streams[-2], 1)
        os.execvp("sh", ["sh", "-c", "echo gone on; " + ("exit 9" if told("restore.ends") else "exec sleep 100000")])
    wait()
    if told("restore.ends"):
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with open(f"{option('work-dir')}/{option('pidfile')}", "w") as file:
        file.write(str(child))
'''


class Criu:
    def __init__(self, directory):
        self.directory = directory
        with open(f"{directory}/criu", "w") as file:
            file.write(STAND_IN)
        os.chmod(f"{directory}/criu", 0o755)

    def tell(self, what):
        with open(f"{self.directory}/{what}", "w"):
            pass

    def untell(self, what):
        os.unlink(f"{self.directory}/{what}")

    def pid(self, command):
        with open(f"{self.directory}/{command}.pid") as file:
            return int(file.read())

    def calls(self, command):
        with contextlib.suppress(FileNotFoundError), open(f"{self.directory}/calls") as file:
            return [words for words in map(json.loads, file) if words[0] == command]
        return []


@contextlib.contextmanager
def criu(*args):
    directory = tempfile.mkdtemp(prefix="checkpoint-test-")
    try:
        with Daemon(*args, env={"PATH": f"{directory}:{os.environ['PATH']}"}) as d:
            yield d, Criu(directory)
    finally:
        shutil.rmtree(directory)


def names(d, container, **parameters):
    return sorted(one["Name"] for one in d.api("GET", f"/containers/{container}/checkpoints", status=200,
                                               **parameters).json)


def create(d, container, name="one", status=201, **body):
    return d.api("POST", f"/containers/{container}/checkpoints", {"CheckpointID": name, **body}, status=status)


def own_dir(d, container):
    return f"{d.data}/containers/{d.inspect(container)['Id']}/checkpoints"


def test_dump_that_leaves_it_running():
    with criu() as (d, stand_in):
        container = d.sleeper("--network", "none", "-v", "/etc:/host etc:ro")
        pid = d.state(container)["Pid"]
        create(d, container, "one", Exit=False)
        [words] = stand_in.calls("dump")
        for word in (f"--tree={pid}", "--leave-running", "--manage-cgroups=ignore", "--file-locks",
                     "--external=mnt[/host etc]:/host etc", "--external=mnt[/etc/hosts]:/etc/hosts",
                     f"--external=net[{os.stat(f'/proc/{pid}/ns/net').st_ino}]:containerd-lite-net"):
            assert word in words, (word, words)
        # What criu makes again on its own: the container's own file systems, and its root.
        for path in ("/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/sys"):
            assert not any(word.startswith(f"--external=mnt[{path}]") for word in words), words
        equal(d.state(container)["Pid"], pid)
        equal(names(d, container), ["one"])
        equal(stat.S_IMODE(os.stat(own_dir(d, container)).st_mode), 0o700)
        with open(f"{own_dir(d, container)}/one/containerd-lite.json") as file:
            mark = json.load(file)
        equal(mark["Streams"], ["", *(os.readlink(f"/proc/{pid}/fd/{i}") for i in (1, 2))])
        equal(d.ok("checkpoint", "ls", container).split("\n"), ["CHECKPOINT NAME", "one"])
        has(create(d, container, "one", 409).message, f"checkpoint with name one already exists for container {d.inspect(container)['Name'][1:]}")
        equal(len(stand_in.calls("dump")), 1)
        # A daemon that comes later knows it, too.
        d.restart()
        equal(names(d, container), ["one"])
        d.ok("checkpoint", "rm", container, "one")
        equal(names(d, container), [])
        has(d.api("DELETE", f"/containers/{container}/checkpoints/one", status=404).message,
            "checkpoint one does not exist for container")


def test_dump_ends_it_and_no_policy_starts_it():
    with criu() as (d, stand_in):
        container = d.sleeper("--restart", "unless-stopped")
        started = d.state(container)["StartedAt"]
        equal(d.ok("checkpoint", "create", container, "one"), "one")
        state = d.state(container)
        equal((state["Status"], state["ExitCode"]), ("exited", 137))
        assert "--leave-running" not in stand_in.calls("dump")[0]
        actions = [e["Action"] for e in d.events(0, container=[container])]
        assert "checkpoint" in actions and "die" in actions, actions
        d.restart()
        equal(d.state(container)["StartedAt"], started)


def test_names_and_directories():
    with criu() as (d, _):
        container = d.sleeper()
        for name in ("", "a/b", "..", "-a", "a b", "x" * 300):
            has(create(d, container, name, 400).message,
                f"Invalid checkpoint ID ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        for path in ("relative", "./x", "/x" * 4000):
            has(create(d, container, CheckpointDir=path, status=400).message, "it must be an absolute path")
        elsewhere = f"{d.root}/else/where"
        create(d, container, CheckpointDir=elsewhere, Exit=False)
        os.mkdir(f"{elsewhere}/other")
        equal(names(d, container), [])
        equal(names(d, container, dir=elsewhere), ["one"])
        # What is no checkpoint is not listed, and not deleted.
        d.api("DELETE", f"/containers/{container}/checkpoints/other", status=404, dir=elsewhere)
        equal(sorted(os.listdir(elsewhere)), ["one", "other"])
        d.ok("checkpoint", "rm", "--checkpoint-dir", elsewhere, container, "one")
        equal(os.listdir(elsewhere), ["other"])


def test_a_directory_in_other_hands():
    """More traps than the daemon's pool has threads; what they lead to stays."""
    with criu() as (d, _):
        container = d.sleeper()
        elsewhere = f"{d.root}/elsewhere"
        create(d, container, "one", CheckpointDir=elsewhere, Exit=False)
        for i in range(8):
            os.mkdir(f"{elsewhere}/pipe{i}")
            os.mkfifo(f"{elsewhere}/pipe{i}/containerd-lite.json")
        os.mkdir(f"{elsewhere}/linked")
        os.symlink("../one/containerd-lite.json", f"{elsewhere}/linked/containerd-lite.json")
        os.symlink("one", f"{elsewhere}/link")
        equal(names(d, container, dir=elsewhere), ["one"])
        d.ok("stop", "-t", "0", container)
        for name in (*(f"pipe{i}" for i in range(8)), "linked", "link"):
            d.api("DELETE", f"/containers/{container}/checkpoints/{name}", status=404, dir=elsewhere)
            d.api("POST", f"/containers/{container}/start", status=404, checkpoint=name,
                  **{"checkpoint-dir": elsewhere})
        equal(names(d, container, dir=elsewhere), ["one"])


def test_a_directory_that_others_may_write_to():
    """What is restored would be theirs to choose, what a removal finds too: refused, wherever on the way it is."""
    with criu() as (d, stand_in):
        container = d.sleeper()
        elsewhere = f"{d.root}/above/elsewhere"
        create(d, container, "one", CheckpointDir=elsewhere, Exit=False)
        d.ok("stop", "-t", "0", container)
        images = f"{elsewhere}/one"

        def refused(path, what):
            for method, where, parameters in (("POST", f"/containers/{container}/start", {"checkpoint": "one", "checkpoint-dir": path}),
                                              ("DELETE", f"/containers/{container}/checkpoints/one", {"dir": path})):
                if what.startswith(images) and method == "DELETE":
                    continue
                has(d.api(method, where, status=400, **parameters).message, "cannot be used: ", what)
            equal(stand_in.calls("restore"), [])

        @contextlib.contextmanager
        def changed(path, mode=None, owner=-1, group=-1):
            was = os.stat(path)
            os.chown(path, owner, group)
            if mode is not None:
                os.chmod(path, mode)
            try:
                yield
            finally:
                os.chown(path, was.st_uid, was.st_gid)
                os.chmod(path, stat.S_IMODE(was.st_mode))

        for path in (f"{d.root}/above", elsewhere, images, f"{images}/pages.img"):
            for how in ({"mode": 0o757}, {"mode": 0o770}, {"owner": 1000}):
                with changed(path, **how):
                    refused(elsewhere, f"{path} (owner {how.get('owner', 0)}, ")
        with changed(elsewhere, 0o777):
            has(d.api("GET", f"/containers/{container}/checkpoints", status=400, dir=elsewhere).message, "can be changed by others")
        # In the sticky directory of all nobody takes the place of what is root's.
        with changed(f"{d.root}/above", 0o1777):
            os.symlink(elsewhere, f"{d.root}/above/link")
            equal(names(d, container, dir=f"{d.root}/above/link"), ["one"])
        os.symlink("/etc/passwd", f"{images}/link")
        refused(elsewhere, f"{images}/link is no file")
        os.unlink(f"{images}/link")
        d.ok("start", "--checkpoint", "one", "--checkpoint-dir", f"{d.root}/above/link", container)
        assert f"--images-dir={images}" in stand_in.calls("restore")[0]
        # Nor is one made there.
        with changed(f"{d.root}/above", 0o777):
            for path in (elsewhere, f"{d.root}/above/new/er"):
                has(create(d, container, "two", CheckpointDir=path, status=400).message, "can be changed by others")
        assert not os.path.exists(f"{d.root}/above/new")
        equal(len(stand_in.calls("dump")), 1)


def test_containers_that_cannot_be():
    with criu() as (d, stand_in):
        for method, path, body in (("GET", "", None), ("POST", "", {"CheckpointID": "one"}), ("DELETE", "/one", None)):
            d.api(method, f"/containers/nobody/checkpoints{path}", body, status=404)
        down = d.ok("create", "busybox", "true")
        has(create(d, down, status=409).message, "is not running")
        paused = d.sleeper()
        d.ok("pause", paused)
        has(create(d, paused, status=409).message, "is paused")
        for options, text in ((["-t"], "checkpoint not support on containers with tty"),
                              (["--init"], "--init"),
                              (["--pid", "host"], "pid namespace"),
                              (["--ipc", f"container:{d.sleeper('--ipc', 'shareable')}"], "ipc namespace"),
                              (["--userns", "auto"], "user namespace")):
            has(create(d, d.sleeper(*options), status=400).message, text)
        has(create(d, d.sleeper("--rm"), Exit=True, status=409).message, "removed when it ends")
        equal(stand_in.calls("dump"), [])


def test_criu_that_fails_leaves_all_as_it_was():
    with criu() as (d, stand_in):
        container = d.sleeper("--restart", "always")
        pid = d.state(container)["Pid"]
        stand_in.tell("check.fails")
        has(create(d, container, Exit=True, status=500).message,
            "CRIU cannot be used with this kernel (criu check): check: it does not please")
        equal(stand_in.calls("dump"), [])
        stand_in.untell("check.fails")
        stand_in.tell("dump.fails")
        has(d.fails(1, "checkpoint", "create", container, "one"), "criu dump failed: dump: it does not please")
        assert not os.path.exists(own_dir(d, container))
        equal((d.state(container)["Status"], d.state(container)["Pid"]), ("running", pid))
        equal(names(d, container), [])
        # Its policy counts again.
        os.kill(pid, 9)
        wait_for(lambda: d.state(container)["Running"] and d.state(container)["Pid"] != pid, "the restart")


def test_one_at_a_time_and_no_pause_meanwhile():
    with criu() as (d, stand_in):
        container = d.sleeper()
        stand_in.tell("dump.waits")
        first = d.spawn_client("checkpoint", "create", "--leave-running", container, "one")
        wait_for(lambda: stand_in.calls("dump"), "the dump to begin")
        has(create(d, container, "two", 409).message, "is being made already")
        has(d.api("POST", f"/containers/{container}/pause", status=409).message, "is being made")
        equal(names(d, container), [])
        stand_in.untell("dump.waits")
        equal(first.wait(30 * SLOW), 0)
        d.ok("pause", container)
        d.ok("unpause", container)
        equal(names(d, container), ["one"])


def test_a_daemon_that_dies_meanwhile_loses_none():
    with criu() as (d, stand_in):
        container = d.sleeper("--restart", "unless-stopped")
        pid = d.state(container)["Pid"]
        stand_in.tell("dump.waits")
        client = d.spawn_client("checkpoint", "create", container, "one")
        wait_for(lambda: stand_in.calls("dump"), "the dump to begin")
        d.kill9()
        client.wait(30 * SLOW)
        d.start()
        equal(names(d, container), [])
        equal(d.state(container)["Pid"], pid)
        stand_in.untell("dump.waits")
        wait_for(lambda: d.state(container)["Status"] == "exited", "the end")
        equal(names(d, container), ["one"])
        d.ok("start", "--checkpoint", "one", container)


def test_container_that_ends_before():
    """Its process id may be another's when criu is ready for it."""
    with criu() as (d, stand_in):
        container = d.sleeper()
        stand_in.tell("check.waits")
        client = d.spawn_client("checkpoint", "create", container, "one", stderr=subprocess.PIPE, text=True)
        wait_for(lambda: stand_in.calls("check"), "the check to begin")
        d.ok("kill", container)
        stand_in.untell("check.waits")
        has(client.communicate(timeout=30 * SLOW)[1], "is not running")
        equal((client.returncode, stand_in.calls("dump"), names(d, container)), (1, [], []))


def test_removed_with_its_container_even_while_made():
    with criu() as (d, stand_in):
        before = d.settled_census()
        container = d.sleeper()
        create(d, container, Exit=False)
        stand_in.tell("dump.waits")
        client = d.spawn_client("checkpoint", "create", container, "two")
        wait_for(lambda: len(stand_in.calls("dump")) == 2, "the dump to begin")
        d.ok("rm", "-f", container)
        stand_in.untell("dump.waits")
        client.wait(30 * SLOW)
        d.assert_counts(before)
        equal(os.listdir(f"{d.data}/containers"), [])


def test_start_from_one():
    with criu() as (d, stand_in):
        container = d.run_detached("-v", "/etc:/host:ro", "--mount", "type=tmpfs,dst=/t", "-i", "busybox", "cat")
        cgroup = [line for line in open(f"/proc/{d.state(container)['Pid']}/cgroup") if container in line]
        before = sorted(os.listdir(f"{d.run}/{container}"))
        d.ok("checkpoint", "create", container, "one")
        images = f"{own_dir(d, container)}/one"
        with open(f"{images}/containerd-lite.json") as file:
            streams = json.load(file)["Streams"]
        assert all(streams), streams
        d.ok("start", "--checkpoint", "one", container)
        [words] = stand_in.calls("restore")
        for word in (f"--images-dir={images}", "--restore-sibling", "--restore-detached", "--manage-cgroups=ignore"):
            assert word in words, (word, words)
        outside = " ".join(words)
        for what in ("containerd-lite-net", *streams):
            has(outside, f"]:{what}")
        equal(sorted(os.listdir(f"{d.run}/{container}")), before)
        for path in ("/host", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/proc/kcore"):
            has(outside, f"--external=mnt[{path}]:")
        state = d.state(container)
        pid = state["Pid"]
        equal(state["Status"], "running")
        wait_for(lambda: open(f"/proc/{pid}/comm").read() == "sleep\n", "what stands for the restored process")
        equal([line for line in open(f"/proc/{pid}/cgroup") if container in line], cgroup)
        wait_for(lambda: "gone on" in d.ok("logs", container), "its output in the log")
        # Nothing of it is mounted on the host, nor open in it.
        assert not any(f"/{container}/criu" in line for line in open("/proc/self/mountinfo"))
        # The shim watches the process, with and without a daemon.
        d.restart()
        equal(d.state(container)["Pid"], pid)
        d.ok("kill", container)
        equal((d.state(container)["Status"], d.state(container)["ExitCode"]), ("exited", 137))
        # And the next start is a usual one.
        d.ok("start", container)
        equal(len(stand_in.calls("restore")), 1)
        equal(open(f"/proc/{d.state(container)['Pid']}/comm").read(), "cat\n")
        equal(d.ctl("start", "--checkpoint", "one", container).code, 0)  # as a start of one that runs
        equal(len(stand_in.calls("restore")), 1)


def test_mounts_below_a_bind_and_links_on_the_way():
    with criu() as (d, stand_in):
        os.makedirs(f"{d.root}/bind/a b")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", f"{d.root}/bind/a b"], check=True)
        try:
            # /var/link is a link within the container: mounts are known by where they are.
            first = d.run_detached("busybox", "sh", "-c", "mkdir /real; ln -s ../real /var/link")
            d.ok("wait", first)
            d.ok("commit", first, "linked")
            container = d.run_detached("-v", f"{d.root}/bind:/var/link/bind", "linked", "sleep", "100000")
            create(d, container, Exit=True)
            for path in ("/real/bind", "/real/bind/a b"):
                assert f"--external=mnt[{path}]:{path}" in stand_in.calls("dump")[0], stand_in.calls("dump")
            d.ok("start", "--checkpoint", "one", container)
            [words] = stand_in.calls("restore")
            for path in ("/real/bind", "/real/bind/a b"):
                assert any(word.startswith(f"--external=mnt[{path}]:/") for word in words), words
            d.ok("rm", "-f", container)
        finally:
            subprocess.run(["umount", f"{d.root}/bind/a b"], check=True)


def test_docker_command():
    with criu("--experimental") as (d, stand_in):
        container = d.sleeper()
        equal(d.docker_ok("info", "--format", "{{.ExperimentalBuild}}"), "true")
        equal(d.docker_ok("checkpoint", "create", "--leave-running", container, "one"), "one")
        equal(d.docker_ok("checkpoint", "create", f"--checkpoint-dir={d.root}/there", container, "two"), "two")
        equal(d.docker_ok("checkpoint", "ls", container).split(), ["CHECKPOINT", "NAME", "one"])
        d.docker_ok("start", f"--checkpoint-dir={d.root}/there", "--checkpoint", "two", container)
        equal(len(stand_in.calls("restore")), 1)
        d.docker_ok("checkpoint", "rm", container, "one")
        equal(names(d, container), [])


def test_restored_that_ends_at_once():
    with criu() as (d, stand_in):
        container = d.sleeper()
        d.ok("checkpoint", "create", container, "one")
        stand_in.tell("restore.ends")
        d.ok("start", "--checkpoint", "one", container)
        equal(d.ok("wait", container), "9")
        has(d.ok("logs", container), "gone on")


def test_restore_under_way_ends_with_its_daemon():
    with criu() as (d, stand_in):
        before = d.settled_census()
        container = d.sleeper()
        d.ok("checkpoint", "create", container, "one")
        stand_in.tell("restore.waits")
        client = d.spawn_client("start", "--checkpoint", "one", container)
        wait_for(lambda: stand_in.calls("restore"), "the restore to begin")
        has(d.api("POST", f"/containers/{container}/start", status=409, checkpoint="one").message, "is being started")
        d.kill9()
        client.wait(30 * SLOW)
        wait_for(lambda: not os.path.exists(f"/proc/{stand_in.pid('restore')}"), "criu to end")
        d.start()
        equal(d.state(container)["Status"], "exited")
        stand_in.untell("restore.waits")
        d.ok("start", "--checkpoint", "one", container)
        d.ok("rm", "-f", container)
        d.assert_counts(before)


def test_restore_that_fails_leaves_nothing():
    with criu() as (d, stand_in):
        container = d.sleeper("-p", "127.0.0.1::80")
        d.ok("checkpoint", "create", "--checkpoint-dir", f"{d.root}/kept", container, "one")
        before = d.settled_census()
        stand_in.tell("restore.fails")
        has(d.fails(1, "start", "--checkpoint", "one", "--checkpoint-dir", f"{d.root}/kept", container),
            "cannot start the container from the checkpoint: criu restore failed: restore: it does not please")
        equal(d.state(container)["Status"], "exited")
        assert not os.path.exists(f"{d.run}/{container}")
        d.assert_counts(before)
        equal(names(d, container, dir=f"{d.root}/kept"), ["one"])
        stand_in.tell("check.fails")
        has(d.api("POST", f"/containers/{container}/start", status=500, checkpoint="one",
                  **{"checkpoint-dir": f"{d.root}/kept"}).message, "CRIU cannot be used with this kernel")
        for parameters, status in (({"checkpoint": "none"}, 404), ({"checkpoint": "a/b"}, 400),
                                   ({"checkpoint": "one", "checkpoint-dir": "x"}, 400)):
            d.api("POST", f"/containers/{container}/start", status=status, **parameters)
        d.ok("start", container)
