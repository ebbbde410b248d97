"""Restart policies: what is started again, how often, and what stops it."""
import datetime
import os
import re
import signal
import time

import host
from harness import SLOW, STOCK, equal, has, wait_for

TEXT = "Container {} is restarting, wait until the container is running"


def policy(d, name, *script, options=()):
    """A container of that policy that runs the script, or for ever."""
    command = ("sh", "-c", *script) if script else ("sleep", "100000")
    return d.run_detached("--restart", name, *options, "busybox", *command)


def count(d, container):
    return d.inspect(container)["RestartCount"]


def starts(d, container, since):
    return [e for e in d.events(since, container=[container]) if e["Action"] == "start"]


def restarting(d, container, left=1.5):
    """Wait for a pause between two tries of which so many seconds are left."""
    def is_long():
        state = d.state(container)
        tries = count(d, container)
        ended = datetime.datetime.fromisoformat(state["FinishedAt"][:19] + "+00:00").timestamp()
        return tries >= 5 and state["Status"] == "restarting" and ended + min(0.1 * 2 ** tries, 60) - time.time() > left
    wait_for(is_long, "a long pause", 60)


def in_a_pause(d, container, look):
    """What look() finds while no try begins, on however slow a machine: each pause is twice as long."""
    for _ in range(5):
        restarting(d, container)
        tries = count(d, container)
        found = look()
        if (count(d, container), d.state(container)["Status"]) == (tries, "restarting"):
            return found
    raise AssertionError("no pause was long enough")


def release(d, container):
    """Let the script end that waits for /go."""
    d.exec(container, "touch", "/go")


WAITS = "while [ ! -e /go ]; do sleep 0.05; done; rm /go; "


def test_no(d):
    since = time.time()
    for name in ("no", ""):
        container = d.run_detached("--restart", name, "busybox", "sh", "-c", "exit 3")
        equal(d.ok("wait", container), "3")
        time.sleep(0.5)
        equal((count(d, container), d.state(container)["Status"]), (0, "exited"))
        equal(len(starts(d, container, since)), 1)
        equal(d.inspect(container)["HostConfig"]["RestartPolicy"], {"Name": "no", "MaximumRetryCount": 0})


def test_on_failure_counts(d):
    since = time.time()
    container = policy(d, "on-failure:3", "exit 3")
    wait_for(lambda: d.state(container)["Status"] == "exited", "the last try")
    state = d.state(container)
    equal((count(d, container), state["ExitCode"], state["Running"], state["Restarting"]), (3, 3, False, False))
    equal(len(starts(d, container, since)), 4)
    equal(d.inspect(container)["HostConfig"]["RestartPolicy"], {"Name": "on-failure", "MaximumRetryCount": 3})
    # A client's start begins to count anew.
    d.ok("start", container)
    wait_for(lambda: len(starts(d, container, since)) == 8 and d.state(container)["Status"] == "exited", "4 more tries")
    equal(count(d, container), 3)


def test_on_failure_ends_with_success(d):
    container = policy(d, "on-failure", "[ -e /second ] && exit 0; touch /second; exit 1")
    wait_for(lambda: d.state(container)["Status"] == "exited", "the second run")
    equal((count(d, container), d.state(container)["ExitCode"]), (1, 0))


def test_pauses_grow(d):
    """No pause is shorter than it must be; that they begin anew is left to the unit test."""
    since = time.time()
    container = policy(d, "on-failure:4", "exit 1")
    wait_for(lambda: d.state(container)["Status"] == "exited", "the last try")
    times = {action: [e["timeNano"] for e in d.events(since, container=[container]) if e["Action"] == action]
             for action in ("start", "die")}
    pauses = [(start - die) / 1e6 for start, die in zip(times["start"][1:], times["die"])]
    equal(len(pauses), 4)
    for pause, least in zip(pauses, (100, 200, 400, 800)):
        assert pause >= least - 5, pauses


def test_always_and_unless_stopped(d):
    for name in ("always", "unless-stopped"):
        container = policy(d, name, WAITS + "exit 0")
        for n in (1, 2):
            before = d.state(container)
            release(d, container)
            wait_for(lambda: count(d, container) == n and d.state(container)["Status"] == "running", f"restart {n}")
            after = d.state(container)
            assert after["Pid"] != before["Pid"] and after["StartedAt"] > before["StartedAt"], (before, after)
        # restart is a client's start, too.
        d.ok("restart", "-t", "0", container)
        equal((count(d, container), d.state(container)["Status"]), (0, "running"))
        d.ok("rm", "-f", container)


