"""An image store that was damaged: what `system fsck` finds, what it repairs, and that a pull or a
load brings the rest again."""
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import tarfile
import threading
import time

import host
import imagemaker
from harness import IMAGE, SLOW, Daemon, equal, has, wait_for
from imagemaker import layer, sha256
from registries import Fake, Image, digest

HEX = "0123456789abcdef" * 4


def make_image(text):
    files = {**imagemaker.busybox_files(IMAGE), "text": f"{text}\n".encode()}
    return Image([layer({"noise": os.urandom(300_000)}), layer(files)],
                 {"Cmd": ["/bin/busybox", "cat", "/text"]})


def fsck(d, **parameters):
    """(problems, sums, error or None)"""
    reply = d.api("POST", "/system/fsck", status=200, **parameters)
    lines = [json.loads(line) for line in reply.body.splitlines()]
    told = [line["aux"] for line in lines if "aux" in line]
    return told[:-1], told[-1], lines[-1].get("error")


def short(problems):
    return sorted((p["Kind"], p["Problem"], p["Id"].removeprefix("sha256:"), p["Repaired"])
                  for p in problems)


def blob_path(d, blob):
    return f"{d.data}/blobs/sha256/{sha256(blob)}"


def layer_path(d, image, n):
    chain = []
    for diff_id in json.loads(image.config)["rootfs"]["diff_ids"]:
        chain.append(sha256(f"sha256:{chain[-1]} {diff_id}".encode()) if chain else diff_id[7:])
    return f"{d.data}/layers/{chain[n]}"


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def clean(d):
    problems, sums, error = fsck(d)
    equal((problems, sums["Problems"], error), ([], 0, None))
    return sums


def test_nothing_to_find(d):
    with Fake() as fake:
        image = make_image("fine")
        before = clean(d)
        fake.add("app", "v1", image)
        d.ok("pull", "-q", f"{fake.host}/app:v1")
        d.sleeper()
        after = clean(d)
        equal({key: after[key] - before[key] for key in after},
              {"Images": 1, "Layers": 2, "Blobs": 2, "Problems": 0, "Repaired": 0,
               "Bytes": sum(len(blob) for blob in image.layers)})
    has(d.ok("system", "fsck"), "images, ", "layers, ", "blobs: 0 problems, 0 repaired")


def test_orphans():
    """What a daemon that was killed may leave; a start removes most of it, too."""
    with Daemon() as d:
        keeper = d.sleeper()
        before = clean(d)
        partial = os.listdir(f"{d.data}/blobs/sha256")[0]
        os.makedirs(f"{d.data}/layers/{HEX}/diff/a")
        os.makedirs(f"{d.data}/containers/{HEX}/upper/b")
        for name in (f"blobs/sha256/{HEX}", f"blobs/partial/{HEX}", f"blobs/partial/{partial}"):
            with open(f"{d.data}/{name}", "w") as file:
                file.write("left")
        want = [("blob", "orphan", HEX), ("container", "orphan", HEX), ("download", "orphan", partial),
                ("layer", "orphan", HEX)]
        problems, sums, error = fsck(d)
        equal(short(problems), [(*one, False) for one in want])
        equal((sums["Problems"], sums["Repaired"], error), (4, 0, "4 problems are left in the store"))
        err = d.fails(1, "system", "fsck")
        has(err, "4 problems are left in the store")
        problems, sums, error = fsck(d, repair=1)
        equal(short(problems), [(*one, True) for one in want])
        equal((sums["Problems"], sums["Repaired"], error), (4, 4, None))
        for name in ("layers", "containers", "blobs/sha256"):
            assert not os.path.exists(f"{d.data}/{name}/{HEX}"), name
        # One that may be resumed is no orphan.
        equal(os.listdir(f"{d.data}/blobs/partial"), [HEX])
        wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the trash to be emptied")
        equal(clean(d), before)
        equal(d.exec(keeper, "echo", "alive"), "alive")


