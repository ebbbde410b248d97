"""The storage drivers: what a container may expect of its root file system, whichever one makes it.

Each case runs with overlay2, vfs, btrfs (on a loop device) and vfs on a tmpfs."""
import errno
import io
import json
import os
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager

import host
import imagemaker
from harness import IMAGE, SLOW, STOCK, Daemon, Skip, equal, has, wait_for
from imagemaker import docker_archive, layer, link

BTRFS_SIZE = 600 << 20


@contextmanager
def mounted(kind, where):
    """A file system of its own, or none: the one that the root is on."""
    if kind is None:
        yield
        return
    os.makedirs(where)
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "nodev,nosuid", "tmpfs", where], check=True)
    else:
        with open(f"{where}.img", "wb") as image:
            image.truncate(BTRFS_SIZE)
        subprocess.run([f"mkfs.{kind}", "-q", f"{where}.img"], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", f"{where}.img", where], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", where], check=False, capture_output=True)


@contextmanager
def daemon(driver, kind, *args):
    if STOCK:
        raise Skip("our own layout")
    d = Daemon("--storage-driver", driver, *args, start=False)
    try:
        with mounted(kind, f"{d.root}/disk"):
            if kind:
                d.data = f"{d.root}/disk/data"
                d.names = host.names_of(d.data)
                d.save_names()
            d.start()
            try:
                yield d
            finally:
                d.close()
    finally:
        if d.process is None:
            d.close()


def warm(d):
    """What a daemon keeps after the first of each belongs to the baseline."""
    container = d.sleeper()
    d.learn_from(container)
    d.exec(container, "true")
    d.ok("logs", "-f", d.run_detached("busybox", "true"))
    d.ok("load", "-q", "-i", IMAGE)
    d.clean()


def load(d, layers, tag, config=None):
    d.ok("load", "-q", input=docker_archive(layers, [tag], config or {"Cmd": ["/bin/sh"]}))


def busybox(extra=None):
    files = imagemaker.busybox_files(IMAGE)
    files |= {f"bin/{name}": link("busybox") for name in
              ("sh", "cat", "ls", "stat", "rm", "mv", "mkdir", "ln", "test", "find", "sleep", "touch", "chmod", "id")}
    return layer({**files, **(extra or {})})


def script(d, image, text, *options):
    return d.ok("run", "--rm", *options, image, "sh", "-ec", text)


def owned(mode, uid, gid, data=b""):
    info = tarfile.TarInfo()
    info.mode, info.uid, info.gid, info.mtime, info.size = mode, uid, gid, 1500000000, len(data)
    return info


# ---- the cases: each gets a daemon and the driver's name

def case_it_says_what_it_is(d, driver):
    info = d.api("GET", "/info", status=200).json
    equal(info["Driver"], driver)
    status = dict(info["DriverStatus"])
    wanted = subprocess.run(["stat", "-f", "-c", "%T", d.data], check=True, capture_output=True, text=True).stdout.strip()
    equal(status["Backing Filesystem"], {"ext2/ext3": "extfs"}.get(wanted, wanted))
    equal("Native Overlay Diff" in status, driver == "overlay2")
    name = d.ok("create", "busybox")
    graph = d.inspect(name)["GraphDriver"]
    equal(graph["Name"], driver)
    equal(d.inspect(name)["Driver"], driver)
    if driver == "overlay2":
        has(graph["Data"]["UpperDir"], d.data)
    else:
        equal(graph["Data"], None)
    equal(d.api("GET", "/images/busybox/json", status=200).json["GraphDriver"]["Name"], driver)


