"""The layer worker on its own: what it packs, and what it says has changed."""
import gzip
import hashlib
import io
import os
import socket
import stat
import subprocess
import tarfile
import tempfile

import layerworker
from harness import equal, has
from imagemaker import layer
from layerworker import in_overlay, run


def scratch():
    return tempfile.TemporaryDirectory(prefix="ctl-test-layer-")


def write(path, data=b"", mode=0o644, mtime=1700000000.5):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    os.utime(path, (mtime, mtime))


def members(done):
    diff, _, blob, length = done.ok
    equal((diff, blob, length), (hashlib.sha256(done.out).hexdigest(),) * 2 + (len(done.out),))
    with tarfile.open(fileobj=io.BytesIO(done.out)) as tar:
        return {m.name: m for m in tar.getmembers()}


def names(done):
    return list(members(done))


CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


def test_pack_carries_what_a_file_is():
    with scratch() as top:
        root = f"{top}/tree"
        write(f"{root}/bin/tool", b"#!/bin/sh\n", 0o4755)
        os.setxattr(f"{root}/bin/tool", "security.capability", CAPABILITY)
        os.setxattr(f"{root}/bin/tool", "user.note", b"\0binary\n")
        os.setxattr(f"{root}/bin/tool", "trusted.secret", b"stays")
        os.link(f"{root}/bin/tool", f"{root}/bin/also")
        os.symlink("../bin/tool", f"{root}/bin/link")
        os.mknod(f"{root}/dev-null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mkfifo(f"{root}/fifo", 0o600)
        long = "d" * 120
        write(f"{root}/{long}/{'f' * 200}", b"long")
        write(os.fsencode(root).decode() + "/caf\u00e9", b"utf8")
        write(f"{root}/caf\udce9", b"latin1")
        os.chown(f"{root}/fifo", 3000000, 12)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(f"{root}/socket")
        done = run("pack", root)
        m = members(done)
        equal(list(m), ["bin", "bin/also", "bin/link", "bin/tool", "caf\u00e9", "caf\udce9", long,
                        f"{long}/{'f' * 200}", "dev-null", "fifo"])
        equal((m["bin/also"].mode, m["bin/also"].size, m["bin/also"].mtime), (0o4755, 10, 1700000000))
        equal((m["bin/tool"].type, m["bin/tool"].linkname), (tarfile.LNKTYPE, "bin/also"))
        equal((m["bin/link"].type, m["bin/link"].linkname), (tarfile.SYMTYPE, "../bin/tool"))
        equal((m["dev-null"].type, m["dev-null"].devmajor, m["dev-null"].devminor),
              (tarfile.CHRTYPE, 1, 3))
        equal((m["fifo"].type, m["fifo"].uid, m["fifo"].gid), (tarfile.FIFOTYPE, 3000000, 12))
        headers = m["bin/also"].pax_headers
        equal({k for k in headers if "xattr" in k},
              {"SCHILY.xattr.security.capability", "SCHILY.xattr.user.note"})
        equal(done.ok[1], 10 + 4 + 4 + 6)
        equal(run("pack", root).out, done.out, "the same tree, the same bytes")


def test_pack_and_unpack_are_inverse():
    with scratch() as top:
        one, two = f"{top}/one", f"{top}/two"
        write(f"{one}/a/big", os.urandom(3 << 20))
        write(f"{one}/a/b/c/empty", b"", 0o600)
        write(f"{one}/zero", bytes(1 << 20))
        os.symlink("nowhere", f"{one}/dangling")
        os.mknod(f"{one}/a/gone", stat.S_IFCHR, os.makedev(0, 0))
        os.setxattr(f"{one}/a/b", "trusted.overlay.opaque", b"y")
        write(f"{one}/cap", b"x")
        os.setxattr(f"{one}/cap", "security.capability", CAPABILITY)
        for path in (f"{one}/a/b/c", f"{one}/a/b", f"{one}/a"):
            os.chmod(path, 0o511)
            os.utime(path, (5, 1600000000))
        packed = run("pack", one)
        has(names(packed), "a/.wh.gone", "a/b/.wh..wh..opq")
        os.mkdir(two)
        equal(run("unpack", two, input=packed.out).ok[:2], packed.ok[:2])
        equal(run("pack", two).out, packed.out)
        equal(os.getxattr(f"{two}/a/b", "trusted.overlay.opaque"), b"y")
        equal(os.getxattr(f"{two}/cap", "security.capability"), CAPABILITY)
        equal(stat.S_IMODE(os.stat(f"{two}/a/b").st_mode), 0o511)


def test_pack_of_nothing():
    with scratch() as top:
        equal(run("pack", top).out, bytes(1024))


def wrote(lines):
    return [int(line.split()[1]) for line in lines if line.startswith("wrote ")]


def test_pack_tells_how_far_it_is():
    with scratch() as top:
        write(f"{top}/big", os.urandom(1 << 20))
        plain, told = run("pack", top), run("pack", top, "--tell")
    assert told.out == plain.out
    equal((told.ok[0], told.ok[2:], wrote(plain.lines)), ("-", ("-", len(plain.out)), []))
    said = wrote(told.lines)
    assert len(said) > 4 and said == sorted(said) and said[-1] == len(plain.out), said


def test_split_tells_what_may_be_layers():
    """Neither the description, nor what has a name that a line cannot hold."""
    inner = {"plain/layer.tar": layer({"f": os.urandom(1 << 20)}), "b/2": gzip.compress(layer({"f": b"x"}))}
    others = {"manifest.json": b"[]" * 1000, "a\nfile 5 b": layer({"f": b"x"}), "l" * 200 + "/" + "l" * 200: b"x" * 600}
    with scratch() as top:
        done = run("split", top, input=layer({**inner, **others}))
    equal([line for line in done.lines if line.startswith("file ")],
          [f"file {len(data)} {name}" for name, data in inner.items()])
    first, second = (len(data) for data in inner.values())
    said = wrote(done.lines)
    at = said.index(first)
    assert said[:at + 1] == sorted(said[:at + 1]) and said[at + 1:] == [second], said


def layers(top):
    """Two lowers that exercise the rules; top first."""
    low, mid = f"{top}/low", f"{top}/mid"
    write(f"{low}/etc/passwd", b"root")
    write(f"{low}/etc/shadow", b"secret")
    write(f"{low}/usr/a", b"a")
    write(f"{low}/usr/b", b"b")
    write(f"{low}/usr/share/doc/x", b"x")
    write(f"{low}/opt/old/1", b"1")
    write(f"{low}/opt/old/2", b"2")
    write(f"{low}/same", b"same")
    write(f"{mid}/etc/group", b"group")
    os.mknod(f"{mid}/etc/shadow", stat.S_IFCHR, os.makedev(0, 0))
    write(f"{mid}/opt/old/3", b"3")
    os.setxattr(f"{mid}/opt/old", "trusted.overlay.opaque", b"y")
    write(f"{mid}/usr/share/doc", b"a file where a directory was")
    return [mid, low]


SCRIPT = """
rm usr/a; echo new >>usr/b; mkdir -p new/deep; echo x >new/deep/file
rm -r opt/old; mkdir opt/old; echo 4 >opt/old/4
chmod 600 etc/group; touch etc/fresh; rm etc/fresh; mv usr/share/doc usr/share/moved
cat same >/dev/null; ln etc/passwd etc/passwd-; ln -s b usr/link
"""


def test_changes_are_those_that_were_made():
    with scratch() as top:
        lowers, upper = layers(top), f"{top}/upper"
        in_overlay(lowers, upper, SCRIPT)
        done = run("changes", upper, lowers=lowers)
        equal(done.changes, ["C /etc", "C /etc/group", "A /etc/passwd-", "A /new", "A /new/deep",
                             "A /new/deep/file", "C /opt", "C /opt/old", "D /opt/old/3",
                             "A /opt/old/4", "C /usr", "D /usr/a", "C /usr/b", "A /usr/link",
                             "C /usr/share", "D /usr/share/doc", "A /usr/share/moved"])
        equal(done.ok[1], len(done.changes))
        equal(run("changes", f"{top}/mid", lowers=[f"{top}/low"]).changes,
              ["C /etc", "A /etc/group", "D /etc/shadow", "C /opt", "C /opt/old", "D /opt/old/1",
               "D /opt/old/2", "A /opt/old/3", "C /usr", "C /usr/share", "C /usr/share/doc"])


def test_a_layer_of_an_upper_directory():
    with scratch() as top:
        lowers, upper = layers(top), f"{top}/upper"
        in_overlay(lowers, upper, SCRIPT)
        found = names(run("pack", upper))
        has(found, "usr/.wh.a", "usr/b", "opt/old/.wh..wh..opq", "opt/old/4", "usr/share/.wh.doc",
            "usr/share/moved", "etc/passwd", "etc/passwd-")
        for name in ("same", "opt/old/3", "opt/old/.wh.3", "usr/a"):
            assert name not in found, (name, found)


def test_the_merged_tree_is_what_overlay_shows():
    with scratch() as top:
        lowers, upper = layers(top), f"{top}/upper"
        in_overlay(lowers, upper, SCRIPT)
        shown = f"{top}/shown"
        in_overlay([upper, *lowers], f"{top}/nothing", f"find . -mindepth 1 -printf '%P\\n' >{shown}")
        done = run("pack", upper, "--tree", lowers=lowers)
        equal(sorted(names(done)), sorted(open(shown).read().splitlines()))
        m = members(done)
        with tarfile.open(fileobj=io.BytesIO(done.out)) as tar:
            equal(tar.extractfile("usr/b").read(), b"bnew\n")
            equal(tar.extractfile("usr/share/moved").read(), b"a file where a directory was")
            equal(tar.extractfile("etc/passwd-").read(), b"root")
        equal((m["etc/passwd-"].type, m["etc/passwd-"].linkname), (tarfile.LNKTYPE, "etc/passwd"))


def test_ids_of_a_user_namespace_are_shifted_back():
    with scratch() as top:
        low, upper = f"{top}/low", f"{top}/upper"
        write(f"{low}/mine", b"x")
        for name, owner in (("mine", 0), ("user", 1000), ("stranger", 5)):
            write(f"{upper}/{name}", b"x")
            base = 0 if name == "stranger" else 100000
            os.chown(f"{upper}/{name}", base + owner, base + owner)
        os.setxattr(f"{upper}/mine", "security.capability",
                    bytes.fromhex("01000003") + CAPABILITY[4:] + (100000).to_bytes(4, "little"))
        maps = ("--uid-map=0:100000:65536", "--gid-map=0:100000:65536")
        m = members(run("pack", upper, *maps))
        equal({n: (i.uid, i.gid) for n, i in m.items()},
              {"mine": (0, 0), "user": (1000, 1000), "stranger": (65534, 65534)})
        equal(m["mine"].pax_headers["SCHILY.xattr.security.capability"].encode("latin1"), CAPABILITY)
        os.removexattr(f"{upper}/mine", "security.capability")
        os.utime(f"{upper}/mine", (1700000000.5, 1700000000.5))
        equal(run("changes", upper, *maps, lowers=[low]).changes, ["A /stranger", "A /user"])
        equal(run("changes", upper, lowers=[low]).changes, ["C /mine", "A /stranger", "A /user"])


def test_names_that_a_layer_cannot_hold():
    with scratch() as top:
        write(f"{top}/etc/.wh.passwd", b"a file with the name of a whiteout")
        has(run("pack", top).error, "etc/.wh.passwd", "cannot hold")
        equal(names(run("pack", top, "--tree")), ["etc", "etc/.wh.passwd"])
        os.unlink(f"{top}/etc/.wh.passwd")
        write(f"{top}/etc/half", b"")
        os.setxattr(f"{top}/etc/half", "trusted.overlay.metacopy", b"")
        has(run("pack", top).error, "etc/half", "metacopy")


def test_reading_changes_nothing_and_stays_inside():
    with scratch() as top:
        root, outside = f"{top}/root", f"{top}/outside"
        write(outside, b"secret")
        write(f"{root}/dir/file", b"x")
        os.symlink("/etc", f"{root}/abs")
        os.symlink("../..", f"{root}/up")
        subprocess.run(["unshare", "-m", "sh", "-euc",
                        f"mount -t tmpfs none {root}/dir; touch {root}/dir/hidden; "
                        f"exec /usr/bin/python3 -c 'import sys; sys.path.insert(0, \"{os.path.dirname(layerworker.__file__)}\");"
                        f"import layerworker as w; open(\"{top}/out.tar\", \"wb\").write(w.run(\"pack\", \"{root}\", \"--tree\").out)'"],
                       check=True)
        with tarfile.open(f"{top}/out.tar") as tar:
            equal(tar.getnames(), ["abs", "dir", "dir/file", "up"], "a mount is not of the tree")
        before = os.stat(f"{root}/dir/file")
        equal(names(run("pack", root)), ["abs", "dir", "dir/file", "up"])
        equal(os.stat(f"{root}/dir/file").st_ctime_ns, before.st_ctime_ns)


def test_a_reader_that_goes_away():
    with scratch() as top:
        write(f"{top}/big", bytes(4 << 20))
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = run("pack", top, more_fds={1: write_end})
        os.close(write_end)
        has(done.error, "broken pipe")


def test_bad_arguments():
    with scratch() as top:
        for args in (["--lowers=99999"], ["--uid-map=1:2"], ["--uid-map=0:0:1x"], ["--nonsense"],
                     ["--tree=1"]):
            has(run("pack", top, *args).error, "bad argument")
