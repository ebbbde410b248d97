"""attach and run -it: terminals, detach keys, sizes, several clients, half-closed connections."""
import socket
import struct
import time

from harness import SLOW, STOCK, VERSION, demultiplex, equal, has, wait_for


def test_typing_at_a_shell(d):
    with d.terminal("run", "-it", "--rm", "busybox", "sh", rows=30, columns=100) as terminal:
        terminal.expect("/ # ")
        terminal.send("echo $((40+2)); stty size; tty; echo $TERM\n")
        terminal.expect(r"42\s+30 100\s+/dev/(pts/0|console)\s+xterm")
        assert terminal.is_raw()
        terminal.send("sleep 100\n")
        time.sleep(0.3)
        terminal.send("\x03")
        terminal.expect("/ # ")
        terminal.send("exit 7\n")
        equal(terminal.wait(), 7)
        assert not terminal.is_raw(), "the terminal must be as it was"
    equal(d.ok("ps", "-aq"), "")


def test_resize(d):
    with d.terminal("run", "-it", "--rm", "busybox", "sh", rows=24, columns=80) as terminal:
        terminal.expect("/ # ")
        terminal.resize(50, 132)
        terminal.send("until stty size | grep '50 132'; do sleep 0.1; done\n")
        terminal.expect(r"50 132\s")
        terminal.send("exit\n")
        equal(terminal.wait(), 0)


def test_detach_and_attach_again(d):
    with d.terminal("run", "-it", "--name", "shell", "busybox", "sh") as terminal:
        terminal.expect("/ # ")
        terminal.send("VALUE=kept\n")
        terminal.expect("/ # ")
        terminal.send("\x10\x11")
        equal(terminal.wait(), 0)
    equal(d.state("shell")["Running"], True)
    with d.terminal("attach", "shell") as terminal:
        terminal.send("\necho $VALUE\n")
        terminal.expect(r"kept\s")
        terminal.send("exit 3\n")
        equal(terminal.wait(), 3)
    equal(d.state("shell")["ExitCode"], 3)


def test_other_detach_keys(d):
    with d.terminal("run", "-it", "--name", "shell", "--detach-keys", "ctrl-a,x", "busybox", "sh") as terminal:
        terminal.expect("/ # ")
        terminal.send("\x01x")
        equal(terminal.wait(), 0)
    equal(d.state("shell")["Running"], True)


def test_keys_that_only_begin_like_detach_keys_arrive(d):
    with d.terminal("run", "-it", "--rm", "busybox", "sh", "-c", "stty raw -echo; echo ready; head -c 3 | xxd -p") \
            as terminal:
        terminal.expect("ready")
        terminal.send("\x10a\x11")
        terminal.expect("106111")
        equal(terminal.wait(), 0)


def test_closing_the_terminal_leaves_the_container(d):
    with d.terminal("run", "-it", "--name", "shell", "busybox", "sh") as terminal:
        terminal.expect("/ # ")
    equal(d.state("shell")["Running"], True)


def test_attach_without_terminal(d):
    container = d.ok("create", "-i", "busybox", "sh", "-c", "while read l; do echo got $l; done; exit 4")
    done = d.ctl("start", "-ai", container, input="a\nb\n")
    equal((done.code, done.out), (4, "got a\ngot b\n"))


def test_attach_to_a_stopped_one(d):
    container = d.ok("create", "busybox", "true")
    has(d.fails(1, "attach", container).lower(), "cannot attach to a stopped container")


