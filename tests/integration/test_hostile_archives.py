"""Archives and layers that want out, too much, or to be what they are not: each is refused with one
clear error, or contained, and the store is as it was."""
import gzip
import io
import json
import os
import re
import stat
import struct
import subprocess
import tarfile
import tempfile

import layerworker
from harness import IMAGE, equal, has, wait_for
from imagemaker import busybox_files, config_of, layer, link, sha256

GIB = 1 << 30


# Archives that tarfile would not make

def header(name, size=0, kind=b"0", mode=0o644, link=b"", prefix=b""):
    """A block of tar; size may be bytes, as they are."""
    name = name if isinstance(name, bytes) else name.encode()
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(name.ljust(100, b"\0")[:100] + b"%07o\0" % mode + b"%07o\0" % 0 * 2 + field + b"%011o\0" % 0 +
                      b" " * 8 + kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(80) + prefix.ljust(167, b"\0"))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def huge(size):
    """GNU's base-256 number."""
    return b"\x80" + bytes(3) + struct.pack(">Q", size & (1 << 64) - 1) if size >= 0 else b"\xff" * 12


def padded(data):
    return data + bytes(-len(data) % 512)


def pax(**records):
    lines = b""
    for key, value in records.items():
        body = b" " + key.replace("__", ".").encode() + b"=" + value.encode() + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        lines += str(length).encode() + body
    return header("pax", len(lines), b"x") + padded(lines)


END = bytes(1024)


def entries(files):
    """A tar without its end."""
    return padded(layer(files).rstrip(b"\0"))


def archive(image_layer, diff_id=None, name="hostile:1", compress=None):
    """docker save's format around any bytes whatever."""
    config = json.loads(config_of([b""]))
    config["rootfs"]["diff_ids"] = [f"sha256:{diff_id or sha256(image_layer)}"]
    files = {"c.json": json.dumps(config).encode(), "l.tar": image_layer,
             "manifest.json": json.dumps([{"Config": "c.json", "RepoTags": [name], "Layers": ["l.tar"]}]).encode()}
    return compress(layer(files)) if compress else layer(files)


ZEROS_SIZE = 64 << 20
ZEROS = gzip.compress(bytes(ZEROS_SIZE))


