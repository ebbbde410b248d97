"""ctlc image from-host: this host's own programs as an image."""
import json
import os
import shutil
import struct
import subprocess
import tarfile

from harness import IMAGE, equal, has

BASH = shutil.which("bash")


def image(d, name):
    return d.api("GET", f"/images/{name}/json", status=200).json


def from_host(d, name, *files):
    full = d.ok("image", "from-host", name, *files)
    equal(image(d, name)["Id"], full)
    return full


def test_bash_runs(d):
    from_host(d, "host:1", "bash", "cat", "stat")
    version = subprocess.run([BASH, "--version"], stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]
    equal(d.ok("run", "--rm", "host:1", "bash", "--version").splitlines()[0], version)
    equal(d.docker_ok("run", "--rm", "host:1", "cat", "/etc/passwd"), "root:x:0:0:root:/root:/bin/sh")
    # The first program is what runs; links stay links.
    equal(d.ok("run", "--rm", "-i", "host:1", input="echo $((6 * 7)); exit\n"), "42")
    for path in ("/bin", "/lib", "/lib64"):
        if os.path.islink(path) and os.path.dirname(BASH) == "/usr/bin":
            equal(d.ok("run", "--rm", "host:1", "stat", "-c", "%F %N", path),
                  f"symbolic link '{path}' -> '{os.readlink(path)}'")
    equal(d.ok("run", "--rm", "host:1", "stat", "-c", "%a", "/tmp", "/root", BASH).split(), ["1777", "700", "755"])
    found = image(d, "host:1")
    equal(found["Config"]["Cmd"], [BASH])
    has(found["Comment"], "From the host")
    equal(len(found["RootFS"]["Layers"]), 1)


def test_options(d):
    d.ok("image", "from-host", "-c", 'CMD ["bash", "-c", "echo $X"]', "--change", "ENV X=changed", "-m", "mine",
         "options", "bash")
    equal(d.ok("run", "--rm", "options"), "changed")
    equal(image(d, "options:latest")["Comment"], "mine")


def test_again_is_the_same_layer(d):
    from_host(d, "same:1", "cat")
    from_host(d, "same:2", "cat")
    equal(image(d, "same:1")["RootFS"], image(d, "same:2")["RootFS"])


def test_a_static_program_comes_alone(d):
    """Nothing but the file itself, without a loader or a library, and it runs."""
    with tarfile.open(IMAGE) as outer:
        config = json.load(outer.extractfile("manifest.json"))[0]
        with tarfile.open(fileobj=outer.extractfile(config["Layers"][0])) as inner:
            busybox = inner.extractfile("bin/busybox").read()
    write(f"{d.root}/busybox", busybox)
    from_host(d, "static:1", f"{d.root}/busybox")
    equal(d.ok("run", "--rm", "static:1", f"{d.root}/busybox", "echo", "alone"), "alone")
    path = f"{d.root}/static.tar"
    d.ok("export", "-o", path, d.ok("create", "static:1"))
    with tarfile.open(path) as tar:
        equal([m.name for m in tar if not m.isdir() and m.name.split("/")[0] not in ("etc", "dev", ".dockerenv")],
              [f"{d.root}/busybox".lstrip("/")])
    os.unlink(path)


def write(path, data, mode=0o755):
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def test_scripts_directories_and_names(d):
    top = f"{d.root}/tree"
    deep = "d" * 120
    os.makedirs(f"{top}/{deep}")
    write(f"{top}/script", f"#! {BASH} -e\necho script $0\n".encode())
    write(f"{top}/{deep}/{'f' * 130}", b"long", 0o640)
    os.chown(f"{top}/{deep}/{'f' * 130}", 5, 6)
    write(f"{top}/lost", b"#!/nowhere/interpreter\n")
    os.link(f"{top}/script", f"{top}/second")
    os.symlink("l" * 150, f"{top}/link")
    os.setxattr(f"{top}/script", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    from_host(d, "tree:1", f"{top}", "stat", "cat", "readlink")
    equal(d.ok("run", "--rm", "tree:1", f"{top}/second"), f"script {top}/second")
    out = d.ok("run", "--rm", "tree:1", "stat", "-c", "%u:%g %a %s %h", f"{top}/{deep}/{'f' * 130}", f"{top}/script")
    equal(out.splitlines(), ["5:6 640 4 1", f"0:0 755 {os.stat(f'{top}/script').st_size} 2"])
    equal(d.ok("run", "--rm", "tree:1", "readlink", f"{top}/link"), "l" * 150)
    path = f"{d.root}/tree.tar"
    d.ok("export", "-o", path, d.ok("create", "tree:1"))
    with tarfile.open(path) as tar:
        files = {m.name: m for m in tar}
    owner = [files[f"{top[1:]}/{name}"] for name in ("script", "second")]
    assert any("SCHILY.xattr.security.capability" in m.pax_headers for m in owner), owner


def fails(d, *files):
    message = d.fails(1, "image", "from-host", "bad:1", *files)
    assert "bad" not in d.ok("images")
    return message


def test_what_cannot_be(d):
    has(fails(d, "no-such-program"), "no-such-program: not found in PATH")
    has(fails(d, "cat", "/no/such"), "/no/such: no such file")
    has(fails(d, "/dev/null"), "neither a file nor a directory")
    with open(BASH, "rb") as file:
        data = file.read()
    write(f"{d.root}/cut", data[:4000])
    has(fails(d, f"{d.root}/cut"), "a broken ELF file")
    assert b"libc.so.6\0" in data
    write(f"{d.root}/lost", data.replace(b"libc.so.6\0", b"nolib.so6\0"))
    has(fails(d, f"{d.root}/lost"), f"{d.root}/lost needs nolib.so6, which is not on this host")
    os.symlink("round", f"{d.root}/round")
    has(fails(d, f"{d.root}/round"), "symbolic links")
    has(d.fails(1, "image", "from-host", "UPPER", "cat"), "lowercase")
    has(d.fails(1, "image", "from-host", "name:1"), "at least 2 arguments")


def test_foreign_programs_are_only_read(d):
    """A program for another kind of machine takes nothing of this one's."""
    with tarfile.open(IMAGE) as outer:
        names = outer.getnames()
    assert names
    with open(BASH, "rb") as file:
        data = bytearray(file.read())
    data[18:20] = struct.pack("<H", 0xf3 if data[18] != 0xf3 else 0x3e)
    write(f"{d.root}/foreign", bytes(data))
    has(fails(d, f"{d.root}/foreign"), "which is not on this host")
