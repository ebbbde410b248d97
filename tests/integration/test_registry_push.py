"""Pushing: to docker-registry, plain and with tokens, and to a registry that fails on the way."""
import json
import os
import threading
import urllib.parse

import imagemaker
from harness import IMAGE, SLOW, equal, has, wait_for
from imagemaker import docker_archive, layer, oci_layout, sha256
from registries import Fake, Image, Registry, TokenServer, digest, skopeo, status
from test_registry import noise, runnable
from test_registry_auth import Place, auth_header


def lines(reply):
    return [json.loads(line) for line in reply.body.splitlines() if line.strip()]


def push(d, name, tag="v1", want=200, platform="", **credentials):
    return lines(d.api("POST", f"/images/{name}/push", headers=auth_header(**credentials), tag=tag,
                       platform=platform, status=want))


def inspect(registry, name, *options):
    return json.loads(skopeo("inspect", "--raw", "--tls-verify=false", *options,
                             f"docker://{registry.host}/{name}"))


class Receiving(Fake):
    """Takes uploads; `uploads`: {number: bytes so far}."""

    def __init__(self):
        self.uploads = {}
        super().__init__()

    def handle(self, request):
        parts = urllib.parse.urlsplit(request.path)
        query = urllib.parse.parse_qs(parts.query)
        if "/blobs/uploads/" in parts.path:
            waiting = self.faults.get((request.command, "uploads"))
            if waiting and waiting.pop(0)(request):
                return None
            return self.upload(request, parts.path, query)
        if request.command == "PUT" and "/manifests/" in parts.path:
            name, tag = parts.path[4:].split("/manifests/")
            self.add_manifest(name, tag, request.body, request.headers["Content-Type"])
            return request.answer(201, headers={"Docker-Content-Digest": digest(request.body)})
        return super().handle(request)

    def upload(self, request, path, query):
        if request.command == "POST":
            number = str(len(self.uploads))
            self.uploads[number] = b""
            return request.answer(202, headers={"Location": f"{path}{number}?state=x"})
        number = path.rsplit("/", 1)[1]
        if request.command == "PATCH":
            start, end = map(int, request.headers["Content-Range"].split("-"))
            assert start == len(self.uploads[number]) and end - start + 1 == len(request.body)
        self.uploads[number] += request.body
        if request.command == "PUT":
            data = self.uploads[number]
            if digest(data) != query["digest"][0]:
                return request.answer(400, {"errors": [{"code": "DIGEST_INVALID",
                                                        "message": "provided digest did not match"}]})
            self.blobs[digest(data)] = data
            return request.answer(201)
        return request.answer(204 if request.command == "GET" else 202, headers={
            "Location": f"{path}?state=y", "Range": f"0-{max(len(self.uploads[number]) - 1, 0)}"})


def test_push_what_was_pulled(d):
    """The digest stays, whatever the kind; layers that are there are not sent again."""
    kinds = {"docker": {}, "oci": {"oci": True}, "zstd": {"oci": True, "packing": "zstd"}}
    with Place() as place, Registry(f"{place}/r") as registry, Fake() as fake:
        for kind, options in kinds.items():
            image = runnable(kind, **options)
            fake.add("app", kind, image)
            d.ok("pull", "-q", f"{fake.host}/app:{kind}")
            name = f"{registry.host}/team/{kind}"
            d.ok("tag", f"{fake.host}/app:{kind}", f"{name}:v1")
            short = image_layers(d, name)
            got = push(d, name)
            equal(got[0], {"status": f"The push refers to repository [{name}]"})
            equal([l for l in got if l.get("id") in short and l["status"] != "Pushing"],
                  [{"status": "Preparing", "progressDetail": {}, "id": short[0]},
                   {"status": "Pushed", "progressDetail": {}, "id": short[0]}])
            wanted = digest(image.manifest)
            equal(got[-2], {"status": f"v1: digest: {wanted} size: {len(image.manifest)}"})
            equal(got[-1], {"progressDetail": {}, "aux": {
                "Tag": "v1", "Digest": wanted, "Size": len(image.manifest)}})
            again = push(d, name)
            has([l["status"] for l in again if l.get("id") == short[0]], "Layer already exists")
            equal(inspect(registry, f"team/{kind}:v1"), image.document)
            for ref in (f"{name}:v1", f"{fake.host}/app:{kind}"):
                d.ok("rmi", ref)
            equal(d.ok("run", "--rm", f"{name}@{wanted}"), kind)


def image_layers(d, name):
    layers = d.api("GET", f"/images/{name}:v1/json", status=200).json["RootFS"]["Layers"]
    return [one[7:19] for one in layers]


