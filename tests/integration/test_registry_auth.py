"""Registries that want to know who comes: TLS with an authority of one's own, client certificates,
Basic, tokens, identity tokens; login, logout and credential helpers; mirrors and proxies."""
import base64
import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading

import imagemaker
from harness import BUILD, IMAGE, SLOW, Daemon, equal, has
from imagemaker import layer, link
from registries import (DOCKER_LIST, OCI_INDEX, Fake, Image, Registry, Server, TokenServer, digest, free_port, htpasswd,
                        index, make_certificates, skopeo, status)
from test_build import context

DAEMON_ARGS = ("--insecure-registry", "registry.test:5000", "--registry-certs", "/nonexistent")


class Place:
    """A directory for a test, with a docker configuration in it."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="ctl-registry-")
        os.environ["DOCKER_CONFIG"] = f"{self.path}/docker"
        return self.path

    def __exit__(self, *_):
        del os.environ["DOCKER_CONFIG"]
        shutil.rmtree(self.path)


def auth_header(**values):
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(values).encode()).decode()}


def pull(d, name, tag, want=200, **credentials):
    return d.api("POST", "/images/create", fromImage=name, tag=tag, status=want,
                 headers=auth_header(**credentials))


def last(reply):
    return json.loads(reply.body.splitlines()[-1])


def busybox_to(registry, name, *options):
    """A busybox of its own, not the embedded image, which stays when a test is over."""
    path = f"{registry.directory}/busybox.tar"
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(imagemaker.docker_archive(
                [layer({**imagemaker.busybox_files(IMAGE), "bin/echo": link("busybox")})],
                ["busybox:test"], {"Env": ["PATH=/bin"]}))
    skopeo("copy", "--dest-tls-verify=false", *options, f"docker-archive:{path}",
           f"docker://{registry.host}/{name}")


def config(place):
    with open(f"{place}/docker/config.json") as file:
        return json.load(file)


def test_plain_registry(d):
    """What skopeo pushes, in each form, can be pulled and run."""
    with Place() as place, Registry(f"{place}/plain") as registry:
        for kind in ("v2s2", "oci"):
            busybox_to(registry, f"app:{kind}", "--format", kind)
        busybox_to(registry, "app:zstd", "--format", "oci", "--dest-compress-format", "zstd",
                   "--dest-compress")
        for kind in ("v2s2", "oci", "zstd"):
            name = f"{registry.host}/app:{kind}"
            equal(d.ok("run", "--rm", name, "echo", kind), kind)
            want = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))["Digest"]
            has(d.ok("pull", name), f"Digest: {want}", "Image is up to date")
            d.ok("rmi", "-f", name)


def test_all_tags(d):
    with Place() as place, Registry(f"{place}/plain", http={}) as registry:
        for n in range(5):
            busybox_to(registry, f"many:v{n}")
        d.ok("pull", "-q", "-a", f"{registry.host}/many")
        tags = d.ok("images", "--format", "{{.Tag}}", f"{registry.host}/many").split()
        equal(sorted(tags), [f"v{n}" for n in range(5)])
        has(d.fails(1, "pull", "-a", f"{registry.host}/none"), "pull access denied")


class Paging(Fake):
    def handle(self, request):
        path, _, query = request.path.partition("?")
        if not path.endswith("/tags/list"):
            return super().handle(request)
        if "last=v1" in query:
            return request.answer(200, {"name": "app", "tags": ["v2"]})
        return request.answer(200, {"name": "app", "tags": ["v1"]},
                              headers={"Link": '</v2/app/tags/list?last=v1&n=1>; rel="next"'})


def test_tags_in_pages(d):
    image = Image([layer({"f": b"paged"})])
    with Paging() as fake:
        fake.add("app", "v1", image)
        fake.add("app", "v2", image)
        out = d.ok("pull", "-a", f"{fake.host}/app").splitlines()
        has("\n".join(out), "v1: Pulling from app", "v2: Pulling from app")
        equal(len(d.ok("images", "-q", f"{fake.host}/app").split()), 2)


def test_tls_with_an_authority_of_its_own():
    with Place() as place:
        make_certificates(place)
        tls = {"tls": {"certificate": f"{place}/server.crt", "key": f"{place}/server.key"}}
        with Registry(f"{place}/tls", http=tls) as registry, \
                Daemon("--registry-certs", f"{place}/certs.d") as d:
            busybox_to(registry, "app:v1")
            name = f"{registry.host}/app:v1"
            d.ok("pull", "-q", name)  # loopback: any certificate will do
            d.ok("rmi", name)
            certs = f"{place}/certs.d/{registry.host}"
            os.makedirs(certs)
            shutil.copy(f"{place}/ca.crt", certs)
            d.ok("pull", "-q", name)
            d.ok("rmi", name)
            shutil.copy(f"{place}/client.cert", f"{certs}/ca.crt")  # some other authority
            d.restart()  # or a kept connection would do
            has(d.fails(1, "pull", name), "x509")


def test_client_certificate():
    with Place() as place:
        make_certificates(place)
        tls = {"tls": {"certificate": f"{place}/server.crt", "key": f"{place}/server.key",
                       "clientcas": [f"{place}/ca.crt"]}}
        with Registry(f"{place}/tls", http=tls) as registry, \
                Daemon("--registry-certs", f"{place}/certs.d") as d:
            certs = f"{place}/certs.d/{registry.host}"
            os.makedirs(certs)
            for name in ("ca.crt", "client.cert", "client.key"):
                shutil.copy(f"{place}/{name}", certs)
            busybox_to(registry, "app:v1", "--dest-cert-dir", certs)
            d.ok("pull", "-q", f"{registry.host}/app:v1")
            os.unlink(f"{certs}/client.cert")
            d.ok("rmi", f"{registry.host}/app:v1")
            assert d.ctl("pull", f"{registry.host}/app:v1").code == 1


def test_basic(d):
    with Place() as place:
        auth = htpasswd(f"{place}/users", ann="s3cret:x")
        with Registry(f"{place}/basic", auth=auth) as registry:
            busybox_to(registry, "app:v1", "--dest-creds", "ann:s3cret:x")
            name = f"{registry.host}/app"
            equal(pull(d, name, "v1", 500).message, "no basic auth credentials")
            has(pull(d, name, "v1", 500, username="ann", password="wrong").message, "unauthorized")
            has(last(pull(d, name, "v1", username="ann", password="s3cret:x"))["status"],
                "Downloaded newer image")
            auth = base64.b64encode(b"ann:s3cret:x").decode()
            has(last(pull(d, name, "v1", auth=auth))["status"], "up to date")
            has(pull(d, name, "v1", 500).message, "no basic auth")
    with open(d.log) as log:
        text = log.read()
    assert "s3cret" not in text and base64.b64encode(b"ann:s3cret:x").decode() not in text


def test_login_and_logout(d):
    with Place() as place:
        auth = htpasswd(f"{place}/users", ann="s3cret")
        with Registry(f"{place}/basic", auth=auth) as registry:
            busybox_to(registry, "app:v1", "--dest-creds", "ann:s3cret")
            name = f"{registry.host}/app:v1"
            for client in (d.ctl, d.docker):
                done = client("login", "-u", "ann", "--password-stdin", registry.host, input="wrong\n")
                assert done.code == 1, done
                has(done.err, "unauthorized")
                assert not os.path.exists(f"{place}/docker/config.json") or \
                    not config(place).get("auths")
                assert client("pull", name).code == 1
                done = client("login", "-u", "ann", "--password-stdin", registry.host, input="s3cret\n")
                assert done.code == 0 and "Login Succeeded" in done.out, done
                equal(os.stat(f"{place}/docker/config.json").st_mode & 0o777, 0o600)
                equal(config(place)["auths"], {registry.host: {
                    "auth": base64.b64encode(b"ann:s3cret").decode()}})
                for other in (d.ctl, d.docker):  # either client knows what the other was told
                    assert other("pull", "-q", name).code == 0
                    d.ok("rmi", name)
                done = client("logout", registry.host)
                equal((done.code, done.out),
                      (0, f"Removing login credentials for {registry.host}\n"))
                assert client("pull", name).code == 1
            has(d.ctl("logout", registry.host).out, f"Not logged in to {registry.host}")
            has(d.fails(1, "login", registry.host), "non TTY")
            equal(d.api("POST", "/auth", {"username": "ann", "password": "x",
                                          "serveraddress": registry.host}).status, 401)
            equal(d.api("POST", "/auth", {"serveraddress": "bad host/"}).status, 400)


def test_credentials_of_a_build(d):
    """X-Registry-Config: those of all registries, of which the build takes the one that FROM names."""
    with Place() as place, Registry(f"{place}/basic", auth=htpasswd(f"{place}/users", ann="s3cret")) as registry:
        busybox_to(registry, "app:v1", "--dest-creds", "ann:s3cret")
        body = context({"Dockerfile": f"FROM {registry.host}/app:v1\nCMD true\n"})
        for password, worked in (("wrong", False), ("s3cret", True)):
            known = {"https://index.docker.io/v1/": {"username": "x", "password": "y"}, registry.host: {"username": "ann", "password": password}}
            reply = d.api("POST", "/build?t=private", body, headers={
                "Content-Type": "application/x-tar", "X-Registry-Config": base64.urlsafe_b64encode(json.dumps(known).encode()).decode()})
            equal(b"Successfully built" in reply.body, worked, reply.body)
        d.ok("rmi", "private", f"{registry.host}/app:v1")


def test_login_on_a_terminal(d):
    with Place() as place:
        auth = htpasswd(f"{place}/users", ann="s3cret")
        with Registry(f"{place}/basic", auth=auth) as registry:
            terminal = d.terminal("login", registry.host)
            terminal.expect("Username: ")
            terminal.send("ann\n")
            terminal.expect("Password: ")
            terminal.send("s3cret\n")
            terminal.expect("Login Succeeded")
            equal(terminal.wait(), 0)
            assert "s3cret" not in terminal.output, "the password is shown"


HELPER = """#!/bin/sh
case $1 in
get) read -r server; [ -f "$0.$(echo "$server" | tr / _)" ] ||
    { echo "credentials not found in native keychain"; exit 1; }
    cat "$0.$(echo "$server" | tr / _)" ;;
