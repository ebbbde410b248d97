"""Health checks: what runs, how often, what counts, and who is told."""
import time

import imagemaker
from harness import IMAGE, STOCK, equal, has, wait_for

FAST = ("--health-interval", "100ms", "--health-timeout", "20s", "--health-retries", "2")


def health(d, container):
    return d.state(container)["Health"]


def becomes(d, container, status):
    wait_for(lambda: health(d, container)["Status"] == status, f"the container to be {status}")


def checked(d, command, *options):
    return d.run_detached(*FAST, "--health-cmd", command, *options, "busybox", "sleep", "100000")


def actions(d, container, since):
    return [e["Action"] for e in d.events(since, container=[container]) if e["Action"].startswith("health_status")]


def test_well_then_ill_then_well(d):
    since = time.time()
    container = checked(d, "echo looked; cat /well", "-e", "X=1")
    state = health(d, container)
    equal(state["Status"], "starting")
    d.exec(container, "touch", "/well")
    becomes(d, container, "healthy")
    has(d.ok("ps", "--format", "{{.Status}}", "--filter", f"id={container}"), "(healthy)")
    state = health(d, container)
    equal(state["FailingStreak"], 0)
    entry = state["Log"][-1]
    equal((entry["ExitCode"], entry["Output"]), (0, "looked\n"))
    assert entry["Start"] <= entry["End"]
    d.exec(container, "rm", "/well")
    becomes(d, container, "unhealthy")
    state = health(d, container)
    assert state["FailingStreak"] >= 2, state
    equal(state["Log"][-1]["ExitCode"], 1)
    has(state["Log"][-1]["Output"], "looked\ncat: can't open '/well'")
    wait_for(lambda: len(health(d, container)["Log"]) == 5, "five results to be kept")
    d.exec(container, "touch", "/well")
    becomes(d, container, "healthy")
    wait_for(lambda: actions(d, container, since)[-3:] ==
             ["health_status: healthy", "health_status: unhealthy", "health_status: healthy"], "the events")


def test_starting_is_shown(d):
    container = d.run_detached("--health-cmd", "true", "busybox", "sleep", "100000")
    equal(health(d, container), {"Status": "starting", "FailingStreak": 0, "Log": []})
    has(d.ok("ps", "--format", "{{.Status}}", "--filter", f"id={container}"), "(health: starting)")


def test_filters(d):
    one = checked(d, "true")
    two = d.run_detached("busybox", "sleep", "100000")
    becomes(d, one, "healthy")
    equal(d.ok("ps", "-q", "--no-trunc", "--filter", "health=healthy"), one)
    equal(d.ok("ps", "-q", "--no-trunc", "--filter", "health=unhealthy"), "")
    has(d.ok("ps", "-q", "--no-trunc", "--filter", "health=none"), two)
    assert one not in d.ok("ps", "-q", "--no-trunc", "--filter", "health=none")
    assert "Health" not in d.state(two)


def test_command_in_words(d):
    reply = d.request("POST", "/containers/create", {
        "Image": "busybox", "Cmd": ["sleep", "100000"], "User": "1000", "Env": ["WHO=me"],
        "Healthcheck": {"Test": ["CMD", "sh", "-c", "id -u; echo $WHO; exit 3"], "Interval": 50000000, "Retries": 1}})
    container = reply.json["Id"]
    d.ok("start", container)
    becomes(d, container, "unhealthy")
    entry = health(d, container)["Log"][0]
    equal((entry["ExitCode"], entry["Output"]), (3, "1000\nme\n"))


def test_no_such_program(d):
    reply = d.request("POST", "/containers/create", {
        "Image": "busybox", "Cmd": ["sleep", "100000"],
        "Healthcheck": {"Test": ["CMD", "/no/such"], "Interval": 50000000, "Retries": 1}})
    container = reply.json["Id"]
    d.ok("start", container)
    becomes(d, container, "unhealthy")
    entry = health(d, container)["Log"][0]
    equal(entry["ExitCode"], -1)
    has(entry["Output"], "/no/such: no such file or directory")


def test_of_the_image(d):
    files = imagemaker.busybox_files(IMAGE)
    d.ok("import", "--change", "HEALTHCHECK --interval=50ms --retries=1 CMD /bin/busybox cat /well",
         "--change", 'CMD ["/bin/busybox", "sleep", "100000"]', "-", "checked:1", input=imagemaker.archive(files))
    container = d.run_detached("checked:1")
    becomes(d, container, "unhealthy")
    equal(d.inspect(container)["Config"]["Healthcheck"]["Test"][0], "CMD-SHELL")
    container = d.run_detached("--no-healthcheck", "checked:1")
    assert "Health" not in d.state(container)


def test_timeout_kills_the_probe(d):
    container = d.run_detached("--health-interval", "50ms", "--health-timeout", "300ms", "--health-retries", "1",
                               "--health-cmd", "echo begun; sleep 7777", "busybox", "sleep", "100000")
    becomes(d, container, "unhealthy")
    entry = health(d, container)["Log"][0]
    equal(entry["ExitCode"], -1)
    has(entry["Output"], "Health check exceeded timeout (300ms)")
    if not STOCK:
        has(entry["Output"], "begun")
        wait_for(lambda: d.ok("top", container).count("7777") <= 2, "killed probes to be gone")


