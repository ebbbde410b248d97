"""Images of ours in the hands of other tools (umoci, oci-image-tool), and theirs in ours."""
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile

import imagemaker
from harness import IMAGE, SLOW, Skip, equal, has
from imagemaker import layer, link

COMMAND = {"Cmd": ["/bin/busybox", "cat", "/text"], "Env": ["A=b"], "WorkingDir": "/etc"}


def tool(name, *args):
    if not shutil.which(name):
        raise Skip(f"{name} is not installed")
    done = subprocess.run([name, *args], capture_output=True, text=True, check=False, timeout=60 * SLOW)
    assert done.returncode == 0, f"{name} {args}: {done.stdout}{done.stderr}"
    return done.stdout


def image(d, name):
    return d.api("GET", f"/images/{name}/json", status=200).json


def make(d, name):
    """Three layers with all that layers do, the topmost made by commit."""
    owned = tarfile.TarInfo()
    owned.mode, owned.uid, owned.gid, owned.mtime = 0o2750, 12, 34, 1500000000
    owned.type = tarfile.DIRTYPE
    bottom = layer({**imagemaker.busybox_files(IMAGE), "text": b"bottom\n", "gone": b"x", "owned": owned,
                    "dir": None, "dir/old": b"x", "one": b"linked", "two": link("one", tarfile.LNKTYPE),
                    "sym": link("/nowhere")})
    middle = layer({".wh.gone": b"", "text": b"middle\n", "dir/.wh..wh..opq": b"", "dir/new": b"new"})
    d.ok("load", "-q", input=imagemaker.docker_archive([bottom, middle], ["parts:1"], COMMAND))
    c = d.run_detached("--entrypoint", "/bin/busybox", "parts:1", "sh", "-c",
                       "cd /; /bin/busybox rm /sym; echo top >/text; /bin/busybox mkdir -p /deep/er; "
                       "echo f >/deep/er/f; /bin/busybox chmod 640 /deep/er/f")
    d.wait_state(c, "exited")
    d.ok("commit", "-c", "LABEL made=here", "-c", "EXPOSE 80", "-c", "USER 1:2", c, name)


def layout(d, *names):
    """What save writes is an OCI layout in a tar."""
    path = f"{d.root}/layout"
    shutil.rmtree(path, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(d.api("GET", "/images/get?" + "&".join(f"names={n}" for n in names),
                                               status=200).body)) as tar:
        tar.extractall(path)
    return path


def load(d, path):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(path, arcname=".")
    return d.ok("load", input=data.getvalue()).splitlines()


def described(root):
    """Names with all that matters of them."""
    out = {}
    for where, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            text = os.readlink(path) if stat.S_ISLNK(st.st_mode) else None
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    text = file.read()
            nlink = st.st_nlink if stat.S_ISREG(st.st_mode) else 0
            out[os.path.relpath(path, root)] = (st.st_mode, st.st_uid, st.st_gid, nlink, text)
    return out


def exported(d, name):
    """The same of what a container of ours has, without what the engine mounts."""
    c = d.ok("create", name)
    root = f"{d.root}/exported"
    shutil.rmtree(root, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(d.api("GET", f"/containers/{c}/export", status=200).body)) as tar:
        tar.extractall(root, numeric_owner=True)
    d.ok("rm", c)
    return described(root)


ENGINE = {"dev", "proc", "sys", "etc", ".dockerenv"}


def without_engine(files):
    return {name: what for name, what in files.items() if name.split("/")[0] not in ENGINE}


def test_umoci_reads_ours(d):
    make(d, "ours:1")
    d.ok("tag", "parts:1", "parts:2")
    path = layout(d, "ours:1", "parts:2")
    name = "1"  # save names images there as docker's does, by the tag
    equal(sorted(tool("umoci", "ls", "--layout", path).split()), ["1", "2"])
    told = json.loads(tool("umoci", "stat", "--json", "--image", f"{path}:{name}"))
    equal(len([h for h in told["history"] if not h.get("empty_layer")]), 3)
    bundle = f"{d.root}/bundle"
    tool("umoci", "unpack", "--image", f"{path}:{name}", bundle)
    equal(without_engine(described(f"{bundle}/rootfs")), without_engine(exported(d, "ours:1")))
    with open(f"{bundle}/config.json") as file:
        process = json.load(file)["process"]
    equal((process["user"]["uid"], process["user"]["gid"], process["cwd"]), (1, 2, "/etc"))
    assert "A=b" in process["env"], process
    shutil.rmtree(bundle)
    shutil.rmtree(path)