def case_layers_are_applied(d, driver):
    """Whiteouts, opaque directories before and after their content, things that change their type."""
    bottom = busybox({
        "keep": b"keep", "gone": b"x", "dir": None, "dir/old": b"x", "dir/sub": None, "dir/sub/deep": b"x",
        "late": None, "late/old": b"x", "merged": None, "merged/old": b"old", "merged/both": b"bottom",
        "tofile": None, "tofile/in": b"x", "todir": b"x", "tolink": b"x", "whole": None, "whole/a": b"x",
        "again": None, "again/old": b"x"})
    middle = layer({".wh.whole": b"", "tofile": b"file", "todir": None, "todir/in": b"in", "tolink": link("keep")})
    top = layer({
        ".wh.gone": b"", "dir/.wh..wh..opq": b"", "dir/new": b"new", "late/new": b"new", "late/sub": None,
        "late/.wh..wh..opq": b"", "merged/both": b"top", ".wh.never": b"", ".wh.again": b"", "again": None,
        "again/new": b"new", "whole": None})
    load(d, [bottom, middle, top], "layers:1")
    out = script(d, "layers:1", """
        cd /; ls -d gone never 2>&1 | cat >/dev/null; test ! -e gone; test ! -e never
        ls dir late again; ls merged; cat merged/both merged/old tofile todir/in tolink keep; ls whole""")
    equal(out.split(), ["again:", "new", "dir:", "new", "late:", "new", "sub",
                        "both", "old", "topoldfileinkeepkeep"])


