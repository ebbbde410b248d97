"""Files into containers and out of them: the archive calls, cp of both clients, and a container that
swaps what is copied under our hands."""
import base64
import io
import json
import os
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.parse

import host
from harness import CTLC, IMAGE, SLOW, STOCK, Daemon, equal, has, wait_for

DIR, LINK, CHAR, FIFO, SETUID, STICKY = 1 << 31, 1 << 27, 1 << 26 | 1 << 21, 1 << 25, 1 << 23, 1 << 20


def call(d, method, container, place=None, body=None, status=200, **parameters):
    """The path goes into the query, and so does what else there is."""
    if place is not None:
        parameters["path"] = place
    headers = {"Content-Type": "application/x-tar"} if body is not None else None
    reply = d.api(method, f"/containers/{container}/archive?" + urllib.parse.urlencode(parameters), body, headers)
    equal(reply.status, status, reply)
    return reply


def stat(d, container, path, method="HEAD"):
    reply = call(d, method, container, path)
    return json.loads(base64.b64decode(reply.headers["X-Docker-Container-Path-Stat"]))


def get(d, container, path):
    reply = call(d, "GET", container, path)
    equal(reply.headers["Content-Type"], "application/x-tar")
    return tarfile.open(fileobj=io.BytesIO(reply.body))