def test_oci_image_tool_finds_ours_valid(d):
    make(d, "valid:1")
    path = layout(d, "valid:1")
    name = json.load(open(f"{path}/index.json"))["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
    tool("oci-image-tool", "validate", "--type", "image", "--ref", f"name={name}", path)
    root = f"{d.root}/unpacked"
    os.mkdir(root)
    tool("oci-image-tool", "unpack", "--ref", f"name={name}", path, root)
    with open(f"{root}/text") as file:
        equal(file.read(), "top\n")
    assert not os.path.lexists(f"{root}/gone")  # of opaque directories it knows nothing
    # It sees what is wrong, too.
    manifest = json.load(open(f"{path}/index.json"))["manifests"][0]["digest"][7:]
    blob = json.load(open(f"{path}/blobs/sha256/{manifest}"))["layers"][0]["digest"][7:]
    os.truncate(f"{path}/blobs/sha256/{blob}", 100)
    try:
        tool("oci-image-tool", "validate", "--type", "image", "--ref", f"name={name}", path)
    except AssertionError:
        pass
    else:
        raise AssertionError("a truncated layer is valid")
    shutil.rmtree(root)
    shutil.rmtree(path)


def test_we_read_umoci(d):
    """An image that umoci made from nothing, changed by insert and by repack, and one of ours changed there."""
    path = f"{d.root}/umoci"
    tool("umoci", "init", "--layout", path)
    made = f"{path}:made"
    tool("umoci", "new", "--image", made)
    root = f"{d.root}/insert"
    os.makedirs(f"{root}/bin")
    busybox = imagemaker.busybox_files(IMAGE)["bin/busybox"]
    with open(f"{root}/bin/busybox", "wb") as file:
        file.write(busybox[1] if isinstance(busybox, tuple) else busybox)
    os.chmod(f"{root}/bin/busybox", 0o755)
    with open(f"{root}/text", "w") as file:
        file.write("from umoci\n")
    tool("umoci", "insert", "--image", made, f"{root}/bin", "/bin")
    tool("umoci", "insert", "--image", made, f"{root}/text", "/text")
    tool("umoci", "insert", "--image", made, f"{root}/text", "/away")
    tool("umoci", "insert", "--image", made, "--whiteout", "/away")
    tool("umoci", "config", "--image", made, "--config.cmd", "/bin/busybox", "--config.cmd", "cat",
         "--config.cmd", "/text", "--author", "somebody", "--config.label", "a=b")
    bundle = f"{d.root}/rebundle"
    tool("umoci", "unpack", "--image", made, bundle)
    with open(f"{bundle}/rootfs/more", "w") as file:
        file.write("more\n")
    tool("umoci", "repack", "--image", f"{path}:docker.io/library/umoci:2", bundle)
    tool("umoci", "tag", "--image", made, "docker.io/library/umoci:1")
    told = load(d, path)
    has("\n".join(told), "Loaded image: umoci:1", "Loaded image: umoci:2")
    for tag, layers in (("1", 4), ("2", 5)):
        equal(d.ok("run", "--rm", f"umoci:{tag}"), "from umoci")
        loaded = image(d, f"umoci:{tag}")
        equal((len(loaded["RootFS"]["Layers"]), loaded["Author"], loaded["Config"]["Labels"]),
              (layers, "somebody", {"a": "b"}))
        names = exported(d, f"umoci:{tag}")
        equal(("more" in names, "away" in names), (tag == "2", False))
    for made in (path, root, bundle):
        shutil.rmtree(made)


def test_there_and_back(d):
    """Ours, changed by umoci, and saved by us again: the layers below are the same bytes."""
    make(d, "round:1")
    path = layout(d, "round:1")
    name = tool("umoci", "ls", "--layout", path).split()[0]
    with open(f"{d.root}/note", "w") as file:
        file.write("noted\n")
    before = image(d, "round:1")["RootFS"]["Layers"]
    tool("umoci", "insert", "--image", f"{path}:{name}", f"{d.root}/note", "/note")
    os.unlink(f"{path}/manifest.json")  # the docker-archive's, which comes first
    has("\n".join(load(d, path)), "Loaded image: round:1")
    equal(image(d, "round:1")["RootFS"]["Layers"][:3], before)
    equal(d.ok("run", "--rm", "--user", "0", "--entrypoint", "/bin/busybox", "round:1", "cat", "/text", "/note").split(),
          ["top", "noted"])
    equal(tool("umoci", "ls", "--layout", layout(d, "round:1")), "1\n")
    shutil.rmtree(path, ignore_errors=True)
