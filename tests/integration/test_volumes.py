"""Volumes: named, anonymous, filled from the image, shared, kept and removed."""
import json
import os
import subprocess
import threading
import time

import host
from harness import IMAGE, STOCK, Daemon, equal, has, wait_for
from imagemaker import busybox_files, directory, docker_archive, layer, link


def names(d, *args):
    return sorted(d.ok("volume", "ls", "-q", *args).splitlines())


def mounts(d, container):
    return {m["Destination"]: m for m in d.inspect(container)["Mounts"]}


def write(d, volume, text="kept"):
    d.ok("run", "--rm", "-v", f"{volume}:/v", "busybox", "sh", "-c", f"echo {text} >/v/file")


def read(d, volume):
    return d.ok("run", "--rm", "-v", f"{volume}:/v:ro", "busybox", "cat", "/v/file")


def test_life_of_a_volume(d):
    equal(d.ok("volume", "create", "--label", "a=b", "data"), "data")
    equal(d.ok("volume", "create", "data"), "data", "again: the same")
    info = json.loads(d.ok("volume", "inspect", "data"))[0]
    equal((info["Name"], info["Driver"], info["Labels"], info["Scope"]), ("data", "local", {"a": "b"}, "local"))
    write(d, "data")
    equal(host.read(f"{info['Mountpoint']}/file"), "kept\n")
    equal(read(d, "data"), "kept")
    equal(names(d), ["data"])
    equal(d.ok("volume", "rm", "data"), "data")
    equal(names(d), [])
    if not STOCK:
        wait_for(lambda: not os.path.exists(os.path.dirname(info["Mountpoint"])), "its directory to go")


def test_outlives_its_containers_and_the_daemon(d):
    container = d.run_detached("-v", "store:/v", "busybox", "sh", "-c", "echo kept >/v/file; sleep 1000")
    wait_for(lambda: "file" in d.ctl("exec", container, "ls", "/v").out, "the file")
    d.kill9()
    d.start()
    has(d.fails(1, "volume", "rm", "store"), f"remove store: volume is in use - [{container}]")
    equal(d.exec(container, "cat", "/v/file"), "kept")
    d.ok("rm", "-f", "-v", container)
    equal(names(d), ["store"], "named ones stay, whatever rm -v says")
    equal(read(d, "store"), "kept")
    d.ok("volume", "rm", "store")


def test_inspect_of_the_container(d):
    container = d.sleeper("-v", "named:/n:ro", "-v", "/anonymous", "--mount", "type=volume,src=third,dst=/t")
    m = mounts(d, container)
    equal(set(m), {"/n", "/anonymous", "/t"})
    equal((m["/n"]["Type"], m["/n"]["Name"], m["/n"]["Driver"], m["/n"]["RW"], m["/n"]["Mode"]),
          ("volume", "named", "local", False, "ro"))
    assert len(m["/anonymous"]["Name"]) == 64 and m["/anonymous"]["RW"], m
    equal(m["/n"]["Source"], json.loads(d.ok("volume", "inspect", "named"))[0]["Mountpoint"])
    equal(d.ctl("exec", container, "touch", "/n/x").code, 1)
    d.exec(container, "touch", "/t/x", "/anonymous/x")
    d.ok("rm", "-f", container)
    d.ok("volume", "prune", "-f")
    equal(names(d), ["named", "third"])
    d.ok("volume", "prune", "-f", "--all")
    equal(names(d), [])


def test_anonymous_ones_go_with_their_container(d):
    d.ok("run", "--rm", "-v", "/a", "busybox", "touch", "/a/x")
    equal(names(d), [], "--rm")
    container = d.ok("create", "-v", "/a", "busybox", "true")
    d.ok("rm", container)
    equal(len(names(d)), 1, "rm without -v")
    d.ok("volume", "prune", "-f")
    keeper = d.ok("create", "-v", "/a", "busybox", "true")
    sharer = d.ok("create", "--volumes-from", keeper, "busybox", "true")
    d.ok("rm", "-v", keeper)
    equal(len(names(d)), 1, "somebody else has it")
    d.ok("rm", "-v", sharer)
    equal(names(d), [])


def make_image(d, name, files, config=None):
    archive = docker_archive([layer({**busybox_files(IMAGE), **files})], [f"{name}:1"], config)
    reply = d.request("POST", "/images/load?quiet=1", archive, {"Content-Type": "application/x-tar"})
    has(reply.body.decode(), "Loaded")


