"""ps and inspect: contents, filters, formats, look-up."""
import json
import re

from harness import STOCK, equal, has


def names(d, *args):
    return d.ok("ps", "--format", "{{.Names}}", *args).split()


def test_columns(d):
    container = d.sleeper("--name", "shown")
    lines = d.ok("ps").splitlines()
    assert re.match(r"CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES", lines[0]), lines
    has(lines[1], container[:12], "busybox", '"sleep 100000"', "ago", "Up ", "shown")


def test_all_and_quiet_and_order(d):
    first = d.ok("create", "--name", "first", "busybox", "true")
    second = d.sleeper("--name", "second")
    equal(names(d), ["second"])
    equal(names(d, "-a"), ["second", "first"])
    equal(d.ok("ps", "-aq").split(), [second[:12], first[:12]])
    equal(d.ok("ps", "-aq", "--no-trunc").split(), [second, first])
    equal(names(d, "-n", "1"), ["second"])
    equal(names(d, "-l"), ["second"])


def test_filters(d):
    d.sleeper("--name", "up", "-l", "color=red", "-l", "size=big")
    d.ok("create", "--name", "new", "-l", "color=blue", "busybox", "true")
    d.ok("run", "--name", "bad", "busybox", "sh", "-c", "exit 0")
    d.ctl("run", "--name", "worse", "busybox", "sh", "-c", "exit 3")
    for wanted, *filters in (
            ({"up"}, "status=running"), ({"new"}, "status=created"),
            ({"bad", "worse"}, "status=exited"), ({"new", "up"}, "status=created", "status=running"),
            ({"up", "new"}, "label=color"), ({"up"}, "label=color=red"),
            ({"up"}, "label=color", "label=size=big"), (set(), "label=color=blue", "label=size"),
            ({"worse"}, "exited=3"), ({"bad"}, "exited=0"), ({"up"}, "name=^up$"), ({"new"}, "name=ew"),
            ({"up"}, "name=/up"), ({"up", "new", "bad", "worse"}, "ancestor=busybox"),
            (set(), "ancestor=nope:1"), ({"bad"}, f"id={d.inspect('bad')['Id'][:10]}"),
            ({"worse", "bad"}, "since=new"), ({"up"}, "before=new"), ({"up", "new"}, "before=bad")):
        args = [part for f in filters for part in ("--filter", f)]
        got = set(names(d, "-a", *args))
        equal(got, wanted, str(filters))


def test_patterns_that_would_cost_much(d):
    """glibc writes intervals out, and takes minutes and gigabytes for some: the daemon has one loop."""
    d.sleeper("--name", "shown")
    for pattern in ("((a{1,255}){1,255}){1,255}", "((((((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+",
                    "(" * 10000 + ")" * 10000):
        reply = d.api("GET", "/containers/json", status=200, filters={"name": [pattern]})
        equal(reply.json, [])
    equal(names(d, "-f", "name=^sh.{1,3}$"), ["shown"])


def test_filters_in_both_forms(d):
    d.sleeper("--name", "up")
    d.ok("create", "--name", "down", "busybox", "true")
    for filters in ({"status": ["created"]}, {"status": {"created": True}}):
        got = d.api("GET", "/containers/json", filters=filters, status=200).json
        equal([c["Names"] for c in got], [["/down"]])
    has(d.api("GET", "/containers/json", filters={"nonsense": ["x"]}, status=400).message,
        "nvalid filter 'nonsense'")
    d.api("GET", "/containers/json?filters=%7B", status=500 if STOCK else 400)


def test_format_json_and_templates(d):
    container = d.sleeper("--name", "formatted", "-l", "a=b")
    if not STOCK:
        entry = json.loads(d.ok("ps", "--format", "json"))
        equal((entry["ID"], entry["Names"]), (container[:12], "formatted"))
    entry = json.loads(d.ok("ps", "--no-trunc", "--format", "{{json .}}"))
    equal((entry["ID"], entry["Image"], entry["State"]), (container, "busybox", "running"))
    equal(d.ok("ps", "--format", "{{.ID}}|{{.Image}}|{{.Label \"a\"}}"), f"{container[:12]}|busybox|b")
    lines = d.ok("ps", "--format", "table {{.Names}}\t{{.Image}}").splitlines()
    equal([line.split() for line in lines], [["NAMES", "IMAGE"], ["formatted", "busybox"]])


