"""export and diff: what is in a container, and what it changed."""
import contextlib
import io
import os
import socket
import struct
import tarfile
import time

import host
import imagemaker
from harness import IMAGE, SLOW, equal, has, wait_for
from imagemaker import docker_archive, layer, link

CHANGES = [("C", "/etc"), ("C", "/etc/passwd"), ("D", "/gone"), ("A", "/made"), ("A", "/made/x"),
           ("A", "/made/y")]
SCRIPT = """
echo more >> /etc/passwd; rm -r /gone; mkdir /made; echo hi > /made/x; ln /made/x /made/y
ln -s x /made/link; rm /made/link; echo into > /vol/x; echo into > /tmp/x; exec sleep 100000"""


def make_image(d, name="content:1"):
    files = {**imagemaker.busybox_files(IMAGE), "gone/a": b"a", "gone/b": b"b",
             "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n", "etc/sym": link("passwd")}
    d.ok("load", input=docker_archive([layer(files)], [name], {"Env": ["PATH=/bin"]}))
    return name


def container(d, *options):
    c = d.run_detached("-v", "/vol", "--tmpfs", "/tmp", *options, make_image(d), "/bin/busybox", "sh",
                       "-c", SCRIPT)
    wait_for(lambda: "/made/y" in d.ok("diff", c) and d.ctl("exec", c, "busybox", "cat", "/tmp/x").code == 0,
             "the container's work")
    return c


def kinds(d, c):
    return [("CAD"[change["Kind"]], change["Path"])
            for change in d.api("GET", f"/containers/{c}/changes", status=200).json]


def export(d, c):
    return tarfile.open(fileobj=io.BytesIO(d.request("GET", f"/v1.51/containers/{c}/export").body))


def test_diff(d):
    c = container(d)
    # The directories that volumes are mounted on are made in the container, as Docker does.
    wanted = CHANGES + [("A", "/tmp"), ("A", "/vol")]
    equal(kinds(d, c), wanted)
    lines = [" ".join(change) for change in wanted]
    equal(d.ok("diff", c).splitlines(), lines)
    equal(d.docker_ok("diff", c).splitlines(), lines)
    equal(d.ok("container", "diff", c[:12]).splitlines(), lines)
    d.ok("kill", c)
    equal(kinds(d, c), wanted)


def test_diff_of_nothing(d):
    c = d.ok("create", "busybox", "true")
    equal(kinds(d, c), [])
    equal(d.ok("diff", c), "")
    d.ok("start", "-a", c)
    equal(d.docker_ok("diff", c), "")


def test_diff_of_names_that_are_no_text(d):
    c = d.run_detached("busybox", "sh", "-c", r"touch $(printf '/a\377b') /ä '/q\"\'; sleep 100000")
    wait_for(lambda: kinds(d, c) == [("A", "/a\ufffdb"), ("A", "/q\\\"\\"), ("A", "/ä")], "the names")


def test_many_changes(d):
    """More than fits into any buffer on the way; as links, which are soon deleted again."""
    c = d.ok("create", "busybox", "true")
    d.ok("start", "-a", c)
    top = f"{d.data}/containers/{c}/upper/many"
    os.mkdir(top)
    names = [f"{i:05}-{'x' * 240}" for i in range(20000)]
    with open(f"{top}/{names[0]}", "w"):
        pass
    for name in names[1:]:
        os.link(f"{top}/{names[0]}", f"{top}/{name}")
    found = kinds(d, c)
    equal(len(found), 20001)
    equal(found[1:], [("A", f"/many/{name}") for name in names])


def test_export_is_what_the_container_sees(d):
    c = container(d)
    tar = export(d, c)
    names = [m.name for m in tar]
    for name in (".dockerenv", "etc/hosts", "etc/resolv.conf", "dev/console", "proc", "sys"):
        assert name in names, f"no {name}: what the init layer gives is in there too"
    for name in ("gone", "gone/a", "made/link", "vol/x", "tmp/x"):
        assert name not in names, name
    equal(tar.extractfile("made/x").read(), b"hi\n")
    equal((tar.getmember("made/y").type, tar.getmember("made/y").linkname), (tarfile.LNKTYPE, "made/x"))
    equal(tar.getmember("etc/sym").linkname, "passwd")
    has(tar.extractfile("etc/passwd").read(), b"root:", b"more")
    equal(names, sorted(names, key=lambda n: n.split("/")))
    assert not any(".wh." in name for name in names)


def test_export_of_any_state(d):
    c = container(d)
    running = {m.name for m in export(d, c)}
    d.ok("pause", c)
    equal({m.name for m in export(d, c)}, running)
    equal(d.state(c)["Status"], "paused")
    d.ok("unpause", c)
    d.ok("kill", c)
    equal({m.name for m in export(d, c)}, running)
    fresh = d.ok("create", make_image(d), "/bin/busybox")
    has([m.name for m in export(d, fresh)], "gone/a", ".dockerenv", "bin/busybox")