def test_push_what_was_loaded(d):
    base, top = layer(imagemaker.busybox_files(IMAGE)), layer({"text": b"loaded\n"})
    with Place() as place, Registry(f"{place}/r") as registry:
        for number, data in enumerate((
                docker_archive([base, top], ["loaded:v1"], {"Cmd": ["/bin/busybox", "cat", "/text"]}),
                oci_layout([base, top], "loaded:v1", {"Cmd": ["/bin/busybox", "cat", "/text"]}))):
            d.ok("load", input=data)
            name = f"{registry.host}/loaded{number}:v1"
            d.ok("tag", "loaded:v1", name)
            out = d.ok("push", name)
            has(out, "The push refers to repository", "Pushed", "v1: digest: sha256:")
            equal(len(inspect(registry, f"loaded{number}:v1")["layers"]), 2)
            d.ok("rmi", name, "loaded:v1")
            equal(d.ok("run", "--rm", name), "loaded")
            d.ok("rmi", name)


def test_stock_client_pushes(d):
    with Place() as place, Registry(f"{place}/r") as registry, Fake() as fake:
        fake.add("app", "v1", runnable("stock"))
        d.ok("pull", "-q", f"{fake.host}/app:v1")
        name = f"{registry.host}/stock:v1"
        d.docker_ok("tag", f"{fake.host}/app:v1", name)
        has(d.docker_ok("push", name), "v1: digest: sha256:")
        assert inspect(registry, "stock:v1")
        equal(d.docker_ok("push", "-q", name), name)


def test_all_tags(d):
    with Place() as place, Registry(f"{place}/r") as registry:
        d.ok("load", input=docker_archive([layer({"f": b"tags"})], ["many:v1"]))
        for n in range(3):
            d.ok("tag", "many:v1", f"{registry.host}/many:v{n}")
        out = d.ok("push", "-a", f"{registry.host}/many")
        for n in range(3):
            has(out, f"v{n}: digest: sha256:")
            assert inspect(registry, f"many:v{n}")


def test_push_for_a_platform(d):
    """There is one platform to an image: it is the one that was asked for, or nothing is sent."""
    with Receiving() as fake:
        for arch in ("amd64", "arm64"):
            fake.add("app", arch, runnable(arch, arch=arch, oci=True))
            d.ok("pull", "-q", "--platform", f"linux/{arch}", f"{fake.host}/app:{arch}")
            d.ok("tag", f"{fake.host}/app:{arch}", f"{fake.host}/to:{arch}")
        fake.requests.clear()
        err = d.fails(1, "push", "--platform", "linux/amd64", f"{fake.host}/to:arm64")
        has(err, f"image with reference {fake.host}/to:arm64 was found but its platform "
                 "(linux/arm64) does not match the specified platform (linux/amd64)")
        equal([r for r in fake.requests if r[0] != "GET"], [])
        d.ok("push", "--platform", "linux/arm64/v8", f"{fake.host}/to:arm64")
        got = push(d, f"{fake.host}/to", "amd64", platform='{"os":"linux","architecture":"amd64"}')
        assert "aux" in got[-1] and "error" not in got[-1], got
        equal(sorted(tag for name, tag in fake.manifests if name == "to" and ":" not in tag),
              ["amd64", "arm64"])
        for bad in ("a/b/c/d", "{", '{"os":"linux"}', '{"os":{},"architecture":"amd64"}'):
            push(d, f"{fake.host}/to", "amd64", want=400, platform=bad)


def test_mount_from_another_repository(d):
    """A blob that another repository of the same registry has is not sent at all."""
    with Place() as place, TokenServer(place, {"ann": "s3cret"}) as tokens, \
            Registry(f"{place}/r", auth=tokens.config()) as registry:
        d.ok("load", input=docker_archive([layer({"f": noise(100_000)})], ["mine:v1"]))
        ann = {"username": "ann", "password": "s3cret"}
        for repository in ("first", "second"):
            d.ok("tag", "mine:v1", f"{registry.host}/{repository}:v1")
        got = push(d, f"{registry.host}/first", **ann)
        has([l.get("status") for l in got], "Pushed")
        got = push(d, f"{registry.host}/second", **ann)
        has([l.get("status") for l in got], "Mounted from first")
        has([l["error"] for l in push(d, f"{registry.host}/first", username="ann", password="x")
             if "error" in l][0], "incorrect username or password")
        has([l["error"] for l in push(d, f"{registry.host}/first") if "error" in l][0],
            "denied: requested access to the resource is denied")


def test_large_blobs_go_in_chunks(d):
    """And a chunk that fails does not cost what is there already."""
    d.ok("load", input=docker_archive([layer({"noise": noise(70 << 20)})], ["large:v1"]))
    with Receiving() as fake:
        name = f"{fake.host}/large"
        d.ok("tag", "large:v1", f"{name}:v1")
        fake.faults["PATCH", "uploads"] = [lambda request: False, status(503)]
        got = push(d, name)
        assert got[-1].get("aux"), got[-1]
        sizes = [len(u) for u in fake.uploads.values()]
        assert max(sizes) > 70 << 20, sizes
        starts = [int(r[2]["Content-Range"].split("-")[0]) for r in fake.asked("PATCH", "uploads")]
        equal(starts, [0, 32 << 20, 32 << 20, 64 << 20])
        # Of an upload that has nothing yet registries say what they say of one byte.
        fake.blobs.clear()
        fake.faults["PATCH", "uploads"] = [status(503)]
        fake.requests.clear()
        got = push(d, name)
        assert got[-1].get("aux"), got[-1]
        starts = [int(r[2]["Content-Range"].split("-")[0]) for r in fake.asked("PATCH", "uploads")]
        equal(starts, [0, 0, 32 << 20, 64 << 20])
    with Place() as place, Registry(f"{place}/r") as registry:
        d.ok("tag", "large:v1", f"{registry.host}/large:v1")
        d.ok("push", "-q", f"{registry.host}/large:v1", timeout=120)
        skopeo("copy", "--src-tls-verify=false", f"docker://{registry.host}/large:v1", f"dir:{place}/read")