def test_broken_blobs(d):
    """A bit, the last byte, all bytes: each is found, forgotten and fetched again; nothing else is."""
    image = make_image("blob")
    for damage in (lambda path: flip(path, 1000), lambda path: os.truncate(path, 5000),
                   lambda path: os.truncate(path, 0), os.unlink):
        with Fake() as fake:
            fake.add("app", "v1", image)
            name = f"{fake.host}/app:v1"
            d.ok("pull", "-q", name)
            damage(blob_path(d, image.layers[0]))
            gone = not os.path.exists(blob_path(d, image.layers[0]))
            want = ("blob", "missing" if gone else "corrupt", sha256(image.layers[0]))
            problems, _, error = fsck(d)
            equal((short(problems), error), ([(*want, False)], "1 problem is left in the store"))
            out = d.ok("system", "fsck", "--repair")
            has(out, f"blob {digest(image.layers[0])}: {want[1]}", "the next pull brings it again",
                "1 problems, 1 repaired")
            clean(d)
            equal(d.ok("run", "--rm", "--pull", "never", name), "blob")  # its layers are whole
            fake.requests.clear()
            has(d.ok("pull", name), "Pull complete")
            equal([len(fake.asked("GET", digest(blob))) for blob in image.layers], [1, 0])
            clean(d)
            d.ok("save", "-o", "/dev/null", name)
            d.ok("rmi", name)


def test_lost_layers(d):
    """The directory of a layer, or the files in it, are gone: it is unpacked again from its blob."""
    image = make_image("layer")
    with Fake() as fake:
        fake.add("app", "v1", image)
        name = f"{fake.host}/app:v1"
        d.ok("pull", "-q", name)
        for n in (0, 1):
            for lost in ("", "/diff"):
                path = layer_path(d, image, n)
                shutil.rmtree(path + lost)
                found = ("layer", "missing", os.path.basename(path))
                problems, _, error = fsck(d)
                equal((short(problems), error), ([(*found, False)], "1 problem is left in the store"))
                problems, _, error = fsck(d, repair=1)
                equal((short(problems), error), ([(*found, True)], None))
                clean(d)
                equal(d.ok("run", "--rm", name), "layer")
        equal(len(fake.asked("GET", digest(image.layers[1]))), 1, "downloads: the blob was there")


def test_lost_layers_without_blobs(d):
    """Then a pull and a load bring them again."""
    image = make_image("bare")
    with Fake() as fake:
        fake.add("app", "v1", image)
        name = f"{fake.host}/app:v1"
        d.ok("pull", "-q", name)
        archive = f"{d.root}/saved.tar"
        d.ok("save", "-o", archive, name)
        for again in (("pull", "-q", name), ("load", "-q", "-i", archive)):
            path = layer_path(d, image, 1)
            shutil.rmtree(path)
            os.unlink(blob_path(d, image.layers[1]))
            problems, _, error = fsck(d, repair=1)
            equal(short(problems), [("blob", "missing", sha256(image.layers[1]), True),
                                    ("layer", "missing", os.path.basename(path), False)])
            equal(error, "1 problem is left in the store")
            d.ok(*again)
            clean(d)
            equal(d.ok("run", "--rm", name), "bare")


def test_altered_layers():
    """Whatever of a layer's files is not what its blob says is found, whichever driver made it, and
    put right; what runs is not pulled from under its feet."""
    for driver in ("overlay2", "vfs"):
        altered_layers(driver)


def alterations():
    """(what is done to the directory of the top layer, the path that is told)"""
    def keep_time(path, act):
        before = os.lstat(path)
        act(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)

    def relink(path):
        os.unlink(path)
        os.symlink("/text2", path)

    def device(path):
        os.unlink(path)
        os.mknod(path, 0o644)

    def copy(path):
        shutil.copy2(path, f"{path}.new")
        os.rename(f"{path}.new", path)

    return [
        (lambda d: keep_time(f"{d}/text", lambda p: flip(p, 1)), "text"),
        (lambda d: keep_time(f"{d}/etc/deep/big", lambda p: flip(p, 299_999)), "etc/deep/big"),
        (lambda d: keep_time(f"{d}/hollow", lambda p: flip(p, 5 << 20)), "hollow"),
        (lambda d: os.utime(f"{d}/text"), "text"),
        (lambda d: os.truncate(f"{d}/text", 1), "text"),
        (lambda d: os.chmod(f"{d}/etc/deep", 0o700), "etc/deep"),
        (lambda d: os.chown(f"{d}/etc/deep/big", 5, 6), "etc/deep/big"),
        (lambda d: os.unlink(f"{d}/etc/deep/big"), "etc/deep/big"),
        (lambda d: shutil.rmtree(f"{d}/etc/deep"), "etc/deep"),
        (lambda d: os.mkdir(f"{d}/etc/deep/new"), "etc/deep/new"),
        (lambda d: keep_time(f"{d}/link", relink), "link"),
        (lambda d: device(f"{d}/text"), "text"),
        (lambda d: os.setxattr(f"{d}/text", "user.new", b"x"), "text"),
        (lambda d: os.setxattr(f"{d}/labelled", "user.label", b"other"), "labelled"),
        (lambda d: os.removexattr(f"{d}/labelled", "user.label"), "labelled"),
        (lambda d: copy(f"{d}/twin"), "twin"),
    ]


