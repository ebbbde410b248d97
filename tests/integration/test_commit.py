"""commit: images of what containers have become."""
import io
import json
import os
import struct
import subprocess
import tarfile
import time

import imagemaker
from harness import IMAGE, SLOW, equal, has, wait_for
from imagemaker import docker_archive, layer
from registries import skopeo
from stock import dockerd

SCRIPT = """
echo more >> /etc/passwd; echo hi > /made; ln /made /linked; rm /single; rm -r /tree
mkdir /tree; echo new > /tree/new; echo no > /vol/x; echo no > /tmp/x; touch /ready; exec sleep 100000"""


def base(d):
    files = {**imagemaker.busybox_files(IMAGE), "single": b"s", "tree/old": b"o", "tree/sub/old": b"o",
             "etc/passwd": b"root:x:0:0:root:/:/bin/sh\n"}
    d.ok("load", input=docker_archive([layer(files)], ["base:1"], {"Env": ["PATH=/bin", "A=1"]}))
    return "base:1"


def worker(d, *options):
    c = d.run_detached("-v", "/vol", "--tmpfs", "/tmp", *options, base(d), "/bin/busybox", "sh", "-c", SCRIPT)
    wait_for(lambda: d.ctl("exec", c, "busybox", "test", "-e", "/ready").code == 0, "the container's work")
    return c


def image(d, name):
    return d.api("GET", f"/images/{name}/json", status=200).json


def document(d, name):
    """The config blob, and the top layer as a tar."""
    saved = d.request("GET", f"/v1.51/images/{name}/get").body
    with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        entry = json.load(tar.extractfile("manifest.json"))[0]
        config = json.load(tar.extractfile(entry["Config"]))
        top = tarfile.open(fileobj=io.BytesIO(tar.extractfile(entry["Layers"][-1]).read()))
    return config, top


def test_commit_and_run(d):
    c = worker(d, "-e", "B=2")
    since = f"{time.time():.9f}"
    full = d.ok("commit", "-a", "An Author", "-m", "what it is", c, "mine:1")
    events = [(e["Type"], e["Action"]) for e in d.events(since) if e["Type"] in ("container", "image")]
    equal(events, [("container", "pause"), ("container", "unpause"), ("image", "create"), ("image", "tag"),
                   ("container", "commit")])
    made = [e for e in d.events(since, event=["commit"])][0]["Actor"]["Attributes"]
    equal((made["comment"], made["imageID"], made["imageRef"]), ("what it is", full, "mine:1"))
    equal(d.state(c)["Status"], "running")
    out = d.ok("run", "--rm", "mine:1", "/bin/busybox", "sh", "-c",
               "cat /made /linked; find /tree | sort; tail -n 1 /etc/passwd; ls /vol /tmp; ls /single; "
               "stat -c %h /made; echo $A $B; true")
    equal(out.splitlines(), ["hi", "hi", "/tree", "/tree/new", "more", "/tmp:", "", "/vol:", "2", "1 2"])
    ours, theirs = image(d, "mine:1"), image(d, "base:1")
    equal((ours["Id"], ours["Author"], ours["Comment"]), (full, "An Author", "what it is"))
    equal(ours["RootFS"]["Layers"][:-1], theirs["RootFS"]["Layers"])
    equal(len(ours["RootFS"]["Layers"]), 2)
    equal(ours["Config"]["Volumes"], {"/vol": {}})
    equal(ours["Config"]["Cmd"], ["/bin/busybox", "sh", "-c", SCRIPT])
    history = d.api("GET", "/images/mine:1/history", status=200).json
    equal((history[0]["Comment"], history[0]["CreatedBy"], history[0]["Tags"]),
          ("what it is", f"/bin/busybox sh -c {SCRIPT}", ["mine:1"]))
    equal(len(history), 2)


def test_the_layer(d):
    """Only what the container wrote, none of what the engine gave it."""
    c = worker(d)
    d.ok("commit", c, "layer:1")
    config, top = document(d, "layer:1")
    equal([m.name for m in top],
          ["etc", "etc/passwd", "linked", "made", "ready", ".wh.single", "tmp", "tree", "tree/.wh..wh..opq",
           "tree/new", "vol"])
    equal(config["container"], c)
    equal(sorted(config["config"]), ["Cmd", "Env", "Volumes"])
    equal(config["history"][-1].get("empty_layer"), None)
    assert config["created"] == config["history"][-1]["created"] and config["os"] == "linux"