def zeros_gzipped(count, before=b""):
    """`count` bytes of zeros as gzip streams in a row."""
    return gzip.compress(before) + ZEROS * (count // ZEROS_SIZE)


# What must be as before

def rows(d):
    images = d.api("GET", "/images/json", all="1", status=200).json
    usage = d.api("GET", "/system/df", status=200).json
    return sorted(image["Id"] for image in images), usage["LayersSize"]


def tree(d):
    return {part: sorted(os.listdir(f"{d.data}/{part}")) for part in ("layers", "blobs/sha256", "blobs/partial", "tmp")}


def used(d):
    done = subprocess.run(["du", "-sxk", d.data], stdout=subprocess.PIPE, check=True)
    return int(done.stdout.split()[0]) >> 10


def load(d, data):
    reply = d.api("POST", "/images/load", data, {"Content-Type": "application/x-tar"}, quiet="1")
    if reply.status != 200:
        return [reply.message]
    found = [json.loads(line) for line in reply.body.splitlines() if line.strip()]
    return [line["error"] for line in found if "error" in line]


def refused(d, data, *words):
    before = rows(d), tree(d), used(d)
    errors = load(d, data)
    equal(len(errors), 1, errors)
    has(errors[0], *words)
    assert len(errors[0]) < 500 and not re.search(r"[\x00-\x1f\x7f]", errors[0]), errors
    wait_for(lambda: (rows(d), tree(d)) == before[:2], "the store to be as before")
    assert abs(used(d) - before[2]) <= 1, (before[2], used(d))


def contained(d, data):
    """The layer's directory; the caller looks, then the image goes and all is as before."""
    before = rows(d), tree(d)
    equal(load(d, data), [])
    new = set(os.listdir(f"{d.data}/layers")) - set(before[1]["layers"])
    equal(len(new), 1)
    yield f"{d.data}/layers/{new.pop()}/diff"
    d.api("DELETE", "/images/hostile:1", status=200)
    wait_for(lambda: (rows(d), tree(d)) == before, "the store to be as before")


def device(kind, major, minor):
    info = tarfile.TarInfo()
    info.type, info.devmajor, info.devminor, info.mode = kind, major, minor, 0o666
    return info


# Ways out

def test_names_that_lead_outside(d):
    for name in "../x", "../../../../../../../../tmp/x", "a/../../x", "/../x", "./../x", "a/b/../../../x", "..":
        refused(d, archive(layer({name: b"x"})), "unsafe name")
        refused(d, archive(layer({"f": b"x", name + "/": None})), "unsafe name")
    refused(d, archive(layer({"a" * 300: b"x"})), "too long")
    refused(d, archive(layer({"a/" * 2500 + "f": b"x"})), "too long")
    # The outer archive is held to the same.
    refused(d, layer({"../x": b"x", "manifest.json": b"[]"}), "unsafe name")
    assert not os.path.exists("/tmp/x")


def test_absolute_names_are_below_the_layer(d):
    for files in contained(d, archive(layer({"/etc/hostile": b"x", "//tmp//y": b"y"}))):
        equal(sorted(os.listdir(files)), ["etc", "tmp"])
        equal(os.listdir(f"{files}/etc"), ["hostile"])
    assert not os.path.exists("/etc/hostile") and not os.path.exists("/tmp/y")


def test_writing_through_symlinks(d):
    outside = tempfile.mkdtemp(prefix="/tmp/ctl-test-outside-")
    for target in outside, "../" * 20 + outside[1:], "/proc/self/root" + outside, "/":
        # Links are resolved with the layer as root: what they name is not there, or is made there.
        data = archive(layer({"out": link(target), "out/escaped": b"x"}))
        before = rows(d), tree(d)
        if not load(d, data):
            d.api("DELETE", "/images/hostile:1", status=200)
        wait_for(lambda: (rows(d), tree(d)) == before, "the store to be as before")
        equal(os.listdir(outside), [], target)
        # The outer archive's links are made last, as links to its own files.
        load(d, layer({"out": link(target), "out/escaped": b"x", "manifest.json": b"[]"}))
        wait_for(lambda: (rows(d), tree(d)) == before, "the store to be as before")
        equal(os.listdir(outside), [], target)
    with open(f"{outside}/victim", "w") as file:
        file.write("victim")
    for files in contained(d, archive(entries({"f": link(f"{outside}/victim")}) + layer({"f": b"new"}))):
        # A file replaces a link of its name, it is not written through it.
        assert not os.path.islink(f"{files}/f")
        with open(f"{files}/f") as file:
            equal(file.read(), "new")
    with open(f"{outside}/victim") as file:
        equal(file.read(), "victim")
    os.unlink(f"{outside}/victim")
    os.rmdir(outside)


def test_hard_links_to_what_is_outside(d):
    for target in "../../../../../../../etc/passwd", "a/../../etc/passwd":
        refused(d, archive(layer({"h": link(target, tarfile.LNKTYPE)})), "hard link h", "unsafe name")
    for target in "/etc/passwd", "etc/passwd", "/proc/1/exe":
        refused(d, archive(layer({"h": link(target, tarfile.LNKTYPE)})), "hard link h")
    # Not of what a link points to, but of the link itself.
    for files in contained(d, archive(layer({"s": link("/etc/passwd"), "h": link("s", tarfile.LNKTYPE)}))):
        assert os.path.islink(f"{files}/h")
    refused(d, archive(layer({"s": link("/etc"), "h": link("s/passwd", tarfile.LNKTYPE)})), "hard link h")
    equal(os.stat("/etc/passwd").st_nlink, 1)


def test_devices_cannot_be_opened(d):
    nodes = {"mem": device(tarfile.CHRTYPE, 1, 1), "disk": device(tarfile.BLKTYPE, 254, 0),
             "kmsg": device(tarfile.CHRTYPE, 1, 11)}
    for files in contained(d, archive(layer({**busybox_files(IMAGE), **nodes}))):
        equal([stat.S_ISCHR(os.lstat(f"{files}/{name}").st_mode) for name in nodes], [True, False, True])
        for name in nodes:
            done = d.ctl("run", "--rm", "hostile:1", "/bin/busybox", "head", "-c1", f"/{name}")
            assert done.code != 0, name
            has(done.err, "peration not permitted")


def test_set_id_bits_stay_below_a_closed_directory(d):
    info = tarfile.TarInfo()
    info.mode = 0o6755
    for files in contained(d, archive(layer({"su": info}))):
        equal(stat.S_IMODE(os.stat(f"{files}/su").st_mode), 0o6755)
        done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "test", "-e", f"{files}/su"], check=False)
        equal(done.returncode, 1, "seen by others")


# Too much

