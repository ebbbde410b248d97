"""Images: the embedded one, load, import, tag, remove, history, hostile archives."""
import gzip
import json
import os
import subprocess
import tarfile

import imagemaker
from harness import IMAGE, STOCK, Daemon, equal, has
from imagemaker import docker_archive, layer, link, oci_layout


def load(d, data):
    return d.ok("load", input=data)


def runnable(extra=None):
    return layer({**imagemaker.busybox_files(IMAGE), **(extra or {})})


def lines(reply):
    return [json.loads(line) for line in reply.body.splitlines() if line.strip()]


def test_the_embedded_image(d):
    image = d.api("GET", "/images/json", status=200).json
    equal([i["RepoTags"] for i in image], [["busybox:latest"]])
    details = d.api("GET", "/images/busybox/json", status=200).json
    equal((details["Id"], details["Os"], details["Config"]["Cmd"]), (image[0]["Id"], "linux", ["sh"]))
    equal(len(details["RootFS"]["Layers"]), 1)
    for name in (image[0]["Id"], image[0]["Id"][7:], image[0]["Id"][7:19], "busybox:latest",
                 "docker.io/library/busybox", "library/busybox:latest"):
        equal(d.api("GET", f"/images/{name}/json", status=200).json["Id"], image[0]["Id"], name)


