#!/usr/bin/python3
"""Measures how layers get in and out, beside the stock dockerd: same machine, same run, alternating rounds.

    layers.py [--build DIR] [--rounds N] [--tar FILE] [--alone] [--json FILE]

Loads and pulls an image of a root file system's tar (--tar; else one is made of this system's /usr),
from a file and from a docker-registry on the loopback of a network namespace of its own, and commits
a change to it. Beside the figures: what the machine needs for the same bytes alone. As root."""
import argparse
import gzip
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "../integration"))
import host  # noqa: E402

SIZE = 170 << 20
COMMIT_SIZE, COMMIT_FILES = 20_000_000, 400
NAMESPACE = "CTL_BENCH_NAMESPACE"


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def memory(pid, key):
    """KiB, 0 if the process is gone."""
    found = re.search(rf"^{key}:\s*(\d+)", read(f"/proc/{pid}/status"), re.M)
    return int(found.group(1)) if found else 0


# What is loaded and pulled

def make_tar(path):
    """Regular files, directories and links of /usr, up to SIZE."""
    total = 0
    with tarfile.open(path, "w") as tar:
        for directory, _, names in os.walk("/usr/lib"):
            for name in sorted(names):
                full = os.path.join(directory, name)
                if not os.path.islink(full) and not os.path.isfile(full):
                    continue
                tar.add(full, full[1:])
                total += 1024 + os.lstat(full).st_size
            if total >= SIZE:
                return


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def small_layer(number, size=1 << 20):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        data = os.urandom(size)
        info = tarfile.TarInfo(f"layer{number}")
        info.size = size
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Layer:
    """A layer as a file: `path` holds its bytes as they are stored and sent."""

    def __init__(self, path, diff_id, packed):
        self.path, self.diff_id = path, diff_id
        self.digest, self.size = sha256(path), os.path.getsize(path)
        self.kind = "application/vnd.docker.image.rootfs.diff.tar" + (".gzip" if packed else "")


class Layers:
    """Makes layers of one tar that differ in their last file only, so that nothing need be removed between
    rounds: ext4 finds no inodes quickly where many were freed a moment ago."""

    def __init__(self, directory, tar):
        self.directory, self.count, self.base, self.packed = directory, 0, f"{directory}/base", f"{directory}/base.gz"
        self.hash = hashlib.sha256()
        with tarfile.open(tar) as source:
            for _ in source:
                pass
            end = source.offset  # of the last member
        with open(tar, "rb") as source, open(self.base, "wb") as out:
            while end > 0:
                data = source.read(min(1 << 20, end))
                end -= len(data)
                self.hash.update(data)
                out.write(data)
        with open(self.packed, "wb") as out:
            subprocess.run(["gzip", "-6", "-c", self.base], stdout=out, check=True)

    def make(self, packed):
        self.count += 1
        path, last, digest = f"{self.directory}/layer{self.count}", small_layer(self.count, 512), self.hash.copy()
        digest.update(last)
        with open(path, "wb") as out:
            with open(self.packed if packed else self.base, "rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)
            out.write(gzip.compress(last) if packed else last)
        return Layer(path, digest.hexdigest(), packed)

    def small(self, size):
        self.count += 1
        data = small_layer(self.count, size)
        path = f"{self.directory}/layer{self.count}"
        with open(path, "wb") as out:
            out.write(gzip.compress(data, 1))
        return Layer(path, hashlib.sha256(data).hexdigest(), True)


def changes(number):
    """20 MB in 400 files as a tar, half of it incompressible."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for n in range(COMMIT_FILES):
            data = os.urandom(COMMIT_SIZE // COMMIT_FILES // 2)
            info = tarfile.TarInfo(f"opt/change{number}/{n % 20}/{n}")
            info.size = 2 * len(data)
            tar.addfile(info, io.BytesIO(data + data.hex().encode()[:len(data)]))
    return out.getvalue()


def config_of(layers, command="true"):
    return json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": [command]}, "rootfs": {
        "type": "layers", "diff_ids": [f"sha256:{one.diff_id}" for one in layers]}}).encode()


def save(path, name, layer):
    """In docker save's format."""
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        tar.add(layer.path, "layer.tar")
        for member, data in (("config.json", config_of([layer])), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


class Registry:
    def __init__(self, directory, port=5000):
        self.port, self.host = port, f"127.0.0.1:{port}"
        path = f"{directory}/registry.yml"
        with open(path, "w") as file:
            json.dump({"version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
                       "storage": {"filesystem": {"rootdirectory": f"{directory}/registry"}},
                       "http": {"addr": self.host}}, file)
        with open(f"{directory}/registry.log", "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", path], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        for _ in range(100):
            try:
                return self.ask("GET", "/v2/", want=200)
            except OSError:
                time.sleep(0.1)
        raise SystemExit("docker-registry does not answer")

    def ask(self, method, path, body=None, kind="application/octet-stream", want=201):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"Content-Type": kind} if body else {})
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        if reply.status != want:
            raise SystemExit(f"registry: {method} {path}: {reply.status} {text[:300]}")
        return reply.headers.get("Location")

    def put_blob(self, name, data, digest):
        place = self.ask("POST", f"/v2/{name}/blobs/uploads/", want=202).removeprefix(f"http://{self.host}")
        self.ask("PUT", f"{place}{'&' if '?' in place else '?'}digest=sha256:{digest}", data)

    def add(self, name, layers, command="true"):
        config = config_of(layers, command)
        config_digest = hashlib.sha256(config).hexdigest()
        self.put_blob(name, config, config_digest)
        for layer in layers:
            with open(layer.path, "rb") as file:
                self.put_blob(name, file.read(), layer.digest)
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config),
            "digest": f"sha256:{config_digest}"}, "layers": [
                {"mediaType": layer.kind, "size": layer.size, "digest": f"sha256:{layer.digest}"} for layer in layers]}
        self.ask("PUT", f"/v2/{name}/manifests/1", json.dumps(manifest).encode(), kind)
        return f"{self.host}/{name}:1"

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


