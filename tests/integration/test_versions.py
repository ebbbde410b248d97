"""What depends on the version of the API that a client speaks: what it did not have then, the client cannot have meant, or does not get."""
import urllib.parse

from harness import STOCK, equal, has

BIND = {"Type": "bind", "Source": "/tmp", "Target": "/from", "ReadOnly": True}


def ask(d, version, method, path, body=None, status=None):
    reply = d.request(method, f"/v1.{version}{path}", body)
    assert status is None or reply.status == status, (version, method, path, reply.status, reply.body)
    return reply


def made(d, version, body=None, **host_config):
    """What a create of that version becomes, as today's inspect has it."""
    body = {"Image": "busybox", "HostConfig": host_config, **(body or {})}
    container = ask(d, version, "POST", "/containers/create", body, 201).json["Id"]
    found = ask(d, 51, "GET", f"/containers/{container}/json").json
    equal(d.request("DELETE", f"/containers/{container}").status, 204)
    return found


def test_what_a_create_could_not_say(d):
    if STOCK:
        return
    for version, wanted in ((39, "shareable"), (40, "private")):
        equal(made(d, version)["HostConfig"]["IpcMode"], wanted)
    for version, wanted in ((41, [0, 0]), (42, [10, 20])):
        equal(made(d, version, ConsoleSize=[10, 20])["HostConfig"]["ConsoleSize"], wanted)
        equal(made(d, version, consolesize=[10, 20])["HostConfig"]["ConsoleSize"], wanted)
    for version, wanted in ((42, None), (43, {"a": "b"})):
        equal(made(d, version, Annotations={"a": "b"})["HostConfig"].get("Annotations"), wanted)
    for version, wanted in ((43, None), (44, 10 ** 9)):
        equal(made(d, version, {"Healthcheck": {"Test": ["CMD", "true"], "StartInterval": 10 ** 9}})["Config"]["Healthcheck"].get("StartInterval"), wanted)
    for version, wanted in ((43, True), (44, None)):
        equal(made(d, version, Mounts=[BIND])["HostConfig"]["Mounts"][0].get("BindOptions", {}).get("ReadOnlyNonRecursive"), wanted)
    # One that can be written to has nothing of it.
    equal(made(d, 43, Mounts=[{**BIND, "ReadOnly": False, "BindOptions": {"ReadOnlyForceRecursive": True}}])["HostConfig"]["Mounts"][0]
          .get("BindOptions") or {}, {})
    for version, options in ((39, {}), (40, {"NonRecursive": True})):
        bind = {**BIND, "BindOptions": {"NonRecursive": True}}
        equal("NonRecursive" in made(d, version, Mounts=[bind])["HostConfig"]["Mounts"][0]["BindOptions"], bool(options))
    nowhere = {**BIND, "Source": "/nowhere/at/all", "BindOptions": {"CreateMountpoint": True}}
    reply = ask(d, 41, "POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Mounts": [nowhere]}}, 400)
    has(reply.message, "bind source path does not exist: /nowhere/at/all")
    for version, mount, text in (
            (44, {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"Subpath": "a"}}, "VolumeOptions.Subpath needs API v1.45 or newer"),
            (47, {"Type": "image", "Source": "busybox", "Target": "/i"}, 'Mount type "Image" needs API v1.48 or newer')):
        equal(ask(d, version, "POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Mounts": [mount]}}, 400).message, text)
    endpoints = {"NetworkingConfig": {"EndpointsConfig": {"one": {}, "two": {}}}, "HostConfig": {"NetworkMode": "one"}}
    has(ask(d, 43, "POST", "/containers/create", {"Image": "busybox", **endpoints}, 400).message, "multiple network endpoints")
    made(d, 44, endpoints)
    equal(d.request("GET", "/volumes").json["Volumes"], [])


def test_what_a_network_could_not_say(d):
    if STOCK:
        return
    network = ask(d, 47, "POST", "/networks/create", {"Name": "aged", "EnableIPv4": False}, 201).json["Id"]
    equal(d.request("GET", f"/networks/{network}").json["EnableIPv4"], True)
    equal(ask(d, 48, "POST", "/networks/create", {"Name": "newer", "EnableIPv4": False}).status, 501)
    equal(d.request("GET", f"/networks/{network}?verbose=1&scope=local").status, 200)
    equal(d.request("GET", f"/networks/{network}?scope=swarm").status, 404)
    equal(d.request("DELETE", f"/networks/{network}").status, 204)


def test_what_an_image_looks_like(d):
    if STOCK:
        return
    for version in (24, 43, 44, 50, 51):
        image = ask(d, version, "GET", "/images/json").json[0]
        equal("VirtualSize" in image, version < 44, version)
        equal(image["Containers"], -1 if version < 51 else 0, version)
    bare = d.api("POST", "/commit", container=d.ok("create", "busybox", "true"), status=201).json["Id"]
    for version, tags in ((42, ["<none>:<none>"]), (43, [])):
        found = {image["Id"]: image["RepoTags"] for image in ask(d, version, "GET", "/images/json").json}
        equal(found[bare], tags, version)


def test_streams(d):
    container = d.run_detached("busybox", "echo", "hello")
    d.ok("wait", container)
    for version, kind in ((41, "application/vnd.docker.raw-stream"), (42, "application/vnd.docker.multiplexed-stream")):
        if STOCK:
            continue
        reply = ask(d, version, "GET", f"/containers/{container}/logs?stdout=1", status=200)
        equal((reply.headers["Content-Type"], reply.body), (kind, b"\1\0\0\0\0\0\0\6hello\n"))