def test_filled_from_the_image(d):
    sub = directory(0o2750, 33, 44)
    make_image(d, "filled", {"data": directory(0o1777, 11, 22), "data/a": b"text", "data/sub": sub,
                             "data/sub/b": b"more", "data/l": link("sub/b"), "alias": link("data")},
               {"Volumes": {"/data": {}}, "Cmd": ["/bin/busybox", "true"]})
    listing = ("cd %s && /bin/busybox stat -c '%%a %%u %%g %%F' . sub a && /bin/busybox cat a sub/b && "
               "/bin/busybox readlink l && /bin/busybox stat -c %%Y a")
    expected = d.ok("run", "--rm", "filled:1", "/bin/busybox", "sh", "-c", listing % "/data")
    has(expected, "1777 11 22", "2750 33 44", "textmore")
    for target in ("/data", "/alias"):
        out = d.ok("run", "--rm", "-v", "fill:" + target, "filled:1", "/bin/busybox", "sh", "-c", listing % target)
        equal(out, expected, target)
        out = d.ok("run", "--rm", "-v", "fill:/elsewhere", "busybox", "cat", "/elsewhere/a")
        equal(out, "text", "in the volume itself")
        d.ok("volume", "rm", "fill")
    out = d.ok("run", "--rm", "-v", "empty:/data:nocopy", "filled:1", "/bin/busybox", "ls", "/data")
    equal(out, "")
    write(d, "mine")
    out = d.ok("run", "--rm", "-v", "mine:/data", "filled:1", "/bin/busybox", "ls", "/data")
    equal(out, "file", "one that is not empty is left alone")
    equal(d.ok("run", "--rm", "-v", "none:/not/in/image", "filled:1", "/bin/busybox", "ls", "/not/in/image"), "")
    d.ok("volume", "rm", "empty", "mine", "none")


def test_filling_that_was_broken_off_is_done_again(d):
    if STOCK:
        return
    make_image(d, "again", {"data": directory(0o755), "data/a": b"text", "data/b": b"more"})
    d.ok("volume", "create", "broken")
    path = json.loads(d.ok("volume", "inspect", "broken"))[0]["Mountpoint"]
    with open(f"{path}/a", "w") as file:
        file.write("te")
    open(f"{os.path.dirname(path)}/.filling", "w").close()
    equal(d.ok("run", "--rm", "-v", "broken:/data", "again:1", "/bin/busybox", "cat", "/data/a", "/data/b"), "textmore")
    equal(os.listdir(os.path.dirname(path)), ["_data"])
    d.ok("volume", "rm", "broken")


def test_filled_once_by_many(d):
    make_image(d, "many", {"data": directory(0o755), **{f"data/{n}": b"x" * 1000 for n in range(200)}})
    out = []

    def one():
        out.append(d.ctl("run", "--rm", "-v", "shared:/data", "many:1", "/bin/busybox", "sh", "-c", "ls /data | wc -l").out)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(out, ["200\n"] * 6)
    d.ok("volume", "rm", "shared")


def test_owners_in_a_user_namespace(d):
    """The files keep the container's ids, whichever range of the host's each container runs with."""
    for n in range(2):
        out = d.ok("run", "--rm", "--userns", "auto", "-v", "owned:/v", "busybox", "sh", "-c",
                   f"[ {n} = 0 ] && touch /v/root /v/www && chown 33 /v/www; stat -c '%u %n' /v /v/*")
        equal(out, "0 /v\n0 /v/root\n33 /v/www")
    path = json.loads(d.ok("volume", "inspect", "owned"))[0]["Mountpoint"]
    if not STOCK:
        equal((os.stat(f"{path}/root").st_uid, os.stat(f"{path}/www").st_uid), (0, 33))
    d.ok("volume", "rm", "owned")


