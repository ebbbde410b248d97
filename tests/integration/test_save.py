"""save: what leaves is what came, and others read it; what others save is read here."""
import contextlib
import gzip
import http.client
import io
import json
import os
import shutil
import socket
import tarfile
import tempfile

import imagemaker
from harness import IMAGE, equal, has
from imagemaker import docker_archive, layer, oci_layout, sha256
from registries import Fake, Image, digest, skopeo
from stock import dockerd

INDEX = "application/vnd.oci.image.index.v1+json"


def runnable(text, **files):
    return layer({**imagemaker.busybox_files(IMAGE), "text": f"{text}\n".encode(), **files})


COMMAND = {"Cmd": ["/bin/busybox", "cat", "/text"]}


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def save(d, *names):
    reply = d.api("GET", "/images/get?" + "&".join(f"names={name}" for name in names), status=200)
    equal(int(reply.headers["Content-Length"]), len(reply.body))
    files = members(reply.body)
    for name, data in files.items():
        if name.startswith("blobs/sha256/"):
            equal(sha256(data), name.removeprefix("blobs/sha256/"))
    return files


def manifest_of(files, number=0):
    return json.loads(files["blobs/sha256/" + json.loads(files["index.json"])["manifests"][number]
                            ["digest"].removeprefix("sha256:")])


@contextlib.contextmanager
def file_of(data):
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(data)
        file.flush()
        yield file.name


def test_both_formats_in_one(d):
    d.ok("load", input=docker_archive([runnable("one")], ["both:1"], COMMAND))
    files = save(d, "both:1")
    image = d.api("GET", "/images/both:1/json", status=200).json
    identity = image["Id"].removeprefix("sha256:")
    entry, = json.loads(files["manifest.json"])
    equal(entry["Config"], f"blobs/sha256/{identity}")
    equal(entry["RepoTags"], ["both:1"])
    equal([sha256(files[name]) for name in entry["Layers"]],
          [name.removeprefix("sha256:") for name in image["RootFS"]["Layers"]])
    equal(json.loads(files["oci-layout"]), {"imageLayoutVersion": "1.0.0"})
    index = json.loads(files["index.json"])
    equal((index["schemaVersion"], index["mediaType"]), (2, INDEX))
    equal(index["manifests"][0]["annotations"],
          {"io.containerd.image.name": "docker.io/library/both:1",
           "org.opencontainers.image.ref.name": "1"})
    manifest = manifest_of(files)
    equal(manifest["config"]["digest"], image["Id"])
    for descriptor in manifest["layers"]:
        equal(len(files["blobs/sha256/" + descriptor["digest"][7:]]), descriptor["size"])
    equal(json.loads(files["repositories"])["both"].keys(), {"1"})


def test_what_is_saved_loads_again(d):
    d.ok("load", input=docker_archive([runnable("again"), layer({"x": b"y"})], ["again:1", "again:2"],
                                      COMMAND))
    before = d.api("GET", "/images/again:1/json", status=200).json
    path = f"{d.root}/again.tar"
    d.ok("save", "-o", path, "again")
    piped = d.ctl("save", "again", input=None)
    equal(piped.code, 0)
    d.ok("rmi", "again:1", "again:2")
    equal(d.ok("load", "-i", path).splitlines(), ["Loaded image: again:1", "Loaded image: again:2"])
    after = d.api("GET", "/images/again:2/json", status=200).json
    for key in ("Id", "RootFS", "Config", "Created", "RepoTags"):
        equal(after[key], before[key], key)
    equal(d.ok("run", "--rm", "again:1"), "again")
    with open(path, "rb") as file:
        first = file.read()
    # The same images make the same bytes, by whichever client.
    equal(d.request("GET", "/images/get?names=again").body, first)
    d.docker_ok("save", "-o", path + "2", "again")
    with open(path + "2", "rb") as file:
        equal(file.read(), first)