def keeps_attributes(directory):
    """A tmpfs has user attributes since Linux 6.6."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        try:
            os.setxattr(file.fileno(), "user.test", b"value")
            return True
        except OSError as error:
            equal(error.errno, errno.ENOTSUP)
            return False


def case_metadata_survives(d, driver):
    """Owners, modes, times, links, devices, attributes: in the image and through the layers above."""
    fifo, device = tarfile.TarInfo(), tarfile.TarInfo()
    fifo.type, fifo.mode = tarfile.FIFOTYPE, 0o640
    device.type, device.mode, device.devmajor, device.devminor = tarfile.CHRTYPE, 0o666, 1, 3
    attributes = tarfile.TarInfo()
    attributes.mode = 0o755
    attributes.pax_headers = {"SCHILY.xattr.user.test": "value"}
    bottom = busybox({
        "owned": owned(0o4711, 56, 78), "d": imagemaker.directory(0o2750, 12, 34), "fifo": fifo, "null": device,
        "one": b"linked", "two": link("one", tarfile.LNKTYPE), "sym": link("/nowhere"), "attr": attributes})
    load(d, [bottom, layer({"unrelated": b"x"}), layer({"more": b"y"})], "meta:1")
    out = script(d, "meta:1", """stat -c '%a %u %g %Y' /owned /d; stat -c %F /fifo /null
        stat -c %h /one; test /one -ef /two; echo x >/null; stat -c %N /sym
        stat -c %h /two""")
    equal(out.splitlines(), ["4711 56 78 1500000000", "2750 12 34 1600000000", "fifo", "character special file",
                             "2", "'/sym' -> '/nowhere'", "2"])
    name = d.run_detached("meta:1", "sleep", "1000")
    root = f"/proc/{d.state(name)['Pid']}/root"
    if keeps_attributes(d.data):
        equal(os.getxattr(f"{root}/attr", "user.test"), b"value")
    else:  # as dockerd, it takes the file without
        equal(os.listxattr(f"{root}/attr"), [])
    equal(os.stat(f"{root}/owned").st_mtime, 1500000000)


def case_a_hard_link_is_written_as_one(d, driver):
    """A file of the image with two names: changed through one, in this container only."""
    load(d, [busybox({"one": b"old", "two": link("one", tarfile.LNKTYPE)}), layer({"x": b""})], "hard:1")
    if driver != "overlay2":  # there the copy that is written has one name, as with every overlay
        equal(script(d, "hard:1", "echo new >/one; cat /two"), "new")
    equal(script(d, "hard:1", "cat /one /two"), "oldold")


def case_containers_write_apart(d, driver):
    load(d, [busybox({"f": b"image", "del": None, "del/a": b"x", "mv": None, "mv/a": b"moved", "m": b"mode"}),
             layer({"top": b"t"})], "apart:1")
    text = """echo changed >/f; rm -r /del; mv /mv /mv2; mv /mv2/a /a; mkdir /del; ls -A /del
        chmod 600 /m; mkdir -p /new/deep; echo n >/new/deep/f; ln /new/deep/f /new/l; touch /top"""
    one = d.run_detached("apart:1", "sh", "-ec", f"{text}; sleep 1000")
    two = d.run_detached("apart:1", "sleep", "1000")
    wait_for(lambda: d.ctl("exec", one, "test", "-e", "/new/l").code == 0, "the script")
    equal(d.exec(one, "sh", "-c", "cat /f /a /new/l; stat -c %a /m; ls -d /mv2; ls -d /mv; ls -A /del 2>&1; true"),
          "changed\nmovedn\n600\n/mv2")
    equal(d.exec(two, "sh", "-c", "cat /f /mv/a; stat -c %a /m; ls /del"), "imagemoved755\na")
    equal(script(d, "apart:1", "cat /f"), "image")


def case_a_restart_keeps_changes(d, driver):
    load(d, [busybox({"f": b"image"})], "stay:1")
    name = d.ok("create", "--name", "stays", "stay:1", "sh", "-c", "echo run >>/log; rm -f /f; cat /log; sleep 1000")
    for n in range(1, 4):
        d.ok("start", name)
        wait_for(lambda: d.ok("logs", name).split().count("run") == n * (n + 1) // 2, "the log")
        d.ok("kill", name)
        d.wait_state(name, "exited")
    d.ok("rm", name)


def case_a_killed_daemon_harms_nothing(d, driver):
    load(d, [busybox({"f": b"image"}), layer({"g": b"g"})], "kill:1")
    up = d.run_detached("kill:1", "sleep", "1000")
    down = d.run_detached("kill:1", "sh", "-c", "echo mine >/f")
    d.wait_state(down, "exited")
    d.exec(up, "sh", "-c", "echo theirs >/f")
    d.kill9()
    # A layer and a root that were being made then are swept away.
    os.makedirs(f"{d.data}/tmp/half/l0/diff/x")
    d.start()
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the trash to go")
    equal(d.exec(up, "cat", "/f"), "theirs")
    if driver != "overlay2":
        os.makedirs(f"{d.data}/containers/{down}/root.new/half")
    d.ok("start", down)
    d.wait_state(down, "exited")
    equal(script(d, "kill:1", "cat /f /g"), "imageg")
    d.ok("rm", "-f", up, down)
    equal(script(d, "kill:1", "cat /f"), "image")


def case_sizes(d, driver):
    """SizeRw is what the container wrote, not what it was given."""
    load(d, [busybox({"big": b"z" * 300000, "small": b"s" * 1000}), layer({"top": b"t" * 500})], "size:1")
    image = d.api("GET", "/images/size:1/json", status=200).json["Size"]
    name = d.run_detached("size:1", "sleep", "1000")

    def sizes():
        details = d.api("GET", f"/containers/{name}/json", size=1, status=200).json
        equal(details["SizeRootFs"], image + details["SizeRw"])
        return details["SizeRw"]

    equal(sizes(), 0)
    d.exec(name, "sh", "-c", "cat /big >/copy; ln /copy /again; rm /top; echo xx >>/small; mkdir /d; cat /small >/d/s")
    equal(sizes(), 300000 + 1003 + 1003)
    d.ok("stop", "-t", "0", name)
    equal(sizes(), 300000 + 1003 + 1003)
    listed = d.api("GET", "/containers/json", all=1, size=1, status=200).json
    equal([c["SizeRw"] for c in listed if c["Id"] == name], [300000 + 1003 + 1003])


def case_what_the_engine_adds_is_not_the_containers(d, driver):
    name = d.run_detached("busybox", "sleep", "1000")
    equal(d.api("GET", f"/containers/{name}/json", size=1, status=200).json["SizeRw"], 0)
    d.exec(name, "test", "-f", "/.dockerenv")
    has(d.exec(name, "cat", "/etc/hosts"), "localhost")
    # Mounted over, so writing there changes nothing below.
    d.exec(name, "sh", "-c", "echo '# mine' >>/etc/hosts")
    equal(d.api("GET", f"/containers/{name}/json", size=1, status=200).json["SizeRw"], 0)


def case_removing_frees(d, driver):
    load(d, [busybox({"a": b"a" * 100000}), layer({"b": b"b"})], "free:1")
    before = sorted(os.listdir(f"{d.data}/containers")), sorted(os.listdir(f"{d.data}/layers"))
    names = [d.run_detached("free:1", "sh", "-c", "echo x >/y; sleep 1000") for _ in range(3)]
    d.ok("rm", "-f", *names)
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the trash to go")
    equal((sorted(os.listdir(f"{d.data}/containers")), sorted(os.listdir(f"{d.data}/layers"))), before)
    d.ok("rmi", "free:1")
    wait_for(lambda: len(os.listdir(f"{d.data}/layers")) == len(before[1]) - 2 and not os.listdir(f"{d.data}/tmp"),
             "the layers to go")
    if driver == "btrfs":
        # No subvolume is left but those of the embedded image's layers.
        listed = subprocess.run(["btrfs", "subvolume", "list", d.data], check=True, capture_output=True, text=True)
        equal(len(listed.stdout.splitlines()), len(os.listdir(f"{d.data}/layers")), listed.stdout)


def maps_owners(directory):
    """A tmpfs does since Linux 6.3, the others for longer than the engine runs on."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", directory], check=True, capture_output=True, text=True).stdout.strip()
    return kind != "tmpfs" or tuple(int(n) for n in os.uname().release.split(".")[:2]) >= (6, 3)


