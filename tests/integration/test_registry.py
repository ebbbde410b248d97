"""Pulling: names, manifests, layers, platforms, from docker-registry and from a registry that fails
in all the ways that networks and servers do."""
import json
import os
import shutil
import threading

import host
import imagemaker
from harness import IMAGE, SLOW, equal, has, wait_for
from imagemaker import layer, sha256
from registries import (OCI_INDEX, OCI_MANIFEST, Fake, Image, Registry, Server, body, cut_after, digest,
                        free_port, index, skopeo, status)


def runnable(text="hello", **options):
    files = {**imagemaker.busybox_files(IMAGE), "text": f"{text}\n".encode()}
    return Image([layer(files)], {"Cmd": ["/bin/busybox", "cat", "/text"]}, **options)


def small(*names, **options):
    return Image([layer({name: name.encode() * 1000}) for name in names or ("a", "b", "c")], **options)


def noise(count):
    return os.urandom(count)


def lines(reply):
    return [json.loads(line) for line in reply.body.splitlines() if line.strip()]


def statuses(reply):
    return [line.get("status") for line in lines(reply)]


def pull(d, name, want=200, **parameters):
    return d.api("POST", "/images/create", fromImage=name, status=want, **parameters)


def error_of(reply):
    last = lines(reply)[-1]
    equal(last["error"], last["errorDetail"]["message"])
    return last["error"]


def partial(d, image):
    """Blobs of the image that are half here: {digest: bytes}"""
    names = [f"{d.data}/blobs/partial/{sha256(blob)}" for blob in image.blobs]
    return {os.path.basename(name): os.path.getsize(name) for name in names if os.path.exists(name)}


def test_pull_and_run(d):
    with Fake() as fake:
        fake.add("team/app", "v1", runnable("pulled"))
        name = f"{fake.host}/team/app:v1"
        out = d.ok("pull", name).splitlines()
        equal(out[0], "v1: Pulling from team/app")
        has("\n".join(out), "Pulling fs layer", "Download complete", "Pull complete")
        assert out[-3].startswith("Digest: sha256:"), out
        equal(out[-2:], [f"Status: Downloaded newer image for {name}", name])
        equal(d.ok("run", "--rm", name), "pulled")
        fake.requests.clear()
        out = d.ok("pull", name).splitlines()
        equal(out[0], "v1: Pulling from team/app")
        equal(out[-2], f"Status: Image is up to date for {name}")
        equal([r[:2] for r in fake.requests if "/v2/" in r[1]],
              [("HEAD", "/v2/team/app/manifests/v1")], "requests of a pull that brings nothing")
        fake.fail("manifests", "v1", status(405))  # a registry without HEAD
        has(d.ok("pull", name), "Image is up to date")


