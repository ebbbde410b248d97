"""A registry at the end of a bad line, and images that other tools made."""
import json
import os
import random

import imagemaker
from harness import IMAGE, equal, has
from imagemaker import layer, sha256
from registries import OCI_INDEX, BadLine, Image, Registry, digest, index, skopeo
from test_registry import partial
from test_registry_auth import Place

SIZE = 400_000  # of the layer that will not pack


def make_image(text, **options):
    files = {**imagemaker.busybox_files(IMAGE), "text": f"{text}\n".encode()}
    return Image([layer({"noise": os.urandom(SIZE)}), layer(files)],
                 {"Cmd": ["/bin/busybox", "cat", "/text"]}, oci=True, **options)


def layout(directory, images):
    """An OCI layout of images and an index of them, which is called "multi"."""
    os.makedirs(f"{directory}/blobs/sha256")
    document = index(images)
    blobs = [document] + [blob for image in images for blob in (image.manifest, *image.blobs)]
    for blob in blobs:
        with open(f"{directory}/blobs/sha256/{sha256(blob)}", "wb") as file:
            file.write(blob)
    with open(f"{directory}/oci-layout", "w") as file:
        file.write('{"imageLayoutVersion": "1.0.0"}')
    with open(f"{directory}/index.json", "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [
            {**Image.descriptor(OCI_INDEX, document),
             "annotations": {"org.opencontainers.image.ref.name": "multi"}}]}, file)
    return document


def put(registry, place, name, *images):
    """What skopeo makes of them."""
    directory = f"{place}/{name.replace('/', '-')}"
    document = layout(directory, images)
    skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{directory}:multi",
           f"docker://{registry.host}/{name}:v1")
    return document


def whole(d, name, text, image):
    """It runs, nothing is left, and the store is sound."""
    equal(d.ok("run", "--rm", "--pull", "never", name), text)
    equal(partial(d, image), {})
    d.ok("system", "fsck")


def test_platforms_that_skopeo_pushed(d):
    images = [make_image("amd"), make_image("arm", arch="arm64")]
    with Place() as place, Registry(f"{place}/plain") as registry:
        document = put(registry, place, "multi", *images)
        name = f"{registry.host}/multi:v1"
        for platform, image in ((None, images[0]), ("linux/arm64", images[1]),
                                ("linux/amd64", images[0])):
            out = d.ok("pull", *(("--platform", platform) if platform else ()), name)
            has(out, f"Digest: {digest(document)}")
            equal(d.api("GET", f"/images/{name}/json", status=200).json["Id"], image.id)
        equal(d.ok("run", "--rm", name), "amd")
        for image, text in zip(images, ("amd64", "arm64")):  # each by its own manifest
            pinned = f"{registry.host}/multi@{digest(image.manifest)}"
            d.ok("pull", "-q", pinned)
            equal(d.api("GET", f"/images/{pinned}/json", status=200).json["Architecture"], text)
        has(d.fails(1, "pull", "--platform", "linux/riscv64", name),
            "no matching manifest for linux/riscv64 in the manifest list entries")


def test_lines_that_break(d):
    """Every connection ends early, at whatever byte, until some got through."""
    image = make_image("cut")
    with Place() as place, Registry(f"{place}/plain") as registry:
        put(registry, place, "app", image)
        for kind, at in (("cut", 1), ("cut", 200), ("cut", 3000), ("cut", 100_000), ("reset", 0),
                         ("reset", 500), ("reset", 250_000)):
            with BadLine(registry.port, lambda n, f=(kind, at): f if n < 3 else None) as line:
                name = f"{line.host}/app:v1"
                d.ok("pull", "-q", name)
                assert line.connections > 3, (kind, at, line.connections)
                whole(d, name, "cut", image)
                d.ok("rmi", name)


def test_a_line_that_breaks_all_the_time(d):
    """No connection lives for the whole blob; each brings a part of it."""
    image = make_image("parts")
    with Place() as place, Registry(f"{place}/plain") as registry:
        put(registry, place, "app", image)
        with BadLine(registry.port, lambda n: ("cut", 100_000)) as line:
            d.ok("pull", "-q", f"{line.host}/app:v1", timeout=120)
            assert line.connections > SIZE / 100_000, line.connections
            whole(d, f"{line.host}/app:v1", "parts", image)