def test_a_registry_that_never_takes_the_end(d):
    """Chunks that it takes again are no reason to go on for ever."""
    d.ok("load", input=docker_archive([layer({"noise": noise(33 << 20)})], ["endless:v1"]))
    def fails(request):
        number = urllib.parse.urlsplit(request.path).path.rsplit("/", 1)[1]
        return bool(fake.uploads[number]) and status(503)(request)

    with Receiving() as fake:
        d.ok("tag", "endless:v1", f"{fake.host}/endless:v1")
        fake.faults["PUT", "uploads"] = [fails] * 20
        has(push(d, f"{fake.host}/endless")[-1]["error"], "try later")
        equal(len(fake.asked("PATCH", "uploads")), 10)


def test_an_image_that_is_removed_while_it_goes(d):
    """Its blobs are there until the push is over."""
    tars = [layer({"noise": noise(100_000)}) for _ in range(6)]
    d.ok("load", input=docker_archive(tars, ["gone:v1"]))
    gate = threading.Event()
    with Receiving() as fake:
        name = f"{fake.host}/gone:v1"
        d.ok("tag", "gone:v1", name)
        before = set(os.listdir(f"{d.data}/blobs/sha256"))
        fake.faults["PUT", "uploads"] = [lambda request: gate.wait(60 * SLOW) and False] * 3
        client = d.spawn_client("push", name)
        wait_for(lambda: len(fake.asked("PUT", "uploads")) == 3, "three blobs")
        d.ok("rmi", "gone:v1", name)
        d.ok("image", "prune", "-f")
        gate.set()
        out, err = client.communicate(timeout=60 * SLOW)
        equal(client.returncode, 0, (out, err))
        assert all(digest(tar) in fake.blobs for tar in tars)
        equal(d.ok("images", "-q", name), "")
        wait_for(lambda: len(set(os.listdir(f"{d.data}/blobs/sha256"))) == len(before) - 6, "the blobs to be removed")


def test_a_client_that_leaves_ends_its_push(d):
    d.ok("load", input=docker_archive([layer({"noise": noise(40 << 20)})], ["left:v1"]))
    gate = threading.Event()
    with Receiving() as fake:
        d.ok("tag", "left:v1", f"{fake.host}/left:v1")
        before = d.settled_census()
        fake.faults["PATCH", "uploads"] = [lambda request: gate.wait(60 * SLOW) and False]
        client = d.spawn_client("push", f"{fake.host}/left:v1")
        wait_for(lambda: fake.asked("PATCH", "uploads"), "the first chunk")
        client.kill()
        client.communicate()
        d.assert_counts(before)
        gate.set()
        equal((len(fake.asked("PATCH", "uploads")), fake.asked("PUT", "/manifests/")), (1, []))
        assert push(d, f"{fake.host}/left")[-1].get("aux")


def test_failing_uploads(d):
    d.ok("load", input=docker_archive([layer({"f": noise(50_000)})], ["fails:v1"]))
    with Receiving() as fake:
        name = f"{fake.host}/fails"
        d.ok("tag", "fails:v1", f"{name}:v1")
        fake.faults["PUT", "uploads"] = [status(503), lambda request: request.cut() or True]
        assert push(d, name)[-1].get("aux")
        fake.blobs.clear()
        fake.faults["PUT", "uploads"] = [status(503)] * 50
        has(push(d, name)[-1]["error"], "unavailable: try later")
        fake.faults["PUT", "uploads"] = [status(413)] * 2
        has(push(d, name)[-1]["error"], "try later")
        fake.faults.clear()
        fake.faults["POST", "uploads"] = [lambda request: request.answer(202) or True] * 2
        has(push(d, name)[-1]["error"], "does not say where to send")


def test_what_cannot_be_pushed(d):
    equal(push(d, "127.0.0.1:1/none")[-1]["error"],
          "An image does not exist locally with the tag: 127.0.0.1:1/none")
    d.ok("tag", "busybox", "127.0.0.1:1/some:v1")
    equal(push(d, "127.0.0.1:1/some", tag="v2")[-1]["error"],
          "tag does not exist: 127.0.0.1:1/some:v2")
    has(push(d, "127.0.0.1:1/some")[-1]["error"], "connect: connection refused")
    d.ok("rmi", "127.0.0.1:1/some:v1")
    equal(d.api("POST", "/images/UPPER/push").status, 400)
    equal(d.api("POST", "/images/a/push", tag="b c").status, 400)