def test_volumes_from(d):
    os.mkdir(f"{d.root}/bound")
    keeper = d.ok("create", "-v", "kept:/kept", "-v", f"{d.root}/bound:/bound", "-v", "/anonymous", "busybox", "true")
    sharer = d.sleeper("--volumes-from", keeper + ":ro", "-v", "own:/kept")
    m = mounts(d, sharer)
    equal({k: (v.get("Name") or v["Source"], v["RW"]) for k, v in m.items()},
          {"/kept": ("own", True), "/bound": (f"{d.root}/bound", False),
           "/anonymous": (mounts(d, keeper)["/anonymous"]["Name"], False)})
    equal(d.ctl("exec", sharer, "touch", "/bound/x").code, 1)
    d.exec(sharer, "touch", "/kept/x")
    equal(mounts(d, d.ok("create", "--volumes-from", keeper + ":ro,z", "busybox", "true"))["/kept"]["RW"], False)
    for source, told in (("nope", "No such container: nope"), ("", "volumes-from specification cannot be an empty string")):
        equal(d.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"VolumesFrom": [source]}}, status=400).message, told)
    has(d.fails(125, "run", "--rm", "--volumes-from", keeper + ":bad", "busybox", "true"), "invalid mode: bad")
    d.ok("rm", "-f", "-v", *d.ok("ps", "-aq").split())
    d.ok("volume", "rm", "kept", "own")
    os.rmdir(f"{d.root}/bound")


def test_somebody_elses_directory(d):
    os.mkdir(f"{d.root}/device")
    d.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={d.root}/device", "bind")
    write(d, "bind")
    equal(os.listdir(f"{d.root}/device"), ["file"])
    d.ok("volume", "rm", "bind")
    equal(os.listdir(f"{d.root}/device"), ["file"], "what is not ours stays")
    os.unlink(f"{d.root}/device/file")
    os.rmdir(f"{d.root}/device")


def test_options_of_somebody_elses_directory(d):
    """Read-only if it says so, and what is mounted below it only with rbind."""
    os.makedirs(f"{d.root}/device/sub")
    subprocess.run(["mount", "-t", "tmpfs", "none", f"{d.root}/device/sub"], check=True)
    try:
        for o, mode, below, written in (("bind", "rw", "", 0), ("rbind", "rw", "sub", 0), ("ro,bind", "ro", "", 1), ("rbind,ro", "ro", "sub", 1)):
            d.ok("volume", "create", "-o", "type=none", "-o", "o=" + o, "-o", f"device={d.root}/device", "bind")
            one = d.ok("create", "-v", "bind:/v", "busybox", "sh", "-c",
                       "touch /v/x 2>/dev/null; echo $?; grep ' /v' /proc/mounts | cut -d' ' -f2,4 | cut -d, -f1")
            out = d.ok("start", "-a", one).splitlines()
            equal((out[0], out[1], [line.split()[0] for line in out[2:]]), (str(written), f"/v {mode}", ["/v/sub"] if below else []), o)
            if written:
                has(d.fails(1, "cp", "/etc/hostname", f"{one}:/v"), "read-only")
            else:
                d.ok("cp", "/etc/hostname", f"{one}:/v")
            d.ok("rm", one)
            d.ok("volume", "rm", "bind")
        if not STOCK:
            d.ok("volume", "create", "-o", "type=none", "-o", "o=bind,nosuid,noexec", "-o", f"device={d.root}/device", "bind")
            has(d.ok("run", "--rm", "-v", "bind:/v", "busybox", "grep", " /v ", "/proc/mounts"), "rw,nosuid,noexec,")
            d.ok("volume", "rm", "bind")
    finally:
        subprocess.run(["umount", f"{d.root}/device/sub"], check=True)


def test_a_path_below_a_volume(d):
    d.ok("run", "--rm", "-v", "whole:/w", "busybox", "sh", "-c",
         "mkdir -p /w/a/b; echo deep > /w/a/b/f; echo file > /w/one; ln -s a/b /w/in; ln -s /etc /w/out; ln -s ../../../.. /w/up")
    mount = "type=volume,src=whole,dst=/v,volume-subpath="
    for below, wanted in (("a/b", "deep"), ("in", "deep"), ("a", None)):
        out = d.ok("run", "--rm", "--mount", mount + below, "busybox", "cat", "/v/f" if wanted else "/v/b/f")
        equal(out, "deep")
    equal(d.ok("run", "--rm", "--mount", mount + "one,readonly", "busybox", "cat", "/v"), "file")
    for below in ("none", "out", "up"):
        done = d.ctl("run", "--rm", "--mount", mount + below, "busybox", "true")
        assert done.code in (125, 127) and "error mounting" in done.err, done
    for below in ("/a", ".."):
        has(d.fails(125, "run", "--rm", "--mount", mount + below, "busybox", "true"), "ubpath must be a relative path")
    first = d.sleeper("--mount", mount + "a")
    second = d.ok("run", "--rm", "--volumes-from", first, "busybox", "cat", "/v/b/f")
    equal(second, "deep")
    d.ok("rm", "-f", first)
    d.ok("volume", "rm", "whole")