store) input=$(cat); server=$(echo "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/')
    echo "$input" > "$0.$(echo "$server" | tr / _)" ;;
erase) read -r server; rm -f "$0.$(echo "$server" | tr / _)" ;;
esac
"""


@contextlib.contextmanager
def helper_in(place):
    """The path of docker-credential-test, which is in PATH."""
    helper = f"{place}/docker-credential-test"
    with open(helper, "w") as file:
        file.write(HELPER)
    os.chmod(helper, 0o755)
    os.makedirs(f"{place}/docker", exist_ok=True)
    path, os.environ["PATH"] = os.environ["PATH"], f"{place}:{os.environ['PATH']}"
    try:
        yield helper
    finally:
        os.environ["PATH"] = path


def test_credential_helpers(d):
    with Place() as place, helper_in(place) as helper:
        auth = htpasswd(f"{place}/users", ann="s3cret")
        with Registry(f"{place}/basic", auth=auth) as registry:
            busybox_to(registry, "app:v1", "--dest-creds", "ann:s3cret")
            for settings in ({"credsStore": "test"}, {"credHelpers": {registry.host: "test"}}):
                with open(f"{place}/docker/config.json", "w") as file:
                    json.dump({**settings, "psFormat": "{{.ID}}"}, file)
                assert d.ctl("pull", f"{registry.host}/app:v1").code == 1
                done = d.ctl("login", "-u", "ann", "--password-stdin", registry.host, input="s3cret")
                assert done.code == 0 and "unencrypted" not in done.err, done
                equal(config(place), {**settings, "psFormat": "{{.ID}}",
                                      "auths": {registry.host: {}}})
                with open(f"{helper}.{registry.host}") as file:
                    equal(json.load(file), {"ServerURL": registry.host, "Username": "ann",
                                            "Secret": "s3cret"})
                d.ok("pull", "-q", f"{registry.host}/app:v1")
                d.ok("rmi", f"{registry.host}/app:v1")
                d.ok("logout", registry.host)
                assert not os.path.exists(f"{helper}.{registry.host}")


def test_tokens(d):
    with Place() as place, TokenServer(place, {"ann": "s3cret"}, public=["open"]) as tokens, \
            Registry(f"{place}/token", auth=tokens.config()) as registry:
        for name in ("open:v1", "closed:v1"):
            busybox_to(registry, name, "--dest-creds", "ann:s3cret")
        tokens.requests.clear()
        has(last(pull(d, f"{registry.host}/open", "v1"))["status"], "Downloaded newer image")
        equal(len(tokens.requests), 1, "tokens for one pull")
        has(tokens.requests[0][1], "scope=repository%3Aopen%3Apull", "service=test%20registry")
        assert "Authorization" not in tokens.requests[0][2]
        has(last(pull(d, f"{registry.host}/open", "v1"))["status"], "up to date")
        equal(len(tokens.requests), 1, "tokens for two pulls: the first one is still good")
        message = pull(d, f"{registry.host}/closed", "v1", 404).message
        has(message, f"pull access denied for {registry.host}/closed, repository does not exist or "
                     "may require 'docker login'")
        equal(pull(d, f"{registry.host}/closed", "v1", 500, username="ann", password="x").message,
              "unauthorized: incorrect username or password")
        has(last(pull(d, f"{registry.host}/closed", "v1", username="ann",
                      password="s3cret"))["status"], "Downloaded newer image")
        has(tokens.requests[-1][1], "account=ann")


def test_identity_tokens(d):
    with Place() as place, TokenServer(place, {"ann": "s3cret"}) as tokens, \
            Registry(f"{place}/token", auth=tokens.config()) as registry:
        busybox_to(registry, "app:v1", "--dest-creds", "ann:s3cret")
        done = d.ctl("login", "-u", "ann", "--password-stdin", registry.host, input="s3cret\n")
        assert done.code == 0, done
        entry = config(place)["auths"][registry.host]
        assert entry["identitytoken"] in tokens.refresh_tokens
        assert "s3cret" not in base64.b64decode(entry["auth"]).decode()
        tokens.requests.clear()
        d.ok("pull", "-q", f"{registry.host}/app:v1")
        equal([r[0] for r in tokens.requests], ["POST"])
        tokens.refresh_tokens.clear()
        d.ok("rmi", f"{registry.host}/app:v1")
        d.ok("logout", registry.host)
        with helper_in(place):
            with open(f"{place}/docker/config.json", "w") as file:
                json.dump({"credsStore": "test"}, file)
            done = d.ctl("login", "-u", "ann", "--password-stdin", registry.host, input="s3cret\n")
            assert done.code == 0, done
            with open(f"{place}/docker-credential-test.{registry.host}") as file:
                kept = json.load(file)
            equal(kept["Username"], "<token>")
            assert kept["Secret"] in tokens.refresh_tokens, kept
            tokens.requests.clear()
            d.ok("pull", "-q", f"{registry.host}/app:v1")
            equal([r[0] for r in tokens.requests], ["POST"])
            d.ok("rmi", f"{registry.host}/app:v1")
            d.ok("logout", registry.host)


def test_tokens_that_expire_in_a_pull(d):
    """A token that a registry no longer takes is renewed, once."""
    image = Image([layer({"f": b"expiring"})])

    class Closed(Fake):
        good, refused, expired = "none", 0, False

        def handle(self, request):
            if request.path.startswith("/token"):
                self.good = f"token{len(self.requests)}"
                return request.answer(200, {"token": self.good, "expires_in": 3600})
            if request.headers.get("Authorization") != f"Bearer {self.good}":
                self.refused += 1
                return request.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "no"}]},
                                      headers={"WWW-Authenticate":
                                               f'Bearer realm="http://{self.host}/token",service="x"'})
            if "/blobs/" in request.path and not self.expired:
                self.good, self.expired = "another", True
                return self.handle(request)
            return super().handle(request)

    with Closed() as fake:
        fake.add("app", "v1", image)
        d.ok("pull", "-q", f"{fake.host}/app:v1")
        assert fake.refused >= 2, fake.refused


def test_the_better_of_two_challenges(d):
    """A token, although Basic is named first: the password is not for the registry."""
    image = Image([layer({"f": b"both"})])

    class Both(Fake):
        def handle(self, request):
            if request.path.startswith("/token"):
                return request.answer(200, {"token": "good"})
            if request.headers.get("Authorization") != "Bearer good":
                return request.answer(401, headers={  # two headers: names differ in case for Python only
                    "WWW-Authenticate": 'Basic realm="x"',
                    "Www-authenticate": f'Negotiate, Bearer realm="http://{self.host}/token",service="x"'})
            return super().handle(request)

    with Both() as fake:
        fake.add("app", "v1", image)
        has(last(pull(d, f"{fake.host}/app", "v1", username="ann", password="s3cret"))["status"],
            "Downloaded newer image")
        for _, path, headers in fake.requests:
            assert path.startswith("/token") or "Basic" not in headers.get("Authorization", ""), path


def test_credentials_stay_at_home(d):
    """Neither a redirect nor a token server without TLS gets what is not for it."""
    image = Image([layer({"f": b"redirected"})])

    class Stranger(Server):
        def handle(self, request):
            Fake.send(request, blobs[request.path.strip("/")])

    class Home(Fake):
        def handle(self, request):
            wanted = "Basic " + base64.b64encode(b"ann:s3cret").decode()
            if request.headers.get("Authorization") != wanted:
                return request.answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            key = request.path.split("/")[-1]
            if "/blobs/" in request.path:
                return request.answer(307, headers={"Location": f"http://{stranger.host}/{key}"})
            return super().handle(request)

    with Home() as home, Stranger() as stranger:
        blobs = home.blobs
        home.add("app", "v1", image)
        has(last(pull(d, f"{home.host}/app", "v1", username="ann", password="s3cret"))["status"],
            "Downloaded newer image")
        equal(len(stranger.requests), 2)
        for request in stranger.requests:
            assert "Authorization" not in request[2], request
    with Place() as place:
        make_certificates(place)
        with Fake((f"{place}/server.crt", f"{place}/server.key")) as home:
            home.fail("manifests", "v1", *[lambda request: request.answer(401, headers={
                "WWW-Authenticate": 'Bearer realm="http://token.example/token"'}) or True] * 4)
            has(pull(d, f"{home.host}/app", "v1", 500, username="a", password="b").message,
                "without TLS")
            # What came by TLS is not asked for without.
            image = Image([layer({"f": b"redirected too"})])
            for blob in image.blobs:
                home.fail("blobs", digest(blob), *[lambda request: request.answer(
                    307, headers={"Location": "http://store.example/blob"}) or True] * 2)
            home.faults.pop(("manifests", "v1"))
            home.add("app", "v1", image)
            has(pull(d, f"{home.host}/app", "v1", username="a", password="b").body.decode(),
                "redirected from https to plain http")


def test_mirrors():
    image = Image([layer({**imagemaker.busybox_files(IMAGE), "f": b"mirrored"})],
                  {"Cmd": ["/bin/busybox", "cat", "/f"]})
    with Fake() as broken, Fake() as good, \
            Daemon("--registry-mirror", f"http://{broken.host}", "--registry-mirror",
                   f"http://{good.host}/") as d:
        broken.fail("manifests", "latest", *[status(500, Retry_After="0")] * 20)
        good.add("library/mirrored", "latest", image)
        out = d.ok("pull", "mirrored").splitlines()
        has("\n".join(out), "latest: Pulling from library/mirrored")
        equal(out[-1], "docker.io/library/mirrored:latest")
        equal(d.ok("run", "--rm", "mirrored"), "mirrored")
        for fake in (broken, good):
            for request in fake.requests:
                assert "Authorization" not in request[2]
        # What no mirror has is asked for at the registry itself, which is out of reach here.
        has(d.fails(1, "pull", "nowhere"), "registry-1.docker.io")
        d.ok("rmi", "-f", "mirrored")
        # A blob that the mirror does not have comes from the next one.
        broken.faults.clear()
        broken.add_manifest("library/mirrored", "latest", image.manifest, image.media_type)
        broken.blobs[digest(image.config)] = image.config
        d.ok("pull", "-q", "mirrored")
        equal(len(broken.asked("GET", digest(image.layers[0]))), 1)
        # Who we are at the registry is nothing for a mirror.
        d.ok("rmi", "-f", "mirrored")
        broken.requests.clear()
        good.requests.clear()
        for fake in (broken, good):
            fake.fail("manifests", "latest", *[lambda request: request.answer(
                401, headers={"WWW-Authenticate": 'Basic realm="x"'}) or True] * 4)
        has(pull(d, "mirrored", "latest", None, username="ann", password="s3cret").body.decode(), "registry-1.docker.io")
        for fake in (broken, good):
            equal(len(fake.requests), 1)
            assert "Authorization" not in fake.requests[0][2]
    for bad in ("mirror.example", "ftp://mirror.example"):
        with Daemon("--registry-mirror", bad, start=False) as d:
            assert d.spawn().wait(30 * SLOW) != 0
            with open(d.log) as log:
                has(log.read(), "invalid registry mirror")


def test_proxy():
    """What is not on loopback goes through the proxy that the environment names."""
    image = Image([layer({"f": b"proxied"})])

    class Proxy(Fake):
        def handle(self, request):
            if not request.path.startswith("http://registry.test:5000/"):
                return request.answer(502)
            request.path = request.path.removeprefix("http://registry.test:5000")
            return super().handle(request)

        def do_connect(self, request):
            request.answer(502)

    with Proxy() as proxy, Daemon("--insecure-registry", "registry.test:5000", env={
            "HTTP_PROXY": f"http://{proxy.host}", "NO_PROXY": "other.test"}) as d:
        proxy.add("app", "v1", image)
        d.ok("pull", "-q", "registry.test:5000/app:v1")
        assert proxy.asked("GET", "http://registry.test:5000/v2/app/manifests/v1")
        proxy.requests.clear()
        has(d.fails(1, "pull", "other.test/app:v1"), "other.test: no such host")
        equal(proxy.requests, [], "what goes there directly")
        has(d.fails(1, "pull", "secure.test:5000/app:v1"), "https://secure.test:5000")
        equal(proxy.requests, [], "plain HTTP to a registry that was not said to be insecure")


class Tunnel(Server):
    """CONNECT to whatever, which is one port of ours."""

    def __init__(self, port):
        self.target = port
        super().__init__()

    def handle(self, request):
        if request.command != "CONNECT":
            return request.answer(502)
        request.send_response_only(200)
        request.end_headers()
        with socket.create_connection(("127.0.0.1", self.target)) as other:
            back = threading.Thread(target=self.pump, args=(other, request.connection))
            back.start()
            self.pump(request.connection, other)
            back.join()
        request.close_connection = True
        return None

    @staticmethod
    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def test_proxy_of_tls():
    """The proxy sees a name and a port, and who asks; what is said goes through it unread."""
    image = Image([layer({"f": b"tunnelled"})])
    with Place() as place:
        make_certificates(place)
        with Fake((f"{place}/server.crt", f"{place}/server.key")) as fake, Tunnel(fake.port) as proxy, \
                Daemon("--insecure-registry", "registry.test:5000", env={
                    "HTTPS_PROXY": f"http://me:pass@{proxy.host}"}) as d:
            fake.add("app", "v1", image)
            d.ok("pull", "-q", "registry.test:5000/app:v1")
            equal({(method, path) for method, path, _ in proxy.requests}, {("CONNECT", "registry.test:5000")})
            equal(proxy.requests[0][2]["Proxy-Authorization"], "Basic " + base64.b64encode(b"me:pass").decode())
            for _, _, headers in fake.requests:
                assert "Proxy-Authorization" not in headers, headers


def test_distribution(d):
    image = Image([layer({"f": b"x"})], oci=True)
    with Fake() as fake:
        fake.add("app", "v1", image)
        got = d.api("GET", f"/distribution/{fake.host}/app:v1/json", status=200).json
        equal(got, {"Descriptor": {"mediaType": image.media_type, "size": len(image.manifest),
                                   "digest": digest(image.manifest)},
                    "Platforms": [{"architecture": "amd64", "os": "linux"}]})
        equal(d.api("GET", f"/distribution/{fake.host}/app:v2/json").status, 401)
        equal(d.api("GET", "/distribution/UPPER/json").status, 400)
        equal(d.api("GET", f"/distribution/127.0.0.1:{free_port()}/app/json").status, 503)


def test_manifest_inspect(d):
    """ctlc shows what the docker command shows, which asks the registry by itself."""
    images = [Image([layer({"f": arch.encode()})], oci=oci, arch=arch) for oci in (True, False) for arch in ("amd64", "arm64")]
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        make_certificates(place)
        fake = stack.enter_context(Fake((f"{place}/server.crt", f"{place}/server.key")))
        for n, image in enumerate(images):
            fake.add("app", f"v{n}", image)
        fake.add_manifest("app", "oci", index(images[:2]), OCI_INDEX)
        fake.add_manifest("app", "list", index(images[2:], oci=False), DOCKER_LIST)
        # What builders put beside the images: no image, but a manifest that can be shown.
        proof = Image([b'{"_type":"https://in-toto.io/Statement/v0.1"}'], oci=True, packing=None, arch="unknown")
        proof.config = proof.config.replace(b'"linux"', b'"unknown"')
        proof.document["config"] = Image.descriptor(proof.document["config"]["mediaType"], proof.config)
        proof.document["layers"][0]["mediaType"] = "application/vnd.in-toto+json"
        fake.add("app", "proof", proof)
        fake.add_manifest("app", "proven", index([images[0], proof]), OCI_INDEX)
        names = [f"app:{tag}" for tag in ("v0", "v1", "v2", "v3", "oci", "list", "proof", "proven")] + [f"app@{digest(images[0].manifest)}", f"app@{digest(index(images[:2]))}"]
        old = " 20." in d.docker_ok("--version")
        for name in names:
            for options in ([], ["--verbose"]):
                command = ["manifest", "inspect", "--insecure", *options, f"{fake.host}/{name}"]
                ours = d.ok(*command)
                if not old:
                    equal(ours, d.docker_ok(*command), f"{command}")
        plain = json.loads(d.ok("manifest", "inspect", f"{fake.host}/app:oci"))
        equal([entry["platform"]["architecture"] for entry in plain["manifests"]], ["amd64", "arm64"])
        equal([entry["Descriptor"]["platform"]["architecture"] for entry in json.loads(d.ok("manifest", "inspect", "-v", f"{fake.host}/app:list"))], ["amd64", "arm64"])
        has(d.fails(1, "manifest", "inspect", f"{fake.host}/app:none"), f"no such manifest: {fake.host}/app:none")
        has(d.fails(1, "manifest", "inspect", "UPPER"), "invalid reference format")
        got = d.api("GET", f"/distribution/{fake.host}/app:v0/json", manifest=1, status=200).json
        equal(got["Manifest"].encode(), images[0].manifest)


def test_search(d):
    results = [{"name": f"team/app{n}", "description": "An app\nfor all", "star_count": n,
                "is_official": n == 3, "is_automated": False} for n in range(5)]

    class Index(Server):
        def handle(self, request):
            request.answer(200, {"num_results": 5, "query": "app", "results": results})

    with Index() as index:
        got = d.api("GET", "/images/search", status=200, term=f"{index.host}/app").json
        equal([one["name"] for one in got], [one["name"] for one in results])
        has(index.requests[-1][1], "/v1/search?q=app&n=25")
        got = d.api("GET", f"/images/search?term={index.host}/app&limit=2", status=200).json
        equal(len(got), 2)
        got = d.api("GET", "/images/search", status=200, term=f"{index.host}/app",
                    filters={"is-official": ["true"]}).json
        equal([one["star_count"] for one in got], [3])
        equal(d.api("GET", f"/images/search?term={index.host}/app&limit=101").status, 400)
        equal(d.api("GET", "/images/search", term=f"{index.host}/app",
                    filters={"x": ["1"]}).status, 400)
        equal(d.api("GET", "/images/search", term="").status, 400)
        for client in (d.ok, d.docker_ok):
            head, *rows = client("search", "-f", "stars=3", f"{index.host}/app").splitlines()
            # Older stock clients have a column more, which is empty, and sort by stars.
            equal([word for word in head.split() if word != "AUTOMATED"], ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"])
            equal(sorted(row.split() for row in rows),
                  [["team/app3", "An", "app", "for", "all", "3", "[OK]"],
                   ["team/app4", "An", "app", "for", "all", "4"]])
