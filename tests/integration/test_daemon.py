"""The daemon may die, stop, be replaced: containers do not notice.  Several side by side."""
import os
import signal
import socket
import subprocess
import threading
import tempfile
import time

import host
from harness import BUILD, SLOW, STOCK, Daemon, equal, has, wait_for

COUNT = "i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i; done"


def killed(d):
    """kill -9 and a new daemon."""
    d.kill9()
    d.start()


def test_running_containers_are_found(d):
    container = d.sleeper("--name", "survivor", "-l", "a=b", "-m", "64m")
    before = d.inspect(container)
    killed(d)
    after = d.inspect(container)
    for key in ("State", "Config", "HostConfig", "Name", "NetworkSettings", "Created"):
        equal(after[key], before[key], key)
    equal(d.exec(container, "echo", "still here"), "still here")
    d.ok("stop", "-t", "0", container)
    equal(d.state(container)["ExitCode"], 137)


def test_exit_while_away(d):
    code = d.run_detached("busybox", "sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; exit 23")
    pid = d.state(code)["Pid"]
    exec_id = d.api("POST", f"/containers/{code}/exec",
                    {"Cmd": ["sh", "-c", "sleep 1; touch /go"]}, status=201).json["Id"]
    d.api("POST", f"/exec/{exec_id}/start", {"Detach": True}, status=200)
    d.kill9()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the container to end by itself")
    d.start()
    equal(d.ok("wait", code), "23")
    state = d.state(code)
    equal((state["Status"], state["ExitCode"], state["Running"]), ("exited", 23, False))
    assert state["FinishedAt"] > state["StartedAt"]


def test_wait_goes_on_after_a_restart(d):
    container = d.run_detached("busybox", "sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; exit 5")
    killed(d)
    client = d.spawn_client("wait", container)
    d.exec(container, "touch", "/go")
    out, err = client.communicate(timeout=60 * SLOW)
    equal((client.returncode, out), (0, b"5\n"), err)


def test_logs_are_complete(d):
    """Lines are written before, while and after the daemon is away; none is lost or doubled."""
    container = d.run_detached("busybox", "sh", "-c",
                               "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo line $i; sleep 0.002; done; echo end")
    wait_for(lambda: "line 20\n" in d.ctl("logs", container).out, "lines")
    for _ in range(2):
        d.kill9()
        time.sleep(0.2)
        d.start()
    d.exec(container, "touch", "/stop")
    d.ok("wait", container)
    lines = d.ok("logs", container).splitlines()
    equal(lines.pop(), "end")
    equal(lines, [f"line {n + 1}" for n in range(len(lines))])


def test_typing_goes_on(d):
    with d.terminal("run", "-it", "--name", "typed", "busybox", "sh") as terminal:
        terminal.expect("/ # ")
        terminal.send("echo before-$((1+1))\n")
        terminal.expect("before-2")
        d.kill9()
        terminal.send("echo without-$((2+2))\n")
        terminal.expect("without-4")
        d.start()
        terminal.send("echo with-$((3+3))\n")
        terminal.expect("with-6")
        terminal.send("exit 9\n")
        code = terminal.wait()
    d.wait_state("typed", "exited")
    equal(d.state("typed")["ExitCode"], 9)
    equal(code, 9, "exit code of a client whose daemon was replaced")


def test_exec_session_goes_on(d):
    container = d.sleeper()
    with d.terminal("exec", "-it", container, "sh") as terminal:
        terminal.expect("/ # ")
        d.kill9()
        terminal.send("echo without-$((2+2))\n")
        terminal.expect("without-4")
        d.start()
        terminal.send("echo with-$((3+3))\n")
        terminal.expect("with-6")
        terminal.send("exit\n")
        terminal.wait()


def test_attached_pipes_go_on(d):
    client = d.spawn_client("run", "-i", "--rm", "--name", "piped", "busybox", "cat", stdin=subprocess.PIPE)
    client.stdin.write(b"one\n")
    client.stdin.flush()
    equal(client.stdout.readline(), b"one\n")
    d.kill9()
    client.stdin.write(b"two\n")
    client.stdin.flush()
    equal(client.stdout.readline(), b"two\n")
    d.start()
    client.stdin.write(b"three\n")
    client.stdin.close()
    equal(client.stdout.read(), b"three\n")
    client.wait(30 * SLOW)
    client.stdout.close()
    client.stderr.close()
    wait_for(lambda: d.request("GET", "/containers/piped/json").status == 404, "--rm after the restart")


def test_published_ports_stay_open(d):
    container = d.run_detached("-p", "127.0.0.1::80", "busybox", "sh", "-c", "echo x >/index.html; httpd -f -p 80 -h /")
    port = int(d.inspect(container)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])

    def fetch():
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return b"200 OK" in sock.recv(1000)
        except OSError:
            return False

    wait_for(fetch, "the server")
    d.kill9()
    assert fetch(), "while the daemon was away"
    d.start()
    assert fetch(), "after it came back"
    other = d.ctl("run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox", "true")
    has(other.err, "port is already allocated")


