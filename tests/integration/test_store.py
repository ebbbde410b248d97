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


def usage(d, kind="Image"):
    return d.api("GET", "/system/df", status=200).json[f"{kind}Usage"]


def test_disk_usage_of_images(d):
    unused(d)
    before = usage(d)
    equal((before["TotalCount"], before["ActiveCount"]), (1, 0))
    equal(before["TotalSize"], before["Reclaimable"])
    content = noise(50000)
    packed = gzip.compress(layer({"f": content}), mtime=0)
    d.ok("load", input=docker_archive([layer({"f": content})], ["df:1"], compress=True))
    after = usage(d)
    equal(after["TotalSize"] - before["TotalSize"], len(content) + len(packed))
    container = d.ok("create", "df:1", "x")
    held = usage(d)
    equal((held["TotalCount"], held["ActiveCount"], held["Reclaimable"]), (2, 1, before["Reclaimable"]))
    df = d.api("GET", "/system/df", status=200).json
    equal(df["LayersSize"] + sum(os.path.getsize(f"{d.data}/blobs/sha256/{b}") for b in blobs(d)),
          df["ImageUsage"]["TotalSize"])
    equal({i["Containers"] for i in df["Images"]}, {0, 1})
    equal({i["SharedSize"] for i in df["Images"]}, {0})
    reply = d.api("POST", "/images/prune", status=200, filters='{"dangling":["true"]}').json
    equal(reply, {"ImagesDeleted": None, "SpaceReclaimed": 0})
    d.ok("rm", container)
    d.ok("tag", "df:1", "df:2")
    equal(d.api("DELETE", "/images/df:1", status=200).json, [{"Untagged": "df:1"}])
    d.ok("rmi", "df:2")
    equal(usage(d), before)


def test_disk_usage_of_containers_and_volumes(d):
    d.ok("volume", "create", "dfvol")
    running = d.run_detached("-v", "dfvol:/v", "busybox", "sh", "-c",
                             "head -c 5000 /dev/zero >/v/f; head -c 3000 /dev/zero >/f; echo ok; sleep 1000")
    wait_for(lambda: "ok" in d.ctl("logs", running).out, "the files")
    d.ok("run", "--name", "dead", "busybox", "sh", "-c", "head -c 2000 /dev/zero >/f")
    df = d.api("GET", "/system/df", status=200).json
    equal(df["ContainerUsage"], {"TotalCount": 2, "ActiveCount": 1, "TotalSize": 5000, "Reclaimable": 2000})
    equal(df["VolumeUsage"], {"TotalCount": 1, "ActiveCount": 1, "TotalSize": 5000, "Reclaimable": 0})
    equal(df["Volumes"][0]["UsageData"], {"Size": 5000, "RefCount": 1})
    equal(df["BuildCache"], [])
    rows = {line[:15].strip(): line.split() for line in d.ok("system", "df").splitlines()}
    equal(rows["Containers"][1:], ["2", "1", "5kB", "2kB", "(40%)"])
    equal(rows["Local Volumes"][2:], ["1", "1", "5kB", "0B", "(0%)"])
    # The stock client sums up by itself.
    theirs = {line[:15].strip(): line.split() for line in d.docker_ok("system", "df").splitlines()}
    equal(theirs["Containers"], rows["Containers"])
    equal(theirs["Local Volumes"], rows["Local Volumes"])
    verbose = d.ok("system", "df", "-v")
    has(verbose, "Images space usage:", "Containers space usage:", "Local Volumes space usage:", "dfvol")
    has(d.docker_ok("system", "df", "-v"), "dfvol")
    d.ok("rm", "-f", running, "dead")
    d.ok("volume", "rm", "dfvol")


def test_disk_usage_by_type(d):
    equal(d.api("GET", "/system/df?type=volume", status=200).json.keys(), {"Volumes", "VolumeUsage"})
    equal(d.api("GET", "/system/df?type=image&type=container", status=200).json.keys(),
          {"Images", "ImageUsage", "LayersSize", "Containers", "ContainerUsage"})
    equal(d.request("GET", "/v1.41/system/df?type=build-cache").json,
          {"BuildCache": [], "BuilderSize": 0})
    has(d.api("GET", "/system/df?type=dirt", status=400).message, "unknown object type: dirt")


def test_prune_filters(d):
    unused(d)
    for n, labels in enumerate(({"keep": "yes"}, {"stage": "old"}, {})):
        d.ok("load", input=docker_archive([layer({"n": noise(1000)})], [f"pruned:{n}"], {"Labels": labels}))
        d.ok("load", input=docker_archive([layer({"n": noise(1000)})], [f"pruned:{n}"], {"Labels": labels}))
    dangling = lambda: d.ok("images", "-q", "--filter", "dangling=true").split()  # noqa: E731
    equal(len(dangling()), 3)
    equal(d.api("POST", "/images/prune", status=200, filters='{"until":["1h"],"label":["nothing"]}')
          .json["ImagesDeleted"], None)
    out = d.ok("image", "prune", "-f", "--filter", "label!=keep=yes", "--filter", "label!=stage")
    has(out, "deleted: sha256:", "Total reclaimed space:")
    equal(len(dangling()), 2)
    d.ok("image", "prune", "-f", "--filter", "label=stage=old")
    equal(len(dangling()), 1)
    freed = d.api("POST", "/images/prune", status=200).json
    equal((len(dangling()), freed["SpaceReclaimed"] > 2000), (0, True))
    equal(len(d.ok("images", "-q", "pruned").split()), 3)
    unused(d)


def test_system_prune():
    with Daemon() as d:
        d.ok("load", input=docker_archive([layer({"n": noise(1000)})], ["pruned:1"]))
        d.ok("run", "--name", "done", "busybox", "true")
        d.ok("volume", "create", "named")
        stray = f"{d.data}/blobs/partial/{'a' * 64}"
        with open(stray, "wb") as file:
            file.write(b"x" * 5000)
        assert usage(d)["Reclaimable"] >= 5000
        out = d.ok("system", "prune", "-f")
        has(out, "Deleted Containers:", "Total reclaimed space:")
        equal(len(d.ok("images", "-q").split()), 2)
        out = d.ok("system", "prune", "-af")
        has(out, "untagged: busybox:latest", "untagged: pruned:1")
        equal(d.ok("images", "-q"), "")
        assert not os.path.exists(stray)
        wait_for(lambda: not blobs(d) and not os.listdir(f"{d.data}/layers"), "everything to go")
        equal(usage(d), {"TotalCount": 0, "ActiveCount": 0, "TotalSize": 0, "Reclaimable": 0})
        equal(d.ok("volume", "ls", "-q"), "named")


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