def test_signal_of_a_stop(d):
    """Before 1.42 it did not exist."""
    if STOCK:
        return
    script = "trap 'exit 3' TERM; trap 'exit 4' USR1; while :; do sleep 0.05; done"
    for version, code in ((41, 3), (42, 4)):
        container = d.run_detached("busybox", "sh", "-c", script)
        d.ok("exec", container, "true")
        equal(ask(d, version, "POST", f"/containers/{container}/stop?signal=USR1").status, 204)
        equal(d.state(container)["ExitCode"], code, version)


def test_aliases_and_cache(d):
    if STOCK:
        return
    d.ok("network", "create", "app")
    container = d.run_detached("--network", "app", "--network-alias", "x", "busybox", "sleep", "100")
    for version, wanted in ((44, True), (45, False)):
        aliases = ask(d, version, "GET", f"/containers/{container}/json").json["NetworkSettings"]["Networks"]["app"]["Aliases"]
        equal(("x" in aliases, container[:12] in aliases), (True, wanted), version)
    for version in (41, 42):
        equal("BuilderSize" in ask(d, version, "GET", "/system/df").json, version < 42, version)
    d.ok("rm", "-f", container)
    d.ok("network", "rm", "app")


def test_a_start_has_no_body(d):
    """Some clients send {}; settings in it were dropped with 1.24, and are told so."""
    container = d.ok("create", "busybox", "true")
    reply = d.request("POST", f"/containers/{container}/start", {"Privileged": True})
    equal(reply.status, 400)
    has(reply.message, "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24")
    equal(d.request("POST", f"/containers/{container}/start", {}).status, 204)


def test_a_link_is_removed_and_no_container(d):
    """link=1 takes a name away, never a container."""
    target = d.sleeper("--name", "target")
    d.sleeper("--name", "user", "--link", "target:db", "--link", "target:cache")
    has(d.ok("exec", "user", "cat", "/etc/hosts"), "\tdb ")
    reply = d.request("DELETE", "/containers/target?link=1&force=1")
    equal((reply.status, reply.message), (409, "Conflict, cannot remove the default link name of the container"))
    equal(d.request("DELETE", "/containers/nobody?link=1").status, 404)
    if STOCK:
        return
    equal(d.request("DELETE", "/containers/user/nothing?link=1").status, 404)
    d.ok("rm", "--link", "user/db")
    hosts = d.ok("exec", "user", "cat", "/etc/hosts")
    assert "\tdb " not in hosts and "\tcache " in hosts, hosts
    equal(d.api("GET", "/containers/user/json").json["HostConfig"]["Links"], ["target:cache"])
    equal(d.state(target)["Running"], True)


def test_details_of_a_log(d):
    """The labels and variables that the log options name, sorted, escaped; a blank where there are none."""
    container = d.run_detached("-l", "a=b c", "-l", "z=1", "-l", "other=x", "-e", "V=w", "-e", "APP_1=q", "-e", "NO=n", "--log-opt", "labels=a,z", "--log-opt", "env=V", "--log-opt", "env-regex=^APP_",
                               "busybox", "sh", "-c", "echo one; echo two")
    d.ok("wait", container)
    equal(d.ok("logs", "--details", container), "APP_1=q,V=w,a=b+c,z=1 one\nAPP_1=q,V=w,a=b+c,z=1 two")
    equal(d.ok("logs", container), "one\ntwo")
    container = d.run_detached("busybox", "echo", "one")
    d.ok("wait", container)
    equal(d.ctl("logs", "--details", container).out, " one\n")


def test_the_platform_of_a_create(d):
    arch = d.api("GET", "/images/busybox/json").json["Architecture"]
    other = "arm64" if arch == "amd64" else "amd64"
    body = {"Image": "busybox", "Cmd": ["true"]}
    d.api("POST", "/containers/create", body, platform=f"linux/{arch}", status=201)
    if STOCK:
        return
    has(d.api("POST", "/containers/create", body, platform=f"linux/{other}", status=404).message, f"does not match the specified platform (linux/{other}")
    equal(d.api("POST", "/containers/create", body, platform="a b").status, 400)
    equal(d.api("POST", "/containers/create", {"Image": "nothere"}, platform=f"linux/{arch}", status=404).message, "No such image: nothere:latest")


def test_shared_sizes_of_images(d):
    if STOCK:
        return
    image = d.api("POST", "/commit", container=d.ok("create", "busybox", "true"), status=201).json["Id"]
    plain, shared = ({i["Id"]: i for i in d.api("GET", "/images/json", status=200, **query).json} for query in ({}, {"shared-size": 1}))
    equal(plain[image]["SharedSize"], -1)
    assert 0 < shared[image]["SharedSize"] <= shared[image]["Size"], shared[image]


def test_what_is_of_swarm(d):
    if STOCK:
        return
    reply = d.request("PUT", "/volumes/x?version=1", {})
    equal((reply.status, reply.message), (503, "volume update only valid for cluster volumes, but swarm is unavailable"))
    equal(d.api("GET", "/plugins/x/json", status=404).message, 'plugin "x" not found')
    reply = d.request("POST", "/networks/create", {"Name": "wide", "Driver": "overlay"})
    equal(reply.status, 503)
    has(reply.message, "This node is not a swarm manager.")
    filters = urllib.parse.quote('{"name":["x"]}')
    has(d.request("GET", f"/services?filters={filters}").message, "This node is not a swarm manager.")
