"""What containers use, as the API and its clients tell it."""
import json
import os
import time

from harness import equal, has, wait_for

MIB = 1 << 20


def sample(d, container, query="stream=0"):
    return d.api("GET", f"/containers/{container}/stats?{query}", status=200).json


def test_one_sample(d):
    container = d.run_detached("-m", "64m", "--pids-limit", "50", "busybox", "sh", "-c",
                               "dd if=/dev/zero of=/dev/shm/x bs=1M count=8 2>/dev/null; while :; do :; done")
    wait_for(lambda: sample(d, container, "stream=0&one-shot=1")["memory_stats"]["usage"] > 8 * MIB, "its memory")
    s = sample(d, container)
    equal((s["id"], s["name"], s["num_procs"]), (container, d.inspect(container)["Name"], 0))
    equal((s["memory_stats"]["limit"], s["pids_stats"]), (64 * MIB, {"current": 1, "limit": 50}))
    assert 8 * MIB < s["memory_stats"]["usage"] < 64 * MIB, s["memory_stats"]
    assert {"total_inactive_file", "inactive_file"} & set(s["memory_stats"]["stats"])
    used = s["cpu_stats"]["cpu_usage"]["total_usage"] - s["precpu_stats"]["cpu_usage"]["total_usage"]
    passed = s["cpu_stats"]["system_cpu_usage"] - s["precpu_stats"]["system_cpu_usage"]
    assert used > 0 and passed > 0, (used, passed)
    assert s["preread"] < s["read"]
    assert s["cpu_stats"]["online_cpus"] >= 1
    equal(list(s["networks"]), ["eth0"])


def test_one_shot_has_nothing_to_compare_to(d):
    s = sample(d, d.sleeper(), "stream=false&one-shot=true")
    equal((s["preread"], s["precpu_stats"]["cpu_usage"]["total_usage"]), ("0001-01-01T00:00:00Z", 0))
    assert "system_cpu_usage" not in s["precpu_stats"]
    assert s["cpu_stats"]["cpu_usage"]["total_usage"] > 0


def test_pressure_is_told_where_the_kernel_does(d):
    container = d.run_detached("--cpus", "0.1", "busybox", "sh", "-c", "while :; do :; done")
    s = sample(d, container)
    if not os.path.exists("/proc/pressure"):
        assert "pressure_stats" not in s
        return
    wait_for(lambda: sample(d, container, "stream=0&one-shot=1")["pressure_stats"]["cpu"]["some"]["total"] >
             s["pressure_stats"]["cpu"]["some"]["total"], "it to be stalled")
    equal(set(s["pressure_stats"]), {"cpu", "memory", "io"})


def test_many_streams_tick_together(d):
    containers = [d.sleeper() for _ in range(5)]
    connections = [d.connect() for _ in containers]
    for container, connection in zip(containers, connections):
        connection.request("GET", f"/v1.51/containers/{container}/stats")
    replies = [connection.getresponse() for connection in connections]
    seconds = []
    for container, reply in zip(containers, replies):
        first, second, third = (json.loads(reply.readline()) for _ in range(3))
        equal((first["id"], second["preread"], third["preread"]), (container, first["read"], second["read"]))
        seconds.append(third["read"])
    for connection in connections:
        connection.close()


def test_an_interface_of_any_name(d):
    container = d.sleeper("--cap-add", "NET_ADMIN")
    d.exec(container, "ip", "link", "set", "eth0", "down")
    d.exec(container, "ip", "link", "set", "eth0", "name", 'a"b\\c')
    equal(list(sample(d, container, "stream=0&one-shot=1")["networks"]), ['a"b\\c'])


def test_traffic_is_counted(d):
    container = d.sleeper()
    before = sample(d, container, "stream=0&one-shot=1")["networks"]["eth0"]
    d.exec(container, "ping", "-c", "3", "-s", "1000", d.inspect(container)["NetworkSettings"]["Gateway"])
    after = sample(d, container, "stream=0&one-shot=1")["networks"]["eth0"]
    for key in ("rx_bytes", "tx_bytes"):
        assert after[key] >= before[key] + 3 * 1000, (before, after)
    for network, own in (("none", True), ("host", False)):
        s = sample(d, d.sleeper("--network", network), "stream=0&one-shot=1")
        equal(s.get("networks"), {} if own else None, network)


def test_stream_outlives_a_restart_and_ends_with_the_container(d):
    container = d.sleeper("--name", "watched")
    connection = d.connect()
    connection.request("GET", "/v1.51/containers/watched/stats")
    reply = connection.getresponse()
    first, second = (json.loads(reply.readline()) for _ in range(2))
    equal(first["precpu_stats"]["cpu_usage"]["total_usage"], 0)
    equal(second["precpu_stats"], first["cpu_stats"])
    equal(second["preread"], first["read"])
    d.ok("restart", "-t", "0", "watched")
    assert json.loads(reply.readline())["read"] > second["read"]
    d.ok("rm", "-f", "watched")
    while reply.readline():
        pass
    connection.close()


def test_of_one_that_is_down(d):
    container = d.ok("create", "--name", "down", "busybox", "true")
    for query in ("stream=0", "stream=0&one-shot=1"):
        found = sample(d, container, query)
        equal((found["id"], found["name"], found["pids_stats"], found["memory_stats"]), (container, "/down", {}, {}))
        equal(found["cpu_stats"]["cpu_usage"]["total_usage"], 0)


def test_errors(d):
    d.api("GET", "/containers/nope/stats", status=404)
    has(d.api("GET", f"/containers/{d.sleeper()}/stats?stream=1&one-shot=1", status=400).message,
        "cannot have stream=true and one-shot=true")


def test_readers_that_leave(d):
    """In the middle of a sample, of a pause, of everything: nothing stays, nothing breaks."""
    container = d.sleeper()
    for n in range(20):
        connection = d.connect()
        connection.request("GET", f"/v1.51/containers/{container}/stats?stream={n % 2}")
        if n % 3 == 0:
            connection.getresponse()
        time.sleep(0.02 * (n % 4))
        connection.close()
    equal(d.request("GET", "/_ping").status, 200)


def test_clients(d):
    container = d.sleeper("--name", "shown", "-m", "32m")
    row = d.ok("stats", "--no-stream", "--format", "{{.Name}}|{{.MemUsage}}|{{.PIDs}}|{{.ID}}", "shown")
    has(row, "shown|", "/ 32MiB|1|" + container[:12])
    table = d.ok("stats", "--no-stream")
    has(table, "CPU %", "shown", "32MiB")
    stock = d.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", "shown")
    has(stock.out, "shown ", "/ 32MiB 1")
