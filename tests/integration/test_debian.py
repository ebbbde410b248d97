"""A whole Debian, as mmdebstrap makes it, in one layer and in 40: pushed by skopeo, pulled, run, compared
entry by entry with what it was made of, and pushed again.

It is made once, in the build directory or as $CTL_DEBIAN for several of them."""
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib

from harness import BUILD, Skip, equal, has, wait_for
from imagemaker import config_of
from registries import Registry, skopeo

DEBIAN = os.environ.get("CTL_DEBIAN") or f"{BUILD}/debian.tar"
MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "debian.sh")
LAYERS = 40
ENGINES = ("dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv")


def debian():
    if not os.path.exists(DEBIAN):
        if not shutil.which("mmdebstrap"):
            raise Skip("mmdebstrap is not installed")
        done = subprocess.run([MAKE, DEBIAN], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise Skip(f"mmdebstrap cannot make it: {done.stderr[-300:]}")
    return DEBIAN


def clean(name):
    return name.removeprefix("./").rstrip("/") or "."


def entries(tar):
    """{name: all that matters of it}; a hard link is what it links to."""
    found = {}
    for info in tar:
        name = clean(info.name)
        if info.islnk():
            found[name] = found[clean(info.linkname)]
            continue
        sum = 0
        if info.isreg():
            file = tar.extractfile(info)
            while data := file.read(1 << 20):
                sum = zlib.crc32(data, sum)
        found[name] = (info.type, info.mode, info.uid, info.gid, info.size, info.linkname, int(info.mtime), sum)
    return found


def without_engines(found):
    return {name: what for name, what in found.items()
            if name != "." and not any(name == own or name.startswith(f"{own}/") for own in ENGINES)}


class Parts:
    """The tar's entries spread over so many tars, each with the directories that it needs."""

    def __init__(self, directory, count):
        self.paths = [f"{directory}/part{n}.tar" for n in range(count)]
        self.tars = [tarfile.open(path, "w", format=tarfile.PAX_FORMAT) for path in self.paths]
        self.has, self.where, self.directories = [set() for _ in self.tars], {}, {}

    def add(self, number, info, source):
        name = clean(info.name)
        above = os.path.dirname(name)
        if name in self.has[number]:
            return
        if above and above in self.directories:
            self.add(number, self.directories[above], source)
        self.has[number].add(name)
        self.tars[number].addfile(info, source.extractfile(info) if info.isreg() else None)

    def spread(self, source):
        for position, info in enumerate(source):
            name = clean(info.name)
            if info.isdir():
                self.directories[name] = info
            number = self.where[clean(info.linkname)] if info.islnk() else position % len(self.tars)
            self.where[name] = number
            self.add(number, info, source)
        for tar in self.tars:
            tar.close()
        return self.paths


def archive(path, layers, name):
    """docker save's form of layers that are files."""
    data = []
    for layer in layers:
        with open(layer, "rb") as file:
            data.append(file.read())
    described = {"c.json": config_of(data, {"Cmd": ["bash"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}),
                 "manifest.json": json.dumps([{"Config": "c.json", "RepoTags": [name], "Layers": [
                     f"l{n}.tar" for n in range(len(layers))]}]).encode()}
    with tarfile.open(path, "w") as tar:
        for member, content in [*described.items(), *((f"l{n}.tar", content) for n, content in enumerate(data))]:
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def check(d, registry, directory, name, layers):
    """There by skopeo, here by a pull; the same when it runs, when it leaves, and where it arrives."""
    image = f"{registry.host}/{name}:v1"
    archive(f"{directory}/{name}.tar", layers, f"{name}:v1")
    skopeo("copy", "-q", "--dest-tls-verify=false", "--dest-compress-format=gzip", "--dest-compress-level=1",
           f"docker-archive:{directory}/{name}.tar", f"docker://{image}")
    os.unlink(f"{directory}/{name}.tar")
    d.ok("pull", "-q", image, timeout=120)
    equal(len(d.api("GET", f"/images/{image}/json", status=200).json["RootFS"]["Layers"]), len(layers))
    out = d.ok("run", "--rm", image, "bash", "-c",
               ". /etc/os-release; echo $ID $VERSION_ID; dpkg --verify | grep '^..5'; dpkg-query -W | wc -l; "
               "perl -e 'print 6 * 7'; stat -c ' %a' /tmp", timeout=120).split()
    equal((out[:2], out[3:]), (["debian", "12"], ["42", "1777"]), out)
    assert int(out[2]) > 80, out
    d.ok("export", "-o", f"{directory}/export.tar", d.ok("create", image), timeout=120)
    with tarfile.open(f"{directory}/export.tar") as tar:
        found = without_engines(entries(tar))
    os.unlink(f"{directory}/export.tar")
    d.ok("system", "fsck", timeout=120)
    d.ok("tag", image, f"{registry.host}/{name}-again:v1")
    has(d.ok("push", f"{registry.host}/{name}-again:v1", timeout=120), "v1: digest: sha256:")
    raw = [skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry.host}/{repository}:v1")
           for repository in (name, f"{name}-again")]
    equal(raw[0], raw[1])
    return found


def same(d, make_layers):
    with tempfile.TemporaryDirectory(prefix="ctl-debian-") as directory, Registry(f"{directory}/registry") as registry:
        with tarfile.open(debian()) as tar:
            wanted = without_engines(entries(tar))
        assert len(wanted) > 5000, len(wanted)
        found = check(d, registry, directory, "app", make_layers(directory))
        equal({n: (found.get(n), wanted.get(n)) for n in {**found, **wanted} if found.get(n) != wanted.get(n)}, {})
    d.clean()
    for image in d.api("GET", "/images/json", status=200, filters={"reference": ["127.0.0.1*/*"]}).json:
        d.api("DELETE", f"/images/{image['Id']}", force=1, status=200)
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "thousands of files to go", 120)


def parts(directory):
    with tarfile.open(debian()) as tar:
        return Parts(directory, LAYERS).spread(tar)


def test_in_one_layer(d):
    same(d, lambda directory: [debian()])


def test_in_many_layers(d):
    same(d, parts)
