"""/metrics: the text format of Prometheus, and that the figures are those of the containers."""
import contextlib
import os
import re
import threading

from harness import equal, has, wait_for

MIB = 1 << 20
LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (-?[0-9.]+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def scrape(d):
    """{name: [(labels, value)]}; that each family is described once, and before its lines, is checked."""
    reply = d.api("GET", "/metrics", status=200)
    equal(reply.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
    found, types, current = {}, {}, None
    for line in reply.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current not in types and kind in ("counter", "gauge"), line
            types[current] = kind
        elif not line.startswith("# HELP "):
            match = LINE.match(line)
            assert match, line
            equal(match[1], current)
            labels = {key: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value)
                      for key, value in LABEL.findall(match[2] or "")}
            found.setdefault(current, []).append((labels, float(match[3])))
    return found


def of(metrics, name, container, **labels):
    values = [value for have, value in metrics.get(name, [])
              if have["id"] == container and labels.items() <= have.items()]
    assert len(values) == 1, (name, container, metrics.get(name))
    return values[0]


def test_a_container_in_figures(d):
    container = d.run_detached("--name", "measured", "-m", "64m", "--pids-limit", "50", "--cpus", "0.2", "busybox",
                               "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=8; while :; do :; done")
    wait_for(lambda: of(scrape(d), "container_memory_usage_bytes", container) > 8 * MIB, "its memory")
    wait_for(lambda: of(scrape(d), "container_threads", container) == 1, "dd to end")
    first = scrape(d)
    equal(first["container_threads"][0][0], {"id": container, "name": "measured", "image": "busybox"})
    equal(of(first, "container_spec_memory_limit_bytes", container), 64 * MIB)
    equal(of(first, "container_threads_max", container), 50)
    equal(of(first, "container_restarts_total", container), 0)
    equal(of(first, "container_oom_events_total", container), 0)
    for name in ("container_cpu_usage_seconds_total", "container_cpu_cfs_throttled_periods_total"):
        wait_for(lambda: of(scrape(d), name, container) > of(first, name, container), name)
    assert abs(of(first, "container_start_time_seconds", container) -
               first["process_start_time_seconds"][0][1]) < 3600
    d.ok("rm", "-f", container)
    assert container not in str(scrape(d))


def test_traffic_by_interface(d):
    container = d.sleeper()
    name = "container_network_transmit_bytes_total"
    before = of(scrape(d), name, container, interface="eth0")
    d.exec(container, "ping", "-c", "2", "-s", "1000", d.inspect(container)["NetworkSettings"]["Gateway"])
    assert of(scrape(d), name, container, interface="eth0") >= before + 2000
    host = d.sleeper("--network", "host")
    assert not [1 for labels, _ in scrape(d)[name] if labels["id"] == host], "the host's interfaces"


def test_oom_kills_are_counted(d):
    container = d.run_detached("-m", "12m", "busybox", "sh", "-c",
                               "(x=a; while :; do x=$x$x; done) & wait; sleep 60")
    wait_for(lambda: of(scrape(d), "container_oom_events_total", container) >= 1, "the kill")


def test_the_daemon(d):
    d.sleeper()
    d.ok("create", "busybox", "true")
    metrics = scrape(d)
    states = {labels["state"]: value for labels, value in metrics["engine_daemon_container_states_containers"]}
    equal(states, {"running": 1, "paused": 0, "stopped": 1})
    for name in ("engine_daemon_events_total", "process_cpu_seconds_total", "process_resident_memory_bytes",
                 "process_open_fds", "process_threads", "engine_daemon_images", "engine_daemon_engine_cpus_cpus"):
        assert metrics[name][0][1] > 0, name
    equal(metrics["engine_daemon_events_lost_total"], [({}, 0)])


def open_files(d, container):
    """How many of the container's cgroup the daemon has open."""
    links = []
    for name in os.listdir(f"/proc/{d.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/{d.pid}/fd/{name}"))
    return sum(link.startswith("/sys/fs/cgroup/") and container in link for link in links)


def test_files_stay_open_as_long_as_the_run(d):
    """Figures are those of now all the same, also of a container that was started anew."""
    spinner = d.run_detached("busybox", "sh", "-c", "while :; do :; done")
    idle = open_files(d, spinner)
    name = "container_cpu_usage_seconds_total"
    first = of(scrape(d), name, spinner)
    kept = open_files(d, spinner)
    assert kept > idle + 5, (idle, kept)
    wait_for(lambda: of(scrape(d), name, spinner) > first + 0.5, "it to be seen to spin")
    equal(open_files(d, spinner), kept)
    d.ok("restart", "-t", "0", spinner)
    assert 0 < of(scrape(d), name, spinner) < first + 0.5, "the figures of the run before"
    threads = [threading.Thread(target=scrape, args=(d,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(open_files(d, spinner), kept)
    d.ok("kill", spinner)
    equal(open_files(d, spinner), 0)


def test_names_that_need_quoting(d):
    """An interface is called as the container likes."""
    container = d.sleeper("--cap-add", "NET_ADMIN")
    d.exec(container, "ip", "link", "set", "eth0", "down")
    d.exec(container, "ip", "link", "set", "eth0", "name", 'a"b\\c')
    of(scrape(d), "container_network_receive_bytes_total", container, interface='a"b\\c')
    has(d.api("GET", "/metrics", status=200).body.decode(), r'interface="a\"b\\c"')


def test_health(d):
    container = d.sleeper("--health-cmd", "test -e /tmp/well", "--health-interval", "100ms", "--health-retries", "1")
    equal(of(scrape(d), "container_health_healthy", container), 0)
    d.exec(container, "touch", "/tmp/well")
    wait_for(lambda: of(scrape(d), "container_health_healthy", container) == 1, "it to be healthy")