def test_file_systems_as_volumes(d):
    d.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=2m,mode=750,uid=7,noexec", "memory")
    container = d.sleeper("-v", "memory:/m")
    has(d.exec(container, "grep", " /m ", "/proc/mounts"), "tmpfs", "size=2048k", "noexec", "mode=750", "uid=7")
    d.exec(container, "touch", "/m/x")
    equal(os.listdir(json.loads(d.ok("volume", "inspect", "memory"))[0]["Mountpoint"]), [], "nothing on the host")
    equal(subprocess.run(["grep", "-c", d.root + ".*memory", "/proc/mounts"], stdout=subprocess.PIPE).stdout, b"0\n")
    other = d.sleeper("--volumes-from", f"{container}:ro")
    has(d.exec(other, "grep", " /m ", "/proc/mounts"), "ro,", "size=2048k")
    if not STOCK:
        equal(d.ctl("exec", other, "ls", "/m").out, "x\n", "the same one")
    d.exec(container, "sh", "-c", "mkdir /m/below; echo part >/m/below/f; ln -s / /m/out; echo one >/m/one")
    if not STOCK:
        mount = "type=volume,src=memory,dst=/p,volume-subpath="
        equal(d.ok("run", "--rm", "--mount", mount + "below", "busybox", "cat", "/p/f"), "part")
        equal(d.ok("run", "--rm", "--mount", mount + "one,readonly", "busybox", "cat", "/p"), "one")
        has(d.ctl("run", "--rm", "--mount", mount + "out", "busybox", "true").err, "error mounting")
    d.ok("rm", "-f", container, other)
    if not STOCK:
        has(d.ctl("run", "--rm", "--mount", mount + "below", "busybox", "true").err, "error mounting", "o such file")
    d.ok("volume", "create", "-o", "type=nfs", "-o", "device=:/export", "-o", "o=addr=127.0.0.1,nfsvers=4", "remote")
    done = d.ctl("run", "--rm", "-v", "remote:/r", "busybox", "true")
    assert done.code in (125, 126, 127), done
    has(done.err, "error mounting", ":/export", "/r")
    # A server's name is looked up by the daemon; only that of "addr=", and with each start.
    d.ok("volume", "create", "-o", "type=nfs", "-o", "device=:/export", "-o", "o=nfsvers=4,mountaddr=a.invalid,addr=files.invalid,ro", "named")
    done = d.ctl("run", "--rm", "-v", "named:/r", "busybox", "true")
    assert done.code == 125, done
    has(done.err, "error while mounting volume", "error resolving passed in network volume address: lookup files.invalid")
    d.ok("volume", "create", "-o", "type=nfs", "-o", "device=:/export", "-o", "o=addr=localhost,nfsvers=4", "local")
    done = d.ctl("run", "--rm", "-v", "local:/r", "busybox", "true")
    assert "error resolving" not in done.err and "mount" in done.err, done
    d.ok("volume", "rm", "named", "local")
    for options, wanted in ((["type=tmpfs"], 'missing required option: "device"'), (["o=size=1m"], "missing required option"),
                            (["nope=1"], 'invalid option: "nope"'), (["size=1g"], "quota size requested")):
        has(d.fails(1, "volume", "create", *[word for o in options for word in ("-o", o)], "bad"), wanted)
    d.ok("volume", "rm", "memory", "remote")