def test_list_entry(d):
    container = d.sleeper("--name", "entry", "-p", "127.0.0.1::80", "-v", "/tmp:/t:ro", "--tmpfs", "/scratch")
    entry = d.api("GET", "/containers/json", status=200).json[0]
    equal((entry["Id"], entry["Names"], entry["State"], entry["Command"]),
          (container, ["/entry"], "running", "sleep 100000"))
    assert re.match("Up ", entry["Status"]), entry["Status"]
    port = entry["Ports"][0]
    equal((port["IP"], port["PrivatePort"], port["Type"]), ("127.0.0.1", 80, "tcp"))
    assert port["PublicPort"] >= 32768, port
    mount = entry["Mounts"][0]
    equal((mount["Type"], mount["Source"], mount["Destination"], mount["RW"]),
          ("bind", "/tmp", "/t", False))
    endpoint = entry["NetworkSettings"]["Networks"]["bridge"]
    assert endpoint["IPAddress"] and endpoint["Gateway"] and endpoint["MacAddress"], endpoint


def test_command_quotes(d):
    d.ok("create", "--name", "quoted", "busybox", "sh", "-c", "echo two words")
    entry = d.api("GET", "/containers/json", all=1, status=200).json[0]
    equal(entry["Command"], "sh -c 'echo two words'")


def test_size(d):
    d.ok("run", "--name", "big", "busybox", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=3")
    entry = d.api("GET", "/containers/json", all=1, size=1, status=200).json[0]
    assert 3 << 20 <= entry["SizeRw"] < 4 << 20, entry["SizeRw"]
    assert entry["SizeRootFs"] > entry["SizeRw"]
    details = d.api("GET", "/containers/big/json", size=1, status=200).json
    equal(details["SizeRw"], entry["SizeRw"])
    assert "SizeRw" not in d.inspect("big")
    for client in (d.ok, d.docker_ok):
        shown = json.loads(client("inspect", "--size", "big"))[0]
        equal((shown["SizeRw"], shown["SizeRootFs"]), (entry["SizeRw"], entry["SizeRootFs"]))


def test_inspect_shape(d):
    container = d.run_detached("-m", "64m", "--hostname", "h1", "--cap-add", "NET_ADMIN", "-e", "X=y",
                               "--network", "none", "busybox", "sleep", "100000")
    details = d.inspect(container)
    host_config, config = details["HostConfig"], details["Config"]
    equal((host_config["Memory"], host_config["MemorySwap"]), (64 << 20, 128 << 20))
    equal((host_config["NetworkMode"], host_config["ShmSize"], host_config["IpcMode"]),
          ("none", 64 << 20, "private"))
    equal(host_config["RestartPolicy"], {"Name": "no", "MaximumRetryCount": 0})
    equal((config["Hostname"], config["Cmd"], config["Image"]), ("h1", ["sleep", "100000"], "busybox"))
    has(config["Env"], "X=y")
    equal((details["Path"], details["Args"]), ("sleep", ["100000"]))
    equal(list(details["NetworkSettings"]["Networks"]), ["none"])
    assert details["Image"].startswith("sha256:")


def test_inspect_by_client(d):
    container = d.sleeper("--name", "seen")
    equal(json.loads(d.ok("inspect", "seen"))[0]["Id"], container)
    equal(d.ok("inspect", "-f", "{{.State.Running}} {{.Name}}", "seen"), "true /seen")
    equal(json.loads(d.ok("inspect", "--format", "{{json .Config.Cmd}}", "seen")), ["sleep", "100000"])
    has(json.loads(d.ok("inspect", "busybox"))[0]["RepoTags"], "busybox:latest")
    done = d.ctl("inspect", "seen", "no-such-thing")
    equal(done.code, 1)
    has(done.err, "o such object: no-such-thing")


def test_ambiguous_prefix_is_400(d):
    made = [d.ok("create", "busybox", "true") for _ in range(17)]
    prefix = next(a[0] for a in made if sum(b[0] == a[0] for b in made) > 1)
    has(d.api("GET", f"/containers/{prefix}/json", status=None if STOCK else 400).message,
        prefix if STOCK else f"multiple IDs found with provided prefix: {prefix}")


def test_unknown_container(d):
    for method, path in (("GET", "json"), ("POST", "start"), ("POST", "stop"), ("POST", "kill"),
                         ("POST", "pause"), ("POST", "unpause"), ("POST", "restart"), ("GET", "top"),
                         ("GET", "logs?stdout=1"), ("POST", "rename?name=xy"), ("POST", "resize?h=1&w=1"),
                         ("POST", "wait")):
        message = d.api(method, f"/containers/nope/{path}", status=404).message
        assert message.endswith("No such container: nope"), (path, message)
    d.api("POST", "/containers/nope/exec", {"Cmd": ["true"]}, status=404)
