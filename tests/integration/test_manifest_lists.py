"""Lists of manifests: put together by ctlc or by the docker command, which share them, and pushed."""
import base64
import json
import os
import shutil
import threading

from harness import STOCK, Daemon, equal, has, wait_for
from registries import (DOCKER_LIST, OCI_INDEX, Fake, Image, Registry, TokenServer, digest, free_port,
                        htpasswd, make_certificates, skopeo, status)
from test_registry import runnable, small
from test_registry_auth import Place
from test_registry_push import Receiving, inspect


def copy(fake, registry, name, image, *options, to=None):
    """The image into a registry, digest and all."""
    fake.add(name.split(":")[0], name.split(":")[1], image)
    skopeo("copy", "-q", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false", *options,
           f"docker://{fake.host}/{name}", f"docker://{registry.host}/{to or name}")


def platforms(document):
    return [entry["platform"] for entry in document["manifests"]]


def test_pushed_and_pulled(d):
    """Two platforms under one name, one of them from another repository: what is pulled is what a platform asks for."""
    for oci in (False, True):
        with Place() as place, Registry(f"{place}/r") as registry, Fake() as fake:
            images = {arch: runnable(arch, oci=oci, arch=arch) for arch in ("amd64", "arm64")}
            copy(fake, registry, "app:amd64", images["amd64"])
            copy(fake, registry, "other/parts:arm64", images["arm64"])
            name, part = f"{registry.host}/app", f"{registry.host}/other/parts:arm64"
            equal(d.ok("manifest", "create", f"{name}:v1", f"{name}:amd64", part), f"Created manifest list {name}:v1")
            equal(os.listdir(f"{place}/docker/manifests"), [f"{name}:v1".replace(":", "-").replace("/", "_")])
            local = d.ok("manifest", "inspect", f"{name}:v1")
            moved = digest(images["arm64"].manifest)
            out = d.ok("manifest", "push", f"{name}:v1").splitlines()
            equal(out[:-1], [f"Pushed ref {name}@{moved} with digest: {moved}"])
            raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}:v1")
            equal(raw, local)
            equal(digest(raw.encode()), out[-1])
            document = json.loads(raw)
            equal(document["mediaType"], OCI_INDEX if oci else DOCKER_LIST)
            equal(document["manifests"], [{**Image.descriptor(images[arch].media_type, images[arch].manifest),
                                           "platform": {"architecture": arch, "os": "linux"}} for arch in ("amd64", "arm64")])
            equal(inspect(registry, f"app@{moved}"), images["arm64"].document)
            for arch in ("arm64", "amd64"):
                d.ok("pull", "-q", "--platform", f"linux/{arch}", f"{name}:v1")
                equal(d.ok("image", "inspect", "-f", "{{.Architecture}}", f"{name}:v1"), arch)
            equal(d.ok("run", "--rm", f"{name}:v1"), "amd64")
            d.ok("rmi", "-f", f"{name}:v1")
            d.ok("manifest", "push", "-p", f"{name}:v1")
            equal(os.listdir(f"{place}/docker/manifests"), [])


CASES = (  # {0} and {1}: repositories of one registry, {2}: a registry that does not answer
    "create {0}:l {0}:d1 {1}:d2", "create {0}:l {0}:d1", "create -a {0}:l {0}:o1", "inspect {0}:l", "inspect -v {0}:l", "inspect {0}:l {1}:d2",
    "inspect -v {0}:l {0}:o1", "inspect {0}:l {0}:none", "inspect {0}:none {0}:d1",
    "annotate {0}:l {0}:d1 --os-version 1<2&3 --os-features one,two --os-features two --variant v3", "annotate --arch arm64 --os linux {0}:l {0}:o1",
    "annotate --arch sparc {0}:l {0}:d1", "annotate --os plan9 --arch arm64 {0}:l {0}:d1", "annotate {0}:l {0}:none", "annotate {0}:none {0}:d1",
    "annotate UPPER {0}:d1", "annotate {0}:l UPPER", "inspect {0}:l", "inspect {0}:l UPPER", "inspect UPPER {0}:l",
    "create -a {0}:l {0}:d1", "inspect {0}:l", "push {0}:l", "push {0}:l", "inspect -v {0}:l {0}:d1",
    "create {0}:first {0}:o1 {1}:o2", "push -p {0}:first", "push {0}:first", "create {0}:x {0}:l", "create {0}:x {0}:none", "create {0}:x {1}none:none",
    "create UPPER {0}:d1", "create {0}:x UPPER", "create {0}:x", "annotate {0}:x", "push", "rm", "push UPPER", "push {0}:x",
    "create {2}/app:l {0}:d1", "push {2}/app:l", "inspect {2}/app:l", "create two {0}:d1", "inspect -v two", "push two",
    "create {0}:digest {0}@{3}", "push {0}:digest", "inspect {0}:digest", "rm {0}:l UPPER {0}:none two", "rm {0}:l", "rm {0}:digest", "push {0}:l",
)