def case_a_user_namespace(d, driver):
    load(d, [busybox({"f": owned(0o640, 7, 8), "d": imagemaker.directory(0o755)})], "mapped:1")
    if not maps_owners(d.data):
        has(d.ctl("run", "--rm", "--userns", "auto", "mapped:1", "true").err, "cannot map the owners of")
        return
    name = d.run_detached("--userns", "auto", "mapped:1", "sleep", "1000")
    equal(d.exec(name, "sh", "-c", "stat -c '%u %g' /f /; echo x >/d/n; rm /f; stat -c '%u %g' /d/n").split(),
          ["7", "8", "0", "0", "0", "0"])
    d.ok("restart", "-t", "0", name)
    equal(d.exec(name, "sh", "-c", "stat -c '%u %g' /d/n; ls /f 2>/dev/null; cat /d/n").split(), ["0", "0", "x"])


def case_read_only_and_devices(d, driver):
    """The options of the mount below are not the container's: it has set-id programs and devices if it may."""
    equal(d.ctl("run", "--rm", "--read-only", "busybox", "touch", "/x").code, 1)
    out = d.shell("grep ' / ' /proc/self/mounts")
    for word in ("nosuid", "nodev", "noexec"):
        assert word not in out.split()[3].split(","), out
    d.shell("mknod /null c 1 3; echo x >/null; test -c /null")


def case_it_is_exported_and_copied(d, driver):
    """What is there, running or not, and nothing that was removed."""
    load(d, [busybox({"f": b"image", "gone": b"x"}), layer({"g": b"top"})], "export:1")
    name = d.run_detached("export:1", "sh", "-c", "echo mine >/mine; rm /gone; sleep 1000")
    wait_for(lambda: d.ctl("exec", name, "test", "!", "-e", "/gone").code == 0, "the script")
    for _ in range(2):
        with tarfile.open(fileobj=io.BytesIO(d.api("GET", f"/containers/{name}/export", status=200).body)) as tar:
            names = set(tar.getnames())
            equal(tar.extractfile("mine").read(), b"mine\n")
            equal({"f", "g", "gone"} & names, {"f", "g"})
        d.ok("cp", f"{name}:/mine", f"{d.root}/copied")
        equal(host.read(f"{d.root}/copied"), "mine\n")
        if d.state(name)["Running"]:
            d.ok("kill", name)
        d.wait_state(name, "exited")
    never = d.ok("create", "export:1")
    d.ok("cp", f"{d.root}/copied", f"{never}:/put")
    d.ok("cp", f"{never}:/put", f"{d.root}/back")
    equal(host.read(f"{d.root}/back"), "mine\n")
    os.unlink(f"{d.root}/copied")
    os.unlink(f"{d.root}/back")


