"""Makes small image archives, good and bad ones."""
import gzip
import hashlib
import io
import json
import tarfile


def layer(files):
    """An uncompressed layer tar of {name: bytes, None (directory), or a TarInfo}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                info.size, info.mode = len(content), 0o755
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def link(target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo()
    info.type, info.linkname, info.mode = kind, target, 0o755
    return info


def directory(mode, uid=0, gid=0):
    info = tarfile.TarInfo()
    info.type, info.mode, info.uid, info.gid, info.mtime = tarfile.DIRTYPE, mode, uid, gid, 1600000000
    return info


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def archive(files):
    return layer(files)


def config_of(layers, config=None, history=True):
    return json.dumps({
        "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
        "config": config or {}, "rootfs": {"type": "layers",
                                           "diff_ids": [f"sha256:{sha256(l)}" for l in layers]},
        "history": [{"created": "2024-01-02T03:04:05Z", "created_by": f"step {n}"}
                    for n in range(len(layers))] if history else []}).encode()


def docker_archive(layers, tags, config=None, compress=False, old_names=False):
    """docker save's format; old_names: <id>/layer.tar as before version 25."""
    description = config_of(layers, config)
    names = [f"{sha256(l)}/layer.tar" if old_names else f"blobs/sha256/{sha256(l)}" for l in layers]
    config_name = f"{sha256(description)}.json"
    files = {config_name: description}
    for name, data in zip(names, layers):
        files[name] = gzip.compress(data, mtime=0) if compress else data
    files["manifest.json"] = json.dumps(
        [{"Config": config_name, "RepoTags": tags, "Layers": names}]).encode()
    return archive(files)


def oci_layout(layers, name, config=None):
    """An OCI layout with gzipped layers, without manifest.json."""
    description = config_of(layers, config)
    packed = [gzip.compress(l, mtime=0) for l in layers]

    def descriptor(kind, data):
        return {"mediaType": f"application/vnd.oci.image.{kind}", "size": len(data),
                "digest": f"sha256:{sha256(data)}"}

    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", description),
        "layers": [descriptor("layer.v1.tar+gzip", p) for p in packed]}).encode()
    entry = descriptor("manifest.v1+json", manifest)
    entry["annotations"] = {"io.containerd.image.name": name,
                            "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
             "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()}
    for blob in [description, manifest, *packed]:
        files[f"blobs/sha256/{sha256(blob)}"] = blob
    return archive(files)


def busybox_files(image_path):
    """{name: bytes} of /bin/busybox out of the embedded image, to make runnable images with."""
    with tarfile.open(image_path) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))
        with tarfile.open(fileobj=outer.extractfile(manifest[0]["Layers"][0])) as inner:
            return {"bin": None, "bin/busybox": inner.extractfile("bin/busybox").read()}