def test_sizes_that_lie(d):
    for size in 1 << 62, 1 << 40, (1 << 63) - 1, -1:
        refused(d, archive(header("f", huge(size)) + END))
    refused(d, archive(header("f", 1 << 30) + END), "f")  # said, but not there
    for size in str(1 << 62), "9" * 30, "-1", "x":
        before = rows(d), tree(d)
        if not load(d, archive(pax(size=size) + header("f", 512) + bytes(512) + END)):
            d.api("DELETE", "/images/hostile:1", status=200)
        wait_for(lambda: (rows(d), tree(d)) == before, "the store to be as before")
    # What pax says counts: half of the data is the next header, which is none.
    refused(d, archive(pax(size="512") + header("f", 1024) + b"x" * 1024 + END), "read archive")
    # The length of a pax record lies.
    for lie in b"99999999999 path=x\n", b"3 path=x\n", b"-5 path=x\n", b"path=x\n", b"\0" * 20:
        before = rows(d), tree(d)
        if not load(d, archive(header("p", len(lie), b"x") + padded(lie) + header("f") + END)):
            d.api("DELETE", "/images/hostile:1", status=200)
        wait_for(lambda: (rows(d), tree(d)) == before, "the store to be as before")
    refused(d, archive(header("p", 1 << 40, b"x") + END))
    refused(d, archive(header("l", 1 << 40, b"L") + END))


def test_sparse_files(d):
    sparse = dict(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__name="s")
    table = padded(b"1\n0\n512\n")
    for size in str((1 << 63) - 1), str(1 << 50):
        refused(d, archive(pax(**sparse, GNU__sparse__realsize=size) + header("s", 1024) + table + bytes(512) + END))
    wrong = padded(b"2\n0\n512\n9223372036854775807\n512\n")
    refused(d, archive(pax(**sparse, GNU__sparse__realsize="4096") + header("s", 1536) + wrong + bytes(1024) + END))
    refused(d, archive(pax(**sparse, GNU__sparse__realsize="4096") + header("s", 1024) + padded(b"99999999999\n0\n5\n") +
                       bytes(512) + END))
    # One that is honest takes what it holds.
    good = pax(**sparse, GNU__sparse__realsize=str(64 << 20)) + header("s", 1024) + table + b"x" * 512 + END
    for files in contained(d, archive(good)):
        found = os.stat(f"{files}/s")
        equal(found.st_size, 64 << 20)
        assert found.st_blocks * 512 <= 1 << 20, found.st_blocks


def test_bombs(d):
    """100 GiB of zeros: as one file it cannot fit, as many it is cut by how far it expands."""
    many = [gzip.compress(header(f"zero{n}", GIB)) + zeros_gzipped(GIB) for n in range(3)]
    refused(d, archive(b"".join(many)), "expands to more than")
    disk = os.statvfs(d.data)
    if disk.f_bfree * disk.f_frsize < 256 * GIB:
        size = disk.f_bfree * disk.f_frsize + GIB
        refused(d, archive(zeros_gzipped(100 * GIB, header("zero", huge(size)))), "no space left on device")
    refused(d, archive(zeros_gzipped(100 * GIB, header("zero", huge(300 * GIB)))), "larger than")
    # In the outer archive, and in what is no tar at all.
    refused(d, zeros_gzipped(2 * GIB, header("l.tar", huge(100 * GIB if disk.f_bfree * disk.f_frsize < 100 * GIB
                                                            else 300 * GIB))))
    refused(d, archive(zeros_gzipped(2 * GIB, b"no tar" * 200)), "read archive")
    refused(d, archive(gzip.compress(zeros_gzipped(64 << 20))), "compressed more than once")


def test_a_tail_of_zeros_is_a_bomb_too(d):
    refused(d, archive(zeros_gzipped(3 * GIB, layer({"f": b"x"}))), "expands to more than")


def test_too_many_entries():
    """A million of them; the one after it ends it. Memory is bounded whatever they are."""
    same = gzip.compress(header("h", kind=b"1", link=b"h") * 10000)
    files = gzip.compress(b"".join(header(f"d/f{n % 1000}") for n in range(10000)))
    with tempfile.TemporaryDirectory(prefix="ctl-test-hostile-", dir="/dev/shm") as directory:
        done = layerworker.run("unpack", directory, "--max-entries=1000000", input=files * 100 + gzip.compress(END))
        equal((done.ok[1], len(os.listdir(f"{directory}/d"))), (0, 1000))
        layerworker.small(done)
    with tempfile.TemporaryDirectory(prefix="ctl-test-hostile-", dir="/dev/shm") as directory:
        done = layerworker.run("unpack", directory, "--max-entries=1000000", input=same * 101)
        has(done.error, "more than 1000000 entries")
        equal(os.listdir(directory), [])
        layerworker.small(done)


def test_memory_does_not_grow_with_directories():
    """Their times are set last and must be remembered: 100000 long names, more than the limit together."""
    above = "a" * 75 + "/" + "b" * 75
    out = io.BytesIO()
    for n in range(100_000):
        out.write(header(f"{n:06}{'d' * 90}/", kind=b"5", mode=0o755, prefix=above.encode()))
    with tempfile.TemporaryDirectory(prefix="ctl-test-hostile-", dir="/dev/shm") as directory:
        done = layerworker.run("unpack", directory, input=gzip.compress(out.getvalue(), 1))
        equal(done.ok[1], 0)
        equal({entry.stat().st_mtime for entry in os.scandir(f"{directory}/{above}")}, {0})
        equal(len(os.listdir(f"{directory}/{above}")), 100_000)
        layerworker.small(done)


