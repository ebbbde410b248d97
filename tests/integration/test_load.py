"""Archives that tell only at their end what is in them: layers are unpacked while they come."""
import gzip
import json
import os
import random
import signal
import socket
import tarfile
import threading
import time

import host
from harness import SLOW, STOCK, equal, has, wait_for
from imagemaker import archive, config_of, docker_archive, layer, link, sha256
from registries import Fake, Image, digest


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def load(d, files):
    """The lines of the answer to an archive of {name: bytes}."""
    data = files if isinstance(files, bytes) else archive(files)
    reply = d.api("POST", "/images/load", data, {"Content-Type": "application/x-tar"}, quiet="1", status=200)
    return [json.loads(line) for line in reply.body.splitlines() if line.strip()]


def loaded(d, files, *names):
    equal([line["stream"] for line in load(d, files)], [f"Loaded image: {name}\n" for name in names])


def image(layers, names, tag, number=0):
    """The files that make an image of layers which the archive has under these names, and its part of
    the manifest."""
    config = config_of(layers)
    return {f"c{number}.json": config}, {"Config": f"c{number}.json", "RepoTags": [tag], "Layers": names}


def manifest(*parts):
    return {"manifest.json": json.dumps(parts).encode()}


def directories(d, tag):
    """Of an image's layers, by the names of its chain."""
    chain, found = None, []
    for one in d.api("GET", f"/images/{tag}/json", status=200).json["RootFS"]["Layers"]:
        chain = f"sha256:{sha256(f'{chain} {one}'.encode())}" if chain else one
        found.append(f"{d.data}/layers/{chain[7:]}/diff")
    return found


def content(d, tag):
    """The names in each layer, bottom first; where a layer's directory is the whole tree, those that it adds."""
    names = [set(os.listdir(path)) for path in directories(d, tag)]
    if d.api("GET", "/info", status=200).json["Driver"] != "overlay2":
        names = [new - old for new, old in zip(names, [set(), *names])]
    return [sorted(some) for some in names]


def only(d, *tags):
    """Nothing is there but what these images need."""
    if STOCK:
        return
    needed = {path.split("/")[-2] for tag in (*tags, "busybox:latest") for path in directories(d, tag)}
    wait_for(lambda: set(os.listdir(f"{d.data}/layers")) == needed, "no other layer to be left")
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "an empty stage")


def remove(d, *tags):
    for tag in tags:
        d.api("DELETE", f"/images/{tag}", status=200)