def test_stop_and_kill_are_for_good(d):
    for name in ("always", "unless-stopped", "on-failure"):
        for how in (("stop", "-t", "0"), ("kill",), ("kill", "-s", "TERM")):
            since = time.time()
            container = policy(d, name, "trap 'exit 9' TERM; touch /set; while :; do sleep 0.05; done")
            # A signal that PID 1 has no handler for is nothing to it.
            wait_for(lambda: d.ctl("exec", container, "test", "-e", "/set").code == 0, "the trap")
            d.ok(*how, container)
            wait_for(lambda: d.state(container)["Status"] == "exited", "the end")
            time.sleep(0.3)
            equal((d.state(container)["Status"], count(d, container)), ("exited", 0), (name, how))
            equal(len(starts(d, container, since)), 1)
            d.ok("rm", container)


def test_other_signals_do_not_end_the_policy(d):
    if STOCK:
        return
    container = policy(d, "unless-stopped", "trap : HUP; touch /set; " + WAITS + "exit 1")
    wait_for(lambda: d.ctl("exec", container, "test", "-e", "/set").code == 0, "the trap")
    d.ok("kill", "-s", "HUP", container)
    release(d, container)
    wait_for(lambda: count(d, container) == 1 and d.state(container)["Status"] == "running", "the restart")


def test_while_it_waits_for_its_turn(d):
    container = policy(d, "always", "exit 4")
    state = in_a_pause(d, container, lambda: d.state(container))
    equal((state["Running"], state["Restarting"], state["Paused"], state["Pid"], state["ExitCode"]),
          (True, True, False, 0, 4))
    line = in_a_pause(d, container, lambda: d.ok("ps", "--format", "{{.State}}|{{.Status}}", "--filter", f"id={container}"))
    assert re.fullmatch(r"restarting\|Restarting \(4\) (Less than a second|1 second|\d+ seconds) ago", line), line
    equal(in_a_pause(d, container, lambda: d.ok("ps", "-q", "--no-trunc", "--filter", "status=restarting")), container)
    text = TEXT.format(container)
    for method, path, body in (("POST", "pause", None), ("POST", "exec", {"Cmd": ["true"]}), ("GET", "top", None),
                               ("POST", "resize?h=1&w=1", None)):
        reply = in_a_pause(d, container, lambda: d.api(method, f"/containers/{container}/{path}", body))
        equal(reply.status, 409, reply)
        if not (STOCK and path.startswith(("top", "resize"))):
            equal(reply.message, text, path)
    if not STOCK:
        reply = in_a_pause(d, container, lambda: d.api("DELETE", f"/containers/{container}"))
        equal((reply.status, reply.message),
              (409, f'cannot remove container "{container}": container is restarting: stop the container '
                    "before removing or force remove"))
    # The next end is waited for.
    restarting(d, container)
    equal(d.ok("wait", container), "4")


def test_stop_kill_and_remove_while_it_waits(d):
    for how in (("stop",), ("kill",)):
        container = policy(d, "always", "exit 4")
        restarting(d, container)
        since = time.time()
        waiter = d.spawn_client("wait", container)
        n = count(d, container)
        d.ok(*how, container)
        out, err = waiter.communicate(timeout=60 * SLOW)
        equal((waiter.returncode, out), (0, b"4\n"), err)
        state = d.state(container)
        equal((state["Status"], state["Running"], state["Restarting"], state["ExitCode"]), ("exited", False, False, 4))
        if how == ("stop",):
            has([e["Action"] for e in d.events(since, container=[container])], "stop")
        time.sleep(0.3)
        assert count(d, container) - n <= 1 and d.state(container)["Status"] == "exited"
        d.ok("start", container)
        assert count(d, container) < 5
        restarting(d, container)
        d.ok("rm", "-f", container)
        equal(d.request("GET", f"/containers/{container}/json").status, 404)


def test_update(d):
    container = d.run_detached("busybox", "sh", "-c", WAITS + "exit 3")
    equal(d.ok("update", "--restart", "on-failure:7", container), container)
    equal(d.inspect(container)["HostConfig"]["RestartPolicy"], {"Name": "on-failure", "MaximumRetryCount": 7})
    release(d, container)
    wait_for(lambda: count(d, container) == 1 and d.state(container)["Status"] == "running", "the restart")
    d.ok("update", "--restart", "no", container)
    release(d, container)
    equal(d.ok("wait", container), "3")
    time.sleep(0.3)
    equal((d.state(container)["Status"], count(d, container)), ("exited", 1))
    # It does not start what is down.
    d.ok("update", "--restart", "always", container)
    time.sleep(0.3)
    equal(d.state(container)["Status"], "exited")