def test_pull_progress_lines(d):
    image = small("x", "y")
    with Fake() as fake:
        manifest = fake.add("app", "v1", image)
        got = lines(pull(d, f"{fake.host}/app", tag="v1"))
    short = [digest(blob)[7:19] for blob in image.layers]
    equal(got[0], {"status": "Pulling from app", "id": "v1"})
    for line in got[1:-2]:
        assert "progressDetail" in line and line["id"] in short, line
    for one in short:
        told = [line["status"] for line in got if line.get("id") == one]
        told = [word for n, word in enumerate(told) if word not in ("Downloading", "Extracting")]
        equal(told, ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"])
    equal(got[-2:], [{"status": f"Digest: {manifest}"},
                     {"status": f"Status: Downloaded newer image for {fake.host}/app:v1"}])


def test_kinds_of_images(d):
    """Docker schema 2 and OCI, layers plain, gzip, zstd."""
    kinds = {"docker": {}, "oci": {"oci": True}, "zstd": {"oci": True, "packing": "zstd"},
             "plain": {"oci": True, "packing": None}}
    with Fake() as fake:
        for kind, options in kinds.items():
            fake.add("app", kind, runnable(kind, **options))
            equal(d.ok("run", "--rm", f"{fake.host}/app:{kind}"), kind)


def test_run_pulls_what_is_missing(d):
    with Fake() as fake:
        fake.add("app", "latest", runnable("first"))
        name = f"{fake.host}/app"
        err = d.fails(125, "run", "--rm", "--pull", "never", name)
        has(err, f"No such image: {name}:latest")
        equal(fake.requests, [], "requests of --pull never")
        done = d.ctl("run", "--rm", name)
        equal((done.code, done.out), (0, "first\n"))
        has(done.err, f"Unable to find image '{name}:latest' locally", "latest: Pulling from app")
        fake.add("app", "latest", runnable("second"))
        equal(d.ok("run", "--rm", name), "first")
        equal(d.ok("run", "--rm", "--pull", "always", name), "second")
        equal(d.ok("run", "--rm", "-q", "--pull", "always", name), "second")


def test_pull_output(d):
    with Fake() as fake:
        fake.add("app", "latest", small())
        name = f"{fake.host}/app"
        equal(d.ok("pull", "-q", name), f"{name}:latest")
        equal(d.ok("pull", name).splitlines()[0], "Using default tag: latest")
        d.ok("rmi", name)
        terminal = d.terminal("pull", name)
        equal(terminal.wait(), 0)
        has(terminal.output, "Pull complete", "\x1b[")


def test_stock_client_pulls(d):
    with Fake() as fake:
        fake.add("app", "v1", runnable("stock"))
        out = d.docker_ok("pull", f"{fake.host}/app:v1")
        has(out, "v1: Pulling from app", "Pull complete", "Status: Downloaded newer image")
        equal(d.docker_ok("run", "--rm", f"{fake.host}/app:v1"), "stock")


def test_pull_by_digest(d):
    with Fake() as fake:
        manifest = fake.add("app", "v1", runnable("pinned"))
        name = f"{fake.host}/app@{manifest}"
        out = d.ok("pull", name).splitlines()
        equal(out[0], f"{manifest}: Pulling from app")
        equal(out[-2], f"Status: Downloaded newer image for {name}")
        equal(d.ok("run", "--rm", name), "pinned")
        # With a tag too the digest decides, and the tag is not looked at.
        both = f"{fake.host}/app:none@{manifest}"
        has(d.ok("pull", both), f"Digest: {manifest}")
        equal(d.api("GET", f"/images/{both}/json", status=200).json["RepoDigests"], [name])
        equal(d.ok("run", "--rm", both), "pinned")
        equal(fake.asked("GET", "/manifests/none"), [])
        other = small("x")
        fake.add("app", "v2", other)
        fake.manifests["app", manifest] = (other.manifest, other.media_type)
        d.ok("rmi", "-f", name)
        has(d.fails(1, "pull", name), f"manifest verification failed for digest {manifest}")


def test_platforms(d):
    with Fake() as fake:
        images = [runnable("amd"), runnable("arm", arch="arm64")]
        for oci in (True, False):
            for image in images:
                fake.add("app", None, image)
            fake.add_manifest("app", "multi", index(images, oci), OCI_INDEX if oci else
                              "application/vnd.docker.distribution.manifest.list.v2+json")
            name = f"{fake.host}/app:multi"
            has(d.ok("pull", name), f"Digest: {digest(index(images, oci))}")
            equal(d.ok("run", "--rm", name), "amd")
            d.ok("pull", "-q", "--platform", "linux/arm64", name)
            equal(d.api("GET", f"/images/{name}/json", status=200).json["Architecture"], "arm64")
            d.ok("rmi", "-f", name)
        reply = pull(d, f"{fake.host}/app", 404, tag="multi", platform="linux/s390x")
        equal(reply.message, "no matching manifest for linux/s390x in the manifest list entries")
        fake.add("app", "single", images[0])
        equal(lines(pull(d, f"{fake.host}/app", tag="single", platform="linux/amd64"))[-1]["status"],
              f"Status: Downloaded newer image for {fake.host}/app:single")
        has(error_of(pull(d, f"{fake.host}/app", tag="single", platform="arm64")),
            "does not match the specified platform (linux/arm64)")
        equal(pull(d, f"{fake.host}/app", 400, tag="single", platform="a/b/c/d").status, 400)


def test_what_is_not_there(d):
    with Fake() as fake:
        name = f"{fake.host}/app"
        equal(pull(d, name, 404, tag="v9").message,
              f"manifest for {name}:v9 not found: manifest unknown: manifest unknown")
        for code, message in (("DENIED", "requested access to the resource is denied"),
                              ("NAME_UNKNOWN", "repository name not known to registry")):
            fake.fail("manifests", "v9", lambda request, code=code, message=message: request.answer(
                403 if code == "DENIED" else 404,
                {"errors": [{"code": code, "message": message}]}) or True)
            got = pull(d, name, 404, tag="v9").message
            has(got, f"pull access denied for {name}, repository does not exist or may require "
                     "'docker login'", message)
        for bad in ("UPPER", "a//b", "a b"):
            equal(pull(d, bad, 400, tag="x").status, 400)
        equal(pull(d, name, 400, tag="no spaces").message, "invalid reference format")
    reply = pull(d, f"127.0.0.1:{free_port()}/app", 503, tag="v1")
    has(reply.message, "Get \"http://", "connect: connection refused")
    equal(d.api("POST", "/images/create", status=400).message, "image name cannot be blank")


def test_what_is_refused(d):
    foreign = small("f")
    foreign.document["layers"][0]["mediaType"] = \
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    foreign.document["layers"][0]["urls"] = ["http://127.0.0.1:1/layer"]
    artifact = small("f", oci=True)
    artifact.document["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    both = small("f", oci=True)
    both.document["manifests"] = []
    unknown = small("f", oci=True)
    unknown.document["layers"][0]["mediaType"] += "+encrypted"
    fewer = small("f", "g")
    fewer.document["layers"].pop()
    with Fake() as fake:
        for image, text in ((foreign, "foreign layer"), (both, "both index and manifest"),
                            (artifact, "application/vnd.cncf.helm.config.v1+json"),
                            (unknown, "is of a kind that is not supported"),
                            (fewer, "layers and diff ids differ in number")):
            fake.add("app", "bad", image)
            reply = pull(d, f"{fake.host}/app", None, tag="bad")
            has(reply.message if reply.status != 200 else error_of(reply), text)
        fake.add_manifest("app", "old", b'{"schemaVersion":1,"name":"app","tag":"old","fsLayers":[]}',
                          "application/vnd.docker.distribution.manifest.v1+prettyjws")
        has(pull(d, f"{fake.host}/app", 400, tag="old").message, "schema 1")
        fake.add_manifest("app", "cut", foreign.manifest[:100], foreign.media_type)
        has(pull(d, f"{fake.host}/app", 400, tag="cut").message, "invalid manifest")
    equal(d.ok("images", "-q", fake.host + "/app"), "")


# Networks and servers that fail

def test_cut_connections_are_resumed(d):
    blob_bytes = noise(3_000_000)
    image = Image([layer({"noise": blob_bytes})])
    blob = image.layers[0]
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.fail("blobs", digest(blob), cut_after(blob, 1_000_000), cut_after(blob, 1_500_000))
        d.ok("pull", f"{fake.host}/app:v1")
        ranges = [r[2].get("Range") for r in fake.asked("GET", digest(blob))]
        equal(ranges[0], None)
        assert ranges[1] and ranges[2], ranges
        starts = [int(r[6:-1]) for r in ranges[1:]]
        assert 0 < starts[0] <= 1_000_000 and starts[0] < starts[1], starts
    equal(partial(d, image), {})


def test_a_pull_goes_on_where_another_broke(d):
    image = Image([layer({"noise": noise(2_000_000)})])
    blob = image.layers[0]
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.fail("blobs", digest(blob), cut_after(blob, 1_000_000), *[status(404)] * 2)
        has(error_of(pull(d, f"{fake.host}/app", tag="v1")), "try later")
        equal(partial(d, image), {sha256(blob): 1_000_000})
        fake.faults.clear()
        fake.requests.clear()
        d.ok("pull", f"{fake.host}/app:v1")
        equal([r[2].get("Range") for r in fake.asked("GET", digest(blob))], ["bytes=1000000-"])
        # The same where ranges are not known: what is here already is left out.
        d.ok("rmi", f"{fake.host}/app:v1")
        fake.fail("blobs", digest(blob), cut_after(blob, 1_000_000), *[status(404)] * 2)
        has(error_of(pull(d, f"{fake.host}/app", tag="v1")), "try later")
        fake.faults.clear()
        fake.fail("blobs", digest(blob), body(blob))
        fake.requests.clear()
        d.ok("pull", f"{fake.host}/app:v1")
        equal([r[2].get("Range") for r in fake.asked("GET", digest(blob))], ["bytes=1000000-"])


def test_a_server_without_ranges(d):
    image = Image([layer({"noise": noise(1_000_000)})])
    blob = image.layers[0]
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.fail("blobs", digest(blob), cut_after(blob, 500_000), body(blob))
        d.ok("pull", f"{fake.host}/app:v1")
        equal(len(fake.asked("GET", digest(blob))), 2)


def answer_to_a_range(code, data, **headers):
    """Whatever the range is."""
    return lambda request: request.headers.get("Range") and (request.answer(
        code, data, "application/octet-stream", {k.replace("_", "-"): v for k, v in headers.items()}) or True)


def test_a_server_with_wrong_ranges(d):
    """Another range than was asked for, none at all, a refusal: all of the blob is asked for then."""
    image = Image([layer({"noise": noise(1_000_000)})])
    blob = image.layers[0]
    size = len(blob)
    with Fake() as fake:
        fake.add("app", "v1", image)
        for wrong in (answer_to_a_range(206, blob, Content_Range=f"bytes 0-{size - 1}/{size}"),
                      answer_to_a_range(206, blob[700_000:], Content_Range=f"bytes 700000-{size - 1}/{size}"),
                      answer_to_a_range(206, blob[500_000:]), answer_to_a_range(206, blob[500_000:], Content_Range="x"),
                      answer_to_a_range(416, b"")):
            fake.fail("blobs", digest(blob), cut_after(blob, 500_000), wrong)
            fake.requests.clear()
            d.ok("pull", f"{fake.host}/app:v1")
            ranges = [r[2].get("Range") for r in fake.asked("GET", digest(blob))]
            equal([bool(one) for one in ranges], [False, True, False], ranges)
            d.ok("rmi", f"{fake.host}/app:v1")


def test_wrong_bytes(d):
    image = Image([layer({"noise": noise(300_000)})])
    blob = image.layers[0]
    with Fake() as fake:
        fake.add("app", "v1", image)
        wrong = body(blob[:-1] + b"x")
        fake.fail("blobs", digest(blob), wrong)
        d.ok("pull", f"{fake.host}/app:v1")  # the second try brings the right ones
        d.ok("rmi", f"{fake.host}/app:v1")
        for fault in (wrong, body(blob[:-1]), body(blob + b"x")):
            fake.faults.clear()
            fake.fail("blobs", digest(blob), *[fault] * 9)
            has(error_of(pull(d, f"{fake.host}/app", tag="v1")), digest(blob))
        fake.faults.clear()
        fake.fail("blobs", digest(image.config), *[body(image.config + b" ")] * 9)
        pull(d, f"{fake.host}/app", 200, tag="v1")
        equal(d.ok("images", "-q", f"{fake.host}/app"), "")
        fake.faults.clear()
        d.ok("pull", f"{fake.host}/app:v1")


def test_a_layer_that_is_not_what_its_config_says(d):
    image, other = small("a"), small("b")
    image.layers = other.layers
    image.document["layers"] = other.document["layers"]
    with Fake() as fake:
        fake.add("app", "v1", image)
        has(error_of(pull(d, f"{fake.host}/app", tag="v1")), "unpacks to sha256:")
    equal(d.ok("images", "-q", f"{fake.host}/app"), "")


def test_busy_and_failing_servers(d):
    image = small("a")
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.fail("manifests", "v1", status(429, Retry_After="0"), status(500), status(503))
        fake.fail("blobs", digest(image.layers[0]), status(502), status(429, Retry_After="1"))
        d.ok("pull", f"{fake.host}/app:v1")
        equal(len(fake.asked("GET", "/manifests/v1")), 4)
        d.ok("rmi", f"{fake.host}/app:v1")  # what is here is asked for in another way
        fake.fail("manifests", "v1", status(429, Retry_After="86400"))
        equal(pull(d, f"{fake.host}/app", 503, tag="v1").message, "unavailable: try later")
        fake.fail("manifests", "v1", *[status(500, Retry_After="0")] * 20)
        fake.requests.clear()
        equal(pull(d, f"{fake.host}/app", 503, tag="v1").status, 503)
        equal(len(fake.requests), 5, "tries")


def test_digest_lies(d):
    image = small("a")
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.fail("manifests", "v1", lambda request: request.answer(
            200, image.manifest, image.media_type, {"Docker-Content-Digest": digest(b"x")}) or True)
        has(pull(d, f"{fake.host}/app", 500, tag="v1").message, "manifest verification failed")


class Elsewhere(Server):
    """A blob store behind a redirect."""

    def __init__(self, blobs):
        self.blobs = blobs
        super().__init__()

    def handle(self, request):
        key = request.path.strip("/").split("?")[0]
        Fake.send(request, self.blobs[key])


def test_redirected_blobs(d):
    image = small("a")
    with Fake() as fake, Elsewhere(fake.blobs) as store:
        fake.add("app", "v1", image)
        for blob in image.blobs:
            fake.fail("blobs", digest(blob), lambda request, blob=blob: request.answer(
                307, headers={"Location": f"http://{store.host}/{digest(blob)}?sig=secret"}) or True)
        reply = d.api("POST", "/images/create", fromImage=f"{fake.host}/app", tag="v1", status=200)
        has(lines(reply)[-1]["status"], "Downloaded newer image")
        equal(len(store.requests), 2)
        fake.add("app", "v2", small("b"))
        fake.fail("manifests", "v2", *[lambda request: request.answer(
            307, headers={"Location": request.path}) or True] * 50)
        has(pull(d, f"{fake.host}/app", 503, tag="v2").message, "redirects")


# Several at once

def chain_ids(image):
    """Of the layers of an image, bottom first."""
    chain = []
    for diff_id in json.loads(image.config)["rootfs"]["diff_ids"]:
        chain.append(sha256(f"sha256:{chain[-1]} {diff_id}".encode()) if chain else diff_id[7:])
    return chain


def unpacked(d, image):
    """How often each of its layers was unpacked since the daemon started, by its log."""
    log = host.read(d.log)
    return [log.count(f"layer sha256:{chain}: unpack blob") for chain in chain_ids(image)]


def all_succeed(clients):
    for client in clients:
        out, err = client.communicate(timeout=60 * SLOW)
        equal(client.returncode, 0, (out, err))


def test_three_layers_at_a_time(d):
    image = Image([layer({f"l{n}": noise(2000)}) for n in range(6)])
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.gate = threading.Event()
        fake.fail("blobs", digest(image.config), body(image.config))
        client = d.spawn_client("pull", f"{fake.host}/app:v1")
        wait_for(lambda: len(fake.asked("GET", "/blobs/")) >= 4, "the config and three layers to be asked for")
        for _ in range(20):
            d.api("GET", "/_ping", status=200)
        equal(len(fake.asked("GET", "/blobs/")), 4)
        fake.gate.set()
        all_succeed([client])
        equal(len(fake.asked("GET", "/blobs/")), 7, [request[:2] for request in fake.requests])


def test_pulls_at_once_share_their_layers(d):
    """The same image by two names and two clients each, and one that has the first layers only: no
    byte comes twice, no layer is unpacked twice."""
    tars = [layer({f"noise{n}": noise(300_000)}) for n in range(6)]
    image, shorter = Image(tars), Image(tars[:4], {"Cmd": ["other"]})
    with Fake() as fake:
        fake.gate = threading.Event()
        for name, one in (("one", image), ("two", image), ("three", shorter)):
            fake.add(name, "v1", one)
        clients = [d.spawn_client("pull", f"{fake.host}/{name}:v1")
                   for name in ("one", "two", "three", "one")]
        wait_for(lambda: len(fake.asked("GET", digest(image.config))) == 3 and
                 len(fake.asked("GET", digest(shorter.config))) == 1, "all configs to be asked for")
        fake.gate.set()
        all_succeed(clients)
        equal([len(fake.asked("GET", digest(blob))) for blob in image.layers], [1] * 6, "downloads")
        for name in ("one", "two", "three"):
            equal(d.api("GET", f"/images/{fake.host}/{name}:v1/json", status=200).json["Id"],
                  (shorter if name == "three" else image).id)
    equal(unpacked(d, image), [1] * 6, "times each layer was unpacked")
    equal(partial(d, image), {})
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "stages and trash to be removed")


def test_the_last_of_two_pulls_goes_on(d):
    """The client that came first leaves, while the layer comes in: the other has it nonetheless."""
    image = Image([layer({"noise": noise(900_000)})])
    blob = image.layers[0]
    gate = threading.Event()
    half = {"Content-Length": str(len(blob))}

    def slow(request):
        request.answer(200, blob[:400_000], headers=half)
        gate.wait(30 * SLOW)
        request.wfile.write(blob[400_000:])
        return True

    with Fake() as fake:
        fake.add("one", "v1", image)
        fake.fail("blobs", digest(blob), slow)
        first = d.spawn_client("pull", f"{fake.host}/one:v1")
        wait_for(lambda: partial(d, image), "the blob to begin")
        second = d.spawn_client("pull", f"{fake.host}/one:v1")
        while b"Pulling fs layer" not in second.stdout.readline():
            assert second.poll() is None, second.stderr.read()
        first.kill()
        first.communicate()
        gate.set()
        all_succeed([second])
        equal(len(fake.asked("GET", digest(blob))), 1, "downloads")
    equal(unpacked(d, image), [1])
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the stages to be removed")


def waits_for_its_layer(d, name):
    client = d.spawn_client("pull", name)
    while b"Pulling fs layer" not in client.stdout.readline():
        assert client.poll() is None, client.stderr.read()
    return client


def test_one_registry_fails_and_another_does_not(d):
    """Pulls from two registries share a blob.  What becomes of the one that was asked first is not the
    other pull's trouble."""
    def breaks_off(request):
        request.answer(200, blob[:400_000], headers={"Content-Length": str(len(blob))})
        gate.wait(30 * SLOW)
        request.cut()
        return True

    def lies(request):
        gate.wait(30 * SLOW)
        return body(b"x" * len(blob))(request)

    for bad in ([breaks_off, status(404)], [breaks_off, status(403)], [lies, body(b"y" * 900_000)]):
        image, gate = Image([layer({"noise": noise(900_000)})]), threading.Event()
        blob = image.layers[0]
        with Fake() as first, Fake() as second:
            first.add("app", "v1", image)
            second.add("app", "v1", image)
            first.fail("blobs", digest(blob), *bad)
            clients = [waits_for_its_layer(d, f"{first.host}/app:v1")]
            wait_for(lambda first=first, blob=blob: first.asked("GET", digest(blob)), "the blob to be asked for")
            clients.append(waits_for_its_layer(d, f"{second.host}/app:v1"))
            gate.set()
            all_succeed(clients)
            equal(len(second.asked("GET", digest(blob))), 1)
            d.ok("rmi", f"{first.host}/app:v1", f"{second.host}/app:v1")
        equal(partial(d, image), {})
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the stages to be removed")


def test_two_registries_that_fail(d):
    """Each pull is told of its own."""
    def refuses(text):
        return lambda request: gate.wait(30 * SLOW) and (
            request.answer(404, {"errors": [{"code": "BLOB_UNKNOWN", "message": text}]}) or True)

    image, gate = Image([layer({"noise": noise(900_000)})]), threading.Event()
    blob = digest(image.layers[0])
    with Fake() as first, Fake() as second:
        first.add("app", "v1", image)
        second.add("app", "v1", image)
        first.fail("blobs", blob, refuses("not one"))
        second.fail("blobs", blob, refuses("not two"))
        clients = [waits_for_its_layer(d, f"{first.host}/app:v1")]
        wait_for(lambda: first.asked("GET", blob), "the blob to be asked for")
        clients.append(waits_for_its_layer(d, f"{second.host}/app:v1"))
        gate.set()
        told = [client.communicate(timeout=60 * SLOW)[1].decode() for client in clients]
        assert all(client.returncode for client in clients), told
        equal([len(r.asked("GET", blob)) for r in (first, second)], [1, 1])
        for text, number in zip(told, ("one", "two")):
            has(text, f"not {number}")
    wait_for(lambda: partial(d, image) == {}, "the empty download to be removed")


def test_pulls_come_and_leave(d):
    """Clients that leave and come again while the blob is written: its bytes are always right."""
    image = Image([layer({"noise": noise(2_000_000)})])
    with Fake() as fake:
        fake.add("app", "v1", image)
        for n in range(12):
            client = d.spawn_client("pull", "-q", f"{fake.host}/app:v1")
            wait_for(lambda n=n: len(fake.asked("GET", digest(image.layers[0]))) > n or
                     client.poll() is not None, "the blob to be asked for")
            client.kill()
            client.communicate()
            if d.ok("images", "-q", f"{fake.host}/app"):
                d.ok("rmi", f"{fake.host}/app:v1")
                fake.requests.clear()
                break
        d.ok("pull", f"{fake.host}/app:v1")
        d.ok("rmi", f"{fake.host}/app:v1")
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the stages to be removed")


def many_files(count=8, size=200_000):
    return Image([layer({f"file{n}": noise(size) for n in range(count)})])


def half_of(blob, gate, at):
    def fault(request):
        request.answer(200, blob[:at], headers={"Content-Length": str(len(blob))})
        gate.wait(30 * SLOW)
        request.wfile.write(blob[at:])
        return True
    return fault


def unpacked_files(d):
    return sorted(name for stage in os.listdir(f"{d.data}/tmp") if os.path.isdir(f"{d.data}/tmp/{stage}/l/diff")
                  for name in os.listdir(f"{d.data}/tmp/{stage}/l/diff"))


def test_a_layer_is_unpacked_while_it_comes(d):
    image, gate = many_files(), threading.Event()
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.fail("blobs", digest(image.layers[0]), half_of(image.layers[0], gate, 1_000_000))
        client = d.spawn_client("pull", f"{fake.host}/app:v1")
        wait_for(lambda: "file3" in unpacked_files(d), "the first files")
        assert "file5" not in unpacked_files(d), unpacked_files(d)
        equal(d.api("GET", "/_ping").body, b"OK")
        gate.set()
        all_succeed([client])
    equal((os.listdir(f"{d.data}/tmp"), partial(d, image)), ([], {}))
    files = f"{d.data}/layers/{chain_ids(image)[0]}/diff"
    equal({name: os.path.getsize(f"{files}/{name}") for name in os.listdir(files)},
          {f"file{n}": 200_000 for n in range(8)})


def test_a_cancelled_pull_leaves_what_can_be_resumed(d):
    image, gate = many_files(), threading.Event()
    blob = image.layers[0]
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.fail("blobs", digest(blob), half_of(blob, gate, 1_000_000))
        before = sorted(os.listdir(f"{d.data}/layers")), sorted(os.listdir(f"{d.data}/blobs/sha256"))
        client = d.spawn_client("pull", f"{fake.host}/app:v1")
        wait_for(lambda: "file3" in unpacked_files(d), "the first files")
        client.kill()
        client.communicate()
        wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the stage to be removed")
        wait_for(lambda: not [pid for pid in host.processes(d.root) if host.read(f"/proc/{pid}/comm").startswith(
            "containerd-lite-l") or "containerd-lite-layer" in host.read(f"/proc/{pid}/cmdline")], "the worker's end")
        gate.set()
        equal(list(partial(d, image)), [sha256(blob)])
        length = partial(d, image)[sha256(blob)]
        with open(f"{d.data}/blobs/partial/{sha256(blob)}", "rb") as file:
            equal(file.read() == blob[:length], True)
        equal((sorted(os.listdir(f"{d.data}/layers")), sorted(os.listdir(f"{d.data}/blobs/sha256"))), before)
        d.ok("pull", f"{fake.host}/app:v1")
        equal(fake.asked("GET", digest(blob))[-1][2].get("Range"), f"bytes={length}-")
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "stages and trash to be removed")