def test_output_is_bounded(d):
    container = checked(d, "head -c 100000 /dev/zero | tr '\\0' x")
    becomes(d, container, "healthy")
    equal(health(d, container)["Log"][0]["Output"], "x" * 4096 + "...")


def test_output_that_is_no_text(d):
    container = checked(d, "printf 'a\\377b'")
    becomes(d, container, "healthy")
    equal(health(d, container)["Log"][0]["Output"], "a\ufffdb")


def test_start_period_forgives(d):
    reply = d.request("POST", "/containers/create", {
        "Image": "busybox", "Cmd": ["sleep", "100000"],
        "Healthcheck": {"Test": ["CMD-SHELL", "cat /well"], "Interval": 50000000, "Retries": 1,
                        "StartPeriod": 3600 * 10 ** 9, "StartInterval": 50000000}})
    container = reply.json["Id"]
    d.ok("start", container)
    wait_for(lambda: len(health(d, container)["Log"]) >= 3, "some failures")
    equal((health(d, container)["Status"], health(d, container)["FailingStreak"]), ("starting", 0))
    d.exec(container, "touch", "/well")
    becomes(d, container, "healthy")
    d.exec(container, "rm", "/well")
    becomes(d, container, "unhealthy")


def test_start_interval(d):
    """While it comes up it is looked at more often than later."""
    if STOCK:
        return  # 20.10 does not know it
    container = d.run_detached("--health-cmd", "true", "--health-interval", "1h", "--health-start-period", "1h",
                               "--health-start-interval", "100ms", "busybox", "sleep", "100000")
    becomes(d, container, "healthy")
    seen = len(health(d, container)["Log"])
    time.sleep(0.5)
    equal(len(health(d, container)["Log"]), seen, "probes of one that is well, once an hour")


def test_none(d):
    """An image's check is turned off by the API, too."""
    d.ok("build", "-t", "checking", "-", input=b"FROM busybox\nHEALTHCHECK --interval=50ms CMD false\n")
    reply = d.api("POST", "/containers/create", {"Image": "checking", "Cmd": ["sleep", "100000"],
                                                 "Healthcheck": {"Test": ["NONE"]}}, status=201)
    d.ok("start", reply.json["Id"])
    assert "Health" not in d.state(reply.json["Id"])
    has(d.ok("ps", "-q", "--no-trunc", "--filter", "health=none"), reply.json["Id"])


def test_after_the_end(d):
    container = checked(d, "echo ok")
    becomes(d, container, "healthy")
    d.ok("stop", "-t", "0", container)
    state = health(d, container)
    equal(state["Status"], "unhealthy")
    # The last probe may have ended with the container.
    assert any(entry["Output"] == "ok\n" for entry in state["Log"]), state
    d.ok("start", container)
    equal(health(d, container)["Status"] in ("starting", "healthy"), True)
    becomes(d, container, "healthy")


def test_pause_is_no_failure(d):
    container = checked(d, "true")
    becomes(d, container, "healthy")
    d.ok("pause", container)
    has(d.ok("ps", "--format", "{{.Status}}", "--filter", f"id={container}"), "(Paused)")
    before = health(d, container)["Log"][-1]["Start"]
    d.ok("unpause", container)
    wait_for(lambda: health(d, container)["Log"][-1]["Start"] > before, "a probe after the pause")
    becomes(d, container, "healthy")


def test_goes_on_without_the_daemon(d):
    if STOCK:
        return
    container = checked(d, "cat /well")
    d.exec(container, "touch", "/well")
    becomes(d, container, "healthy")
    since = time.time()
    d.kill9()
    d.start()
    equal(health(d, container)["Status"], "healthy")
    equal(actions(d, container, since), [])
    d.exec(container, "rm", "/well")
    becomes(d, container, "unhealthy")
    # The file that an inspect reads is there a moment before the daemon is told.
    wait_for(lambda: actions(d, container, since) == ["health_status: unhealthy"], "the event")


def test_bad_values(d):
    for member, value, text in (("Interval", 1, "Interval in Healthcheck cannot be less than 1ms"),
                                ("Timeout", 1, "Timeout in Healthcheck cannot be less than 1ms"),
                                ("Retries", -1, "Retries in Healthcheck cannot be negative")):
        reply = d.request("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"],
                                                         "Healthcheck": {"Test": ["CMD", "true"], member: value}})
        equal(reply.status, 400)
        has(reply.message, text)


def test_nothing_is_left(d):
    before = d.settled_census()
    container = checked(d, "sleep 5555", "--rm")
    wait_for(lambda: "5555" in d.ok("top", container), "a probe that runs")
    d.ok("rm", "-f", container)
    d.assert_counts(before)