def test_blobs_leave_as_they_came(d):
    """Pulled, and loaded as OCI layout: packed layers and the manifest keep their digests."""
    image = Image([runnable("pulled"), layer({"a": os.urandom(1000)})], COMMAND)
    with Fake() as fake:
        name = f"{fake.host}/team/app:v1"
        wanted = fake.add("team/app", "v1", image)
        d.ok("pull", name)
        files = save(d, name)
    equal(json.loads(files["index.json"])["manifests"][0]["digest"], wanted)
    for blob in image.layers:
        equal(files[f"blobs/sha256/{sha256(blob)}"], blob)
    d.ok("rmi", name)
    equal(d.ok("load", input=imagemaker.archive(files)), f"Loaded image: {name}")
    equal(save(d, name), files)
    data = members(oci_layout([runnable("oci")], "docker.io/library/layout:1", COMMAND))
    d.ok("load", input=imagemaker.archive(data))
    saved = save(d, "layout:1")
    for key, value in data.items():
        if key.startswith("blobs/"):
            equal(saved[key], value)


def test_several_images_share_what_they_share(d):
    base = runnable("base")
    for number in range(2):
        d.ok("load", input=docker_archive([base, layer({"n": bytes([number])})], [f"sev:{number}"], COMMAND))
    d.ok("tag", "sev:1", "other/name:x")
    files = save(d, "sev", "other/name:x")
    entries = json.loads(files["manifest.json"])
    equal([e["RepoTags"] for e in entries], [["sev:0"], ["sev:1", "other/name:x"]])
    equal(entries[0]["Layers"][0], entries[1]["Layers"][0])
    equal(len(json.loads(files["index.json"])["manifests"]), 3)
    equal(len([name for name in files if name.startswith("blobs/")]), 2 + 2 + 3)


def test_by_id_there_is_no_name(d):
    identity = d.ok("load", input=docker_archive([runnable("id")], None)).split()[-1]
    for name in (identity, identity[7:19]):
        reply = d.api("GET", f"/images/{name}/get", status=200)
        files = members(reply.body)
        equal(json.loads(files["manifest.json"])[0]["RepoTags"], None)
        assert "annotations" not in json.loads(files["index.json"])["manifests"][0]
        assert "repositories" not in files


def test_unknown_names(d):
    equal(d.api("GET", "/images/nope/get", status=404).message, "No such image: nope:latest")
    d.api("GET", "/images/get?names=busybox&names=nope", status=404)
    d.api("GET", "/images/get", status=400)
    has(d.fails(1, "save", "-o", f"{d.root}/nothing", "nope"), "No such image: nope:latest")
    assert not os.path.exists(f"{d.root}/nothing")


def test_removed_while_it_is_saved(d):
    """What was there at the request is in the archive, however slow its reader is."""
    big = os.urandom(6 << 20)
    d.ok("load", input=docker_archive([layer({"big": big})], ["slow:1"]))
    conn = d.connect()
    conn.request("GET", "/images/slow:1/get")
    reply = conn.getresponse()
    first = reply.read(1000)
    d.ok("rmi", "slow:1")
    d.api("POST", "/images/prune", status=200)
    files = members(first + reply.read())
    conn.close()
    entry, = json.loads(files["manifest.json"])
    equal(members(files[entry["Layers"][0]])["big"], big)