def tar(*entries):
    """Of (name, content) pairs; a TarInfo stands for itself."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if data is None and not isinstance(name, tarfile.TarInfo):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            if isinstance(data, bytes):
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return out.getvalue()


def put(d, container, path, body, status=200, **parameters):
    return call(d, "PUT", container, path, body, status, **parameters)


TREE = """
mkdir -p /t/d/e; echo one > /t/f; ln /t/f /t/d/hard; ln -s ../f /t/d/l; ln -s /t/d /t/abs; ln -s l2 /t/l1; ln -s d/l /t/l2
mkfifo /t/fifo; chmod 4755 /t/f; chmod 1777 /t/d; touch -d '2020-01-02 03:04:05' /t/f; ln -s nowhere/x /t/gone
ln -s ../../../../etc /t/up
"""


def both(d, *options, script=TREE):
    """The same files in a container that runs and in one that does not."""
    up = d.sleeper(*options)
    d.exec(up, "sh", "-c", script)
    down = d.run_detached(*options, "busybox", "sh", "-c", script)
    d.wait_state(down, "exited")
    return up, down


def test_stat(d):
    for c in both(d):
        s = stat(d, c, "/t/f")
        equal({k: s[k] for k in ("name", "size", "linkTarget", "mtime")},
              {"name": "f", "size": 4, "linkTarget": "", "mtime": "2020-01-02T03:04:05Z"})
        equal(s["mode"], 0o755 | SETUID)
        equal(stat(d, c, "/t/d")["mode"], 0o777 | DIR | STICKY)
        equal(stat(d, c, "t/fifo")["mode"], 0o644 | FIFO)
        equal(stat(d, c, "/")["name"], "/")
        equal(stat(d, c, "/t/d/.")["name"], ".")
        equal(stat(d, c, "/t/d/")["name"], "d")
        for path, target in (("/t/d/l", "/t/f"), ("/t/abs", "/t/d"), ("/t/l1", "/t/f"), ("/t/abs/l", "/t/f"),
                             ("/t/gone", "/t/nowhere/x"), ("/t/up", "/etc")):
            s = stat(d, c, path, "GET")
            equal((s["name"], s["linkTarget"], s["mode"] & LINK), (path.rsplit("/")[-1], target, LINK), path)
        equal(stat(d, c, "/t/abs/")["linkTarget"], "")
        equal(stat(d, c, "/t/../../../t/f")["name"], "f")


def test_times_beyond_what_nanoseconds_count(d):
    up = d.sleeper()
    late = tarfile.TarInfo("late")
    late.mtime = 99999999999
    put(d, up, "/dev/shm", tar((late, b"x")))
    equal(stat(d, up, "/dev/shm/late")["mtime"], "2262-04-11T23:47:16.854775807Z")


def test_errors(d):
    for c in both(d):
        reply = call(d, "GET", c, "/none/x", status=404)
        equal(reply.message, f"Could not find the file /none/x in container {c}")
        call(d, "HEAD", c, "/none", status=404)
        call(d, "GET", c, status=400)
        call(d, "GET", c, "/t/f/", status=400)
        equal(put(d, c, "/t/f", tar(("x", b"")), status=400).message, "extraction point is not a directory")
        put(d, c, "/none", tar(("x", b"")), status=404)
        put(d, c, "/t", b"no tar at all" * 100, status=400)
    call(d, "HEAD", "none", "/", status=404)
    put(d, "none", "/", tar(("x", b"")), status=404)


def test_get(d):
    for c in both(d):
        with get(d, c, "/t") as t:
            members = {m.name: m for m in t}
            equal(sorted(members), ["t", "t/abs", "t/d", "t/d/e", "t/d/hard", "t/d/l", "t/f", "t/fifo", "t/gone",
                                    "t/l1", "t/l2", "t/up"])
            equal((members["t/abs"].linkname, members["t/d/l"].linkname), ("/t/d", "../f"))
            equal(sum(m.islnk() for m in members.values()), 1)
            equal(t.extractfile("t/d/hard").read(), b"one\n")
            assert members["t/fifo"].isfifo()
            equal(members["t/f"].mode if not members["t/f"].islnk() else 0o4755, 0o4755)
        with get(d, c, "/t/d/.") as t:
            equal(sorted(t.getnames()), [".", "./e", "./hard", "./l"])
        with get(d, c, "/t/abs") as t:
            equal([(m.name, m.issym()) for m in t], [("abs", True)])
        with get(d, c, "/t/abs/") as t:
            equal(sorted(t.getnames()), ["abs", "abs/e", "abs/hard", "abs/l"])


def test_all_of_one_that_runs(d):
    """What the kernel makes up in /proc and /sys cannot be read to its end; what is asked for there by name can."""
    c = d.sleeper("-v", f"{IMAGE}:/bound")
    names = {m.name.strip("/"): m for m in get(d, c, "/")}
    for name in ("etc/hosts", "bin/busybox", "bound", "proc", "sys", "dev/null"):
        assert name in names, (name, len(names))
    equal([name for name in names if name.startswith(("proc/", "sys/"))], [])
    equal(get(d, c, "/proc/1/comm").getmembers()[0].name, "comm")
    assert "random/uuid" in get(d, c, "/proc/sys/kernel/random").getnames() or STOCK


def test_put(d):
    device = tarfile.TarInfo("dev")
    device.type, device.devmajor, device.devminor, device.mode = tarfile.CHRTYPE, 1, 3, 0o666
    device.uid, device.gid = 5, 6
    link = tarfile.TarInfo("made")
    link.type, link.linkname, link.uid, link.gid, link.mtime = tarfile.SYMTYPE, "owned", 7, 8, 1000000000
    file = tarfile.TarInfo("owned")
    file.uid, file.gid, file.mode, file.mtime = 12, 34, 0o640, 1000000000
    for c in both(d):
        put(d, c, "/t", tar(("./", None), ("new/deep/x", b"data"), (file, b"0123"), (device, None), (link, None), ("abs/in", b"in"),
                            ("up/into", b"etc"), ("l1", b"no link now")))
        equal(stat(d, c, "/t/dev")["mode"], 0o666 | CHAR)
        with get(d, c, "/t/dev") as t:
            equal((t.getmember("dev").uid, t.getmember("dev").gid), (5, 6))
        with get(d, c, "/t/made") as t:
            m = t.getmember("made")
            equal((m.linkname, m.uid, m.gid, m.mtime), ("owned", 7, 8, 1000000000))
        with get(d, c, "/t/owned") as t:
            m = t.getmember("owned")
            equal((m.uid, m.gid, m.mode, m.mtime, m.size), (12, 34, 0o640, 1000000000, 4))
        equal(get(d, c, "/t/d/in").extractfile("in").read(), b"in", "through a symlink")
        equal(get(d, c, "/etc/into").extractfile("into").read(), b"etc", "but not out of the root")
        equal(stat(d, c, "/t/l1")["linkTarget"], "")
        equal(get(d, c, "/t/new/deep/x").extractfile("x").read(), b"data")
        put(d, c, "/t", tar(("../evil", b"")), status=400)
        put(d, c, "/t", tar(("d", b"file")), noOverwriteDirNonDir=1, status=400)
        put(d, c, "/t", tar(("f", None)), noOverwriteDirNonDir="true", status=400)
        put(d, c, "/t", tar(("d", b"file")))
        equal(stat(d, c, "/t/d")["size"], 4)
    d.ok("start", c)
    d.wait_state(c, "exited")


def text(d, container, path):
    with get(d, container, path) as t:
        return t.extractfile(path.rsplit("/")[-1]).read().decode()


def test_volumes_and_read_only(d):
    with tempfile.TemporaryDirectory() as host:
        options = ["--read-only", "-v", "cp-v:/v", "-v", "cp-r:/r:ro", "-v", f"{host}:/h", "--tmpfs", "/tmp"]
        up = d.sleeper(*options)
        d.exec(up, "sh", "-c", "echo tmp > /tmp/x")
        equal(text(d, up, "/tmp/x"), "tmp\n", "what is mounted there alone")
        down = d.ok("create", *options, "busybox", "true")
        for c in (up, down):
            equal(put(d, c, "/", tar(("x", b"")), status=400).message, "container rootfs is marked read-only")
            equal(put(d, c, "/r", tar(("x", b"")), status=400).message, "mounted volume is marked read-only")
            put(d, c, "/v", tar(("x", c.encode())))
            put(d, c, "/h", tar(("x", c.encode())))
            equal((text(d, c, "/v/x"), text(d, c, "/h/x")), (c, c))
            with open(f"{host}/x", "rb") as file:
                equal(file.read(), c.encode())
            with get(d, c, "/v") as t:
                equal(sorted(t.getnames()), ["v", "v/x"])
        d.ok("rm", "-f", up, down)
        d.ok("volume", "rm", "cp-v", "cp-r")


def test_volumes_that_are_file_systems(d):
    """Of one that does not run they are mounted for the copy, each at its place, with the part that it has."""
    if STOCK:
        return
    low, upper = f"{d.root}/fs-1", f"{d.root}/fs-2"
    os.makedirs(f"{low}/part")
    os.makedirs(upper)
    for path in ("all", "part/some"):
        with open(f"{low}/{path}", "w") as file:
            file.write(path)
    d.ok("volume", "create", "-o", "type=overlay", "-o", "device=overlay", "-o", f"o=lowerdir={upper}:{low}", "cp-fs")
    c = d.ok("create", "-v", "cp-fs:/a", "-v", "cp-1:/b", "--mount", "type=volume,src=cp-fs,dst=/c,volume-subpath=part",
             "-v", "cp-2:/d", "busybox", "true")
    equal((text(d, c, "/a/all"), text(d, c, "/c/some")), ("all", "part/some"))
    call(d, "HEAD", c, "/c/all", status=404)
    equal(put(d, c, "/a", tar(("x", b"")), status=400).message, "mounted volume is marked read-only")
    for place in ("/b", "/d"):
        put(d, c, place, tar(("x", place.encode())))
        equal(text(d, c, place + "/x"), place)
    for volume, wanted in (("cp-1", "/b"), ("cp-2", "/d")):
        equal(d.ok("run", "--rm", "-v", f"{volume}:/v", "busybox", "cat", "/v/x"), wanted)
    d.ok("volume", "create", "-o", "type=nfs", "-o", "device=:/export", "-o", "o=addr=files.invalid", "cp-named")
    far = d.ok("create", "-v", "cp-named:/n", "busybox", "true")
    has(d.request("GET", f"/containers/{far}/archive?path=/n").message,
        "error resolving passed in network volume address: lookup files.invalid")
    d.ok("rm", c, far)
    d.ok("volume", "rm", "cp-fs", "cp-1", "cp-2", "cp-named")


def test_in_a_user_namespace(d):
    for c in both(d, "--userns=auto"):
        put(d, c, "/t", tar(("x", b"mine")))
        with get(d, c, "/t/x") as t:
            m = t.getmember("x")
            equal((m.uid, m.gid), (0, 0))
        with get(d, c, "/bin/busybox") as t:
            equal(t.getmember("busybox").uid, 0)
        equal(text(d, c, "/t/x"), "mine")
    d.ok("start", "-a", c)


def test_owner(d):
    c = d.ok("create", "--user", "app", "busybox", "true")
    put(d, c, "/etc", tar(("passwd", b"root:x:0:0::/:/bin/sh\napp:x:42:43::/:/bin/sh\n")))
    put(d, c, "/", tar(("mine", b""), ("dir", None)), copyUIDGID=1)
    for path in ("/mine", "/dir"):
        with get(d, c, path) as t:
            m = t.getmember(path[1:])
            equal((m.uid, m.gid), (42, 43))
    d.ok("start", "-a", c)


def connect(d):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30 * SLOW)
    sock.connect(d.sock)
    return sock


def test_start_waits_for_what_is_put(d):
    c = d.ok("create", "busybox", "cat", "/late")
    body = tar(("late", b"here in time\n"))
    with connect(d) as sock, connect(d) as starter:
        sock.sendall(b"PUT /v1.51/containers/%s/archive?path=/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                     % (c.encode(), len(body)) + body[:512])
        # The worker has begun: it has the directory for itself.
        wait_for(lambda: worker_of(d), "the worker")
        starter.sendall(b"POST /v1.51/containers/%s/start HTTP/1.1\r\nHost: x\r\n\r\n" % c.encode())
        equal(d.state(c)["Status"], "created")
        sock.sendall(body[512:])
        has(starter.recv(4096).decode(), "204 No Content")
        has(sock.recv(4096).decode(), "200 OK")
    d.wait_state(c, "exited")
    equal(d.ok("logs", c), "here in time")


def worker_of(d):
    children = host.read(f"/proc/{d.pid}/task/{d.pid}/children").split()
    return [p for p in children if "archive" in host.read(f"/proc/{p}/cmdline")]


def test_client_that_goes_away(d):
    c = d.run_detached("busybox", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=16")
    d.wait_state(c, "exited")
    for method in ("GET", "PUT"):
        sock = connect(d)
        sock.sendall(f"{method} /v1.51/containers/{c}/archive?path=/ HTTP/1.1\r\nHost: x\r\n".encode()
                     + (b"Content-Length: 100000\r\n\r\n" + tar(("x", b"y"))[:600] if method == "PUT" else b"\r\n"))
        wait_for(lambda: worker_of(d), "the worker")
        sock.close()
        wait_for(lambda: not worker_of(d), "its end")
    d.ok("start", c)


def test_worker_ends_with_the_daemon():
    if STOCK:
        return
    with Daemon() as d:
        socks = []
        for options in ([], ["--userns=auto"]):
            c = d.sleeper(*options)
            socks.append(connect(d))
            socks[-1].sendall(b"PUT /v1.51/containers/%s/archive?path=/tmp HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
                              % c.encode() + tar(("x", b"y"))[:600])
        wait_for(lambda: len(worker_of(d)) == 2, "the workers")
        workers = worker_of(d)
        d.kill9()
        wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in workers), "their end")
        for sock in socks:
            sock.close()
        d.start()


def test_full_disk(d):
    c = d.sleeper("--mount", "type=tmpfs,dst=/small,tmpfs-size=1m")
    reply = put(d, c, "/small", tar(("big", b"x" * (4 << 20))), status=500)
    has(reply.message, "no space left on device")
    put(d, c, "/tmp", tar(("x", b"fine")))


def test_answered_before_the_body_is_over(d):
    """What fails is told at once: nobody needs to send the rest, and who does is not cut off by it."""
    if STOCK:
        return
    c = d.sleeper("--mount", "type=tmpfs,dst=/small,tmpfs-size=1m", "-v", "cp-e:/r:ro")
    many = f"Content-Length: {10 << 30}"
    big = tarfile.TarInfo("big")
    big.size = 8 << 30
    start = big.tobuf()
    for container, path, body, told in (
            (c, "/none", start, (b"404 ", b"Could not find the file /none in container")), (c, "/r", start, (b"400 ", b"read-only")),
            ("nope", "/", start, (b"404 ", b"No such container: nope")), (c, "", start, (b"400 ", b"path")),
            (c, "/tmp", b"no tar at all" * 1000, (b"400 ",)), (c, "/small", start + bytes(4 << 20), (b"500 ", b"no space left"))):
        for length in (many, "Transfer-Encoding: chunked"):
            with connect(d) as sock:
                head = f"PUT /v1.51/containers/{container}/archive?path={path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n"
                sock.sendall(head.encode() + (b"%x\r\n" % (10 << 30) if length != many else b"") + body)
                answer = b""
                while piece := sock.recv(65536):
                    answer += piece
                has(answer, b"HTTP/1.1 " + told[0], b"\r\nConnection: close\r\n", *told[1:])
                sock.sendall(bytes(1 << 20))
    wait_for(lambda: not worker_of(d), "the workers' end")
    with tempfile.TemporaryDirectory() as host:
        with open(f"{host}/big", "wb") as file:
            file.truncate(1 << 30)
        for client in clients(d):
            done = client("cp", f"{host}/big", f"{c}:/small")
            equal(done.code, 1, done)
            has(done.err, "no space left on device")
    # Who waits for his own input looks at the daemon all the same.
    read, write = os.pipe()
    os.write(write, start + bytes(4 << 20)[:60000])
    waiting = subprocess.Popen([CTLC, "-H", f"unix://{d.sock}", "cp", "-", f"{c}:/r"], stdin=read, stderr=subprocess.PIPE, text=True)
    os.close(read)
    has(waiting.communicate(timeout=60 * SLOW)[1], "read-only")
    equal(waiting.returncode, 1)
    os.close(write)
    put(d, c, "/tmp", tar(("x", b"fine")))
    d.ok("rm", "-f", c)
    d.ok("volume", "rm", "cp-e")


RACE = """
mkdir -p /r/a /r/b /r/deep/x; echo good > /r/a/secret; echo good > /r/deep/x/secret; ln -s / /r/s
while :; do
  mv /r/a /r/c 2>/dev/null; ln -s %(outside)s /r/a; rm -f /r/a; ln -s /proc/1/root%(outside)s /r/a; rm -f /r/a
  ln -s ../../../../../../../..%(outside)s /r/a; rm -f /r/a; mv /r/c /r/a
  mount -t tmpfs none /r/deep 2>/dev/null; ln -s %(outside)s /r/deep/x; umount /r/deep; mount --bind /r/b /r/deep; umount /r/deep
  mv /r/a/secret /r/a/s2; ln -s %(outside)s/secret /r/a/secret; rm /r/a/secret; mv /r/a/s2 /r/a/secret