# Not what they seem

def test_wrong_diff_id(d):
    good = layer({"f": b"x"})
    refused(d, archive(good, "0" * 64), "invalid diffID")
    refused(d, archive(good + b"\0", sha256(good)), "invalid diffID")
    refused(d, archive(gzip.compress(good), sha256(good + b"\0")), "invalid diffID")


def test_streams_that_end_too_early(d):
    data = os.urandom(300_000)
    good = layer({"f": data})
    for cut in (100, 511, 512, 513, 5000, len(good) // 2):
        refused(d, archive(good[:cut], sha256(good)))
    packed = gzip.compress(good)
    for cut in (5, 18, 5000, len(packed) - 4, len(packed) - 1):
        refused(d, archive(packed[:cut], sha256(good)))
    outer = archive(good)
    for cut in (700, len(outer) // 2):
        refused(d, outer[:cut])


def test_the_last_of_equal_names_stays(d):
    first, second = entries({"f": b"first", "g": b"file", "d/x": b"x"}), layer({"f": b"second", "g": None, "d": b"file"})
    for files in contained(d, archive(first + second)):
        with open(f"{files}/f") as file:
            equal(file.read(), "second")
        assert os.path.isdir(f"{files}/g") and os.path.isfile(f"{files}/d")


def test_names_with_control_characters(d):
    evil = "a\nok 0 0 - 0\n\x1b]0;owned\x07\x7f"
    for files in contained(d, archive(layer({evil: b"x"}))):
        equal(os.listdir(files), [evil])
    refused(d, archive(layer({evil + "/../x": b"x"})), "unsafe name")
    refused(d, archive(layer({evil: link("gone\n\x1b[31m", tarfile.LNKTYPE)})), "hard link a?ok 0 0 - 0?")
    not_utf8 = header(b"\xff\xfe\x80", 1) + padded(b"x") + END
    for files in contained(d, archive(not_utf8)):
        equal(os.listdir(os.fsencode(files)), [b"\xff\xfe\x80"])


def test_types_that_nobody_knows(d):
    for kind in b"Z", b"V", b"M":
        before = rows(d), tree(d)
        if not load(d, archive(header("f", kind=kind) + END)):
            d.api("DELETE", "/images/hostile:1", status=200)
        wait_for(lambda: (rows(d), tree(d)) == before, "the store to be as before")
    equal(d.ok("run", "--rm", "busybox", "echo", "alive"), "alive")


# The configuration is foreign input, too, and is told to everybody who lists images.

def with_config(**members):
    """An archive whose image has these members at the top of its configuration."""
    one = layer({"f": b"x"})
    description = json.dumps(json.loads(config_of([one])) | members).encode()
    return layer({"manifest.json": json.dumps([{"Config": "c.json", "RepoTags": ["hostile:1"], "Layers": ["l.tar"]}]).encode(),
                  "c.json": description, "l.tar": one})


def test_configurations_of_other_types(d):
    for name, value in {"Labels": {"a": 5}, "Env": ["A=b", 5], "Entrypoint": [["sh"]], "Cmd": 5, "ExposedPorts": ["80/tcp"],
                        "Volumes": {"/v": "x"}, "User": 0, "WorkingDir": ["/"], "Healthcheck": {"Test": "true"},
                        "OnBuild": {"a": "b"}, "StopSignal": 15, "StopTimeout": "5", "Shell": [None], "Tty": "yes"}.items():
        refused(d, with_config(config={name: value}), f"Image.config.{name}")
    for name, value in {"config": [], "author": 5, "architecture": ["amd64"], "os": 1, "variant": {}, "os.features": "x",
                        "history": {"a": "b"}}.items():
        refused(d, with_config(**{name: value}), f"Image.{name}")
    refused(d, with_config(history=[{"created_by": 5}]), "Image.history.created_by")
    # What the registries have in it, though it means nothing here.
    for config in {"Memory": 0, "Entrypoint": "sh", "Cmd": None, "Labels": None, "ArgsEscaped": True, "Volumes": {"/v": {}}}, None:
        if config:
            config = dict.fromkeys(["OnBuild", "Env", "Shell"]) | config
        for files in contained(d, with_config(config=config, container_config={"Cmd": ["#(nop)"]}, history=None, docker_version="1",
                                              container="0" * 64)):
            equal(os.listdir(files), ["f"])