def half_of(blob, gate):
    """A registry's answer: half of it, and the rest when the gate is open."""
    def fault(request):
        request.answer(200, blob[:len(blob) // 2], headers={"Content-Length": str(len(blob))})
        gate.wait(60 * SLOW)
        request.wfile.write(blob[len(blob) // 2:])
        return True
    return fault


def test_any_order(d):
    """Layers from the top, the manifest before, between and behind them."""
    layers = [layer({f"f{n}": noise(400_000, n)}) for n in range(5)]
    names = [f"l{n}.tar" for n in range(5)]
    described, part = image(layers, names, "order:1")
    by_name = dict(zip(names, layers))
    for order in (["manifest.json", "c0.json", *names], [*names[::-1], "c0.json", "manifest.json"],
                  [*names[3:], "manifest.json", *names[:3], "c0.json"]):
        everything = {**described, **manifest(part), **by_name}
        loaded(d, {name: everything[name] for name in order}, "order:1")
        equal(content(d, "order:1"), [[f"f{n}"] for n in range(5)])
        for number, path in enumerate(directories(d, "order:1")):
            with open(f"{path}/f{number}", "rb") as file:
                assert file.read() == noise(400_000, number), path
        only(d, "order:1")
        remove(d, "order:1")


def test_one_file_in_several_images(d):
    bottoms, common = [layer({f"bottom{n}": b"x"}) for n in range(3)], layer({"common": noise(300_000)})
    files, parts = {"common.tar": common, **{f"b{n}.tar": bottoms[n] for n in range(3)}}, []
    for n in range(3):
        more, part = image([bottoms[n], common], [f"b{n}.tar", "common.tar"], f"several:{n}", n)
        files.update(more)
        parts.append(part)
    more, part = image([common, common], ["common.tar", "common.tar"], "several:3", 3)
    loaded(d, {**files, **more, **manifest(*parts, part)}, *(f"several:{n}" for n in range(4)))
    for n in range(3):
        equal(content(d, f"several:{n}"), [[f"bottom{n}"], ["common"]])
    only(d, *(f"several:{n}" for n in range(4)))
    remove(d, *(f"several:{n}" for n in range(4)))


def test_links_to_layers(d):
    layers = [layer({"a": noise(200_000, 3)}), layer({"b": b"b"})]
    described, part = image(layers, ["one/layer.tar", "two/layer.tar"], "linked:1")
    files = {"one/layer.tar": link("../real/layer.tar"), "real/layer.tar": layers[0],
             "two/layer.tar": link("second.tar", tarfile.LNKTYPE), "second.tar": layers[1]}
    loaded(d, {**files, **described, **manifest(part)}, "linked:1")
    equal(content(d, "linked:1"), [["a"], ["b"]])
    remove(d, "linked:1")


def test_the_last_file_of_a_name_is_the_layer(d):
    """And not what was unpacked while the first one came."""
    good = layer({"good": noise(300_000)})
    described, part = image([good], ["l.tar"], "twice:1")
    bad = layer({"bad": noise(500_000)})
    first = archive({"l.tar": bad})[:512 + (len(bad) + 511) // 512 * 512]
    loaded(d, first + archive({"l.tar": good, **described, **manifest(part)}), "twice:1")
    equal(content(d, "twice:1"), [["good"]])
    only(d, "twice:1")
    remove(d, "twice:1")


def test_what_nobody_asks_for(d):
    """Whatever it is, it neither stays nor does harm."""
    good, big = layer({"good": b"x"}), layer({"big": noise(3 << 20)})
    described, part = image([good], ["good.tar"], "asked:1")
    junk = {"big.tar": big, "cut.tar": big[:1 << 20], "cut.gz": gzip.compress(big)[:1 << 19],
            "noise.gz": b"\x1f\x8b\x08" + noise(100_000), "up.tar": layer({"../../escaped": b"x"}),
            "empty.tar": b"", "name\nok - 1 - 1\n": layer({"f": b"x"}),
            **{f"small{n}.tar": layer({f"f{n}": b"x"}) for n in range(150)}}
    loaded(d, {**junk, "good.tar": good, **described, **manifest(part)}, "asked:1")
    only(d, "asked:1")
    for name, words in (("cut.tar", "truncated"), ("cut.gz", "gzip"), ("up.tar", "..")):
        broken, part = image([junk[name]], [name], "broken:1")
        answer = load(d, {**junk, **broken, **manifest(part)})
        equal(len(answer), 1, answer)
        if not STOCK:
            has(answer[0]["error"].lower(), words)
        d.api("GET", "/images/broken:1/json", status=404)
        only(d, "asked:1")
    remove(d, "asked:1")


def test_more_layers_than_workers(d):
    layers = [layer({f"f{n}": noise(100_000, n)}) for n in range(40)]
    loaded(d, docker_archive(layers, ["many:1"], compress=True, old_names=True), "many:1")
    equal(content(d, "many:1"), [[f"f{n}"] for n in range(40)])
    # And now that it is there.
    loaded(d, docker_archive(layers, ["many:2"], compress=True, old_names=True), "many:2")
    only(d, "many:1", "many:2")
    remove(d, "many:1", "many:2")


def test_the_client_goes_away(d):
    if STOCK:
        return  # keeps what it has until its next start
    data = docker_archive([layer({"f": noise(6 << 20, n)}) for n in range(3)], ["away:1"])
    for part in (600, 1 << 20, 7 << 20, len(data) - 1):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(d.sock)
            sock.sendall(b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\n"
                         b"Content-Length: %d\r\n\r\n" % len(data))
            sock.sendall(data[:part])
            time.sleep(0.1)
        only(d)
        d.api("GET", "/images/away:1/json", status=404)


def test_an_import_of_what_a_pull_brings(d):
    """Which layer it is shows at the end only: both unpack it, and whoever is first puts it in its place."""
    if STOCK:
        return
    data = layer({"f": noise(600_000, 77)})
    pulled, gate = Image([data]), threading.Event()
    blob = pulled.layers[0]

    with Fake() as fake:
        fake.add("app", "v1", pulled)
        for packed in (blob, data):  # the bytes that the pull wants, and others
            gate.clear()
            fake.fail("blobs", digest(blob), half_of(blob, gate))
            client = d.spawn_client("pull", f"{fake.host}/app:v1")
            try:
                wait_for(lambda: [s for s in os.listdir(f"{d.data}/tmp") if os.path.exists(f"{d.data}/tmp/{s}/l/diff/f")],
                         "the pull to unpack")
                d.ok("import", "-", "imported:1", input=packed)
                equal(content(d, "imported:1"), [["f"]])
            finally:
                gate.set()
                client.communicate(timeout=60 * SLOW)
            equal(client.returncode, 0)
            equal(directories(d, "imported:1"), directories(d, f"{fake.host}/app:v1"))
            with open(f"{directories(d, 'imported:1')[0]}/f", "rb") as file:
                assert file.read() == noise(600_000, 77)
            d.ok("system", "fsck")
            remove(d, "imported:1")
            equal(content(d, f"{fake.host}/app:v1"), [["f"]])
            only(d, f"{fake.host}/app:v1")
            remove(d, f"{fake.host}/app:v1")
            equal(os.listdir(f"{d.data}/blobs/partial"), [])


def test_a_pull_has_the_same_layers(d):
    """What it is through with is not unpacked again; what it still waits for is not waited for."""
    if STOCK:
        return
    layers = [layer({f"f{n}": noise(300_000, n + 50)}) for n in range(2)]
    pulled, gate = Image(layers), threading.Event()
    with Fake() as fake:
        fake.add("same", "v1", pulled)
        last = digest(pulled.layers[1])
        fake.fail("blobs", last, lambda request: gate.wait(60 * SLOW) and False)
        try:
            client = d.spawn_client("pull", f"{fake.host}/same:v1")
            wait_for(lambda: os.path.exists(f"{d.data}/blobs/partial/{digest(pulled.layers[0])[7:]}")
                     and fake.asked("GET", last), "the pull to wait")
            wait_for(lambda: any(os.path.exists(f"{d.data}/tmp/{stage}/l/diff/f0") for stage in os.listdir(f"{d.data}/tmp")),
                     "a layer of it")
            # The archive calls its layers by their diff ids.
            names = [f"{sha256(one)}.tar" for one in layers]
            described, part = image(layers, names, "same:1")
            loaded(d, {**dict(zip(names, layers)), **described, **manifest(part)}, "same:1")
            equal(content(d, "same:1"), [["f0"], ["f1"]])
        finally:
            gate.set()
            client.communicate(timeout=60 * SLOW)
        equal(client.returncode, 0)
    with open(d.log) as log:
        equal(log.read().count("taken from a pull"), 1)
    equal(content(d, f"{fake.host}/same:v1"), [["f0"], ["f1"]])
    d.ok("system", "fsck")
    only(d, "same:1", f"{fake.host}/same:v1")
    remove(d, "same:1", f"{fake.host}/same:v1")


def workers(d, command):
    """Pids of the daemon's layer workers that do this."""
    return [pid for pid in host.pids() if f"/containerd-lite-layer\0{command}\0" in host.read(f"/proc/{pid}/cmdline")
            and host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1] == str(d.process.pid)]


def test_a_pull_of_what_a_load_unpacked(d):
    """A pull that finds its layer unpacked by a load, which is not through, still wants all bytes of the blob."""
    if STOCK:
        return
    layers = [layer({f"f{n}": noise(3_000_000, n + 60)}) for n in range(2)]
    data = docker_archive(layers, ["both:1"], compress=True)
    pulled, gate = Image(layers[:1]), threading.Event()
    blob = pulled.layers[0]

    def size():
        path = f"{d.data}/blobs/partial/{digest(blob)[7:]}"
        return os.path.getsize(path) if os.path.exists(path) else 0

    with Fake() as fake, socket.socket(socket.AF_UNIX) as sock:
        fake.add("half", "v1", pulled)
        fake.fail("blobs", digest(blob), half_of(blob, gate))
        sock.connect(d.sock)
        sock.sendall(b"POST /images/load?quiet=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(data))
        sock.sendall(data[:5_000_000])
        wait_for(lambda: any(os.path.exists(f"{d.data}/tmp/{stage}/l/diff/f1") for stage in os.listdir(f"{d.data}/tmp"))
                 and len(workers(d, "unpack")) == 1, "the second layer to be the only one under way")
        second, = workers(d, "unpack")
        os.kill(second, signal.SIGSTOP)
        try:
            sock.sendall(data[5_000_000:])
            wait_for(lambda: not workers(d, "split"), "the archive to be there")
            time.sleep(0.2)  # its manifest is read
            client = d.spawn_client("pull", f"{fake.host}/half:v1")
            wait_for(lambda: size() > 0 or client.poll() is not None, "some of the blob")
            equal(workers(d, "unpack"), [second])
            time.sleep(0.2)
            gate.set()
            client.communicate(timeout=60 * SLOW)
        finally:
            gate.set()
            os.kill(second, signal.SIGCONT)
        equal(client.returncode, 0)
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
        has(answer.decode(), "Loaded image: both:1")
    d.ok("system", "fsck")
    equal(content(d, f"{fake.host}/half:v1"), [["f0"]])
    equal(content(d, "both:1"), [["f0"], ["f1"]])
    only(d, "both:1", f"{fake.host}/half:v1")
    remove(d, "both:1", f"{fake.host}/half:v1")
    equal(os.listdir(f"{d.data}/blobs/partial"), [])
