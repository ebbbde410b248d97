"""What the image store keeps on disk, for how long, and what it says about it."""
import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
import threading
import time

import imagemaker
from harness import IMAGE, Daemon, equal, has, wait_for
from imagemaker import docker_archive, layer, oci_layout, sha256
from registries import Fake, Image


def blobs(d):
    return set(os.listdir(f"{d.data}/blobs/sha256"))


def load(d, data):
    return d.ok("load", input=data)


def rows(d, sql):
    db = sqlite3.connect(f"file:{d.data}/db.sqlite?mode=ro", uri=True)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def noise(count=2000):
    return os.urandom(count)


def members(data):
    """{name: bytes} of the files in a tar."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def unused(d):
    """Remove every image but the embedded one."""
    for image in d.api("GET", "/images/json", all=1, status=200).json:
        if "busybox:latest" not in image["RepoTags"]:
            d.api("DELETE", f"/images/{image['Id']}", force=1, status=200)


def test_load_keeps_layers_as_they_came(d):
    unused(d)
    before = blobs(d)
    plain, packed = layer({"plain": noise()}), layer({"packed": noise()})
    load(d, docker_archive([plain], ["kept:plain"]))
    load(d, docker_archive([packed], ["kept:packed"], compress=True))
    wanted = {sha256(plain), sha256(gzip.compress(packed, mtime=0))}
    equal(blobs(d) - before, wanted)
    for name in wanted:
        path = f"{d.data}/blobs/sha256/{name}"
        with open(path, "rb") as file:
            equal(hashlib.sha256(file.read()).hexdigest(), name)
        equal(os.stat(path).st_mode & 0o7777, 0o600)
    d.ok("rmi", "kept:plain", "kept:packed")
    wait_for(lambda: blobs(d) == before, "the blobs to go")


def test_import_keeps_its_layer(d):
    before = blobs(d)
    for data in layer({"f": noise()}), gzip.compress(layer({"f": noise()})):
        d.ok("import", "-", "imported:1", input=data)
        assert sha256(data) in blobs(d)
    unused(d)
    wait_for(lambda: blobs(d) == before, "the blobs to go")


def test_pull_keeps_blobs_and_names(d):
    before = blobs(d)
    image = Image([layer({"a": noise()}), layer({"b": noise()})])
    with Fake() as fake:
        manifest = fake.add("team/app", "v1", image)
        d.ok("pull", f"{fake.host}/team/app:v1")
        equal(blobs(d) - before, {sha256(b) for b in image.layers})
        equal(os.listdir(f"{d.data}/blobs/partial"), [])
        wanted = [f"{fake.host}/team/app@{manifest}"]
        details = d.api("GET", f"/images/{fake.host}/team/app:v1/json", status=200).json
        equal(details["RepoDigests"], wanted)
        equal(d.api("GET", f"/images/{wanted[0]}/json", status=200).json["Id"], details["Id"])
        listed = [i for i in d.api("GET", "/images/json", status=200).json if i["Id"] == details["Id"]]
        equal(listed[0]["RepoDigests"], wanted)
        has(d.ok("images", "--digests"), manifest)
        has(d.docker_ok("images", "--digests"), manifest)
        # Its name gone, another one left: the digest goes with its repository.
        d.ok("tag", f"{fake.host}/team/app:v1", "other:1")
        equal(d.ok("rmi", f"{fake.host}/team/app:v1").splitlines(),
              [f"Untagged: {fake.host}/team/app:v1", f"Untagged: {wanted[0]}"])
        equal(d.api("GET", "/images/other:1/json", status=200).json["RepoDigests"], [])
        # It comes back without a byte being fetched but the manifest's.
        fake.requests.clear()
        d.ok("pull", f"{fake.host}/team/app:v1")
        equal(fake.asked("GET", "/blobs/"), [])
    unused(d)
    wait_for(lambda: blobs(d) == before, "the blobs to go")


def test_pull_by_digest_has_no_tag(d):
    tar = layer({"a": noise()})
    image = Image([tar])
    with Fake() as fake:
        name = f"{fake.host}/app@{fake.add('app', 'v1', image)}"
        d.ok("pull", name)
        details = d.api("GET", f"/images/{name}/json", status=200).json
        equal((details["RepoTags"], details["RepoDigests"]), ([], [name]))
        equal(d.ok("images", "-q", "--no-trunc", "--filter", "dangling=true"), details["Id"])
        equal(d.ok("rmi", name).splitlines(),
              [f"Untagged: {name}", f"Deleted: {details['Id']}",
               f"Deleted: sha256:{sha256(tar)}"])
        d.api("GET", f"/images/{name}/json", status=404)


def test_pull_uses_blobs_that_are_here(d):
    """The same bytes on top of another layer make another layer, but not another download."""
    shared = layer({"shared": noise()})
    with Fake() as fake:
        fake.add("app", "one", Image([shared]))
        fake.add("app", "two", Image([layer({"below": noise()}), shared]))
        d.ok("pull", f"{fake.host}/app:one")
        fake.requests.clear()
        d.ok("pull", f"{fake.host}/app:two")
        equal(fake.asked("GET", sha256(gzip.compress(shared, mtime=0))), [])
    unused(d)


def test_oci_blob_that_lies(d):
    before = blobs(d)
    good = layer({"f": b"good"})
    data = oci_layout([good], "lying:1")
    name = sha256(gzip.compress(good, mtime=0))
    # The same layer under the name of other bytes: packed otherwise, the diff id is still right.
    packed = gzip.compress(good, compresslevel=1, mtime=1)
    files = members(data)
    files[f"blobs/sha256/{name}"] = packed
    out = d.ctl("load", input=imagemaker.archive(files))
    equal(out.code, 1)
    has(out.err, f"blob sha256:{name} has the digest sha256:{sha256(packed)}")
    equal(blobs(d), before)


def test_start_removes_what_nobody_knows():
    with Daemon() as d:
        load(d, docker_archive([layer({"f": noise()})], ["stays:1"]))
        kept = blobs(d)
        d.stop()
        orphan, old, new = "a" * 64, "b" * 64, "c" * 64
        paths = [f"{d.data}/blobs/sha256/{orphan}", f"{d.data}/blobs/partial/{old}",
                 f"{d.data}/blobs/partial/{new}"]
        for path in paths:
            with open(path, "wb") as file:
                file.write(b"x" * 1000)
        month = time.time() - 30 * 24 * 3600
        os.utime(paths[1], (month, month))
        d.start()
        equal(blobs(d), kept)
        equal(os.listdir(f"{d.data}/blobs/partial"), [new])


def test_start_collects_rows():
    with Daemon() as d:
        before = blobs(d), len(rows(d, "SELECT * FROM layers"))
        load(d, docker_archive([layer({"f": noise()})], ["goes:1"]))
        d.stop()
        db = sqlite3.connect(f"{d.data}/db.sqlite")
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("DELETE FROM images WHERE id IN (SELECT image_id FROM tags WHERE name LIKE '%goes%')")
        db.commit()
        db.close()
        d.start()
        equal((blobs(d), len(rows(d, "SELECT * FROM layers"))), before)


def test_loads_removals_and_prunes_at_once():
    """Whatever happens at the same moment, an image that is there is whole."""
    with Daemon() as d:
        hammer(d)


def hammer(d):
    base = layer({**imagemaker.busybox_files(IMAGE), "base": noise(100000)})
    archives = [docker_archive([base, layer({"number": f"{n}\n".encode()})], [f"race:{n}"],
                               {"Cmd": ["/bin/busybox", "cat", "/number"]}) for n in range(2)]
    stop = threading.Event()

    def again(action):
        while not stop.is_set():
            action()

    def reload(n):
        for _ in range(12):
            reply = d.api("POST", "/images/load", archives[n], {"Content-Type": "application/x-tar"})
            equal(reply.status, 200)
            assert b"errorDetail" not in reply.body, reply.body

    loaders = [threading.Thread(target=reload, args=(n,)) for n in range(2)]
    others = [threading.Thread(target=again, args=(action,)) for action in (
        lambda: d.request("DELETE", "/images/race:0?force=1"),
        lambda: d.request("POST", "/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D"))]
    for thread in loaders + others:
        thread.start()
    for thread in loaders:
        thread.join()
    stop.set()
    for thread in others:
        thread.join()
    for n in range(2):
        load(d, archives[n])
        equal(d.ok("run", "--rm", f"race:{n}"), str(n))
    known = {digest for digest, in rows(d, "SELECT digest FROM blobs")}
    wait_for(lambda: blobs(d) == known, "files and rows to agree")
    equal({c for c, in rows(d, "SELECT chain_id FROM layers")}, set(os.listdir(f"{d.data}/layers")))