def test_refusals(d):
    for wrong, text in (({"Name": "bogus"}, "invalid restart policy"),
                        ({"Name": "always", "MaximumRetryCount": 3},
                         "maximum retry count cannot be used with restart policy 'always'"),
                        ({"Name": "on-failure", "MaximumRetryCount": -1}, "maximum retry count cannot be negative")):
        has(d.api("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"RestartPolicy": wrong}},
                  status=400).message, text)
        container = d.sleeper()
        has(d.api("POST", f"/containers/{container}/update", {"RestartPolicy": wrong}, status=400).message, text)
        d.ok("rm", "-f", container)
    for client in (d.ctl, d.docker):
        out = client("run", "--rm", "--restart", "always", "busybox", "true")
        equal(out.code, 125)
        # The stock client's words are others in each of its versions.
        has(out.err, "--restart and --rm")
        if client == d.ctl:
            has(out.err, "conflicting options: cannot specify both --restart and --rm")
        out = client("run", "--restart", "on-failure:x", "busybox", "true")
        equal(out.code, 125)
        has(out.err, "maximum retry count must be an integer")
    container = d.run_detached("--rm", "busybox", "sleep", "100000")
    has(d.api("POST", f"/containers/{container}/update", {"RestartPolicy": {"Name": "always"}}, status=409).message,
        "Restart policy cannot be updated because AutoRemove is enabled for the container")
    d.api("POST", f"/containers/{container}/update", {"RestartPolicy": {"Name": "no"}}, status=200)


def test_after_the_daemon(d):
    """A stop outlasts the daemon under every policy but always; what never ran is not started."""
    names = ("always", "unless-stopped", "on-failure:5", "no")
    for kill in (d.kill9, d.stop):
        made = {name: policy(d, name) for name in names}
        running = policy(d, "unless-stopped")
        created = d.ok("create", "--restart", "always", "busybox", "sleep", "100000")
        d.ok("stop", "-t", "0", *made.values())
        pid = d.state(running)["Pid"]
        kill()
        d.start()
        wait_for(lambda: d.state(made["always"])["Status"] == "running", "always to be back")
        time.sleep(0.3)
        for name in names[1:]:
            equal(d.state(made[name])["Status"], "exited", name)
        equal((d.state(created)["Status"], count(d, made["always"])), ("created", 0))
        if not STOCK:
            equal(d.state(running)["Pid"], pid)
        d.ok("rm", "-f", running, created, *made.values())


def test_daemon_dies_while_one_waits(d):
    container = policy(d, "always", "exit 4")
    limited = policy(d, "on-failure:6", "exit 5")
    restarting(d, container)
    restarting(d, limited)
    n = count(d, container)
    d.kill9()
    d.start()
    wait_for(lambda: STOCK or count(d, container) > n, "the next try")
    wait_for(lambda: d.state(limited)["Status"] == "exited", "the last try")
    equal(count(d, limited), 6)


def test_daemon_dies_after_a_stop_was_sent(d):
    """The container takes its time to end; the client's wish is not forgotten meanwhile."""
    if STOCK:
        return
    container = policy(d, "unless-stopped", "trap 'touch /seen; ' TERM; " + WAITS + "exit 7")
    stop = d.spawn_client("stop", "-t", "-1", container)
    wait_for(lambda: d.ctl("exec", container, "test", "-e", "/seen").code == 0, "the signal")
    d.kill9()
    d.start()
    release(d, container)
    wait_for(lambda: d.state(container)["Status"] == "exited", "the end")
    time.sleep(0.3)
    equal((d.state(container)["Status"], d.state(container)["ExitCode"], count(d, container)), ("exited", 7, 0))
    stop.kill()
    stop.communicate()


def test_exit_while_the_daemon_is_away(d):
    if STOCK:
        return
    container = policy(d, "unless-stopped", "while [ ! -e /go ]; do sleep 0.05; done; sleep 1; rm /go; exit 6")
    pid = d.state(container)["Pid"]
    release(d, container)
    d.kill9()
    wait_for(lambda: not _exists(pid), "its end")
    d.start()
    wait_for(lambda: d.state(container)["Status"] == "running" and count(d, container) == 1, "the restart")