def state(place):
    """{path: document} of all lists."""
    found = {}
    for directory, _, names in os.walk(f"{place}/manifests"):
        for name in names:
            with open(f"{directory}/{name}") as file:
                found[os.path.relpath(f"{directory}/{name}", place)] = file.read()
    return found


def test_like_docker(d):
    """The same commands with both: the same words, the same exit codes, the same files and the same lists in the registry."""
    if STOCK or " 20." in d.docker_ok("--version"):
        return
    images = {f"{kind}{n}": small(kind, str(n), oci=kind == "o", arch=arch) for kind in "do" for n, arch in ((1, "amd64"), (2, "arm64"))}
    seen = {}
    with Place() as place, Fake() as fake:
        for client in ("docker", "ctlc"):
            os.environ["DOCKER_CONFIG"] = f"{place}/{client}"
            os.makedirs(f"{place}/{client}")
            with Registry(f"{place}/{client}-registry") as registry:
                for name, image in images.items():
                    copy(fake, registry, f"app:{name}", image, to=("app" if "1" in name else "src") + f":{name}")
                names = [f"{registry.host}/app", f"{registry.host}/src", f"127.0.0.1:{free_port()}", digest(images["d1"].manifest)]
                words = {registry.host: "REGISTRY", names[2]: "OTHER", f"{client}: '": "CLIENT: '", f"'{client} manifest": "'CLIENT manifest"}
                words.update({name.replace(":", "-"): word for name, word in list(words.items())[:2]})

                def neutral(text):
                    for word, other in words.items():
                        text = text.replace(word, other)
                    return text
                got = seen[client] = []
                for case in CASES:
                    command, *rest = case.format(*names).split()
                    more = ["--insecure"] if command in ("create", "push", "inspect") else []
                    done = (d.docker if client == "docker" else d.ctl)("manifest", command, *more, *rest)
                    got.append((case, done.code, neutral(done.out), neutral(done.err).split("\n\n")[0].strip().rstrip(".")))
                    got.append({neutral(path): neutral(text) for path, text in state(f"{place}/{client}").items()})
                for tag in ("l", "first", "digest"):
                    got.append(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{names[0]}:{tag}"))
    for theirs, ours in zip(seen["docker"], seen["ctlc"], strict=True):
        equal(ours, theirs)


def test_lists_of_both(d):
    """What one client began the other goes on with."""
    if STOCK:
        return
    with Place() as place, Registry(f"{place}/r") as registry, Fake() as fake:
        images = [small(arch, arch=arch) for arch in ("amd64", "arm64")]
        for image in images:
            copy(fake, registry, f"app:{image.arch}", image)
        name = f"{registry.host}/app"
        clients = {"docker": lambda *args: d.docker_ok("manifest", *args), "ctlc": lambda *args: d.ok("manifest", *args)}
        for first, second in (("docker", "ctlc"), ("ctlc", "docker")):
            clients[first]("create", "--insecure", f"{name}:{first}", f"{name}:amd64", f"{name}:arm64")
            clients[second]("annotate", "--variant", "v8", f"{name}:{first}", f"{name}:arm64")
            equal(clients[first]("inspect", f"{name}:{first}"), clients[second]("inspect", f"{name}:{first}"))
            clients[second]("push", "--insecure", "--purge", f"{name}:{first}")
            equal(platforms(inspect(registry, f"app:{first}")), [
                {"architecture": "amd64", "os": "linux"}, {"architecture": "arm64", "os": "linux", "variant": "v8"}])
            has(d.fails(1, "manifest", "rm", f"{name}:{first}"), f"No such manifest: {name}:{first}")


def test_an_entry_without_its_text(d):
    """Clients before 23 kept no text: the registry is asked for what the digest is of."""
    with Place() as place, Registry(f"{place}/r") as registry, Fake() as fake:
        image = small("old")
        copy(fake, registry, "src:v1", image)
        name, source = f"{registry.host}/app:l", f"{registry.host}/src:v1"
        d.ok("manifest", "create", name, source)
        path = next(iter(state(f"{place}/docker")))
        with open(f"{place}/docker/{path}") as file:
            entry = json.load(file)
        del entry["Raw"]
        with open(f"{place}/docker/{path}", "w") as file:
            json.dump(entry, file)
        has(d.ok("manifest", "push", name), f"with digest: {digest(image.manifest)}")
        equal(inspect(registry, f"app@{digest(image.manifest)}"), image.document)
        del entry["SchemaV2Manifest"]
        with open(f"{place}/docker/{path}", "w") as file:
            json.dump(entry, file)
        equal(d.fails(1, "manifest", "inspect", name, source), f"{source} has no payload\n")
        with open(f"{place}/docker/{path}", "w") as file:
            file.write("{}")
        has(d.fails(1, "manifest", "push", name), "invalid manifest file", path)
        has(d.fails(1, "manifest", "rm", name), "invalid manifest file")


def test_tokens(d):
    """One token serves what is mounted and where it goes."""
    with Place() as place, TokenServer(place, {"ann": "s3cret"}) as tokens, \
            Registry(f"{place}/r", auth=tokens.config()) as registry, Fake() as fake:
        image = small("a", arch="arm64")
        copy(fake, registry, "src:v1", image, "--dest-creds", "ann:s3cret")
        name, source = f"{registry.host}/app:l", f"{registry.host}/src:v1"
        equal(d.fails(1, "manifest", "create", name, source), f"no such manifest: {source}\n")
        os.makedirs(f"{place}/docker")
        with open(f"{place}/docker/config.json", "w") as file:
            json.dump({"auths": {registry.host: {"auth": base64.b64encode(b"ann:s3cret").decode()}}}, file)
        d.ok("manifest", "create", name, source)
        d.restart()  # and with it all tokens go
        tokens.requests.clear()
        equal(d.ok("manifest", "push", name).splitlines()[0],
              f"Pushed ref {registry.host}/app@{digest(image.manifest)} with digest: {digest(image.manifest)}")
        has(tokens.requests[0][1], "scope=repository%3Aapp%3Apull%2Cpush", "scope=repository%3Asrc%3Apull")
        equal(platforms(inspect(registry, "app:l", "--creds", "ann:s3cret")), [{"architecture": "arm64", "os": "linux"}])
        d.ok("logout", registry.host)
        has(d.fails(1, "manifest", "push", name), f"failed to mount blob {registry.host}/src@{digest(image.config)} to {registry.host}/app@",
            "denied")


def test_basic_and_tls():
    with Place() as place, Fake() as fake:
        make_certificates(place)
        http = {"tls": {"certificate": f"{place}/server.crt", "key": f"{place}/server.key"}}
        with Registry(f"{place}/r", http=http, auth=htpasswd(f"{place}/users", ann="s3cret")) as registry, \
                Daemon("--registry-certs", f"{place}/certs.d") as d:
            certs = f"{place}/certs.d/{registry.host}"
            os.makedirs(certs)
            shutil.copy(f"{place}/ca.crt", certs)
            copy(fake, registry, "src:v1", small("a"), "--dest-creds", "ann:s3cret")
            name, source = f"{registry.host}/app:l", f"{registry.host}/src:v1"
            d.ok("login", "-u", "ann", "--password-stdin", registry.host, input="s3cret")
            d.ok("manifest", "create", name, source)
            has(d.ok("manifest", "push", name), "Pushed ref", "sha256:")
            equal(platforms(inspect(registry, "app:l", "--creds", "ann:s3cret")), [{"architecture": "amd64", "os": "linux"}])
            shutil.copy(f"{place}/client.cert", f"{certs}/ca.crt")  # some other authority
            d.restart()
            has(d.fails(1, "manifest", "push", name), "x509")


def put(d, name, manifest, want=200, **more):
    text = manifest if isinstance(manifest, str) else manifest.decode()
    return d.api("POST", f"/distribution/{name}/manifest", {"Manifest": text, **more}, status=want)


def test_what_cannot_be_put(d):
    image = small("a")
    with Receiving() as fake:
        name, kept = f"{fake.host}/app", digest(image.manifest)
        has(put(d, f"{name}:v1", image.manifest, 404, From=f"{fake.host}/src").message,
            f"error mounting {fake.host}/src@{digest(image.config)} to {name}:v1")
        equal(len(fake.asked("DELETE", "/blobs/uploads/")), 1, "uploads that are taken back")
        assert not fake.asked("PUT", "/manifests/") and not fake.asked("PATCH", "/")
        fake.add("src", "v1", image)  # all repositories of this one share their blobs
        equal(put(d, f"{name}:v1", image.manifest, From=f"{fake.host}/src").json,
              {"mediaType": image.media_type, "digest": kept, "size": len(image.manifest)})
        equal(put(d, f"{name}@{kept}", image.manifest, From=name).json["digest"], kept)
        equal(fake.manifests["app", "v1"], (image.manifest, image.media_type))
        has(put(d, f"{name}@{digest(b'else')}", image.manifest, 400).message, "manifest verification failed for digest")
        has(put(d, f"{name}:v1", image.manifest, 400, From="other.example/src").message,
            f"cannot use source images from a different registry than the target image: other.example != {fake.host}")
        has(put(d, f"{name}:v1", image.manifest, 400, From=f"{fake.host}/src:v1").message, "without tag or digest")
        for bad in ("", "{}", "[]", "no", '{"schemaVersion":1}', '{"manifests":[],"layers":[]}'):
            put(d, f"{name}:v1", bad, 400)
        put(d, "UPPER", image.manifest, 400)
        equal(d.api("POST", f"/distribution/{name}/manifest", {"Manifest": "x" * (5 << 20)}).status, 413)
    with Fake() as fake:  # to which a PUT is a GET
        for code in (401, 403, 404, 400):
            fake.fail("manifests", "v1", status(code))
            has(put(d, f"{fake.host}/app:v1", image.manifest, code).message, f"failed to put manifest {fake.host}/app:v1: ")
        fake.add("app", "v1", small("b"))
        has(put(d, f"{fake.host}/app:v1", image.manifest, 500).message, "the registry took the manifest for sha256:")
    has(put(d, f"127.0.0.1:{free_port()}/app:v1", image.manifest, 503).message, "connection refused")


def test_a_registry_that_is_down(d):
    with Place() as place, Fake() as fake:
        with Registry(f"{place}/r") as registry:
            copy(fake, registry, "app:v1", small("a"))
            name = f"{registry.host}/app"
            d.ok("manifest", "create", f"{name}:l", f"{name}:v1")
        error = d.fails(1, "manifest", "push", f"{name}:l")
        has(error, f"failed to put manifest {name}:l", "connection refused")
        assert "daemon" not in error, error
        has(d.fails(1, "manifest", "create", f"{name}:m", f"{name}:v1"), "connection refused")
        has(d.ok("manifest", "inspect", f"{name}:l"), DOCKER_LIST)  # that is here


def test_a_client_that_leaves(d):
    """With it ends what it wanted put."""
    image, gate = small("a"), threading.Event()
    with Place(), Receiving() as fake:
        fake.add("src", "v1", image)
        name = f"{fake.host}/app:l"
        d.ok("manifest", "create", name, f"{fake.host}/src:v1")
        before = d.settled_census()
        fake.fail("blobs", digest(image.config), lambda request: gate.wait(60) and False)
        client = d.spawn_client("manifest", "push", name)
        wait_for(lambda: fake.asked("HEAD", "/app/blobs/"), "the first blob to be asked for")
        client.kill()
        client.communicate()
        d.assert_counts(before)
        gate.set()
        equal(fake.asked("PUT", "/manifests/"), [])
        has(d.ok("manifest", "push", name), "Pushed ref")