def test_changes_and_body(d):
    c = d.sleeper("-l", "from=container")
    d.ok("commit", "-c", "CMD [\"echo\", \"changed\"]", "-c", "ENV X=y", "-c", "LABEL a=b", c, "changed:1")
    equal(d.ok("run", "--rm", "changed:1"), "changed")
    config = image(d, "changed:1")["Config"]
    equal(config["Labels"], {"a": "b", "from": "container"})
    assert "X=y" in config["Env"]
    reply = d.api("POST", "/commit", status=201, container=c, repo="body", tag="2", pause="0",
                  body={"Cmd": ["echo", "body"], "Labels": {"from": "body"}}, changes="USER 5:6")
    config = image(d, "body:2")
    equal((config["Id"], config["Config"]["Cmd"], config["Config"]["User"], config["Config"]["Labels"]),
          (reply.json["Id"], ["echo", "body"], "5:6", {"from": "body"}))


def test_clients(d):
    c = worker(d)
    for number, client in enumerate((d.ok, d.docker_ok)):
        name = f"localhost:5000/team/client{number}:x"
        full = client("commit", "-m", "m", "-a", "a", "--change", 'CMD ["/bin/busybox", "cat", "/made"]', c, name)
        equal(image(d, name)["Id"], full)
        equal(d.ok("run", "--rm", name), "hi")
    untagged = d.ok("container", "commit", c)
    equal(image(d, untagged)["RepoTags"], [])
    equal(d.ok("run", "--rm", untagged, "/bin/busybox", "cat", "/made"), "hi")


def test_nothing_written(d):
    c = d.ok("create", "busybox", "echo", "as it was")
    full = d.ok("commit", "-m", "nothing", c, "nothing:1")
    equal(image(d, full)["RootFS"], image(d, "busybox")["RootFS"])
    config, _ = document(d, "nothing:1")
    equal((config["history"][-1]["empty_layer"], config["history"][-1]["comment"]), (True, "nothing"))
    equal(d.ok("run", "--rm", "nothing:1"), "as it was")


def test_states(d):
    c = worker(d)
    d.ok("pause", c)
    since = f"{time.time():.9f}"
    d.ok("commit", c, "paused:1")
    equal(d.state(c)["Status"], "paused")
    d.ok("unpause", c)
    d.ok("commit", "--pause=false", c, "unpaused:1")
    d.docker_ok("commit", "--pause=false", c, "unpaused:2")
    equal([e["Action"] for e in d.events(since, type=["container"])], ["commit", "unpause", "commit", "commit"])
    d.ok("kill", c)
    d.ok("commit", c, "stopped:1")
    equal(d.state(c)["Status"], "exited")
    for name in ("paused:1", "unpaused:1", "unpaused:2", "stopped:1"):
        equal(image(d, name)["RootFS"], image(d, "paused:1")["RootFS"])
        equal(d.ok("run", "--rm", name, "/bin/busybox", "cat", "/made"), "hi")


def test_what_a_file_carries(d):
    c = d.sleeper()
    d.ok("exec", c, "sh", "-c", "cp /bin/busybox /f; chown 5:6 /f; chmod 2755 /f; mknod /d c 1 3; mkfifo /p; ln -s f /l")
    capability = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
    os.setxattr(f"{d.data}/containers/{c}/upper/f", "security.capability", capability)
    d.ok("commit", c, "carries:1")
    out = d.ok("run", "--rm", "carries:1", "stat", "-c", "%n %u %g %a %F %t:%T", "/f", "/d", "/p", "/l")
    equal(out.splitlines(), ["/f 5 6 2755 regular file 0:0", "/d 0 0 644 character special file 1:3",
                             "/p 0 0 644 fifo 0:0", "/l 0 0 777 symbolic link 0:0"])
    again = d.run_detached("carries:1", "sleep", "100000")
    top = json.loads(d.ok("inspect", again))[0]["GraphDriver"]["Data"]["LowerDir"].split(":")[0]
    equal(os.getxattr(f"{top}/f", "security.capability"), capability)


def test_ids_of_a_user_namespace(d):
    c = d.sleeper("--userns", "auto")
    d.ok("exec", c, "sh", "-c", "touch /mine /theirs; chown 33:44 /theirs")
    d.ok("commit", c, "ids:1")
    for options in ((), ("--userns", "auto")):
        equal(d.ok("run", "--rm", *options, "ids:1", "stat", "-c", "%u:%g", "/mine", "/theirs").split(),
              ["0:0", "33:44"])