def test_what_was_unpacked_of_wrong_bytes_is_undone(d):
    """The first try is wrong in its middle, or all of another layer; the second is right."""
    image, other = many_files(), many_files()
    blob, wrong = image.layers[0], bytearray(image.layers[0])
    wrong[len(blob) // 2] ^= 0xff
    for bad in bytes(wrong), other.layers[0][:len(blob)].ljust(len(blob), b"x"), bytes(len(blob)):
        with Fake() as fake:
            fake.add("app", "v1", image)
            fake.fail("blobs", digest(blob), body(bad))
            d.ok("pull", f"{fake.host}/app:v1")
            files = f"{d.data}/layers/{chain_ids(image)[0]}/diff"
            equal(sorted(os.listdir(files)), [f"file{n}" for n in range(8)])
            d.ok("rmi", f"{fake.host}/app:v1")
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "stages and trash to be removed")


def test_a_layer_that_cannot_be_unpacked(d):
    """Its digest is right: it came so from whoever made it."""
    image = many_files()
    cut = image.layers[0][:700_000]
    image.layers = [cut]
    image.document["layers"] = [image.descriptor(image.document["layers"][0]["mediaType"], cut)]
    with Fake() as fake:
        fake.add("app", "v1", image)
        has(error_of(pull(d, f"{fake.host}/app", tag="v1")), "failed to register layer sha256:")
        equal(len(fake.asked("GET", digest(cut))), 1, "downloads")
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the stage to be removed")