def test_sigterm_leaves_containers(d):
    container = d.sleeper()
    pid = d.state(container)["Pid"]
    equal(d.stop(signal.SIGTERM), 0)
    assert os.path.exists(f"/proc/{pid}")
    assert d.ctl("ps").code != 0
    d.start()
    equal(d.state(container)["Pid"], pid)
    d.ok("rm", "-f", container)


def test_sigterm_while_busy(d):
    """With followers, waiters and event readers connected it still ends at once and well."""
    container = d.run_detached("busybox", "sh", "-c", "while :; do echo x; sleep 0.01; done")
    clients = [d.spawn_client(*args) for args in
               (("logs", "-f", container), ("events",), ("wait", container), ("attach", container))]
    time.sleep(0.3)
    equal(d.stop(signal.SIGTERM), 0)
    for client in clients:
        client.kill()
        client.communicate()
    d.start()
    equal(d.state(container)["Running"], True)


def test_sigterm_while_somebody_waits_for_an_end(d):
    """Who waits for what this daemon will not see is let go, with all that the wait kept."""
    deaf = [d.run_detached("--network", network, "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
            for network in ("none", "bridge")]
    clients = [d.spawn_client("stop", "-t", "100", deaf[0]), d.spawn_client("restart", "-t", "100", deaf[1])]
    for container in deaf:  # it is asked to end; the answer is not there
        wait_for(lambda: "kill" in d.ok("events", "--since", "60s", "--until", "0s", "--filter", f"container={container}",
                                        "--format", "{{.Action}}").split(), "the signal")
    equal(d.stop(signal.SIGTERM), 0)
    for client in clients:
        client.communicate(timeout=30)
        equal(client.returncode, 1)
    d.start()
    for container in deaf:
        equal(d.state(container)["Status"], "running")


def test_kill_at_any_moment(d):
    """While clients create, run and remove: after each kill the next daemon has a sane view, and in
    the end nothing is left."""
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            d.ctl("run", "--rm", "busybox", "true")

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for n in range(8):
            time.sleep(0.11 + 0.07 * n)
            d.kill9()
            d.start()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for entry in d.api("GET", "/containers/json", all=1, status=200).json:
        assert entry["State"] in ("created", "running", "exited", "removing", "dead"), entry


def test_second_daemon_on_the_same_root_is_refused(d):
    """And takes nothing away from the first one: socket, pidfile, containers."""
    container = d.sleeper()
    other = subprocess.run(d.argv(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=60 * SLOW, check=False)
    assert other.returncode != 0, other.stdout
    has(other.stdout.decode(), d.root)
    equal(d.request("GET", "/_ping").status, 200)
    equal(host.read(f"{d.root}/pid").strip(), str(d.pid))
    equal(d.state(container)["Running"], True)


def test_two_daemons_side_by_side(d):
    with Daemon() as other:
        for key in ("bridge", "table"):
            assert other.names[key] and other.names[key] != d.names[key], (key, other.names, d.names)
        mine, others = d.sleeper("--name", "same"), other.sleeper("--name", "same")
        equal(d.ok("ps", "-q", "--no-trunc"), mine)
        equal(other.ok("ps", "-q", "--no-trunc"), others)
        gateways = {x.inspect("same")["NetworkSettings"]["Networks"]["bridge"]["Gateway"] for x in (d, other)}
        equal(len(gateways), 2)
        other.ok("rm", "-f", "same")
    equal(d.state("same")["Running"], True)
    has(d.exec("same", "ping", "-c", "1", "-W", "5",
               d.inspect("same")["NetworkSettings"]["Networks"]["bridge"]["Gateway"]), "1 packets received")


def test_socket_activation():
    if STOCK:
        return
    with Daemon(start=False) as d:
        argv = [a.replace(f"unix://{d.sock}", "fd://") for a in d.argv()]
        d.start(["systemd-socket-activate", "-l", d.sock, *argv])
        equal(d.ok("run", "--rm", "busybox", "echo", "activated"), "activated")
        equal(d.stop(signal.SIGTERM), 0)
        assert os.path.exists(d.sock), "the service manager owns that socket"


def test_readiness_is_told():
    if STOCK:
        return
    with Daemon(start=False) as d:
        path = f"{d.root}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(path)
            sock.settimeout(30 * SLOW)
            d.spawn(env=dict(os.environ, NOTIFY_SOCKET=path))
            has(sock.recv(4096), b"READY=1")
            equal(d.request("GET", "/_ping").status, 200)
            d.learn_names()
            d.process.terminate()
            has(sock.recv(4096), b"STOPPING=1")


def test_watchdog():
    """Told from the loop as long as it turns, and not by what is not meant."""
    if STOCK:
        return
    for environment, wanted in (({"WATCHDOG_USEC": "100000"}, True),
                                ({"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}, False)):
        with Daemon(start=False) as d:
            path = f"{d.root}/notify"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.bind(path)
                sock.settimeout(30 * SLOW)
                d.spawn(env=dict(os.environ, NOTIFY_SOCKET=path, **environment))
                told = b""
                while told != b"READY=1":
                    told = sock.recv(4096)
                d.learn_names()
                if wanted:
                    equal([sock.recv(4096) for _ in range(3)], [b"WATCHDOG=1"] * 3)
                    # A loop that stands still says nothing.
                    os.kill(d.process.pid, signal.SIGSTOP)
                    sock.settimeout(1)
                    try:
                        for _ in range(100):
                            sock.recv(4096)
                        raise AssertionError("it goes on while it is stopped")
                    except TimeoutError:
                        pass
                    finally:
                        os.kill(d.process.pid, signal.SIGCONT)
                d.process.terminate()
                sock.settimeout(30 * SLOW)
                rest = [b""]
                while rest[-1] != b"STOPPING=1":
                    rest.append(sock.recv(4096))
                equal(b"WATCHDOG=1" in rest, wanted)


def test_reload(d):
    """SIGHUP: labels and log level, all or nothing, and an event."""
    if STOCK:
        return
    since = time.time()

    def reload(text):
        with open(f"{d.root}/daemon.json", "w") as file:
            file.write(text)
        size = os.path.getsize(d.log)
        os.kill(d.pid, signal.SIGHUP)
        wait_for(lambda: "configuration" in host.read(d.log)[size:], "the reload to be told")
        return d.api("GET", "/info", status=200).json["Labels"]

    container = d.sleeper()
    equal(reload('{"labels": ["a=b", "c=d"]}'), ["a=b", "c=d"])
    equal(reload('{"labels": ["x=y"], "no-such-key": 1}'), ["a=b", "c=d"])
    equal(reload('{"labels": ["x=y"'), ["a=b", "c=d"])
    equal(reload("{}"), [])
    events = [e for e in d.events(since, type=["daemon"])]
    equal([e["Action"] for e in events], ["reload", "reload"])
    equal(d.state(container)["Running"], True)


def test_configuration_file():
    if STOCK:
        return
    with Daemon(start=False) as d:
        with open(f"{d.root}/daemon.json", "w") as file:
            file.write('{"bip": "10.213.9.1/24", "registry-mirrors": ["https://mirror.test"]}')
        d.start()
        equal(d.api("GET", "/networks/bridge", status=200).json["IPAM"]["Config"][0]["Gateway"], "10.213.9.1")
    for text, told in (('{"no-such-key": 1}', "no-such-key"), ('{"bip": 5}', "bip"), ('{"bip": "nonsense"}', "nonsense"),
                       ('{"log-level": "info"}', "log-level"), ("{", "daemon.json")):
        with Daemon(start=False) as d:
            with open(f"{d.root}/daemon.json", "w") as file:
                file.write(text)
            assert d.spawn().wait(30 * SLOW) != 0, text
            has(host.read(d.log), told)


def test_options():
    if STOCK:
        return
    program = f"{BUILD}/bin/containerd-lite"

    def run(*args):
        done = subprocess.run([program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30 * SLOW, check=False)
        return done.returncode, done.stdout.decode()

    code, out = run("--help")
    equal(code, 0)
    for option in ("--data-root", "--exec-root", "--host", "--config-file", "--pidfile", "--log-level", "--bip",
                   "--bridge", "--cgroup-parent", "--storage-driver", "--registry-mirror", "--insecure-registry"):
        has(out, option)
    equal(run("--version")[0], 0)
    for args in (("--no-such-option",), ("--log-level", "loud"), ("-H", "tcp://0.0.0.0:1"), ("--bip", "x"), ("extra",)):
        with tempfile.TemporaryDirectory() as scratch:
            code, out = run("--data-root", f"{scratch}/data", "--exec-root", f"{scratch}/run", *args)
        assert code != 0 and out, args


def test_pidfile_and_socket(d):
    if STOCK:
        return
    equal(host.read(f"{d.root}/pid").strip(), str(d.pid))
    equal(os.stat(d.sock).st_mode & 0o777, 0o660)


def test_a_socket_that_is_not_there(d):
    done = d.ctl("-H", "unix:///nonexistent.sock", "ps")
    equal(done.code, 1)
    has(done.err, "annot connect to the Docker daemon at unix:///nonexistent.sock. Is the docker daemon running?"
        if STOCK else "/nonexistent.sock")


def test_reboot_is_told_apart(d):
    """After a reboot the run root is empty: what ran is exited, and starts again."""
    if STOCK:
        return
    container = d.sleeper()
    never = d.ok("create", "--name", "never", "busybox", "true")
    d.kill9()
    for pid in host.processes(d.root):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for pid in host.processes(d.root):
        host.settle(pid, 5)
    subprocess.run(["rm", "-rf", d.run], check=True)
    d.start()
    state = d.state(container)
    equal((state["Status"], state["Running"], state["Pid"]), ("exited", False, 0))
    equal(d.state(never)["Status"], "created")
    d.ok("start", container)
    equal(d.state(container)["Running"], True)


def test_shim_killed(d):
    """A shim that is killed takes its container with it; the daemon tells the truth."""
    if STOCK:
        return
    container = d.sleeper()
    pid = d.state(container)["Pid"]
    shim = int(host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
    os.kill(shim, signal.SIGKILL)
    wait_for(lambda: not d.state(container)["Running"], "the end to be noticed")
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the container to go")
    d.ok("rm", container)