def test_again_and_again(d):
    name = "busybox"
    for i in range(5):
        c = d.ok("create", name, "sh", "-c", f"echo {i} >> /log; rm -f /only{i - 1}; touch /only{i}")
        d.ok("start", "-a", c)
        name = f"again:{i}"
        d.ok("commit", c, name)
    equal(d.ok("run", "--rm", name, "sh", "-c", "cat /log; ls -d /only*").split(), [*"01234", "/only4"])
    equal(len(image(d, name)["RootFS"]["Layers"]), len(image(d, "busybox")["RootFS"]["Layers"]) + 5)
    d.clean()
    equal(d.ok("run", "--rm", name, "cat", "/log").split(), [*"01234"])


def test_errors(d):
    typed = d.ok("create", "busybox", "true")
    c = d.sleeper()
    since = f"{time.time():.9f}"
    equal(d.api("POST", "/commit", status=404, container="nosuch").message, "No such container: nosuch")
    d.api("POST", "/commit", status=400)
    has(d.api("POST", "/commit", status=400, container=c, repo="UPPER").message, "lowercase")
    has(d.api("POST", "/commit", status=400, container=c, changes="FROM x").message, "FROM is not a valid change")
    equal(d.events(since, type=["container"]), [])
    has(d.fails(1, "commit", "nosuch"), "No such container")
    # One such image would hide all from clients in Go.
    for config, path in (({"Labels": {"a": 5}}, "Labels"), ({"Env": [5]}, "Env"), ({"User": 5}, "User")):
        has(d.api("POST", "/commit", config, container=typed, repo="typed", status=400).message,
            f"json: cannot unmarshal number into Go struct field CreateRequest.{path} of type string")
    d.ok("rm", typed)


def test_image_is_gone(d):
    name = base(d)
    c = d.ok("create", name, "/bin/busybox", "touch", "/x")
    d.ok("start", "-a", c)
    d.ok("rmi", "-f", name)
    has(d.api("POST", "/commit", status=404, container=c).message, "the container's image")


def big(d, size):
    c = d.sleeper()
    with open(f"{d.data}/containers/{c}/upper/big", "wb") as file:
        file.truncate(size)
    return c


def frozen(d, c):
    return d.state(c)["Status"] == "paused"


def test_daemon_ends_meanwhile(d):
    """What was frozen for it goes on."""
    c = big(d, 1 << 30)
    client = d.spawn_client("commit", c, "ended:1")
    wait_for(lambda: frozen(d, c), "the pause")
    equal(d.stop(), 0)
    equal(client.wait(60 * SLOW), 1)
    client.communicate()
    d.start()
    equal(d.state(c)["Status"], "running")
    equal(d.exec(c, "echo", "alive"), "alive")
    assert "ended" not in d.ok("images")


def test_daemon_is_killed_meanwhile(d):
    """The next one thaws what the commit froze, but not what a client did."""
    c, other = big(d, 1 << 30), d.sleeper()
    d.ok("pause", other)
    client = d.spawn_client("commit", c, "killed:1")
    wait_for(lambda: frozen(d, c), "the pause")
    d.kill9()
    client.communicate(timeout=60 * SLOW)
    d.start()
    wait_for(lambda: not frozen(d, c), "the thaw")
    equal(d.exec(c, "echo", "alive"), "alive")
    assert frozen(d, other)
    d.ok("unpause", other)
    equal(d.exec(other, "echo", "alive"), "alive")
    assert "killed" not in d.ok("images")


def test_client_leaves(d):
    """The reading ends, the container goes on, and there is no image."""
    c = big(d, 4 << 30)
    clients = [d.spawn_client("commit", c, f"left:{n}") for n in range(2)]
    wait_for(lambda: frozen(d, c), "the pause")
    # Of each commit one packs and one unpacks.
    workers = lambda: subprocess.run(["pgrep", "-P", str(d.pid), "-f", "containerd-lite-layer"],
                                     capture_output=True, text=True).stdout.split()
    wait_for(lambda: len(workers()) == 4, "four workers")
    clients[0].kill()
    clients[0].communicate()
    wait_for(lambda: len(workers()) == 2, "two workers")
    assert frozen(d, c)
    clients[1].kill()
    clients[1].communicate()
    wait_for(lambda: not workers(), "no worker")
    wait_for(lambda: not frozen(d, c), "the thaw")
    equal(d.exec(c, "echo", "alive"), "alive")
    assert "left" not in d.ok("images")
    wait_for(lambda: not os.listdir(f"{d.data}/tmp"), "the stages to go")