def altered_layers(driver):
    labelled = tarfile.TarInfo()
    labelled.mode = 0o644
    labelled.pax_headers = {"SCHILY.xattr.user.label": "value"}
    bottom = layer({"gone": b"x", "below": None, "below/old": b"x"})
    top = layer({**imagemaker.busybox_files(IMAGE), "text": b"altered\n", "etc": None, "etc/deep": None,
                 "etc/deep/big": os.urandom(300_000), "hollow": bytes(6 << 20), "link": imagemaker.link("/text"),
                 "labelled": labelled, "twin": b"twins", "other": imagemaker.link("twin", tarfile.LNKTYPE),
                 ".wh.gone": b"", "below": None, "below/.wh..wh..opq": b"", "null": b""})
    image = Image([bottom, top], {"Cmd": ["/bin/busybox", "cat", "/text"]})
    with Daemon("-s", driver) as d, Fake() as fake:
        fake.add("app", "v1", image)
        name = f"{fake.host}/app:v1"
        d.ok("pull", "-q", name)
        clean(d)
        path = layer_path(d, image, 1)
        found = ("layer", "corrupt", os.path.basename(path))
        for alter, told in alterations()[::1 if driver == "overlay2" else 5]:
            alter(f"{path}/diff")
            out = d.ctl("system", "fsck")
            equal(out.code, 1)
            has(out.out, f"layer sha256:{os.path.basename(path)}: corrupt: its files are not those of its blob: ",
                "1 problems, 0 repaired")
            if told != "twin":  # or the other name of that file
                has(out.out, f": {told}\n")
            problems, _, error = fsck(d, repair=1)
            equal((short(problems), error), ([(*found, True)], None))
        clean(d)
        equal(d.ok("run", "--rm", name), "altered")
        # Of one that a container stands on.
        up = d.run_detached("--entrypoint", "/bin/busybox", name, "sleep", "1000")
        os.unlink(f"{path}/diff/text")
        problems, _, error = fsck(d, repair=1)
        equal(short(problems), [(*found, driver != "overlay2")])
        d.exec(up, "/bin/busybox", "ls", "/bin")
        if driver == "overlay2":
            has(d.ctl("system", "fsck", "--repair").out, "what runs uses it, and must stop first")
            d.ok("kill", up)
            d.wait_state(up, "exited")
            equal(short(fsck(d, repair=1)[0]), [(*found, True)])
        clean(d)
        d.ok("rm", "-f", up)
        # One on which others stand.
        os.unlink(f"{layer_path(d, image, 0)}/diff/gone")
        os.unlink(f"{path}/diff/text")
        problems = short(fsck(d)[0])
        equal(len(problems), 2 if driver == "overlay2" else 1, problems)
        equal(len(fsck(d, repair=1)[0]), 2)
        clean(d)
        equal(d.ok("run", "--rm", name), "altered")
        wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the stages to go")


def test_a_layer_whose_blob_is_another(d):
    image, other = make_image("one"), make_image("two")
    with Daemon() as own, Fake() as fake:
        for n, i in enumerate((image, other)):
            fake.add("app", f"v{n}", i)
            own.ok("pull", "-q", f"{fake.host}/app:v{n}")
        own.stop()
        with sqlite3.connect(f"{own.data}/db.sqlite") as db:
            diff = json.loads(image.config)["rootfs"]["diff_ids"][0][7:]
            db.execute("UPDATE OR REPLACE layer_blobs SET digest=? WHERE diff_id=?", (sha256(other.layers[0]), diff))
        db.close()
        own.start()
        problems, _, _ = fsck(own, repair=1)
        has(str(short(problems)), f"('layer', 'inconsistent', '{diff}', False)")