def test_a_path_below_a_file_system(d):
    """Of a file system that the container itself mounts, the part alone is there: nothing lies below it."""
    low, top = f"{d.root}/layer-1", f"{d.root}/layer-2"
    os.makedirs(f"{low}/a/b")
    os.makedirs(f"{top}/a")
    for path, text in ((f"{low}/a/b/f", "low"), (f"{top}/a/g", "top"), (f"{low}/secret", "hidden")):
        with open(path, "w") as file:
            file.write(text)
    d.ok("volume", "create", "-o", "type=overlay", "-o", "device=overlay", "-o", f"o=lowerdir={top}:{low}", "layers")
    mount = "type=volume,src=layers,dst=/v,volume-subpath="
    equal(d.ok("run", "--rm", "-v", "layers:/v", "busybox", "cat", "/v/secret"), "hidden")
    equal(d.ok("run", "--rm", "--mount", mount + "a", "busybox", "cat", "/v/b/f", "/v/g"), "lowtop")
    equal(d.ok("run", "--rm", "--mount", mount + "a/g", "busybox", "cat", "/v"), "top")
    out = d.ok("run", "--rm", "--privileged", "--mount", mount + "a", "busybox", "sh", "-c",
               "grep -c ' /v ' /proc/mounts; umount /v; ls /v; cat /secret 2>/dev/null; ls / | grep -c secret; true")
    equal(out, "1\n0")
    os.symlink("../../..", f"{low}/a/far")
    has(d.ctl("run", "--rm", "--mount", mount + "a/far", "busybox", "true").err, "error mounting")
    has(d.ctl("run", "--rm", "--mount", mount + "a/none", "busybox", "true").err, "error mounting", "o such file")
    d.ok("volume", "rm", "layers")


def test_usage(d):
    """Of what is in the volume, hard links once; what stands for something else takes nothing."""
    d.ok("run", "--rm", "-v", "used:/v", "busybox", "sh", "-c", "head -c 3000 /dev/zero > /v/a; ln /v/a /v/b; mkdir /v/c; "
         "head -c 500 /dev/zero > /v/c/d; ln -s /bin/busybox /v/l")
    d.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/usr/share", "other")
    keeper = d.ok("create", "-v", "used:/v", "busybox", "true")
    found = {v["Name"]: v["UsageData"] for v in d.api("GET", "/system/df", status=200, type="volume").json["Volumes"]}
    equal(found["used"]["RefCount"], 1)
    assert found["used"]["Size"] in range(3500, 3600), found
    if not STOCK:
        equal(found["other"], {"Size": 0, "RefCount": 0})
    for client in (d.ok, d.docker_ok):
        line = [words for words in map(str.split, client("system", "df", "-v").splitlines()) if words[:1] == ["used"]]
        equal([line[0][1], line[0][2][:3]], ["1", "3.5"])
    d.ok("rm", keeper)
    d.ok("volume", "rm", "used", "other")


def test_read_only_all_the_way_down(d):
    """A bind takes what is mounted below with it, and is read-only there, too, unless it is asked not to be."""
    os.makedirs(f"{d.root}/top/sub")
    subprocess.run(["mount", "-t", "tmpfs", "none", f"{d.root}/top/sub"], check=True)
    try:
        base = f"type=bind,src={d.root}/top,dst=/t,readonly"
        script = "touch /t/sub/x 2>/dev/null && echo writable; ls /t"
        for option, wanted in (("", "sub"), (",bind-recursive=enabled", "sub"), (",bind-recursive=writable", "writable\nsub"),
                               (",bind-recursive=readonly,bind-propagation=rprivate", "sub")):
            equal(d.ok("run", "--rm", "--mount", base + option, "busybox", "sh", "-c", script), wanted, option)
        equal(d.ok("run", "--rm", "-v", f"{d.root}/top:/t:ro", "busybox", "sh", "-c", script), "sub")
        # What cannot be kept is refused, by the clients and by the daemon.
        for options, told in (("bind-recursive=readonly", "requires 'readonly'"), ("bind-recursive=writable", "requires 'readonly'"),
                              ("readonly,bind-recursive=readonly", "requires 'bind-propagation=rprivate'"),
                              ("readonly,bind-recursive=readonly,bind-propagation=rshared", "requires 'bind-propagation=rprivate'")):
            for program in ("ctlc", "docker"):
                done = d.command(program, ["run", "--rm", "--mount", f"type=bind,src={d.root}/top,dst=/t,{options}", "busybox", "true"])
                equal(done.code, 125, (program, options))
                if program == "ctlc" or "unexpected key" not in done.err:  # older ones do not know the option
                    has(done.err, told)
        for readonly, options in ((False, {"ReadOnlyForceRecursive": True}), (False, {"ReadOnlyNonRecursive": True}),
                                  (True, {"ReadOnlyForceRecursive": True, "ReadOnlyNonRecursive": True}),
                                  (True, {"ReadOnlyForceRecursive": True, "Propagation": "rshared"})):
            mount = {"Type": "bind", "Source": f"{d.root}/top", "Target": "/t", "ReadOnly": readonly, "BindOptions": options}
            reply = d.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Mounts": [mount]}}, status=400)
            has(reply.message, "mount options conflict")
        out = d.ok("run", "--rm", "--mount", base + ",bind-recursive=disabled", "busybox", "sh", "-c",
                   "grep -c /t/sub /proc/mounts; true")
        equal(out, "0")
    finally:
        subprocess.run(["umount", f"{d.root}/top/sub"], check=True)
        os.removedirs(f"{d.root}/top/sub")