def test_slow_lines(d):
    image = make_image("slow")
    with Place() as place, Registry(f"{place}/plain") as registry:
        put(registry, place, "app", image)
        with BadLine(registry.port, lambda n: ("trickle", 4000)) as line:
            d.ok("pull", "-q", f"{line.host}/app:v1", timeout=120)
            whole(d, f"{line.host}/app:v1", "slow", image)


def test_lines_that_change_a_byte(d):
    """Whatever byte it is, of a head or of a body: the pull brings the image or fails, never another
    image, and the next one succeeds."""
    image = make_image("flip")
    luck = random.Random(1)
    failed = 0
    with Place() as place, Registry(f"{place}/plain") as registry:
        put(registry, place, "app", image)
        for n in range(25):
            at = luck.choice((luck.randrange(400), luck.randrange(3000), luck.randrange(SIZE)))
            flips = [("flip", at)] * luck.randrange(1, 5)
            with BadLine(registry.port, lambda n, f=flips: f[n] if n < len(f) else None) as line:
                name = f"{line.host}/app:v1"
                done = d.ctl("pull", "-q", name)
                if done.code:
                    failed += 1
                    equal(d.ok("images", "-q", f"{line.host}/app"), "", at)
                    line.plan = lambda _: None
                    d.ok("pull", "-q", name)
                equal(d.api("GET", f"/images/{name}/json", status=200).json["Id"], image.id)
                whole(d, name, "flip", image)
                d.ok("rmi", name)
    assert failed < 25, failed


def test_pushes_over_lines_that_break(d):
    image = make_image("push")
    with Place() as place, Registry(f"{place}/plain") as registry:
        put(registry, place, "from", image)
        d.ok("pull", "-q", f"{registry.host}/from:v1")
        for n, fault in enumerate((("cut", 1), ("cut", 300), ("reset", 0), ("reset", 500))):
            with BadLine(registry.port, lambda n, f=fault: f if n < 2 else None) as line:
                name = f"{line.host}/to{n}:v1"
                d.ok("tag", f"{registry.host}/from:v1", name)
                for _ in range(4):  # what may not be sent twice ends a push; the next goes on
                    done = d.ctl("push", "-q", name)
                    if done.code == 0:
                        break
                equal(done.code, 0, done)
                got = json.loads(skopeo("inspect", "--raw", "--tls-verify=false",
                                        f"docker://{registry.host}/to{n}:v1"))
                equal(got["config"]["digest"], image.id)


def test_create_pulls(d):
    """What `create` does about a missing image is what `run` does."""
    image = make_image("create")
    with Place() as place, Registry(f"{place}/plain") as registry:
        put(registry, place, "app", image)
        name = f"{registry.host}/app:v1"
        has(d.fails(1, "create", "--pull", "never", name), f"No such image: {name}")
        done = d.ctl("create", "--name", "made", name)
        equal(done.code, 0, done)
        has(done.err, f"Unable to find image '{name}' locally", "v1: Pulling from app",
            "Status: Downloaded newer image")
        equal(d.ok("start", "-a", "made"), "create")
        done = d.ctl("create", "--pull", "always", name)
        equal(done.code, 0, done)
        has(done.err, "Status: Image is up to date")
        done = d.ctl("create", "--pull", "missing", "--quiet", name)
        equal((done.code, done.err), (0, ""))


def test_bars_on_a_terminal(d):
    """Numbers and bars where there is a screen, none in a file."""
    image = make_image("bars")
    with Place() as place, Registry(f"{place}/plain") as registry:
        put(registry, place, "app", image)
        with BadLine(registry.port, lambda n: ("trickle", 2000)) as line:
            terminal = d.terminal("pull", f"{line.host}/app:v1", rows=40, columns=150)
            equal(terminal.wait(), 0)
            short = digest(image.layers[0])[7:19]
            has(terminal.output, f"{short}: Downloading [", ">", "kB/", f"{short}: Pull complete",
                "\x1b[")
            d.ok("rmi", f"{line.host}/app:v1")
            out = d.ok("pull", f"{line.host}/app:v1")
            has(out, f"{short}: Pulling fs layer", f"{short}: Pull complete")
            assert "\x1b" not in out and "Downloading" not in out, out