def test_rows_that_lie():
    image = make_image("rows")
    with Daemon() as d, Fake() as fake:
        fake.add("app", "v1", image)
        d.ok("pull", "-q", f"{fake.host}/app:v1")
        d.stop()
        with sqlite3.connect(f"{d.data}/db.sqlite") as db:
            db.execute("UPDATE images SET config=config||' ' WHERE id=?", (sha256(image.config),))
            db.execute("UPDATE image_manifests SET body=body||' ' WHERE digest=?",
                       (sha256(image.manifest),))
            db.execute("UPDATE layers SET diff_id=? WHERE parent IS NOT NULL", (HEX,))
        db.close()
        d.start()
        problems, _, error = fsck(d, repair=1)
        equal(sorted((p["Kind"], p["Problem"]) for p in problems),
              [("image", "corrupt"), ("layer", "inconsistent"), ("manifest", "corrupt")])
        equal(error, "3 problems are left in the store")


def waiting(d, *options):
    """A client whose examination waits for what else is under way."""
    client = d.spawn_client("system", "fsck", *options)
    while b"Waiting for other operations" not in client.stdout.readline():
        assert client.poll() is None, client.stderr.read()
    return client


def test_it_waits_for_others_and_comes_alone(d):
    """A pull's layers are on disk before they have rows: nothing may take them for orphans."""
    image = make_image("waits")
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.gate = threading.Event()
        puller = d.spawn_client("pull", "-q", f"{fake.host}/app:v1")
        wait_for(lambda: fake.asked("GET", digest(image.config)), "the config to be asked for")
        first = waiting(d, "--repair")
        equal(d.api("POST", "/system/fsck", status=409).message,
              "the store is being examined already")
        fake.gate.set()
        for client in (puller, first):
            out, err = client.communicate(timeout=60 * SLOW)
            equal(client.returncode, 0, (out, err))
        clean(d)
        equal(d.ok("run", "--rm", f"{fake.host}/app:v1"), "waits")


def test_a_client_that_leaves_ends_it(d):
    image = make_image("leaves")
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.gate = threading.Event()
        puller = d.spawn_client("pull", "-q", f"{fake.host}/app:v1")
        wait_for(lambda: fake.asked("GET", digest(image.config)), "the config to be asked for")
        client = waiting(d)
        client.kill()
        client.communicate()
        # The next one is let in when that one is gone, and waits in its place.
        second = None
        for _ in range(100):
            second = d.spawn_client("system", "fsck")
            if b"Waiting" in second.stdout.readline():
                break
            second.communicate()
        fake.gate.set()
        for client in (puller, second):
            equal(client.wait(60 * SLOW), 0)
            client.communicate()
        clean(d)


def unpacking(d):
    """Pids of workers that unpack; looks in no other place, for it is to be quick."""
    children = host.read(f"/proc/{d.process.pid}/task/{d.process.pid}/children").split()
    return [int(pid) for pid in children if "\0unpack\0" in host.read(f"/proc/{pid}/cmdline")]


def test_a_client_that_leaves_while_a_layer_is_unpacked(d):
    """The worker may end when the examination is over, but not yet gone, as the pool is busy."""
    image = Image([layer({"noise": os.urandom(60 << 20)})], packing=None)
    with Fake() as fake:
        fake.add("app", "v1", image)
        d.ok("pull", "-q", f"{fake.host}/app:v1")
        before = d.settled_census()
        client = d.spawn_client("system", "fsck")
        for _ in range(20):
            while not unpacking(d) and client.poll() is None:
                pass
            worker = next(iter(unpacking(d)), None)
            if worker:
                break
            client.communicate()
            client = d.spawn_client("system", "fsck")
        os.kill(worker, signal.SIGSTOP)
        with host.stopped_threads(d.process.pid):
            client.kill()
            client.communicate()
            time.sleep(0.3)  # the daemon sees it go
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
            time.sleep(0.3)
        d.assert_counts(before)
        clean(d)
        d.ok("rmi", f"{fake.host}/app:v1")


def test_daemon_stops_meanwhile():
    with Daemon() as d, Fake() as fake:
        fake.add("app", "v1", make_image("stops"))
        fake.gate = threading.Event()
        puller = d.spawn_client("pull", "-q", f"{fake.host}/app:v1")
        wait_for(lambda: [r for r in fake.requests if "/blobs/" in r[1]], "the config to be asked for")
        client = waiting(d)
        equal(d.stop(), 0)
        assert client.wait(20 * SLOW) != 0
        puller.wait(20 * SLOW)
        fake.gate.set()
        d.start()
        clean(d)