def test_readers_that_leave(d):
    big = os.urandom(6 << 20)
    d.ok("load", input=docker_archive([layer({"big": big})], ["leave:1"]))
    before = d.settled_census()
    for _ in range(20):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(d.sock)
        sock.sendall(b"GET /images/leave:1/get HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.recv(1000)
        sock.close()
    d.api("GET", "/_ping", status=200)  # the HTTP server frees a connection at its next event
    d.assert_counts(before)
    d.ok("rmi", "leave:1")


def test_readers_that_do_not_read(d):
    """They hold up neither each other nor anybody else, nor the daemon's end."""
    d.ok("load", input=docker_archive([layer({"big": os.urandom(6 << 20)})], ["stuck:1"]))
    socks = []
    for _ in range(20):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(d.sock)
        sock.sendall(b"GET /images/stuck:1/get HTTP/1.1\r\nHost: x\r\n\r\n")
        has(sock.recv(15).decode(), "HTTP/1.1 200 OK")
        socks.append(sock)
    equal(d.ok("run", "--rm", "busybox", "echo", "on"), "on")
    save(d, "stuck:1")
    equal(d.stop(), 0)
    for sock in socks:
        sock.close()
    d.start()


def test_skopeo_reads_ours(d):
    image = Image([runnable("skopeo"), layer({"a": b"b"})], COMMAND)
    with Fake() as fake:
        fake.add("app", "v1", image)
        d.ok("pull", f"{fake.host}/app:v1")
        d.ok("tag", f"{fake.host}/app:v1", "forskopeo:1")
    d.ok("load", input=docker_archive([runnable("plain")], ["forskopeo:2"], COMMAND))
    for tag in "12":
        path = f"{d.root}/forskopeo{tag}.tar"
        d.ok("save", "-o", path, f"forskopeo:{tag}")
        wanted = d.api("GET", f"/images/forskopeo:{tag}/json", status=200).json
        for kind in ("docker-archive", "oci-archive"):
            config = json.loads(skopeo("inspect", "--config", f"{kind}:{path}"))
            equal(config["rootfs"]["diff_ids"], wanted["RootFS"]["Layers"], f"{kind} {tag}")
            copy = f"{d.root}/copy-{tag}-{kind}"
            skopeo("copy", f"{kind}:{path}", f"dir:{copy}")  # reads and compares every byte
            shutil.rmtree(copy)


def test_we_read_skopeo(d):
    path = f"{d.root}/start.tar"
    d.ok("load", input=docker_archive([runnable("from skopeo")], ["start:1"], COMMAND))
    d.ok("save", "-o", path, "start:1")
    for kind, name in (("docker-archive", "made:docker"), ("oci-archive", "made:oci")):
        made = f"{d.root}/{kind}.tar"
        skopeo("copy", f"docker-archive:{path}", f"{kind}:{made}:docker.io/library/{name}"
               if kind == "oci-archive" else f"{kind}:{made}:{name}")
        equal(d.ok("load", "-i", made), f"Loaded image: {name}")
        equal(d.ok("run", "--rm", name), "from skopeo")


def test_dockerd_and_we_exchange_images(d):
    plain = docker_archive([runnable("exchanged"), layer({"top": b"t"})], ["swap:plain"], COMMAND)
    packed = oci_layout([runnable("packed")], "docker.io/library/swap:packed", COMMAND)
    for data in (plain, packed):
        d.ok("load", input=data)
    path = f"{d.root}/swap.tar"
    d.ok("save", "-o", path, "swap")
    with dockerd() as docker:
        has(docker("load", "-i", path), "Loaded image: swap:plain", "Loaded image: swap:packed")
        for tag in ("plain", "packed"):
            theirs = json.loads(docker("image", "inspect", f"swap:{tag}"))[0]
            ours = d.api("GET", f"/images/swap:{tag}/json", status=200).json
            equal((theirs["Id"], theirs["RootFS"]), (ours["Id"], ours["RootFS"]))
        docker("save", "-o", f"{d.root}/theirs.tar", "swap:plain", "swap:packed")
    d.ok("rmi", "swap:plain", "swap:packed")
    equal(sorted(d.ok("load", "-i", f"{d.root}/theirs.tar").splitlines()),
          ["Loaded image: swap:packed", "Loaded image: swap:plain"])
    equal(d.ok("run", "--rm", "swap:plain"), "exchanged")
    equal(d.ok("run", "--rm", "swap:packed"), "packed")
    save(d, "swap")