def test_images_table(d):
    image = d.api("GET", "/images/busybox/json", status=200).json["Id"][7:19]
    header, row = d.ok("images").splitlines()
    equal(header.split(), ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"])
    equal(row.split()[:3], ["busybox", "latest", image])
    equal(d.ok("images", "-q"), image)
    equal(d.ok("images", "--format", "{{.Repository}}:{{.Tag}}"), "busybox:latest")
    equal(d.ok("images", "-q", "nope"), "")


def test_images_tree(d):
    """Each image once, under all its names, and its platform below; what docker does not show with it neither."""
    if STOCK:
        return
    d.ok("tag", "busybox", "tree:2")
    d.ok("create", "--name", "user", "busybox")
    arch = d.api("GET", "/images/busybox/json").json["Architecture"]
    lines = [line.split() for line in d.ok("images", "--tree").splitlines()]
    short = d.ok("images", "-q", "busybox").strip()
    size = lines[2][2]
    equal(lines, [["IMAGE", "ID", "DISK", "USAGE", "EXTRA", "(U:", "in", "use)"], ["busybox:latest"], ["tree:2", short, size, "U"], ["└─", f"linux/{arch}", short, size]])
    equal(len(d.ok("image", "ls", "--tree", "busybox").splitlines()), 3)
    d.ok("rm", "user")
    d.ok("rmi", "tree:2")
    for option, name in (("-q", "quiet"), ("--no-trunc", "no-trunc"), ("--digests", "show-digest"), ("--format=x", "format")):
        has(d.fails(1, "images", "--tree", option), f"--{name} is not yet supported with --tree")


def test_load_docker_archive(d):
    for number, options in enumerate(({}, {"compress": True}, {"old_names": True})):
        tag = f"loaded{number}:v1"
        data = docker_archive([runnable(), layer({"hello": f"from {number}\n".encode()})], [tag],
                              {"Cmd": ["/bin/busybox", "cat", "/hello"], "Env": ["A=b"]}, **options)
        equal(load(d, data), f"Loaded image: {tag}")
        equal(d.ok("run", "--rm", tag), f"from {number}")


def test_load_compressed_archive(d):
    data = docker_archive([layer({"f": b"x"})], ["packed:1"])
    equal(load(d, gzip.compress(data)), "Loaded image: packed:1")
    for program in ("xz", "bzip2") if STOCK else ("xz", "bzip2", "zstd"):
        try:
            packed = subprocess.run([program, "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
        except FileNotFoundError:
            continue
        equal(load(d, packed), "Loaded image: packed:1", program)


def test_load_oci_layout(d):
    if STOCK:
        return  # 20.10 knows only docker-archive
    data = oci_layout([runnable({"hello": b"oci\n"})], "docker.io/library/oci:1",
                      {"Cmd": ["/bin/busybox", "cat", "/hello"]})
    equal(load(d, data), "Loaded image: oci:1")
    equal(d.ok("run", "--rm", "oci:1"), "oci")


def test_load_from_a_file_twice(d):
    path = f"{d.root}/image.tar"
    with open(path, "wb") as file:
        file.write(docker_archive([layer({"f": b"x"})], ["twice:1", "twice:2"]))
    equal(d.ok("load", "-i", path), "Loaded image: twice:1\nLoaded image: twice:2")
    equal(d.ok("load", "-q", "-i", path), "Loaded image: twice:1\nLoaded image: twice:2")
    equal(len(d.ok("images", "-q", "twice").split()), 2)


def test_load_without_tags(d):
    out = load(d, docker_archive([layer({"f": b"untagged"})], None))
    assert out.startswith("Loaded image ID: sha256:"), out
    equal(d.ok("images", "-q", "--no-trunc", "--filter", "dangling=true"), out.split()[-1])


def test_load_stream_of_the_api(d):
    reply = d.api("POST", "/images/load", docker_archive([layer({"f": b"y"})], ["stream:1"]),
                  {"Content-Type": "application/x-tar"}, status=200, quiet=1)
    equal(lines(reply)[-1], {"stream": "Loaded image: stream:1\n"})


def test_layers_are_applied_in_order(d):
    bottom = runnable({"a": b"bottom\n", "gone": b"x", "dir": None, "dir/old": b"x", "dir2": None,
                       "dir2/old": b"x"})
    top = layer({"a": b"top\n", ".wh.gone": b"", "dir": None, "dir/.wh..wh..opq": b"", "dir/new": b"y",
                 "dir2": None, "dir2/new": b"y"})
    load(d, docker_archive([bottom, top], ["stacked:1"]))
    out = d.ok("run", "--rm", "stacked:1", "/bin/busybox", "sh", "-c",
               "/bin/busybox cat /a; /bin/busybox ls / /dir /dir2")
    assert out.startswith("top\n") and "gone" not in out, out
    has(out, "/dir:\nnew\n", "/dir2:\nnew\nold")


def test_metadata_of_files_is_kept(d):
    special = tarfile.TarInfo()
    special.type, special.mode, special.uid, special.gid = tarfile.DIRTYPE, 0o2750, 12, 34
    owned = tarfile.TarInfo()
    owned.mode, owned.uid, owned.gid, owned.mtime = 0o4711, 56, 78, 1000000000
    data = docker_archive([runnable({"dir": special, "file": owned, "sym": link("/nowhere"),
                                     "echo": link("bin/busybox", tarfile.LNKTYPE)})], ["meta:1"])
    load(d, data)
    out = d.ok("run", "--rm", "meta:1", "/bin/busybox", "stat", "-c", "%a %u %g %Y", "/dir", "/file")
    equal(out.splitlines()[0].rsplit(" ", 1)[0], "2750 12 34")
    equal(out.splitlines()[1], "4711 56 78 1000000000")
    equal(d.ok("run", "--rm", "meta:1", "/bin/busybox", "readlink", "/sym"), "/nowhere")
    equal(d.ok("run", "--rm", "meta:1", "/echo", "linked"), "linked")


def test_layers_are_shared(d):
    base = layer({"base": b"z" * 100000})
    load(d, docker_archive([base, layer({"one": b"1"})], ["share:1"]))
    load(d, docker_archive([base, layer({"two": b"2"})], ["share:2"]))
    one = d.api("GET", "/images/share:1/json", status=200).json["RootFS"]["Layers"]
    two = d.api("GET", "/images/share:2/json", status=200).json["RootFS"]["Layers"]
    equal(one[0], two[0])
    d.ok("rmi", "share:1")
    equal(d.api("GET", "/images/share:2/json", status=200).json["RootFS"]["Layers"], two)
    load(d, docker_archive([base, layer({"one": b"1"})], ["share:1"]))


def test_tag_and_untag(d):
    identity = d.api("GET", "/images/busybox/json", status=200).json["Id"]
    d.ok("tag", "busybox", "other/name:v2")
    equal(d.api("GET", "/images/other/name:v2/json", status=200).json["Id"], identity)
    tags = d.api("GET", "/images/busybox/json", status=200).json["RepoTags"]
    equal(sorted(tags), ["busybox:latest", "other/name:v2"])
    d.api("POST", "/images/busybox/tag", repo="localhost:5000/x", tag="1", status=201)
    reply = d.api("DELETE", "/images/other/name:v2", status=200)
    equal(reply.json, [{"Untagged": "other/name:v2"}])
    equal(d.ok("rmi", "localhost:5000/x:1"), "Untagged: localhost:5000/x:1")
    d.api("GET", "/images/other/name:v2/json", status=404)


def test_tag_moves(d):
    first = load(d, docker_archive([layer({"f": b"1"})], ["moving:1"]))
    load(d, docker_archive([layer({"f": b"2"})], ["moving:1"]))
    assert first
    equal(len(d.ok("images", "-q", "moving").split()), 1)
    equal(len(d.ok("images", "-q", "--filter", "dangling=true").split()), 1)


def test_remove(d):
    load(d, docker_archive([layer({"f": b"only"}), layer({"g": b"h"})], ["only:1"]))
    identity = d.api("GET", "/images/only:1/json", status=200).json["Id"]
    reply = d.api("DELETE", "/images/only:1", status=200).json
    equal(reply[0], {"Untagged": "only:1"})
    has([entry.get("Deleted") for entry in reply], identity)
    has(d.api("DELETE", "/images/only:1", status=404).message, "No such image: only:1")
    has(d.fails(1, "rmi", "only:1"), "No such image: only:1")


def test_remove_by_id_with_two_names_needs_force(d):
    load(d, docker_archive([layer({"f": b"named"})], ["named:1", "second:1"]))
    identity = d.api("GET", "/images/named:1/json", status=200).json["Id"]
    reply = d.api("DELETE", f"/images/{identity}", status=409)
    has(reply.message, "conflict: unable to delete", "(must be forced) - image is referenced in multiple repositories")
    d.api("DELETE", f"/images/{identity}", force=1, status=200)
    d.api("GET", "/images/second:1/json", status=404)


def test_remove_of_a_used_image(d):
    load(d, docker_archive([runnable()], ["used:1"], {"Cmd": ["/bin/busybox", "sleep", "100000"]}))
    stopped = d.ok("create", "used:1")
    reply = d.api("DELETE", "/images/used:1", status=409)
    has(reply.message, 'conflict: unable to remove repository reference "used:1" (must force) - container '
        f"{stopped[:12]} is using its referenced image")
    d.ok("start", stopped)
    identity = d.api("GET", "/images/used:1/json", status=200).json["Id"]
    reply = d.api("DELETE", f"/images/{identity}", force=1, status=409)
    has(reply.message, "(cannot be forced) - image is being used by running container")


def test_history(d):
    load(d, docker_archive([layer({"f": b"1"}), layer({"f": b"2"})], ["old:1"]))
    steps = d.api("GET", "/images/old:1/history", status=200).json
    equal([s["CreatedBy"] for s in steps], ["step 1", "step 0"])
    equal(steps[0]["Tags"], ["old:1"])
    equal((steps[1]["Id"], steps[1]["Tags"]), ("<missing>", None))
    has(d.ok("history", "old:1"), "IMAGE", "CREATED BY", "step 1")


def test_import(d):
    out = d.ok("import", "-c", 'CMD ["/bin/busybox","echo","imported"]', "-c", "ENV A=b", "-", "imported:1",
               input=runnable())
    assert out.startswith("sha256:"), out
    equal(d.ok("run", "--rm", "imported:1"), "imported")
    has(d.inspect(d.ok("create", "imported:1"))["Config"]["Env"], "A=b")
    reply = d.api("POST", "/images/create", runnable(), {"Content-Type": "application/x-tar"},
                  fromSrc="-", repo="imported", tag="2", status=200)
    has(lines(reply)[-1]["status"], "sha256:")
    # What is no archive fails by its status, as dockerd's does, which says 500; a load fails by a line.
    has(d.api("POST", "/images/create", b"no archive" * 99, {"Content-Type": "application/x-tar"},
              fromSrc="-", repo="broken", status=500 if STOCK else 400).message, "rchive")
    has(d.fails(1, "import", "-", "broken:1", input=b"no archive" * 99), "archive")


def test_import_by_docker_and_export_of_a_directory(d):
    path = f"{d.root}/rootfs.tar"
    with open(path, "wb") as file:
        file.write(runnable())
    for n, client in enumerate((d.docker_ok, d.ok)):
        client("import", "-c", "ENV FROM=file", path, f"dimported:{n}")
        equal(client("run", "--rm", f"dimported:{n}", "/bin/busybox", "sh", "-c", "echo $FROM"), "file")


def test_image_config_is_merged(d):
    load(d, docker_archive([runnable({"work": None})], ["merged:1"], {
        "Entrypoint": ["/bin/busybox", "sh", "-c"], "Cmd": ["echo $A $B; pwd"], "Env": ["A=image", "B=image"],
        "WorkingDir": "/work", "Labels": {"from": "image", "both": "image"}, "ExposedPorts": {"80/tcp": {}},
        "User": "0"}))
    equal(d.ok("run", "--rm", "-e", "A=user", "merged:1"), "user image\n/work")
    details = d.inspect(d.ok("create", "-l", "both=user", "merged:1"))
    equal(details["Config"]["Labels"], {"from": "image", "both": "user"})
    has(details["Config"]["ExposedPorts"], "80/tcp")
    equal(d.ok("run", "--rm", "--entrypoint", "/bin/busybox", "merged:1", "echo", "x"), "x")


def test_no_command_anywhere(d):
    load(d, docker_archive([layer({"f": b"nothing"})], ["empty:1"]))
    has(d.fails(125, "run", "--rm", "empty:1").lower(), "no command specified")
    has(d.fails(127, "run", "--rm", "empty:1", "sh"), "executable file not found")
    has(d.fails(127, "run", "--rm", "empty:1", "/bin/sh"), "no such file or directory")


def test_filters(d):
    load(d, docker_archive([layer({"f": b"l"})], ["lab:1"], {"Labels": {"kind": "test"}}))
    def found(**filters):
        return [i["RepoTags"] for i in d.api("GET", "/images/json", filters=filters, status=200).json]
    equal(found(label=["kind=test"]), [["lab:1"]])
    equal(found(reference=["lab"]), [["lab:1"]])
    equal(found(reference=["lab:2"]), [])
    equal(found(dangling=["true"]), [])
    has(d.api("GET", "/images/json", filters={"nonsense": ["x"]}, status=400).message, "nvalid filter")


def test_unknown_and_malformed_names(d):
    has(d.api("GET", "/images/nope/json", status=404).message, "No such image: nope")
    has(d.api("POST", "/containers/create", {"Image": "nope", "Cmd": ["x"]}, status=404).message,
        "No such image: nope:latest")
    has(d.api("POST", "/images/busybox/tag", repo="UPPER", status=400 if not STOCK else None).message,
        "repository name", "must be lowercase")
    d.api("POST", "/images/nope/tag", repo="x", status=404)
    d.api("GET", "/images/nope/history", status=404)
    has(d.api("POST", "/containers/create", {"Image": "a b", "Cmd": ["x"]}, status=400).message,
        "invalid reference format")


def escape_attempts():
    """(what, layer files): each tries to write or link outside of its layer."""
    yield "dots", {"../../escaped": b"x"}
    yield "absolute", {"/../../escaped": b"x"}
    yield "symlink", {"out": link("/tmp"), "out/ctl-escaped": b"x"}
    yield "symlink dots", {"out": link("../../../../../tmp"), "out/ctl-escaped": b"x"}
    yield "hard link", {"h": link("../../../../../etc/passwd", tarfile.LNKTYPE)}
    yield "whiteout dots", {"a": None, "a/.wh...": b""}


def test_hostile_layers_stay_inside(d):
    """Whatever the answer is, nothing appears outside and the daemon goes on."""
    victim = "/tmp/ctl-escaped"
    passwd = os.stat("/etc/passwd").st_nlink
    for number, (what, files) in enumerate(escape_attempts()):
        data = docker_archive([layer(files)], [f"hostile{number}:1"])
        d.api("POST", "/images/load", data, {"Content-Type": "application/x-tar"}, status=200)
        assert not os.path.exists(victim), what
        assert not any("escaped" in names for _, names, _ in os.walk(d.root)), what
        equal(os.stat("/etc/passwd").st_nlink, passwd, what)
    equal(d.ok("run", "--rm", "busybox", "echo", "alive"), "alive")


def test_broken_archives_are_errors_in_the_stream(d):
    good = docker_archive([layer({"f": b"x"})], ["broken:1"])
    wrong_digest = json.loads(imagemaker.config_of([layer({"f": b"x"})]))
    wrong_digest["rootfs"]["diff_ids"] = ["sha256:" + "0" * 64]
    body = json.dumps(wrong_digest).encode()
    cases = {
        "cut": good[:len(good) // 2], "no tar": b"this is no archive" * 100, "empty": b"",
        "wrong diff id": imagemaker.archive({
            "c.json": body, "l.tar": layer({"f": b"x"}),
            "manifest.json": b'[{"Config":"c.json","RepoTags":["broken:1"],"Layers":["l.tar"]}]'}),
        "layer missing": imagemaker.archive({
            "c.json": imagemaker.config_of([b""]),
            "manifest.json": b'[{"Config":"c.json","RepoTags":["broken:1"],"Layers":["l.tar"]}]'}),
        "manifest no JSON": imagemaker.archive({"manifest.json": b"{"}),
        "manifest wrong types": imagemaker.archive({"manifest.json": b'[{"Config":1,"Layers":"x"}]'}),
        "unsafe path": imagemaker.archive({
            "manifest.json": b'[{"Config":"../../../etc/passwd","RepoTags":["broken:1"],"Layers":[]}]'}),
    }
    for what, data in cases.items():
        reply = d.api("POST", "/images/load", data, {"Content-Type": "application/x-tar"})
        if STOCK:
            continue
        assert reply.status in (200, 400), (what, reply)
        if reply.status == 200:
            assert any("error" in line for line in lines(reply)), (what, reply)
        d.api("GET", "/images/broken:1/json", status=404)
    if not STOCK:
        assert d.ctl("load", input=cases["no tar"]).code == 1


def test_a_fresh_store_offers_the_image_again():
    """It comes with the first start only: who removes it does not want it back."""
    if STOCK:
        return
    with Daemon() as d:
        equal(d.ok("images", "--format", "{{.Repository}}"), "busybox")
        d.ok("rmi", "busybox")
        equal(d.ok("images", "-q"), "")
        d.restart()
        if d.ok("images", "-q"):
            equal(d.ok("images", "--format", "{{.Repository}}"), "busybox")
        d.ok("load", "-i", IMAGE)
        equal(d.ok("run", "--rm", "busybox", "echo", "x"), "x")


def test_platforms(d):
    """An image is of one platform: that one can be asked for, another is not there."""
    if STOCK:
        return
    name = "busybox"
    arch = d.api("GET", f"/images/{name}/json", status=200).json["Architecture"]
    other = "arm64" if arch != "arm64" else "amd64"
    d.ok("tag", name, "spare:1")
    for command in (["history", "-q"], ["image", "inspect"], ["save", "-o", f"{d.root}/saved"]):
        for platform in (f"linux/{arch}", arch):
            d.ok(*command, "--platform", platform, name)
        for platform in (f"linux/{other}", other, f"linux/{other}/v9"):
            has(d.fails(1, *command, "--platform", platform, name), f"does not match the specified platform (linux/{other}")
        has(d.fails(1, *command, "--platform", "a b", name), "invalid")
    has(d.fails(1, "rmi", "--platform", f"linux/{other}", "spare:1"), "does not match the specified platform")
    equal(d.ok("rmi", "--platform", f"linux/{other}", "--platform", f"linux/{arch}", "spare:1"), "Untagged: spare:1")
    for path in (f"/images/{name}/history", f"/images/{name}/get"):
        d.api("GET", path, platform={"os": "linux", "architecture": other}, status=404)
        d.api("GET", path, platform={"os": "linux", "architecture": arch}, status=200)