def test_parents(d):
    """What an image was made of: in inspect, list and history, and for rmi, which untags it only."""
    c = d.ok("create", "--entrypoint", "/bin/sh", "busybox")
    d.ok("commit", "-m", "one", c, "family:1")
    second = d.ok("create", "family:1")
    d.ok("commit", "-m", "two", second, "family:2")
    ids = [image(d, name)["Id"] for name in ("busybox", "family:1", "family:2")]
    equal([image(d, name)["Parent"] for name in ("busybox", "family:1", "family:2")], ["", *ids[:2]])
    listed = {i["Id"]: i["ParentId"] for i in d.api("GET", "/images/json", status=200).json}
    equal([listed[i] for i in ids], ["", *ids[:2]])
    entries = d.api("GET", "/images/family:2/history", status=200).json
    equal([(e["Id"], e["Tags"]) for e in entries[:3]],
          [(ids[2], ["family:2"]), (ids[1], ["family:1"]), (ids[0], ["busybox:latest"])])
    equal({e["Id"] for e in entries[3:]} - {"<missing>"}, set())
    d.ok("rm", c, second)
    has(d.ctl("rmi", ids[1]).err, "image has dependent child images")
    equal(d.ok("rmi", "family:1"), "Untagged: family:1")
    equal(image(d, "family:2")["Parent"], ids[1])
    # It is not dangling: nothing that prunes takes it before its child.
    d.ok("image", "prune", "-f")
    equal(image(d, ids[1])["RepoTags"], [])
    has(d.ok("rmi", "family:2"), "Untagged: family:2", f"Deleted: {ids[2]}", f"Deleted: {ids[1]}")
    equal(image(d, "busybox")["Id"], ids[0])


def test_two_at_once(d):
    """The first to be done does not thaw it under the other."""
    c = big(d, 300 << 20)
    clients = [d.spawn_client("commit", c, f"both:{n}") for n in range(2)]
    for n, client in enumerate(clients):
        client.communicate(timeout=120 * SLOW)
        equal(client.returncode, 0)
        equal(d.ok("run", "--rm", f"both:{n}", "stat", "-c", "%s", "/big"), str(300 << 20))
    wait_for(lambda: not frozen(d, c), "the thaw")
    equal(d.exec(c, "echo", "alive"), "alive")
    clients = [d.spawn_client("commit", c, f"none:{n}") for n in range(2)]
    wait_for(lambda: frozen(d, c), "the pause")
    time.sleep(0.1)
    d.kill9()
    for client in clients:
        client.communicate(timeout=60 * SLOW)
    d.start()
    wait_for(lambda: not frozen(d, c), "the thaw")


def test_container_goes_meanwhile(d):
    c = big(d, 200 << 20)
    client = d.spawn_client("commit", c, "went:1")
    wait_for(lambda: frozen(d, c), "the pause")
    d.ok("rm", "-f", c)
    out, err = client.communicate(timeout=120 * SLOW)
    # What was read before may be whole; if not, it says so.
    assert client.returncode == 0 or b"Error" in err, (out, err)
    if client.returncode == 0:
        equal(d.ok("run", "--rm", "went:1", "stat", "-c", "%s", "/big"), str(200 << 20))


def test_others_read_it(d):
    c = worker(d)
    d.ok("commit", "-m", "for others", c, "others:1")
    path = f"{d.root}/others.tar"
    d.ok("save", "-o", path, "others:1")
    wanted = image(d, "others:1")
    config = json.loads(skopeo("inspect", "--config", f"docker-archive:{path}"))
    equal(config["rootfs"]["diff_ids"], wanted["RootFS"]["Layers"])
    equal(config["history"][-1]["comment"], "for others")
    with dockerd() as docker:
        has(docker("load", "-i", path), "Loaded image: others:1")
        theirs = json.loads(docker("image", "inspect", "others:1"))[0]
        equal((theirs["Id"], theirs["RootFS"], theirs["Config"]["Env"]),
              (wanted["Id"], wanted["RootFS"], wanted["Config"]["Env"]))
        # Docker's own reading of the layer: whiteouts, links and all.
        docker("create", "--name", "look", "others:1")
        docker("export", "-o", f"{d.root}/look.tar", "look")
    with tarfile.open(f"{d.root}/look.tar") as tar:
        names = tar.getnames()
    for name in ("made", "linked", "tree/new"):
        assert name in names, name
    for name in ("single", "tree/old", "tree/sub"):
        assert name not in names, name