def test_filters_and_formats(d):
    for name, label in (("alpha", "x=1"), ("beta", "x=2"), ("gamma", "y=1")):
        d.ok("volume", "create", "--label", label, name)
    user = d.ok("create", "-v", "beta:/v", "busybox", "true")
    equal(names(d, "-f", "label=x"), ["alpha", "beta"])
    equal(names(d, "-f", "label=x=2"), ["beta"])
    equal(names(d, "-f", "name=a", "-f", "dangling=true"), ["alpha", "gamma"])
    equal(names(d, "-f", "dangling=false"), ["beta"])
    equal(names(d, "-f", "driver=nope"), [])
    has(d.fails(1, "volume", "ls", "-f", "nope=1"), "invalid filter 'nope'")
    has(d.fails(1, "volume", "ls", "-f", "dangling=x"), "invalid filter 'dangling=[x]'")
    has(d.fails(1, "volume", "prune", "-f", "--filter", "all=x"), "invalid filter 'all=[x]'")
    equal(d.ok("volume", "ls", "--format", "{{.Name}} {{.Driver}}", "-f", "name=alpha"), "alpha local")
    equal(d.docker_ok("volume", "ls", "-q").split(), ["alpha", "beta", "gamma"])
    out = d.ok("volume", "prune", "-a", "-f", "--filter", "label!=y")
    has(out, "Deleted Volumes:", "alpha")
    equal(names(d), ["beta", "gamma"])
    equal(d.ok("ps", "-aq", "--no-trunc", "--filter", "volume=beta"), user)
    equal(d.api("GET", "/containers/json", all=1, status=200).json[0]["Mounts"][0]["Name"], "beta")
    d.ok("rm", user)
    equal(d.ok("ps", "-aq", "--filter", "volume=beta"), "")
    d.ok("volume", "rm", "beta", "gamma")


def test_versions_of_the_api(d):
    """Before 1.42 prune took named volumes, too."""
    made = d.api("POST", "/volumes/create", {}, status=201).json
    assert len(made["Name"]) == 64 and made["Labels"] == {"com.docker.volume.anonymous": ""}, made
    d.api("POST", "/volumes/create", {"Name": "named"}, status=201)
    write(d, "named", "x" * 5000)
    deleted = d.api("POST", "/volumes/prune", status=200).json
    equal(deleted["VolumesDeleted"], [made["Name"]])
    deleted = d.request("POST", "/v1.41/volumes/prune").json
    equal(deleted["VolumesDeleted"], ["named"])
    equal(deleted["SpaceReclaimed"], 5001)
    equal(d.api("POST", "/volumes/prune", status=200).json, {"VolumesDeleted": None, "SpaceReclaimed": 0})


def test_bad_requests(d):
    before = names(d)
    has(d.fails(1, "volume", "inspect", "nope"), "get nope: no such volume")
    has(d.fails(1, "volume", "rm", "nope"), "get nope: no such volume")
    d.api("DELETE", "/volumes/nope", force=1, status=204)
    has(d.fails(1, "volume", "create", "bad/name"), "includes invalid characters for a local volume name")
    has(d.fails(1, "volume", "create", "-d", "nope", "x1"), 'plugin "nope" not found')
    for volume, told in (("bad/name:/v", "includes invalid characters"), ("a:/v", "too short"), ("ok:/", "can't be '/'"),
                         ("ok:v", "must be absolute"), ("ok:/v:bad", "invalid mode")):
        done = d.ctl("run", "--rm", "-v", volume, "busybox", "true")
        equal(done.code, 125, volume)
        has(done.err, told)
    has(d.fails(125, "run", "--rm", "-v", "one:/v", "-v", "two:/v", "busybox", "true"), "Duplicate mount point: /v")
    equal(d.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {
        "Mounts": [{"Type": "volume", "Source": "vv", "Target": "/v", "VolumeOptions": {"DriverConfig": {"Name": "no"}}}]}},
        status=404).message, 'error looking up volume plugin no: plugin "no" not found')
    if not STOCK:
        has(d.api("POST", "/volumes/create", {"Name": "x1", "Labels": {"a": 5}}, status=400).message,
            "json: cannot unmarshal number into Go struct field CreateOptions.Labels of type string")
    equal(names(d), before, "nothing is left of a create that failed")
    equal(d.ctl("run", "--rm", "busybox", "true").code, 0)


