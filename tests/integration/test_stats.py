"""What containers use, as the API and its clients tell it."""
import json
import os
import re
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


def test_one_that_wakes_up(d):
    """What is not read while a container sleeps is read again when it runs."""
    container = d.sleeper("--cpus", "0.5")
    connection = d.connect()
    connection.request("GET", f"/v1.51/containers/{container}/stats")
    reply = connection.getresponse()

    def until(condition, what):
        for _ in range(20):
            found = json.loads(reply.readline())
            if condition(found):
                return found
        raise AssertionError(f"{what}: {found}")

    slept = [until(lambda s: s["cpu_stats"] == {**s["precpu_stats"], "system_cpu_usage": s["cpu_stats"]["system_cpu_usage"]}, "sleep")
             for _ in range(5)][-1]["cpu_stats"]
    d.ok("update", "-m", "77m", "--memory-swap", "77m", "--pids-limit", "66", container)
    reply.readline()  # it may be older
    told = json.loads(reply.readline())
    equal((told["memory_stats"]["limit"], told["pids_stats"]["limit"]), (77 * MIB, 66), "limits of one that sleeps")
    d.exec(container, "sh", "-c", "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done")
    until(lambda s: s["precpu_stats"]["cpu_usage"]["total_usage"] > slept["cpu_usage"]["total_usage"], "it to run")
    ran = json.loads(reply.readline())["cpu_stats"]
    used = ran["cpu_usage"]
    assert used["total_usage"] > slept["cpu_usage"]["total_usage"] + 10**7, (slept, ran)
    assert used["usage_in_usermode"] > slept["cpu_usage"]["usage_in_usermode"], (slept, ran)
    assert ran["throttling_data"]["periods"] > slept["throttling_data"]["periods"], (slept, ran)
    equal(sum(used.get("percpu_usage", [used["total_usage"]])), used["total_usage"])
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


def test_memory_without_cache(d):
    """What is only cached is no use of memory to those who look: the clients take it off."""
    container = d.run_detached("busybox", "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null; echo done; sleep 1000")
    wait_for(lambda: "done" in d.ctl("logs", container).out, "the file")
    assert sample(d, container, "stream=0&one-shot=1")["memory_stats"]["usage"] > 64 * MIB
    for client in (d.ctl, d.docker):
        shown = client("stats", "--no-stream", "--format", "{{.MemUsage}}", container).out.split("/")[0].strip()
        assert re.fullmatch(r"[0-9.]+(K|k|M)iB", shown) and (not shown.endswith("MiB") or float(shown[:-3]) < 32), shown


def test_clients(d):
    container = d.sleeper("--name", "shown", "-m", "32m")
    row = d.ok("stats", "--no-stream", "--format", "{{.Name}}|{{.MemUsage}}|{{.PIDs}}|{{.ID}}", "shown")
    has(row, "shown|", "/ 32MiB|1|" + container[:12])
    table = d.ok("stats", "--no-stream")
    has(table, "CPU %", "shown", "32MiB")
    stock = d.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", "shown")
    has(stock.out, "shown ", "/ 32MiB 1")