def test_what_a_file_carries(d):
    c = d.sleeper()
    d.ok("exec", c, "sh", "-c", "echo x > /f; chown 5:6 /f; chmod 4750 /f; mknod /dev-null c 1 3; mkfifo /p")
    upper = f"{d.data}/containers/{c}/upper"
    capability = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
    os.setxattr(f"{upper}/f", "security.capability", capability)
    os.setxattr(f"{upper}/f", "user.note", b"text")
    tar = export(d, c)
    f, device = tar.getmember("f"), tar.getmember("dev-null")
    equal((f.uid, f.gid, f.mode), (5, 6, 0o4750))
    equal(f.pax_headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape"), capability)
    equal(f.pax_headers["SCHILY.xattr.user.note"], "text")
    equal((device.type, device.devmajor, device.devminor), (tarfile.CHRTYPE, 1, 3))
    equal(tar.getmember("p").type, tarfile.FIFOTYPE)


def test_ids_of_a_user_namespace(d):
    c = d.sleeper("--userns", "auto")
    d.ok("exec", c, "sh", "-c", "touch /mine /theirs; chown 33:44 /theirs")
    equal(kinds(d, c), [("A", "/mine"), ("A", "/theirs")])
    tar = export(d, c)
    equal([(tar.getmember(n).uid, tar.getmember(n).gid) for n in ("mine", "theirs", "bin/busybox")],
          [(0, 0), (33, 44), (0, 0)])
    assert os.stat(f"{d.data}/containers/{c}/upper/mine").st_uid > 1000


def test_clients_export(d):
    c = container(d)
    wanted = sorted(m.name for m in export(d, c))
    for number, client in enumerate((d.ok, d.docker_ok)):
        path = f"{d.root}/export{number}.tar"
        client("export", "-o", path, c)
        with tarfile.open(path) as tar:
            equal(sorted(m.name for m in tar), wanted)
        equal(client("import", path, f"again:{number}").split(":")[0], "sha256")
        has(d.ok("run", "--rm", f"again:{number}", "/bin/busybox", "cat", "/made/y", "/etc/passwd"), "hi", "more")
    since = f"{time.time():.9f}"
    d.ok("export", "-o", "/dev/null", c)
    equal([(e["Action"], e["Actor"]["ID"]) for e in d.events(since, type=["container"])], [("export", c)])


def test_errors(d):
    for what in ("changes", "export"):
        equal(d.api("GET", f"/containers/nosuch/{what}", status=404).message, "No such container: nosuch")
    d.fails(1, "diff", "nosuch")
    has(d.fails(1, "export", "-o", f"{d.root}/none.tar", "nosuch"), "No such container: nosuch")
    assert not os.path.exists(f"{d.root}/none.tar")


@contextlib.contextmanager
def half_read(d, c):
    """A client that has read the beginning of an export."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60 * SLOW)
        sock.connect(d.sock)
        sock.sendall(f"GET /v1.51/containers/{c}/export HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
        has(sock.recv(4096), b"200 OK")
        yield sock


def workers(d):
    return [pid for pid in host.pids()
            if "containerd-lite-layer" in host.read(f"/proc/{pid}/cmdline")
            and int(host.read(f"/proc/{pid}/stat", "0 (x) S 0").rsplit(")", 1)[1].split()[1]) == d.pid]


def rest(sock):
    data = b""
    while more := sock.recv(1 << 16):
        data = (data + more)[-16:]
    return data


def resident(pid):
    return int(host.read(f"/proc/{pid}/statm").split()[1]) * 4096


def big(d):
    c = d.sleeper()
    with open(f"{d.data}/containers/{c}/upper/big", "wb") as file:
        file.truncate(150 << 20)
    return c


def test_reader_that_is_slow(d):
    c = big(d)
    before = resident(d.pid)
    with half_read(d, c) as sock:
        wait_for(lambda: workers(d), "the worker")
        time.sleep(0.3)
        assert resident(d.pid) < before + (16 << 20)
        equal(d.ok("ps", "-q", "--no-trunc"), c)
        assert workers(d), "it waits"
        equal(rest(sock)[-5:], b"0\r\n\r\n")
    wait_for(lambda: not workers(d), "the worker's end")


def test_reader_that_leaves(d):
    c = big(d)
    with half_read(d, c):
        wait_for(lambda: workers(d), "the worker")
    wait_for(lambda: not workers(d), "the worker's end")


def test_removal_cuts_the_stream(d):
    c = big(d)
    with half_read(d, c) as sock:
        d.ok("rm", "-f", c)
        assert rest(sock)[-5:] != b"0\r\n\r\n", "an end, as if all had been sent"
    wait_for(lambda: not workers(d), "the worker's end")
    wait_for(lambda: c not in os.listdir(f"{d.data}/containers"), "its directory to go")


def test_no_more_than_some(d):
    c = big(d)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(half_read(d, c)) for _ in range(32)]
        has(d.api("GET", f"/containers/{c}/export", status=503).message, "too many")
        equal(len(socks), 32)
    wait_for(lambda: d.request("GET", f"/v1.51/containers/{c}/changes").status == 200, "the workers' end")
    equal(kinds(d, c), [("A", "/big")])


def test_daemon_ends_meanwhile(d):
    c = big(d)
    with half_read(d, c) as sock:
        equal(d.stop(), 0)
        assert rest(sock)[-5:] != b"0\r\n\r\n"
    d.start()
    equal(kinds(d, c), [("A", "/big")])