def _exists(pid):
    """Does it run?  One that nobody has waited for yet does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_start_that_fails_is_tried_again(d):
    """The container whose network is joined is down for a while: that heals by itself."""
    if STOCK:
        return
    first = d.sleeper("--name", "carrier")
    second = policy(d, "always", WAITS + "exit 0", options=("--network", "container:carrier"))
    d.ok("stop", "-t", "0", first)
    release(d, second)
    wait_for(lambda: count(d, second) >= 3, "some tries")
    has(d.state(second)["Error"], "non running container")
    d.ok("start", first)
    wait_for(lambda: d.state(second)["Status"] == "running", "the try that succeeds")
    equal(d.state(second)["Error"], "")
    d.ok("rm", "-f", second, first)


def test_a_command_that_is_gone_ends_the_policy(d):
    container = d.run_detached("--restart", "always", "busybox", "sh", "-c", "rm /bin/sh; exit 1")
    wait_for(lambda: d.state(container)["Status"] == "exited", "the end")
    equal(d.state(container)["ExitCode"], 127)


def test_a_first_start_that_fails_is_not_retried(d):
    out = d.ctl("run", "-d", "--restart", "always", "--name", "never", "busybox", "/no/such")
    equal(out.code, 127)
    time.sleep(0.3)
    equal((d.state("never")["Status"], count(d, "never")), ("created", 0))
    d.ok("rm", "never")


def test_many_at_once(d):
    """As when the host comes up: all that policies want is started, and clients are served meanwhile."""
    made = [policy(d, "always") for _ in range(8)]
    stopped = policy(d, "unless-stopped")
    d.ok("stop", "-t", "0", stopped)
    pids = [d.state(c)["Pid"] for c in made]
    d.kill9()
    if not STOCK:
        for pid in pids:
            kill_shim(pid)
    d.start()
    equal(d.ok("run", "--rm", "busybox", "echo", "served"), "served")
    for container, pid in zip(made, pids):
        wait_for(lambda: d.state(container)["Status"] == "running", "all to be back")
        equal(d.state(container)["Pid"] != pid or STOCK, True)
        wait_for(lambda: STOCK or not _exists(pid), "the old one's end")
    equal(d.state(stopped)["Status"], "exited")


def shim_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("PPid:"))


def kill_shim(pid):
    """Nobody tells the exit of a container's process, which ends with its shim.  Under an AppArmor profile it goes
    on: entering that at the exec takes PR_SET_PDEATHSIG away.  The next daemon ends it."""
    confined = host.read(f"/proc/{pid}/attr/apparmor/current").strip() not in ("", "unconfined")
    os.kill(shim_of(pid), signal.SIGKILL)
    wait_for(lambda: confined or not _exists(pid), "the container's end")


def test_a_shim_that_does_not_answer_the_next_daemon(d):
    """It waits for a slow disk, or was stopped: its container goes on, and what happens to it is told once it does."""
    if STOCK:
        return
    shims = []
    for command in (["sleep", "100000"], ["sh", "-c", "read x; exit 7"]):
        c = d.run_detached("-i", "busybox", *command)
        shims.append((c, d.state(c)["Pid"], shim_of(d.state(c)["Pid"])))
    (stays, pid, _), (ends, ending, _) = shims[0], shims[1]
    d.stop()
    for _, _, shim in shims:
        os.kill(shim, signal.SIGSTOP)
    try:
        os.kill(ending, signal.SIGKILL)
        d.start()
        equal([(d.state(c)["Status"], d.state(c)["Pid"]) for c, _, _ in shims], [("running", pid), ("running", ending)])
        assert _exists(pid)
        waits = d.spawn_client("exec", stays, "echo", "heard")
    finally:
        for _, _, shim in shims:
            os.kill(shim, signal.SIGCONT)
    d.wait_state(ends, "exited")
    equal(d.state(ends)["ExitCode"], 137)
    equal(waits.communicate(timeout=20 * SLOW)[0].strip(), b"heard")
    equal(d.exec(stays, "echo", "again"), "again")
    equal((d.state(stays)["Status"], d.state(stays)["Pid"]), ("running", pid))


def test_removed_in_the_line(d):
    """Those that wait for their turn can be stopped and removed, and are not started after that."""
    made = [policy(d, "always") for _ in range(8)]
    pids = [d.state(c)["Pid"] for c in made]
    if STOCK:
        return
    d.kill9()
    for pid in pids:
        kill_shim(pid)
    d.start()
    d.ok("rm", "-f", *made[:4])
    d.ok("stop", "-t", "0", *made[4:])
    time.sleep(0.3)
    wait_for(lambda: not any(map(_exists, pids)), "the old ones' end")
    equal(d.ok("ps", "-q"), "")
    equal(sorted(d.ok("ps", "-aq", "--no-trunc").split()), sorted(made[4:]))
    # A daemon that ends while some wait leaves them to the next one.
    d.ok("start", *made[4:])
    pids = [d.state(c)["Pid"] for c in made[4:]]
    d.kill9()
    for pid in pids:
        kill_shim(pid)
    d.start()
    equal(d.stop(), 0)
    d.start()
    for container in made[4:]:
        wait_for(lambda: d.state(container)["Status"] == "running", "all to be back")
