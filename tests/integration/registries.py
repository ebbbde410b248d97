"""Registries to pull from and push to, all on loopback: Debian's docker-registry in each of its
ways to be reached, and one of our own that serves what no honest registry would."""
import base64
import crypt
import gzip
import hashlib
import http.server
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse

from harness import SLOW, wait_for
from imagemaker import config_of, sha256

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def digest(data):
    return f"sha256:{sha256(data)}"


# What images are made of

class Image:
    """Blobs and manifest of an image; layers are uncompressed tars."""

    def __init__(self, layers, config=None, oci=False, packing="gzip", arch="amd64", **more):
        self.config = config_of(layers, config).replace(b'"amd64"', f'"{arch}"'.encode())
        self.layers = [self.pack(tar, packing) for tar in layers]
        layer_type = DOCKER_LAYER
        if oci or packing != "gzip":
            layer_type = OCI_LAYER + {"gzip": "+gzip", "zstd": "+zstd", None: ""}[packing]
        self.media_type = OCI_MANIFEST if oci else DOCKER_MANIFEST
        self.document = {
            "schemaVersion": 2, "mediaType": self.media_type,
            "config": self.descriptor(OCI_CONFIG if oci else DOCKER_CONFIG, self.config),
            "layers": [self.descriptor(layer_type, blob) for blob in self.layers], **more}
        self.arch = arch

    @staticmethod
    def pack(tar, packing):
        if packing == "gzip":
            return gzip.compress(tar, mtime=0)
        if packing == "zstd":
            return subprocess.run(["zstd", "-q", "-c"], input=tar, stdout=subprocess.PIPE,
                                  check=True).stdout
        return tar

    @staticmethod
    def descriptor(kind, data):
        return {"mediaType": kind, "size": len(data), "digest": digest(data)}

    @property
    def manifest(self):
        return json.dumps(self.document).encode()

    @property
    def id(self):
        return digest(self.config)

    @property
    def blobs(self):
        return [self.config, *self.layers]


def index(images, oci=True):
    return json.dumps({
        "schemaVersion": 2, "mediaType": OCI_INDEX if oci else DOCKER_LIST,
        "manifests": [{**Image.descriptor(image.media_type, image.manifest),
                       "platform": {"os": "linux", "architecture": image.arch}}
                      for image in images]}).encode()


# A server for each purpose