done"""


def race(d, seconds):
    """The outside is a directory of the host's that the container has not: whatever it does, we neither give
    away nor change what is there."""
    with tempfile.TemporaryDirectory() as outside:
        with open(f"{outside}/secret", "w") as file:
            file.write("host")
        c = d.run_detached("--privileged", "--pid=host", "busybox", "sh", "-c", RACE % {"outside": outside})
        wait_for(lambda: call_ok(d, c, "/r/b"), "the container's files")
        end, seen = time.monotonic() + seconds, [0, 0, 0]
        while time.monotonic() < end:
            for path in ("/r/a/secret", "/r/a", "/r", "/r/deep/x/secret", "/r/deep", f"{outside}/secret", "/r/a/"):
                reply = d.request("GET", f"/v1.51/containers/{c}/archive?path={path}")
                seen[0] += reply.status == 200
                assert b"host" not in reply.body, (path, reply.status)
            for path in ("/r/a", "/r/deep/x", "/r/deep", "/r"):
                body = tar(("secret", b"evil"), ("a/secret", b"evil"), ("x/secret", b"evil"))
                seen[1] += d.request("PUT", f"/v1.51/containers/{c}/archive?path={path}", body).status == 200
            seen[2] += 1
            equal(os.listdir(outside), ["secret"])
            with open(f"{outside}/secret") as file:
                equal(file.read(), "host")
        assert all(seen), seen
        d.ok("rm", "-f", c)


def call_ok(d, c, path):
    return d.request("HEAD", f"/v1.51/containers/{c}/archive?path={path}").status == 200


def test_race(d):
    race(d, float(os.environ.get("CTL_RACE_SECONDS", "10")))


def test_stock_client(d):
    with tempfile.TemporaryDirectory() as host:
        with open(f"{host}/f", "w") as file:
            file.write("text")
        os.mkdir(f"{host}/dir")
        os.symlink("f", f"{host}/dir/l")
        for c in both(d):
            d.docker_ok("cp", f"{host}/f", f"{c}:/t/copied")
            equal(text(d, c, "/t/copied"), "text")
            d.docker_ok("cp", f"{host}/dir", f"{c}:/t/")
            equal(stat(d, c, "/t/dir/l")["mode"] & LINK, LINK)
            d.docker_ok("cp", "-L", f"{c}:/t/l1", f"{host}/followed")
            equal(open(f"{host}/followed").read(), "one\n")
            d.docker_ok("cp", f"{c}:/t/d/.", f"{host}/tree-{c[:8]}")
            equal(sorted(os.listdir(f"{host}/tree-{c[:8]}")), ["e", "hard", "l"])
            equal(d.docker("cp", f"{c}:/none", host).code, 1)


def tree(path):
    """What is below a directory of ours: names with kind and content."""
    found = {}
    for directory, folders, files in os.walk(path):
        for name in folders + files:
            at = os.path.join(directory, name)
            key = os.path.relpath(at, path)
            found[key] = ("link " + os.readlink(at) if os.path.islink(at) else "dir" if os.path.isdir(at)
                          else open(at).read() if os.path.isfile(at) else "node")
    return found


def clients(d):
    return [d.ctl] if STOCK else [d.ctl, d.docker]


def test_paths_out(d):
    """Both clients put the same where Docker's manual says: FILE or DIR, with and without /., to what is there
    and what is not."""
    c = d.sleeper()
    d.exec(c, "sh", "-c", "mkdir -p /s/dir/sub; echo f > /s/file; echo g > /s/dir/g; ln -s g /s/dir/l; ln -s dir /s/ld; "
                          "ln -s file /s/lf")
    cases = [  # source, destination, options, wanted
        ("/s/file", "new", [], {"new": "f\n"}),
        ("/s/file", "new/", [], None),
        ("/s/file", "there", [], {"there/file": "f\n"}),
        ("/s/file", "old", [], {"old": "f\n"}),
        ("/s/file", "none/new", [], None),
        ("/s/dir", "new", [], {"new": "dir", "new/g": "g\n", "new/l": "link g", "new/sub": "dir"}),
        ("/s/dir", "there", [], {"there/dir": "dir", "there/dir/g": "g\n", "there/dir/l": "link g", "there/dir/sub": "dir"}),
        ("/s/dir/.", "there", [], {"there/g": "g\n", "there/l": "link g", "there/sub": "dir"}),
        ("/s/dir/.", "new", [], {"new": "dir", "new/g": "g\n", "new/l": "link g", "new/sub": "dir"}),
        ("/s/dir", "old", [], None),
        ("/s/lf", "new", [], {"new": "link file"}),
        ("/s/lf", "new", ["-L"], {"new": "f\n"}),
        ("/s/lf", "there", ["-L"], {"there/lf": "f\n"}),
        ("/s/ld", "there", ["-L"], {"there/ld": "dir", "there/ld/g": "g\n", "there/ld/l": "link g", "there/ld/sub": "dir"}),
        ("/s/ld/", "there", [], {"there/ld": "dir", "there/ld/g": "g\n", "there/ld/l": "link g", "there/ld/sub": "dir"}),
        ("/s/none", "new", [], None),
        ("s/file", "to-there", [], {"there/file": "f\n"}),
    ]
    for source, dest, options, wanted in cases:
        for client in clients(d):
            with tempfile.TemporaryDirectory() as host:
                os.mkdir(f"{host}/there")
                os.symlink("there", f"{host}/to-there")
                with open(f"{host}/old", "w") as file:
                    file.write("old")
                before = tree(host)
                done = client("cp", *options, f"{c}:{source}", f"{host}/{dest}")
                equal(done.code, 0 if wanted is not None else 1, (source, dest, done))
                after = tree(host)
                equal({k: v for k, v in after.items() if before.get(k) != v}, wanted or {}, (source, dest, client))


def test_paths_in(d):
    cases = [  # source, destination, options, wanted
        ("file", "/d/new", [], {"new": "f"}),
        ("file", "/d/new/", [], None),
        ("file", "/d/there", [], {"there/file": "f"}),
        ("file", "/d/old", [], {"old": "f"}),
        ("file", "/d/none/new", [], None),
        ("dir", "/d/new", [], {"new/g": "g"}),
        ("dir", "/d/there", [], {"there/dir/g": "g"}),
        ("dir/.", "/d/there", [], {"there/g": "g"}),
        ("dir/.", "/d/new", [], {"new/g": "g"}),
        ("dir", "/d/old", [], None),
        ("lf", "/d/new", ["-L"], {"new": "f"}),
        ("lf", "/d/there", ["-L"], {"there/lf": "f"}),
        ("ld", "/d/there", ["-L"], {"there/ld/g": "g"}),
        ("file", "/d/to-there", [], {"there/file": "f"}),
        ("file", "/d/to-old", [], {"old": "f"}),
        ("none", "/d/new", [], None),
    ]
    with tempfile.TemporaryDirectory() as host:
        os.makedirs(f"{host}/dir")
        for name, content in (("file", "f"), ("dir/g", "g")):
            with open(f"{host}/{name}", "w") as file:
                file.write(content)
        os.symlink("file", f"{host}/lf")
        os.symlink("dir", f"{host}/ld")
        c = d.sleeper("-v", "cp-in:/d")
        where = json.loads(d.ok("volume", "inspect", "cp-in"))[0]["Mountpoint"]
        for source, dest, options, wanted in cases:
            for client in clients(d):
                d.exec(c, "sh", "-c", "rm -rf /d/*; mkdir /d/there; echo old > /d/old; ln -s there /d/to-there; ln -s /d/old /d/to-old")
                before = tree(where)
                done = client("cp", *options, f"{host}/{source}", f"{c}:{dest}")
                equal(done.code, 0 if wanted is not None else 1, (source, dest, done))
                after = {k: v for k, v in tree(where).items() if before.get(k) != v and v != "dir"}
                equal(after, wanted or {}, (source, dest, client))
        d.ok("rm", "-f", c)
        d.ok("volume", "rm", "cp-in")


def test_streams(d):
    c = d.sleeper()
    body = tar(("x", b"streamed"), ("long/" + "n" * 120 + "/" + "m" * 120, b"deep"))
    for client in clients(d):
        with tempfile.TemporaryDirectory() as host:
            done = client("cp", "-", f"{c}:/tmp", input=body)
            equal(done.code, 0, done)
            equal(text(d, c, "/tmp/x"), "streamed")
            done = client("cp", f"{c}:/tmp/long", host)
            equal(done.code, 0, done)
            equal(tree(host)["long/" + "n" * 120 + "/" + "m" * 120], "deep")
            done = client("cp", f"{host}/long", f"{c}:/tmp/back")
            equal(done.code, 0, done)
            equal(text(d, c, "/tmp/back/" + "n" * 120 + "/" + "m" * 120), "deep")
    path = f"{d.root}/out.tar"
    with open(path, "wb") as file:
        d.spawn_client("cp", f"{c}:/tmp/long", "-", stdout=file).wait(30 * SLOW)
    with tarfile.open(path) as t:
        equal(t.extractfile("long/" + "n" * 120 + "/" + "m" * 120).read(), b"deep")


def test_words(d):
    c = d.sleeper()
    d.ok("rename", c, "words")
    with tempfile.TemporaryDirectory() as host:
        for args, wanted in ((("words:/a", "words:/b"), "copying between containers is not supported"),
                             (("/a", "/b"), "must specify at least one container source"),
                             (("words:/none", host), "Could not find the file /none in container words"),
                             (("-", "words:/none"), 'destination "words:/none" must be a directory')):
            for client in clients(d):
                done = client("cp", *args, input=b"")
                equal(done.code, 1, done)
                has(done.err, wanted)
        sizes = {}  # those of both programs
        for program in ("docker", "ctlc"):
            for args in (("words:/bin/busybox", host), (f"{host}/busybox", "words:/tmp/busybox")):
                with d.terminal("cp", *args, program=program) as t:
                    size = t.expect(r"Successfully copied (\S+) to " + args[1]).group(1)
                    equal(sizes.setdefault(args[1], size), size)
        equal([client("cp", "words:/bin/busybox", host).err for client in clients(d)], [""] * len(clients(d)))


def test_archive_from_a_container_is_not_trusted(d):
    """A tar that makes a symlink and goes through it, one that climbs, and one that is cut."""
    def entry(name, kind, **more):
        info = tarfile.TarInfo(name)
        info.type = kind
        for key, value in more.items():
            setattr(info, key, value)
        return info

    with tempfile.TemporaryDirectory() as host:
        os.mkdir(f"{host}/victim")
        for body in (tar((entry("e", tarfile.SYMTYPE, linkname=f"{host}/victim"), None), ("e/in", b"evil")),
                     tar(("../victim/in", b"evil")), tar(("e/../../victim/in", b"evil")),
                     tar((entry("h", tarfile.LNKTYPE, linkname="../victim"), None)),
                     tar(("cut", b"x" * 5000))[:3000]):
            os.makedirs(f"{host}/dest", exist_ok=True)
            equal(served(d, body, f"{host}/dest").returncode, 1)
            equal(os.listdir(f"{host}/victim"), [])


def served(d, body, dest):
    """ctlc cp from a daemon of our own that answers with this tar."""
    path = f"{d.root}/false.sock"
    stat_text = base64.b64encode(json.dumps({"name": "e", "size": 0, "mode": DIR | 0o755, "mtime": "",
                                             "linkTarget": ""}).encode())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        client = subprocess.Popen([CTLC, "-H", f"unix://{path}",
                                   "cp", "c:/e/.", dest], stderr=subprocess.DEVNULL)
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nConnection: close\r\n"
                           b"X-Docker-Container-Path-Stat: " + stat_text + b"\r\n\r\n" + body)
        connection.close()
        client.wait(30 * SLOW)
    os.unlink(path)
    return client


def test_events(d):
    c, since = d.sleeper(), time.time()
    get(d, c, "/bin/busybox").close()
    put(d, c, "/tmp", tar(("x", b"")))
    found = {e["Action"]: e["Actor"]["Attributes"]["path"] for e in d.events(since, container=[c])}
    equal(found, {"archive-path": "/bin/busybox", "extract-to-dir": "/tmp"})
