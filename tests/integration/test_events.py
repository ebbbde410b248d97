"""events: order, attributes, filters, replay, the stream."""
import json
import os
import re
import time

import imagemaker
from harness import STOCK, equal, has, query, wait_for


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


def test_prune_events(d):
    """One for each prune that was asked for, with the bytes that it freed, even if those are none."""
    d.ok("create", "busybox", "true")
    since = now()
    d.api("POST", "/volumes/create", {}, status=201)
    for what in ("containers", "images", "volumes", "networks", "build"):
        d.api("POST", f"/{what}/prune", status=200)
    events = [e for e in d.events(since) if e["Action"] == "prune"]
    equal([(e["Type"], e["Actor"]["ID"], e["scope"], e.get("status"), "id" in e) for e in events],
          [(kind, "", "local", "prune" if kind in ("container", "image") else None, False)
           for kind in ("container", "image", "volume", "network", "builder")])
    for event in events:
        equal(list(event["Actor"]["Attributes"]), ["reclaimed"])
        assert int(event["Actor"]["Attributes"]["reclaimed"]) >= 0, event
    has(d.ok("events", "--since", since, "--until", now(), "--filter", "event=prune"), "network prune  (reclaimed=0)")


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


def test_journal_outlives_the_daemon(d):
    since = now()
    container = d.ok("create", "--name", "kept", "busybox", "true")
    d.events(since)   # it waits for what is being written
    d.kill9()
    d.start()
    d.ok("rm", container)
    equal(actions(d.events(since)), ["create", "destroy"])
    d.restart()
    equal(actions(d.events(since, event=["destroy"])), ["destroy"])
    equal(d.events(now()), [])


def test_more_than_dockers_256(d):
    """The whole past in its order, then what happens now, without a gap: nothing twice."""
    container = d.ok("create", "--name", "n0", "busybox", "true")
    since = now()
    for n in range(1, 301):
        d.api("POST", f"/containers/{container}/rename", name=f"n{n}", status=204)
    client = d.spawn_client("events", "--format", "{{.Actor.Attributes.name}}", "--since", since)
    for n in range(301, 351):
        d.api("POST", f"/containers/{container}/rename", name=f"n{n}", status=204)
    equal([client.stdout.readline().decode().strip() for _ in range(350)], [f"n{n}" for n in range(1, 351)])
    client.terminate()
    client.communicate()


def test_a_torn_line_is_passed_over(d):
    since = now()
    d.ok("volume", "create", "before")
    d.events(since)
    d.kill9()
    [name] = os.listdir(f"{d.data}/events")
    with open(f"{d.data}/events/{name}", "a") as file:
        file.write('{"status":"half')
    d.start()
    d.ok("volume", "create", "behind")
    equal([e["Actor"]["ID"] for e in d.events(since)], ["before", "behind"])
    d.ok("volume", "rm", "before", "behind")


def test_a_slow_reader_of_the_past_gets_it_all(d):
    """More than a socket and the daemon's queue hold: the journal waits for the reader."""
    label = "x" * 60000
    since = now()
    for n in range(100):
        d.api("POST", "/containers/create", {"Image": "busybox", "Labels": {"l": label}}, name=f"slow{n}", status=201)
    connection = d.connect()
    connection.request("GET", query("/v1.51/events", since=since, until=now(), filters={"event": ["create"]}))
    time.sleep(1)
    names = [json.loads(line)["Actor"]["Attributes"]["name"] for line in connection.getresponse()]
    connection.close()
    equal(names, [f"slow{n}" for n in range(100)])


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


def test_colours_on_a_terminal(d):
    """A container's events have its colour; without a terminal there is none."""
    since = now()
    containers = [d.ok("create", "busybox", "true") for _ in range(4)]
    d.ok("rm", *containers)
    plain = d.ok("events", "--since", since, "--until", now())
    assert "\x1b" not in plain and all(plain.count(c) == 2 for c in containers), plain
    if STOCK:
        return
    terminal = d.terminal("events", "--since", since, "--until", now())
    equal(terminal.wait(), 0)
    wait_for(lambda: terminal.output.count("\x1b[0m") >= 8, "the colours")
    for container in containers:
        colours = re.findall(rf"\x1b\[(\d+)m{container}\x1b\[0m", terminal.output)
        equal((len(colours), len(set(colours))), (2, 1), terminal.output)


def test_oom(d):
    if STOCK:
        return  # needs a listener that this machine's stock daemon does not have
    since = now()
    container = d.run_detached("-m", "12m", "busybox", "sh", "-c", "x=a; while :; do x=$x$x; done")
    equal(d.ok("wait", container), "137")
    has(actions(d.events(since)), "oom", "die")