def test_what_would_be_without_effect(d):
    """Options of another kind of mount, or with wrong types, are refused, and so are drivers that are not there."""
    before = names(d)

    def create(status, **host_config):
        return d.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": host_config}, status=status).message

    volume, bind = {"Type": "volume", "Source": "vv", "Target": "/v"}, {"Type": "bind", "Source": "/tmp", "Target": "/v"}
    for mount, told in (({**volume, "BindOptions": {}}, "field BindOptions must not be specified"),
                        ({**bind, "VolumeOptions": {}}, "field VolumeOptions must not be specified"),
                        ({"Type": "tmpfs", "Target": "/v", "BindOptions": {}}, "field BindOptions must not be specified"),
                        ({"Type": "volume", "Target": "/v", "ReadOnly": True}, "must not set ReadOnly mode when using anonymous volumes")):
        equal(create(400, Mounts=[mount]), f'invalid mount config for type "{mount["Type"]}": {told}')
    for options in ("x", {"Labels": "x"}, {"Labels": {"a": 5}}, {"NoCopy": "x"}, {"DriverConfig": {"Name": 5}},
                    {"DriverConfig": {"Options": {"type": 5}}}, *([] if STOCK else [{"Subpath": 7}])):
        has(create(500 if STOCK else 400, Mounts=[{**volume, "VolumeOptions": options}]), "json: cannot unmarshal", "VolumeOptions")
    for spec, told in (("vv:/v:rshared", "BindOptions"), ("/tmp:/v:nocopy", "VolumeOptions")):
        has(create(500 if STOCK else 400, Binds=[spec]), f"invalid volume specification: '{spec}'", f"field {told} must not be specified")
    for more in ({"Binds": ["vv:/v"]}, {"Binds": ["/v"]}):
        has(create(404, VolumeDriver="nope", **more), 'error looking up volume plugin nope: plugin "nope" not found')
    equal(names(d), before)
    d.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Mounts": [volume], "VolumeDriver": "nope"}}, status=201)
    d.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Binds": ["vv:/v"], "VolumeDriver": "local"}}, status=201)
    d.clean()
    d.ok("volume", "rm", "vv")


def test_events(d):
    container = d.ok("create", "-v", "seen:/v", "busybox", "true")
    d.ok("start", "-a", container)
    d.ok("rm", container)
    d.ok("volume", "rm", "seen")
    lines = d.ok("events", "--since", "1", "--until", str(int(time.time()) + 1), "--filter", "volume=seen", "--format", "{{.Action}}")
    equal(lines.split(), ["create", "mount", "unmount", "destroy"])


def test_a_killed_daemon_loses_no_volume():
    if STOCK:
        return
    with Daemon() as d:
        stop = threading.Event()

        def churn(n):
            while not stop.is_set():
                d.ctl("run", "--rm", "-v", f"vol{n}:/v", "-v", "/a", "busybox", "sh", "-c", "echo $((1+$(cat /v/n 2>/dev/null || echo 0))) >/v/m; mv /v/m /v/n")

        threads = [threading.Thread(target=churn, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            threading.Event().wait(0.4)
            d.kill9()
            d.start()
        stop.set()
        for thread in threads:
            thread.join()
        d.clean()
        for n in range(3):
            assert int(d.ok("run", "--rm", "-v", f"vol{n}:/v", "busybox", "cat", "/v/n")) > 0
        d.ok("volume", "prune", "-f", "--all")
        equal(names(d), [])
        wait_for(lambda: os.listdir(f"{d.data}/volumes") == [], "the directories to go")
