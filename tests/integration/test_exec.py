"""exec: output, exit codes, user, environment, terminal, the API's order of things."""
import json
import socket

from harness import SLOW, STOCK, VERSION, demultiplex, equal, has, wait_for


def prepare(d, container, *command, **more):
    body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **more}
    return d.api("POST", f"/containers/{container}/exec", body, status=201).json["Id"]


def test_output_and_exit_codes(d):
    container = d.sleeper()
    done = d.ctl("exec", container, "sh", "-c", "echo out; echo err >&2; exit 42")
    equal((done.code, done.out, done.err), (42, "out\n", "err\n"))
    equal(d.ctl("exec", container, "sh", "-c", "kill -9 $$").code, 137)
    equal(d.ctl("exec", container, "true").code, 0)


def test_missing_and_not_executable(d):
    container = d.sleeper()
    done = d.ctl("exec", container, "no-such-program")
    equal(done.code, 126 if STOCK else 127)
    has(done.out + done.err, "executable file not found in $PATH")
    d.fails(126, "exec", container, "/etc/passwd")
    equal(d.state(container)["Running"], True)


def test_stdin(d):
    container = d.sleeper()
    equal(d.ok("exec", "-i", container, "cat", input="a\nb"), "a\nb")
    equal(d.ok("exec", "-i", container, "wc", "-c", input="x" * 500000), "500000")
    equal(d.ok("exec", container, "cat", input="ignored"), "")


def test_user_environment_directory(d):
    container = d.sleeper("-e", "OUTER=1", "-u", "www-data", "-w", "/etc")
    equal(d.exec(container, "sh", "-c", "echo $OUTER $(id -u) $(pwd)"), "1 33 /etc")
    out = d.ok("exec", "-e", "INNER=2", "-u", "0", "-w", "/tmp", container, "sh", "-c",
               "echo $OUTER $INNER $(id -u) $(pwd) $HOME")
    equal(out, "1 2 0 /tmp /root")
    equal(d.ok("exec", "-u", "12:34", container, "id", "-g"), "34")
    assert d.ctl("exec", "-u", "nosuchuser", container, "true").code != 0


def test_sees_the_container(d):
    container = d.sleeper("--hostname", "inner")
    equal(d.exec(container, "hostname"), "inner")
    equal(d.exec(container, "cat", "/proc/1/comm"), "sleep")
    d.exec(container, "sh", "-c", "echo x >/made-by-exec")
    equal(d.exec(container, "cat", "/made-by-exec"), "x")
    for kind in ("mnt", "uts", "ipc", "pid", "net"):
        equal(d.exec(container, "readlink", f"/proc/self/ns/{kind}"),
              d.exec(container, "readlink", f"/proc/1/ns/{kind}"), kind)
    equal(d.exec(container, "cat", "/proc/self/cgroup"), d.exec(container, "cat", "/proc/1/cgroup"))


def test_has_the_same_rights(d):
    container = d.sleeper()
    for key in ("CapBnd", "CapEff", "Seccomp", "NoNewPrivs"):
        equal(d.exec(container, "grep", f"{key}:", "/proc/self/status"),
              d.exec(container, "grep", f"{key}:", "/proc/1/status"), key)
    if not STOCK:  # which tries to raise what the host lacks
        has(d.ok("exec", "--privileged", container, "grep", "Seccomp:", "/proc/self/status"), "0")


def test_terminal(d):
    container = d.sleeper()
    with d.terminal("exec", "-it", container, "sh", rows=33, columns=99) as terminal:
        terminal.expect("# ")
        terminal.send("stty size; tty\n")
        terminal.expect(r"33 99\s+/dev/pts/\d+\s")
        terminal.resize(40, 120)
        terminal.send("until stty size | grep '40 120'; do sleep 0.1; done\n")
        terminal.expect(r"40 120\s")
        terminal.send("exit 5\n")
        equal(terminal.wait(), 5)


def test_detached(d):
    container = d.sleeper()
    equal(d.ok("exec", "-d", container, "sh", "-c", "echo done >/marker"), "")
    wait_for(lambda: d.ctl("exec", container, "cat", "/marker").out == "done\n", "the marker")


def test_inspect_tells_the_story(d):
    container = d.sleeper()
    identity = prepare(d, container, "sh", "-c", "exit 3", User="www-data", Env=["A=b"])
    before = d.api("GET", f"/exec/{identity}/json", status=200).json
    equal((before["Running"], before["ExitCode"], before["ContainerID"]), (False, None, container))
    equal((before["ProcessConfig"]["entrypoint"], before["ProcessConfig"]["arguments"]),
          ("sh", ["-c", "exit 3"]))
    d.api("POST", f"/exec/{identity}/start", {"Detach": False}, status=200)
    after = d.api("GET", f"/exec/{identity}/json", status=200).json
    equal((after["Running"], after["ExitCode"]), (False, 3))


