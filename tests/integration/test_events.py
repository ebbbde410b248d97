"""events: order, attributes, filters, replay, the stream."""
import json
import time

import imagemaker
from harness import STOCK, equal, has


def now():
    return f"{time.time():.9f}"


def actions(events, kind="container"):
    return [e["Action"].strip() for e in events if e["Type"] == kind]


def test_a_life(d):
    since = now()
    container = d.run_detached("--name", "life", "-l", "a=b", "busybox", "sh", "-c", "exit 4")
    d.ok("wait", container)
    d.ok("rm", container)
    events = d.events(since)
    equal(actions(events), ["create", "start", "die", "destroy"])
    for event in events:
        if event["Type"] != "container":
            continue
        attributes = event["Actor"]["Attributes"]
        equal((event["Actor"]["ID"], event["id"], event["from"], event["status"]),
              (container, container, "busybox", event["Action"]))
        equal((attributes["name"], attributes["image"], attributes["a"]), ("life", "busybox", "b"))
        equal(event["time"], event["timeNano"] // 10**9)
    die = next(e for e in events if e["Action"] == "die")
    equal(die["Actor"]["Attributes"]["exitCode"], "4")


def test_network_events(d):
    since = now()
    container = d.run_detached("busybox", "true")
    d.ok("wait", container)
    d.ok("rm", container)
    events = [e for e in d.events(since) if e["Type"] == "network"]
    equal([e["Action"] for e in events], ["connect", "disconnect"])
    equal(events[0]["Actor"]["Attributes"]["name"], "bridge")
    equal(events[0]["Actor"]["Attributes"]["container"], container)


def test_kill_stop_pause_rename_exec(d):
    container = d.sleeper("--name", "busy")
    since = now()
    d.ok("pause", container)
    d.ok("unpause", container)
    d.ok("exec", container, "true")
    d.ok("rename", "busy", "idle")
    d.ok("restart", "-t", "0", container)
    d.ok("stop", "-t", "0", container)
    d.ok("rm", container)
    seen = actions(d.events(since))
    for action in ("pause", "unpause", "exec_create: true", "exec_start: true", "exec_die", "rename", "kill",
                   "die", "restart", "stop", "destroy"):
        has(seen, action)
    assert seen.index("pause") < seen.index("unpause") < seen.index("rename") < seen.index("destroy"), seen
    kill = next(e for e in d.events(since) if e["Action"] == "kill")
    assert kill["Actor"]["Attributes"]["signal"] in ("15", "9"), kill
    rename = next(e for e in d.events(since) if e["Action"] == "rename")
    equal(rename["Actor"]["Attributes"]["oldName"], "/busy")


def test_image_events(d):
    since = now()
    d.ok("load", input=imagemaker.docker_archive([imagemaker.layer({"f": b"event"})], ["event:1"]))
    d.ok("tag", "event:1", "event:2")
    d.ok("rmi", "event:1", "event:2")
    seen = actions(d.events(since), "image")
    for action in ("load", "tag", "untag", "delete"):
        has(seen, action)


def test_filters(d):
    since = now()
    one = d.run_detached("--name", "one", "-l", "x=1", "busybox", "true")
    two = d.run_detached("--name", "two", "busybox", "true")
    d.ok("wait", one, two)
    equal({e["Actor"]["ID"] for e in d.events(since, container=["one"])}, {one})
    equal({e["Actor"]["ID"] for e in d.events(since, label=["x=1"])}, {one})
    equal({e["Action"] for e in d.events(since, event=["die"])}, {"die"})
    equal({e["Type"] for e in d.events(since, type=["container"])}, {"container"})
    equal({e["Actor"]["ID"] for e in d.events(since, image=["busybox"], event=["start"])}, {one, two})


def test_until_in_the_past_ends_the_stream(d):
    d.api("GET", "/events", since="1", until="2", status=200)


def test_live_stream(d):
    client = d.spawn_client("events", "--format", "{{json .}}", "--filter", "event=start", "--since", now())
    container = d.sleeper()
    event = json.loads(client.stdout.readline())
    equal((event["Action"], event["Actor"]["ID"]), ("start", container))
    client.terminate()
    client.communicate()


def test_client_output(d):
    since = now()
    container = d.ok("create", "--name", "shown", "busybox", "true")
    line = d.ok("events", "--since", since, "--until", now())
    has(line, f"container create {container} (", "image=busybox", "name=shown")


def test_oom(d):
    if STOCK:
        return  # needs a listener that this machine's stock daemon does not have
    since = now()
    container = d.run_detached("-m", "12m", "busybox", "sh", "-c", "x=a; while :; do x=$x$x; done")
    equal(d.ok("wait", container), "137")
    has(actions(d.events(since)), "oom", "die")