def attach(d, container, **parameters):
    wanted = "&".join(f"{k}={v}" for k, v in parameters.items())
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30 * SLOW)
    sock.connect(d.sock)
    sock.sendall(f"POST /{VERSION}/containers/{container}/attach?{wanted} HTTP/1.1\r\nHost: x\r\n"
                 "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        more = sock.recv(1)
        if not more:
            break
        head += more
    return sock, head


def rest(sock):
    data = b""
    while True:
        more = sock.recv(65536)
        if not more:
            sock.close()
            return data
        data += more


def test_head_of_the_upgrade(d):
    container = d.ok("create", "busybox", "echo", "hello")
    sock, head = attach(d, container, stream=1, stdout=1, stderr=1)
    assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n"), head
    d.ok("start", container)
    equal(demultiplex(rest(sock)), (b"hello\n", b""))


def test_every_client_sees_the_output(d):
    container = d.ok("create", "busybox", "sh", "-c", "echo a; echo b >&2")
    socks = [attach(d, container, stream=1, stdout=1, stderr=1)[0] for _ in range(3)]
    d.ok("start", container)
    for sock in socks:
        equal(demultiplex(rest(sock)), (b"a\n", b"b\n"))


def test_only_the_wanted_stream(d):
    container = d.ok("create", "busybox", "sh", "-c", "echo a; echo b >&2")
    sock, _ = attach(d, container, stream=1, stderr=1)
    d.ok("start", container)
    equal(demultiplex(rest(sock)), (b"", b"b\n"))


def test_logs_replay(d):
    container = d.run_detached("busybox", "sh", "-c", "echo early; sleep 0.7; echo late")
    wait_for(lambda: d.ok("logs", container) == "early", "the first line")
    sock, _ = attach(d, container, stream=1, stdout=1, logs=1)
    equal(demultiplex(rest(sock))[0], b"early\nlate\n")


def test_logs_replay_waits_for_its_reader(d):
    """A history of more than the socket holds is whole, and what is written meanwhile follows it."""
    script = f"i=0; while [ $i -lt 20000 ]; do echo $i {'x' * 60}; i=$((i+1)); done; while [ ! -e /go ]; do sleep 0.05; done; echo late"
    container = d.run_detached("busybox", "sh", "-c", script)
    wait_for(lambda: d.ok("logs", "-n", "1", container).startswith("19999 "), "all lines")
    sock, _ = attach(d, container, stream=1, stdout=1, logs=1)
    time.sleep(0.5)
    d.exec(container, "touch", "/go")
    d.ok("wait", container)
    equal(demultiplex(rest(sock))[0], b"".join(b"%d %s\n" % (i, b"x" * 60) for i in range(20000)) + b"late\n")


def test_a_replay_without_a_reader_keeps_nobody(d):
    """Neither the container's removal nor the daemon's end."""
    container = d.run_detached("busybox", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' '\\n'; sleep 100000")
    wait_for(lambda: len(d.api("GET", f"/containers/{container}/logs", stdout=1, tail=1).body) > 0, "output")
    idle, _ = attach(d, container, stream=1, stdout=1, logs=1)
    gone, _ = attach(d, container, stream=1, stdout=1, logs=1)
    gone.close()
    d.ok("rm", "-f", container)
    equal(d.stop(), 0)
    d.start()
    idle.close()


def test_half_close_is_the_end_of_stdin(d):
    body = {"Image": "busybox", "Cmd": ["wc", "-c"], "OpenStdin": True, "StdinOnce": True,
            "AttachStdin": True, "AttachStdout": True}
    container = d.api("POST", "/containers/create", body, status=201).json["Id"]
    sock, _ = attach(d, container, stream=1, stdin=1, stdout=1)
    d.ok("start", container)
    sock.sendall(b"12345")
    sock.shutdown(socket.SHUT_WR)
    equal(demultiplex(rest(sock))[0], b"5\n")


def test_leaving_does_not_end_it(d):
    container = d.run_detached("-i", "busybox", "cat")
    sock, _ = attach(d, container, stream=1, stdin=1, stdout=1)
    sock.sendall(b"x\n")
    equal(sock.recv(100), b"\1\0\0\0\0\0\0\2x\n")
    sock.close()
    equal(d.state(container)["Running"], True)
    sock, _ = attach(d, container, stream=1, stdin=1, stdout=1)
    sock.sendall(b"again\n")
    equal(sock.recv(100), b"\1\0\0\0\0\0\0\6again\n")
    sock.close()


def test_a_client_that_does_not_read_blocks_nobody(d):
    if STOCK:
        return  # it does there
    container = d.ok("create", "busybox", "sh", "-c", "yes 0123456789 | head -c 8000000")
    lazy, _ = attach(d, container, stream=1, stdout=1)
    d.ok("start", container)
    equal(d.ok("wait", container), "0")
    lazy.close()
    equal(len(d.ctl("logs", container).out), 8000000)


def parts(sock):
    """As demultiplex(rest(sock)), of very much."""
    data, at, found = bytearray(), 0, {1: bytearray(), 2: bytearray()}
    while more := sock.recv(1 << 20):
        data += more
    sock.close()
    while at < len(data):
        stream, size = struct.unpack(">B3xI", data[at:at + 8])
        found[stream] += data[at + 8:at + 8 + size]
        at += 8 + size
    equal(at, len(data))
    return bytes(found[1]), bytes(found[2])


def test_a_client_that_is_too_far_behind_is_told_so(d):
    """It holds the output up for ten seconds, no more; if it reads then, it gets all that was kept, and why there is no more."""
    if STOCK:
        return  # it waits there for ever
    word = "0123456789" * 100
    container = d.ok("create", "busybox", "sh", "-c", f"yes {word} | head -c 88088000")
    lazy, head = attach(d, container, stream=1, stdout=1)
    has(head, b"multiplexed-stream")
    d.ok("start", container)
    equal(d.ok("wait", container), "0")
    out, err = parts(lazy)
    has(err, b"cut off")
    has(err, b"64 MiB behind")
    assert 64 << 20 <= len(out) < 88088000 and out == (f"{word}\n".encode() * (len(out) // 1001 + 1))[:len(out)], len(out)
    equal(len(d.ctl("logs", container).out), 88088000)
    # A terminal's stream is the program's alone: it ends without a word.
    container = d.ok("create", "-t", "busybox", "sh", "-c", f"stty raw; yes {word} | head -c 88088000")
    lazy, _ = attach(d, container, stream=1, stdout=1)
    d.ok("start", container)
    equal(d.ok("wait", container), "0")
    out = bytearray()
    while more := lazy.recv(1 << 20):
        out += more
    assert out == (f"{word}\n".encode() * (len(out) // 1001 + 1))[:len(out)] and len(out) < 88088000, (len(out), out[-100:])


def test_without_upgrade_it_is_200_and_raw(d):
    container = d.run_detached("busybox", "sh", "-c", "sleep 0.5; echo out")
    reply = d.api("POST", f"/containers/{container}/attach", stream=1, stdout=1, status=200)
    equal(demultiplex(reply.body)[0], b"out\n")


def test_errors_after_the_hijack(d):
    sock, head = attach(d, "nope", stream=1, stdout=1)
    assert head.startswith(b"HTTP/1.1 404 "), head
    has(head + rest(sock), b"No such container: nope")


def test_paused_is_409(d):
    container = d.sleeper()
    d.ok("pause", container)
    sock, head = attach(d, container, stream=1, stdout=1)
    assert head.startswith(b"HTTP/1.1 409 "), head
    has(head + rest(sock), b"is paused")
    d.ok("unpause", container)


def test_resize_by_api(d):
    container = d.run_detached("-it", "busybox", "sh")
    d.api("POST", f"/containers/{container}/resize", h=44, w=111, status=200)
    sock, _ = attach(d, container, stream=1, stdin=1, stdout=1)
    sock.sendall(b"stty size\n")
    seen = b""
    while b"44 111" not in seen:
        seen += sock.recv(1000)
    sock.close()
    d.api("POST", f"/containers/{container}/resize", h=44, status=400)
    stopped = d.ok("create", "-t", "busybox", "true")
    d.api("POST", f"/containers/{stopped}/resize", h=1, w=1, status=409)


def test_detach_event_and_keys_from_the_api(d):
    since = f"{time.time():.9f}"
    container = d.run_detached("-it", "busybox", "sh")
    sock, _ = attach(d, container, stream=1, stdin=1, stdout=1, detachKeys="ctrl-x")
    sock.sendall(b"\x18")
    rest(sock)
    equal(d.state(container)["Running"], True)
    if not STOCK:
        wait_for(lambda: "detach" in [e["Action"] for e in d.events(since)], "the event detach")