def test_a_layer_that_was_lost_comes_again(d):
    """Somebody removed a layer's directory: a pull that finds nothing new brings it nonetheless."""
    image = runnable("whole")
    with Fake() as fake:
        fake.add("app", "v1", image)
        d.ok("pull", f"{fake.host}/app:v1")
        shutil.rmtree(f"{d.data}/layers/{chain_ids(image)[0]}")
        has(d.ok("pull", f"{fake.host}/app:v1"), "Pull complete")
        equal(len(fake.asked("GET", digest(image.layers[0]))), 1, "downloads: the blob was there")
        equal(d.ok("run", "--rm", f"{fake.host}/app:v1"), "whole")


def test_a_client_that_leaves_ends_its_pull(d):
    image = Image([layer({"noise": noise(500_000)})])
    stage = f"{d.data}/tmp"
    with Fake() as fake:
        fake.add("app", "v1", image)
        fake.gate = threading.Event()
        fake.fail("blobs", digest(image.config), body(image.config))
        fake.fail("blobs", digest(image.layers[0]),
                  lambda request: request.answer(200, image.layers[0][:100_000], headers={
                      "Content-Length": str(len(image.layers[0]))}) or fake.gate.wait(30 * SLOW))
        client = d.spawn_client("pull", f"{fake.host}/app:v1")
        wait_for(lambda: partial(d, image), "the blob to begin")
        client.kill()
        client.wait()
        wait_for(lambda: not os.listdir(stage), "the stage to be removed")
        fake.gate.set()
        fake.gate = None
        equal(d.ok("images", "-q", f"{fake.host}/app"), "")
        d.ok("pull", f"{fake.host}/app:v1")


def test_daemon_killed_in_a_pull(d):
    image = Image([layer({"noise": noise(1_000_000)}), layer({"b": b"b"})])
    blob = image.layers[0]
    with Fake() as fake:
        fake.gate = threading.Event()
        fake.add("app", "v1", image)
        fake.fail("blobs", digest(image.config), body(image.config))
        fake.fail("blobs", digest(blob), lambda request: request.answer(
            200, blob[:600_000], headers={"Content-Length": str(len(blob))}) or fake.gate.wait(30 * SLOW))
        client = d.spawn_client("pull", f"{fake.host}/app:v1")
        wait_for(lambda: partial(d, image).get(sha256(blob), 0) >= 500_000, "the blob to come in")
        d.kill9()
        client.wait()
        fake.gate.set()
        fake.gate = None
        d.start()
        wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "what was half made to be removed")
        fake.requests.clear()
        d.ok("pull", f"{fake.host}/app:v1")
        assert fake.asked("GET", digest(blob))[0][2].get("Range"), "it did not go on"