def test_exit_code_is_there_at_the_end_of_the_stream(d):
    container = d.sleeper()
    for code in range(20):
        identity = prepare(d, container, "sh", "-c", f"echo x; exit {code}")
        reply = d.api("POST", f"/exec/{identity}/start", {}, status=200)
        equal(demultiplex(reply.body)[0], b"x\n")
        state = d.api("GET", f"/exec/{identity}/json", status=200).json
        equal((state["Running"], state["ExitCode"]), (False, code))


def test_upgrade_head(d):
    """101 with the headers that clients want, then frames; the head comes by itself."""
    container = d.sleeper()
    identity = prepare(d, container, "echo", "hi")
    body = json.dumps({"Detach": False, "Tty": False})
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30 * SLOW)
        sock.connect(d.sock)
        sock.sendall(f"POST /{VERSION}/exec/{identity}/start HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n"
                     f"Connection: Upgrade\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        head = sock.recv(65536)
        assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n"), head
        has(head.lower(), b"\r\nconnection: upgrade\r\n", b"\r\nupgrade: tcp\r\n")
        if not STOCK:
            has(head, b"application/vnd.docker.multiplexed-stream")
            assert head.endswith(b"\r\n\r\n"), head
        while b"\r\n\r\n" not in head:
            head += sock.recv(1)
        payload = head.partition(b"\r\n\r\n")[2]
        while True:
            data = sock.recv(65536)
            if not data:
                break
            payload += data
    equal(demultiplex(payload), (b"hi\n", b""))


def test_errors(d):
    container = d.sleeper()
    has(d.api("POST", f"/containers/{container}/exec", {"Cmd": []}, status=400).message.lower(),
        "no exec command specified")
    has(d.api("POST", "/exec/nope/start", {}, status=404).message, "No such exec instance: nope")
    d.api("GET", "/exec/nope/json", status=404)
    d.api("POST", "/exec/nope/resize", h=1, w=1, status=404)
    stopped = d.ok("create", "busybox", "true")
    has(d.api("POST", f"/containers/{stopped}/exec", {"Cmd": ["true"]}, status=409).message,
        "is not running")
    has(d.fails(1, "exec", stopped, "true"), "is not running")


def test_start_twice_is_409(d):
    container = d.sleeper()
    identity = prepare(d, container, "true")
    d.api("POST", f"/exec/{identity}/start", {"Detach": True}, status=200)
    reply = d.api("POST", f"/exec/{identity}/start", {"Detach": True}, status=409)
    has(reply.message, "has already run")


def test_resize_needs_both(d):
    container = d.sleeper()
    identity = prepare(d, container, "sleep", "100000", Tty=True)
    d.api("POST", f"/exec/{identity}/start", {"Detach": True, "Tty": True}, status=200)
    d.api("POST", f"/exec/{identity}/resize", h=10, w=20, status=None if STOCK else 200)
    d.api("POST", f"/exec/{identity}/resize", h=10, status=400)


def test_ends_with_the_container(d):
    container = d.sleeper()
    client = d.spawn_client("exec", container, "sleep", "100000")
    wait_for(lambda: len(d.api("GET", f"/containers/{container}/top", status=200).json["Processes"]) == 2,
             "the second process")
    d.ok("kill", container)
    equal(client.wait(30 * SLOW), 137)
    client.communicate()


def test_many_at_once(d):
    container = d.sleeper()
    clients = [d.spawn_client("exec", container, "sh", "-c", f"echo {n}; exit {n}") for n in range(20)]
    for n, client in enumerate(clients):
        out, err = client.communicate(timeout=60 * SLOW)
        equal((client.returncode, out), (n, f"{n}\n".encode()), err)


def test_working_directory_must_be_there(d):
    """Unlike a container's own, an exec's is not made."""
    container = d.sleeper()
    done = d.ctl("exec", "-w", "/not/there", container, "pwd")
    assert done.code in (126, 127), done
    has(done.out + done.err, 'chdir to cwd ("/not/there")', "no such file or directory")
    d.fails(1, "exec", container, "ls", "/not")


def send(d, method, path, body=b"{}"):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60 * SLOW)
    sock.connect(d.sock)
    sock.sendall(f"{method} /{VERSION}{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                 "Connection: close\r\n\r\n".encode() + body)
    return sock


def test_start_beside_a_pause(d):
    """The process runs, or its client is told why not: what is paused behind the answer's head is no success."""
    container = d.sleeper()
    for _ in range(40):
        exec_id = prepare(d, container, "echo", "done")
        with send(d, "POST", f"/containers/{container}/pause") as pause, send(d, "POST", f"/exec/{exec_id}/start") as start:
            pause.makefile("rb").read()
            d.ok("unpause", container)
            head, _, output = start.makefile("rb").read().partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            has(head, b" 409 ")
            continue
        wait_for(lambda: d.api("GET", f"/exec/{exec_id}/json").json["ExitCode"] is not None, "its exit code")
        code = d.api("GET", f"/exec/{exec_id}/json").json["ExitCode"]
        assert (code, b"done" in output) == (0, True) or (code, b"is paused" in output) == (126, True), (code, output)