def test_restart_on_unhealthy(d):
    """An unhealthy container is ended, and started again by its policy: to on-failure it has failed, whatever it says."""
    if STOCK:
        return
    for options in (("--restart", "always", "--restart-on-unhealthy"),
                    ("--restart", "on-failure:2", "--label", "containerd-lite.restart-on-unhealthy=true")):
        since = time.time()
        container = d.run_detached(*FAST, "--health-cmd", "test -e /well", *options, "busybox", "sh", "-c",
                                   "[ -e /second ] && touch /well; touch /second; trap 'exit 0' TERM; "
                                   "while :; do sleep 0.05; done")
        becomes(d, container, "healthy")
        equal(d.inspect(container)["RestartCount"], 1)
        # What it did to begin with is there: it is the same container.
        found = [e["Action"] for e in d.events(since, container=[container])]
        wanted = ["create", "start", "health_status: unhealthy", "kill", "die", "start", "health_status: healthy"]
        equal([action for action in found if action in wanted], wanted, options)
        assert "stop" not in found, found
        d.ok("rm", "-f", container)


def test_an_image_cannot_wish_it(d):
    if STOCK:
        return
    d.ok("build", "-t", "wishing", "-", input=b"FROM busybox\nLABEL containerd-lite.restart-on-unhealthy=true\n")
    container = d.run_detached(*FAST, "--restart", "always", "--health-cmd", "false", "wishing", "sleep", "100000")
    becomes(d, container, "unhealthy")
    time.sleep(0.5)
    inspected = d.inspect(container)
    equal((inspected["State"]["Status"], inspected["RestartCount"]), ("running", 0))
    equal(inspected["Config"]["Labels"], {"containerd-lite.restart-on-unhealthy": "true"})
    assert "RestartOnUnhealthy" not in inspected["HostConfig"], inspected["HostConfig"]


def test_unhealthy_without_the_wish(d):
    """Neither without a policy, nor without being asked, nor with no tries left is it ended."""
    container = d.run_detached(*FAST, "--restart", "always", "--health-cmd", "false", "busybox", "sleep", "100000")
    becomes(d, container, "unhealthy")
    time.sleep(0.3)
    equal((d.state(container)["Status"], d.inspect(container)["RestartCount"]), ("running", 0))
    if STOCK:
        return
    d.ok("rm", "-f", container)
    container = d.run_detached(*FAST, "--restart", "on-failure:1", "--restart-on-unhealthy", "--health-cmd", "false",
                               "--stop-timeout", "0", "busybox", "sleep", "100000")
    wait_for(lambda: d.inspect(container)["RestartCount"] == 1 and d.state(container)["Status"] == "running", "the try")
    becomes(d, container, "unhealthy")
    time.sleep(0.3)
    equal((d.state(container)["Status"], d.inspect(container)["RestartCount"]), ("running", 1))
    equal(d.inspect(container)["HostConfig"]["RestartOnUnhealthy"], True)
    has(d.fails(125, "run", "--restart-on-unhealthy", "busybox", "true"), "RestartOnUnhealthy needs a restart policy")


def test_update_restart_on_unhealthy(d):
    """One that is unhealthy already is restarted at once; both parts of it may come alone."""
    if STOCK:
        return
    container = d.run_detached(*FAST, "--health-cmd", "false", "--stop-timeout", "0", "busybox", "sleep", "100000")
    becomes(d, container, "unhealthy")
    has(d.fails(1, "update", "--restart-on-unhealthy", container), "RestartOnUnhealthy needs a restart policy")
    d.ok("update", "--restart", "on-failure:1", container)
    d.ok("update", "--restart-on-unhealthy", container)
    wait_for(lambda: d.inspect(container)["RestartCount"] == 1 and d.state(container)["Status"] == "running", "the restart")
    equal(d.inspect(container)["HostConfig"]["RestartOnUnhealthy"], True)
    has(d.fails(1, "update", "--restart", "no", container), "RestartOnUnhealthy needs a restart policy")
    d.ok("update", "--restart", "no", "--restart-on-unhealthy=false", container)
    equal(d.inspect(container)["HostConfig"]["RestartPolicy"]["Name"], "no")
    d.ok("rm", "-f", container)


def test_stop_wins_over_restart_on_unhealthy(d):
    """A client that stops it while it is being ended for its health has the last word."""
    if STOCK:
        return
    container = d.run_detached(*FAST, "--restart", "always", "--restart-on-unhealthy", "--stop-timeout", "-1",
                               "--health-cmd", "false", "busybox", "sh", "-c",
                               "trap 'touch /told' TERM; while [ ! -e /go ]; do sleep 0.05; done")
    wait_for(lambda: d.ctl("exec", container, "test", "-e", "/told").code == 0, "the signal")
    # The daemon that comes now finds it unhealthy, and asks again.
    d.exec(container, "rm", "/told")
    d.kill9()
    d.start()
    wait_for(lambda: d.ctl("exec", container, "test", "-e", "/told").code == 0, "the signal again")
    d.ok("stop", "-t", "0", container)
    time.sleep(0.3)
    equal((d.state(container)["Status"], d.inspect(container)["RestartCount"]), ("exited", 0))