class Server:
    """An HTTP server in a thread; handle(request) decides.  requests: what it was asked."""

    def __init__(self, tls=None):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(length) if length else b""
                outer.requests.append((self.command, self.path, dict(self.headers)))
                outer.handle(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = handle_any

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", kind="application/json", headers=()):
                if not isinstance(body, bytes):
                    body = json.dumps(body).encode()
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", kind)
                if "Content-Length" not in dict(headers):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def cut(self):
                """End the connection in the middle of whatever it was."""
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        class Threaded(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass  # a client that leaves is no news

        self.requests = []
        self.server = Threaded(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def handle(self, request):
        raise NotImplementedError

    def asked(self, method, part):
        return [r for r in self.requests if r[0] == method and part in r[1]]

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Fake(Server):
    """A registry of images in memory, that may be told to misbehave: faults[(kind, digest or tag)]
    is a list of functions request -> True if it has answered; each is used once."""

    def __init__(self, tls=None):
        self.blobs, self.manifests, self.faults = {}, {}, {}
        self.gate = None  # an event that blobs wait for
        super().__init__(tls)

    def add(self, name, tag, image):
        for blob in image.blobs:
            self.blobs[digest(blob)] = blob
        self.add_manifest(name, tag, image.manifest, image.media_type)
        return digest(image.manifest)

    def add_manifest(self, name, tag, document, media_type):
        for key in (tag, digest(document)):
            if key:
                self.manifests[name, key] = (document, media_type)

    def fail(self, kind, key, *faults):
        self.faults.setdefault((kind, key), []).extend(faults)

    def handle(self, request):
        parts = urllib.parse.urlsplit(request.path).path.strip("/").split("/")
        if parts == ["v2"]:
            return request.answer(200, {})
        if len(parts) < 4 or parts[0] != "v2":
            return request.answer(404, {"errors": [{"code": "UNSUPPORTED", "message": "what?"}]})
        name, kind, key = "/".join(parts[1:-2]), parts[-2], parts[-1]
        waiting = self.faults.get((kind, key)) or self.faults.get((kind, "*"))
        if waiting and waiting.pop(0)(request):
            return None
        if kind == "manifests":
            return self.manifest(request, name, key)
        if kind == "blobs":
            return self.blob(request, key)
        return request.answer(404, {"errors": [{"code": "UNSUPPORTED", "message": "what?"}]})

    def manifest(self, request, name, key):
        found = self.manifests.get((name, key))
        if not found:
            return request.answer(404, {"errors": [{
                "code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
        return request.answer(200, found[0], found[1],
                              {"Docker-Content-Digest": digest(found[0])})

    def blob(self, request, key):
        data = self.blobs.get(key)
        if data is None:
            return request.answer(404, {"errors": [{
                "code": "BLOB_UNKNOWN", "message": "blob unknown to registry"}]})
        if self.gate:
            self.gate.wait(30 * SLOW)
        return self.send(request, data)

    @staticmethod
    def send(request, data):
        wanted = request.headers.get("Range")
        if not wanted:
            return request.answer(200, data, "application/octet-stream")
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            return request.answer(416)
        return request.answer(206, data[start:], "application/octet-stream",
                              {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})


# Faults

def status(code, **headers):
    return lambda request: request.answer(
        code, {"errors": [{"code": "UNAVAILABLE", "message": "try later"}]},
        headers={k.replace("_", "-"): v for k, v in headers.items()}) or True


def cut_after(data, count):
    """The head promises all of it, `count` bytes come."""
    def fault(request):
        start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
        rest = data[start:]
        headers = {"Content-Length": str(len(rest))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        request.answer(206 if start else 200, rest[:count], "application/octet-stream", headers)
        request.cut()
        return True
    return fault


def body(data, **headers):
    return lambda request: request.answer(200, data, "application/octet-stream", headers) or True


# Certificates

def make_certificates(directory):
    """ca.crt, server.crt and .key, client.cert and .key in directory."""
    def run(*args):
        subprocess.run(["openssl", *args], check=True, cwd=directory, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt",
        "-days", "2", "-subj", "/CN=test authority")
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
                            ("client", "extendedKeyUsage=clientAuth")):
        run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out",
            f"{name}.csr", "-subj", f"/CN={name}")
        with open(f"{directory}/{name}.ext", "w") as file:
            file.write(extension)
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-out", f"{name}.crt", "-extfile", f"{name}.ext")
    os.rename(f"{directory}/client.crt", f"{directory}/client.cert")


# Debian's registry

class Registry:
    """docker-registry(1) with the given parts of its configuration."""

    def __init__(self, directory, **config):
        os.makedirs(directory, exist_ok=True)
        self.directory, self.port = directory, free_port()
        self.host = f"127.0.0.1:{self.port}"
        document = {
            "version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": f"{directory}/registry"}},
            **config, "http": {"addr": self.host, **config.get("http", {})}}
        path = f"{directory}/config.yml"
        with open(path, "w") as file:
            json.dump(document, file)  # YAML that happens to be JSON
        self.log = open(f"{directory}/log", "ab")
        self.process = subprocess.Popen(["docker-registry", "serve", path], stdout=self.log,
                                        stderr=self.log, stdin=subprocess.DEVNULL)
        wait_for(self.answers, "docker-registry to answer")

    def answers(self):
        assert self.process.poll() is None, "docker-registry ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10 * SLOW)
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def htpasswd(path, **users):
    """The registry takes bcrypt only."""
    with open(path, "w") as file:
        for name, password in users.items():
            salt = crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)
            file.write(f"{name}:{crypt.crypt(password, salt)}\n")
    return {"htpasswd": {"realm": "test realm", "path": path}}


def skopeo(*args, fails=False):
    done = subprocess.run(["skopeo", "--insecure-policy", *args], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, timeout=60 * SLOW)
    assert fails or done.returncode == 0, f"skopeo {args}: {done.stderr.decode()}"
    return done.stdout.decode()


class BadLine:
    """A TCP proxy in front of a registry.  plan(n) tells what happens to the answers on the n-th
    connection: ("cut", k): it ends after k bytes, ("reset", k): with an RST, ("flip", k): the k-th byte
    is another one, ("trickle", k): k bytes at a time, None: nothing."""

    def __init__(self, port, plan):
        self.target, self.plan, self.connections = port, plan, 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            fault = self.plan(self.connections)
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self.target))
            for pump in ((client, server, None), (server, client, fault)):
                threading.Thread(target=self.pump, args=pump, daemon=True).start()

    @staticmethod
    def pump(source, sink, fault):
        kind, at = fault or (None, 0)
        passed = 0
        try:
            while data := source.recv(min(at, 65536) if kind == "trickle" else 65536):
                if kind == "flip" and passed <= at < passed + len(data):
                    data = bytearray(data)
                    data[at - passed] ^= 1
                if kind in ("cut", "reset") and passed + len(data) >= at:
                    sink.sendall(data[:at - passed])
                    break
                sink.sendall(data)
                passed += len(data)
                if kind == "trickle":
                    time.sleep(0.001)
            if kind == "reset":
                sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sink.shutdown(socket.SHUT_RD)  # the other pump lets go of it
                sink.close()
                return
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR if kind == "cut" else socket.SHUT_WR)
            except OSError:
                pass

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# Tokens (docs of the distribution project: "Token Authentication Specification")