def case_changes_become_an_image(d, driver):
    """diff and commit: what was made, changed and removed, and nothing else."""
    load(d, [busybox({"f": b"image", "gone": b"x", "same": b"s", "sub": None, "sub/deep": None, "sub/deep/x": b"1",
                      "sub/deep/y": b"2", "dir": None, "dir/a": b"a"}), layer({"g": b"top"})], "commit:1")
    name = d.run_detached("commit:1", "sh", "-ec", "echo mine >/mine; rm /gone /sub/deep/x; chmod 600 /g; rm -r /dir; "
                          "mkdir -p /new/er; echo n >/new/er/f; echo more >>/sub/deep/y; touch /ready; sleep 1000")
    wait_for(lambda: d.ctl("exec", name, "test", "-e", "/ready").code == 0, "the script")
    wanted = ["A /mine", "A /new", "A /new/er", "A /new/er/f", "A /ready", "C /g", "C /sub", "C /sub/deep",
              "C /sub/deep/y", "D /dir", "D /gone", "D /sub/deep/x"]
    equal(sorted(d.ok("diff", name).splitlines()), wanted)
    d.ok("commit", name, "commit:2")
    d.ok("kill", name)
    d.wait_state(name, "exited")
    equal(sorted(d.ok("diff", name).splitlines()), wanted)
    equal(script(d, "commit:2", "cat /mine /f /new/er/f /same /sub/deep/y; stat -c %a /g; test ! -e /gone; "
                 "test ! -e /dir; ls /sub/deep"), "mine\nimagen\ns2more\n600\ny")
    with tarfile.open(fileobj=io.BytesIO(d.api("GET", "/images/commit:2/get", status=200).body)) as tar:
        config = json.load(tar.extractfile("manifest.json"))[0]
        with tarfile.open(fileobj=tar.extractfile(config["Layers"][-1])) as top:
            equal(sorted(top.getnames()), [".wh.dir", ".wh.gone", "g", "mine", "new", "new/er", "new/er/f", "ready",
                                           "sub", "sub/deep", "sub/deep/.wh.x", "sub/deep/y"])
    untouched = d.ok("create", "commit:2")
    equal(d.ok("diff", untouched), "")


def case_a_volume_is_filled(d, driver):
    load(d, [busybox({"data": None, "data/a": b"bottom"}), layer({"data/b": b"top"})], "fill:1")
    equal(script(d, "fill:1", "cat /data/a /data/b", "-v", "filled:/data"), "bottomtop")
    d.ok("volume", "rm", "filled")


def case_its_size_is_limited(d, driver):
    """Or refused at create, where the file system cannot; the virtual machine has project quota."""
    refused = {"overlay2": "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
               "vfs": "Filesystem does not support, or has not enabled quotas"}.get(driver)
    if refused:
        result = d.ctl("create", "--name", "limited", "--storage-opt", "size=20m", "busybox")
        equal(result.code, 1)
        has(result.err, refused)
        equal(d.api("GET", "/containers/limited/json").status, 404)
        return
    for option, message in (("size=ten", "invalid size: 'ten'"), ("inodes=5", "Unknown option inodes")):
        result = d.ctl("create", "--storage-opt", option, "busybox")
        equal(result.code, 1)
        has(result.err, message)
    write = "dd if=/dev/urandom of=/big bs=1M count=40"
    assert d.ctl("run", "--rm", "--storage-opt", "size=20m", "busybox", "sh", "-c", write).code != 0
    d.ok("run", "--rm", "--storage-opt", "size=80m", "busybox", *write.split())
    d.ok("run", "--rm", "busybox", *write.split())
    name = d.run_detached("--storage-opt", "size=20m", "busybox", "sleep", "1000")
    equal(d.inspect(name)["HostConfig"]["StorageOpt"], {"size": "20m"})
    d.exec(name, "dd", "if=/dev/urandom", "of=/a", "bs=1M", "count=10")
    d.ok("restart", "-t", "0", name)
    assert d.ctl("exec", name, "dd", "if=/dev/urandom", "of=/b", "bs=1M", "count=15").code != 0
    d.exec(name, "sh", "-c", "rm /a /b; echo x >/c")