# Who loads and pulls

class Engine:
    def __init__(self, name, client, argv):
        self.name, self.client = name, client
        self.root = tempfile.mkdtemp(prefix=f"/tmp/ctl-bench-{name}-")
        if name != "dockerd":
            host.save_names(self.root, host.names_of(f"{self.root}/data"))
        address = f"unix://{self.root}/sock"
        self.environment = dict(os.environ, CTLC_HOST=address, DOCKER_HOST=address, DOCKER_CLI_HINTS="false")
        with open(f"{self.root}/log", "wb") as log:
            self.process = subprocess.Popen([part.format(root=self.root) for part in argv], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        for _ in range(600):
            if os.path.exists(f"{self.root}/sock") and self.run("version", check=False).returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"{name} does not start:\n{read(f'{self.root}/log')[-3000:]}")

    def run(self, *args, check=True, data=b""):
        done = subprocess.run([self.client, *args], env=self.environment, input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        if check and done.returncode:
            raise SystemExit(f"{self.name}: {' '.join(args)}: {done.stderr.decode()[-500:]}")
        return done

    def timed(self, *args):
        os.sync()
        begun = time.perf_counter()
        self.run(*args)
        return time.perf_counter() - begun

    def workers(self):
        return [pid for pid in host.processes(self.root)
                if read(f"/proc/{pid}/cmdline").partition("\0")[0].endswith("containerd-lite-layer")]

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        host.remove_root(self.root)


class Peaks:
    """The largest resident memory of any worker, and of the daemon, while the block runs."""

    def __init__(self, engine):
        self.engine, self.worker, self.daemon, self.stop = engine, 0, 0, False
        self.before = memory(engine.process.pid, "VmRSS")
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.stop:
            self.worker = max([self.worker, *(memory(pid, "VmHWM") for pid in self.engine.workers())])
            self.daemon = max(self.daemon, memory(self.engine.process.pid, "VmRSS"))
            time.sleep(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()


# What is measured

def alone(layers):
    """Seconds for the same bytes without anything around them."""
    def took(argv, **more):
        os.sync()
        begun = time.perf_counter()
        subprocess.run(argv, check=True, **more)
        return time.perf_counter() - begun

    copy, null = f"{layers.directory}/copy", {"stdout": subprocess.DEVNULL}
    row = "{:44}{:18.2f}".format
    print(row("alone: write the tar and sync, s", took(
        ["dd", f"if={layers.base}", f"of={copy}", "bs=1M", "conv=fsync", "status=none"])))
    print(row("alone: tar -x and sync, s", took(
        ["sh", "-c", f"mkdir {copy}.d && tar -xf {layers.base} -C {copy}.d && sync -f {copy}.d"])))
    print(row("alone: gzip -d, s", took(["gzip", "-dc", layers.packed], **null)))
    if shutil.which("igzip"):
        print(row("alone: igzip -d, s", took(["igzip", "-dc", layers.packed], **null)))
    print(row("alone: SHA-256 of the tar by libcrypto, s", took(["openssl", "dgst", "-sha256", layers.base], **null)),
          flush=True)


def round_of(engine, layers, registry, row):
    number, archive = layers.count, f"{layers.directory}/archive"
    for packed in False, True:
        save(archive, f"bench/load{number}{packed}:1".lower(), layers.make(packed))
        row("load, layer gzipped, s" if packed else "load, s", engine.timed("load", "-q", "-i", archive))
    container = engine.run("create", f"bench/load{number}false:1").stdout.decode().strip()
    engine.run("cp", "-", f"{container}:/", data=changes(number))
    row("commit of 20 MB in 400 files, s", engine.timed("commit", container, f"bench/commit{number}:1"))
    big = layers.make(True)
    row("pull, gzip, s", engine.timed("pull", "-q", registry.add(f"one{number}", [big])))
    row("pull of another with the same layer, s",
        engine.timed("pull", "-q", registry.add(f"same{number}", [big], "false")))
    row("the same with 1 MiB on top, s",
        engine.timed("pull", "-q", registry.add(f"more{number}", [big, layers.small(1 << 20)])))
    return big


def measure(engines, layers, registry, count):
    """{row: {engine: [values]}}"""
    figures = {}
    for number in range(count):
        # Who comes first pays for the other's writeback, if anybody does.
        for engine in engines[::-1] if number % 2 else engines:
            round_of(engine, layers, registry, lambda what, value, name=engine.name:
                     figures.setdefault(what, {}).setdefault(name, []).append(value))
    for engine in engines:
        # The first pulls are behind it: what libraries cost is not growth.
        name = registry.add(f"ten-{engine.name}", [layers.small(4 << 20) for _ in range(10)])
        with Peaks(engine) as peaks:
            engine.run("pull", "-q", name)
        figures.setdefault("daemon's growth in a pull of 10 layers, MiB", {})[engine.name] = [
            (peaks.daemon - peaks.before) / 1024]
        if engine.name != "dockerd":
            with Peaks(engine) as peaks:
                round_of(engine, layers, registry, lambda *_: None)
            figures["worker's peak, MiB"] = {engine.name: [peaks.worker / 1024]}
    return figures


def show(figures, names):
    print(f"{'median':44}" + "".join(f"{name:>18}" for name in names) + (f"{'ratio':>9}" if len(names) > 1 else ""))
    for what, values in figures.items():
        medians = [statistics.median(values[name]) for name in names if name in values]
        ratio = f"{medians[0] / medians[1]:9.2f}" if len(medians) > 1 and medians[1] > 0 else ""
        print(f"{what:44}" + "".join(f"{one:18.2f}" for one in medians) + ratio)


def start(options):
    common = ["--data-root", "{root}/data", "--exec-root", "{root}/run", "-H", "unix://{root}/sock", "--pidfile",
              "{root}/pid"]
    yield Engine("containerd-lite", f"{options.build}/bin/ctlc", [f"{options.build}/bin/containerd-lite", *common])
    if not options.alone:
        yield Engine("dockerd", "docker", ["dockerd", *common, "--log-level", "error"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(REPOSITORY, "build/release"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tar", help="of a root file system, not compressed")
    parser.add_argument("--alone", action="store_true", help="without dockerd")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    if NAMESPACE not in os.environ:
        # Bridges, rules and the registry's port: all gone with the namespace.
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]
        os.environ[NAMESPACE] = "1"
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "x", sys.executable, *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    engines, registry = [], None
    with tempfile.TemporaryDirectory(prefix="ctl-bench-layers-") as directory:
        tar = options.tar or f"{directory}/layer.tar"
        if not options.tar:
            make_tar(tar)
        layers = Layers(directory, tar)
        print(f"the tar: {os.path.getsize(tar) / 1e6:.0f} MB, gzipped {os.path.getsize(layers.packed) / 1e6:.0f} MB")
        try:
            alone(layers)
            registry = Registry(directory)
            engines.extend(start(options))
            figures = measure(engines, layers, registry, options.rounds)
        finally:
            for engine in reversed(engines):
                engine.close()
            if registry:
                registry.close()
    show(figures, [engine.name for engine in engines])
    if options.json:
        with open(options.json, "w") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    sys.exit(main())