def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer(Server):
    """Issues tokens that docker-registry believes, for users {name: password} and for refresh
    tokens; anonymous ones may pull what is public."""

    SERVICE = "test registry"

    def __init__(self, directory, users, public=()):
        make_certificates(directory)
        self.directory, self.users, self.public = directory, users, public
        self.refresh_tokens, self.life, self.issued = {}, 300, 0
        super().__init__()

    def config(self):
        return {"token": {"realm": f"http://{self.host}/token", "service": self.SERVICE,
                          "issuer": "test issuer", "rootcertbundle": f"{self.directory}/ca.crt"}}

    def sign(self, claims):
        with open(f"{self.directory}/ca.crt") as file:
            certificate = "".join(file.read().split("-----")[2].split())
        head = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
        text = ".".join(b64url(json.dumps(part).encode()) for part in (head, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign",
                                    f"{self.directory}/ca.key"], input=text.encode(),
                                   stdout=subprocess.PIPE, check=True).stdout
        return f"{text}.{b64url(signature)}"

    def user_of(self, request, form):
        """(user or None, whether the credentials are right)"""
        if request.command == "POST":
            user = self.refresh_tokens.get(form.get("refresh_token", [""])[0])
            return user, user is not None
        header = request.headers.get("Authorization", "")
        if not header.startswith("Basic "):
            return None, True
        user, _, password = base64.b64decode(header[6:]).decode().partition(":")
        return user, self.users.get(user) == password

    def access(self, user, scopes):
        granted = []
        for scope in " ".join(scopes).split():
            kind, name, actions = scope.split(":", 2)
            allowed = set(actions.split(",")) if user else \
                {"pull"} & set(actions.split(",")) if name in self.public else set()
            granted.append({"type": kind, "name": name, "actions": sorted(allowed)})
        return granted

    def handle(self, request):
        url = urllib.parse.urlsplit(request.path)
        form = urllib.parse.parse_qs(request.body.decode() if request.command == "POST"
                                     else url.query)
        user, right = self.user_of(request, form)
        if not right:
            return request.answer(401, {"details": "incorrect username or password"})
        now = int(time.time())
        self.issued += 1
        token = self.sign({
            "iss": "test issuer", "sub": user or "", "aud": form.get("service", [""])[0],
            "exp": now + 3600, "nbf": now - 60, "iat": now, "jti": str(self.issued),
            "access": self.access(user, form.get("scope", []))})
        answer = {"token": token, "access_token": token, "expires_in": self.life}
        if user and form.get("offline_token"):
            refresh = hashlib.sha256(token.encode()).hexdigest()
            self.refresh_tokens[refresh] = user
            answer["refresh_token"] = refresh
        return request.answer(200, answer)