def case_a_long_stack(d, driver):
    """As many layers as an image may have."""
    layers = [busybox()]
    for n in range(1, 128):
        layers.append(layer({f"f{n}": b"%d\n" % n, "top": b"%d\n" % n, **({f".wh.f{n - 1}": b""} if n % 2 else {})}))
    load(d, layers, "long:128")
    equal(len(d.api("GET", "/images/long:128/json", status=200).json["RootFS"]["Layers"]), 128)
    out = script(d, "long:128", "cat /top; ls -d /f* | wc -l; echo x >/f2 2>&1; rm /f127; cat /f2 /f125", )
    equal(out.split(), ["127", "64", "x", "125"])
    if maps_owners(d.data):
        equal(script(d, "long:128", "cat /top", "--userns", "auto"), "127")


CASES = {name[5:]: function for name, function in list(globals().items()) if name.startswith("case_")}


def run_cases(driver, kind):
    with daemon(driver, kind) as d:
        pid = None
        for name, case in CASES.items():
            if pid != d.pid:
                warm(d)
                pid = d.pid
            before = d.settled_census()
            try:
                case(d, driver)
                d.clean()
                for image in d.request("GET", "/images/json?all=1").json:
                    if "busybox:latest" not in (image["RepoTags"] or []):
                        equal(d.request("DELETE", f"/images/{image['Id']}?force=1").status, 200)
                d.assert_counts(before)
            except BaseException as error:
                error.add_note(f"in the case {name} with {driver}")
                raise


def test_overlay():
    run_cases("overlay2", None)


def test_vfs():
    run_cases("vfs", None)


def test_vfs_on_tmpfs():
    run_cases("vfs", "tmpfs")


def test_btrfs():
    run_cases("btrfs", "btrfs")


def test_the_choice():
    """By itself the engine takes overlay, or what the data root was made with; it does not mix them."""
    if STOCK:
        raise Skip("our own layout")
    with Daemon(start=False) as d:
        d.start()
        equal(d.api("GET", "/info").json["Driver"], "overlay2")
        d.stop()
        for driver in ("vfs", "btrfs", "nonsense"):
            d.args = ["--storage-driver", driver]
            d.spawn()
            assert d.process.wait(20 * SLOW) != 0
        log = host.read(d.log)
        has(log, "were made with the storage driver overlay2", "needs a data root on btrfs",
            "unknown storage driver \\\"nonsense\\\"" if '\\"nonsense' in log else 'unknown storage driver "nonsense"')
        d.args = ["--storage-driver", "overlay"]
        d.start()
        equal(d.api("GET", "/info").json["Driver"], "overlay2")
    with Daemon("-s", "vfs", start=False) as d:
        d.start()
        equal(d.shell("echo hi"), "hi")
        d.args = []
        d.restart()
        equal(d.api("GET", "/info").json["Driver"], "vfs")
        equal(d.shell("echo hi"), "hi")


def test_vfs_where_overlay_cannot_be():
    """A data root inside of an overlay: the engine says why not, and vfs works."""
    if STOCK:
        raise Skip("our own layout")
    with Daemon(start=False) as d:
        for name in ("l", "u", "w", "disk"):
            os.makedirs(f"{d.root}/{name}")
        options = f"lowerdir={d.root}/l,upperdir={d.root}/u,workdir={d.root}/w"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", f"{d.root}/disk"], check=True)
        try:
            d.data = f"{d.root}/disk/data"
            d.names = host.names_of(d.data)
            d.save_names()
            d.args = ["--storage-driver", "overlay2"]
            d.spawn()
            assert d.process.wait(20 * SLOW) != 0
            has(host.read(d.log), "is on overlayfs")
            d.args = []
            d.start()
            equal(d.api("GET", "/info").json["Driver"], "vfs")
            equal(d.shell("echo hi >/x; cat /x"), "hi")
            d.close()
        finally:
            subprocess.run(["umount", "-l", f"{d.root}/disk"], check=False, capture_output=True)
