"""create, start, stop, kill, restart, pause, rename, wait, rm, prune, top."""
import json
import os
import signal
import socket
import threading
import time

import host
from harness import SLOW, STOCK, equal, has, wait_for

STUBBORN = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
POLITE = ["sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"]


def ready(d, container):
    wait_for(lambda: "ready" in d.ok("logs", container), "the trap to be set")


def test_stop_lets_it_end_itself(d):
    container = d.run_detached("busybox", *POLITE)
    ready(d, container)
    equal(d.ok("stop", container), container)
    state = d.state(container)
    equal((state["Status"], state["ExitCode"], state["Running"], state["Pid"]),
          ("exited", 3, False, 0))
    assert state["FinishedAt"] > state["StartedAt"]


def test_stop_kills_after_the_time(d):
    container = d.run_detached("busybox", *STUBBORN)
    ready(d, container)
    d.ok("stop", "-t", "1", container)
    equal(d.state(container)["ExitCode"], 137)


def test_prune_tells_what_it_freed(d):
    d.ok("run", "--name", "wrote", "--label", "pruned=1", "busybox", "dd", "if=/dev/zero", "of=/file", "bs=1M", "count=3")
    d.ok("create", "--label", "pruned=1", "busybox")
    reply = d.api("POST", "/containers/prune", status=200, filters=json.dumps({"label": ["pruned=1"]}))
    equal(len(reply.json["ContainersDeleted"]), 2)
    assert 3 << 20 <= reply.json["SpaceReclaimed"] < 4 << 20, reply


def test_stop_at_once(d):
    """-t 0: the signal is sent all the same, and SIGKILL right behind it."""
    since = time.time()
    for how in (("stop", "-t", "0"), ("stop", "--time", "0") if STOCK else ("stop", "--timeout", "0")):
        container = d.run_detached("busybox", *STUBBORN)
        ready(d, container)
        d.ok(*how, container)
        equal(d.state(container)["ExitCode"], 137)
        signals = [e["Actor"]["Attributes"]["signal"] for e in d.events(since, container=[container])
                   if e["Action"] == "kill"]
        equal(signals, ["15", "9"])


def test_stop_timeout_of_the_container(d):
    """--stop-timeout is what stop and restart take when they are told nothing, 0 and -1 included."""
    container = d.run_detached("--stop-timeout", "0", "busybox", *STUBBORN)
    ready(d, container)
    d.ok("stop", container)
    equal(d.state(container)["ExitCode"], 137)
    equal(d.inspect(container)["Config"]["StopTimeout"], 0)
    d.ok("start", container)
    ready(d, container)
    d.ok("restart", container)
    equal(d.state(container)["Running"], True)


def test_stop_waits_for_ever(d):
    """-t -1, by the call or by the container: no SIGKILL, until a client sends one."""
    for options, how in (((), ("-t", "-1")), (("--stop-timeout", "-1"), ())):
        since = time.time()
        container = d.run_detached(*options, "busybox", "sh", "-c",
                                   "trap 'touch /told' TERM; echo ready; while [ ! -e /go ]; do sleep 0.05; done; exit 5")
        ready(d, container)
        stop = d.spawn_client("stop", *how, container)
        wait_for(lambda: d.ctl("exec", container, "test", "-e", "/told").code == 0, "the signal")
        time.sleep(0.3)
        equal((stop.poll(), d.state(container)["Running"]), (None, True))
        d.exec(container, "touch", "/go")
        stop.communicate(timeout=60 * SLOW)
        equal((stop.returncode, d.state(container)["ExitCode"]), (0, 5))
        equal(len([e for e in d.events(since, container=[container]) if e["Action"] == "kill"]), 1)


def test_a_shorter_stop_overtakes(d):
    """A client that waits for ever does not keep another one from ending the container."""
    container = d.run_detached("busybox", *STUBBORN)
    ready(d, container)
    patient = d.spawn_client("stop", "-t", "-1", container)
    wait_for(lambda: any(e["Action"] == "kill" for e in d.events(time.time() - 60, container=[container])), "its signal")
    d.ok("stop", "-t", "0", container)
    patient.communicate(timeout=60 * SLOW)
    equal((patient.returncode, d.state(container)["ExitCode"]), (0, 137))


def test_a_longer_stop_does_not_put_it_off(d):
    container = d.run_detached("busybox", *STUBBORN)
    ready(d, container)
    first = d.spawn_client("stop", "-t", "2", container)
    wait_for(lambda: any(e["Action"] == "kill" for e in d.events(time.time() - 60, container=[container])), "its signal")
    d.ok("stop", "-t", "6000", container)
    first.communicate(timeout=60 * SLOW)
    equal((first.returncode, d.state(container)["ExitCode"]), (0, 137))


def test_stop_of_one_that_is_being_paused(d):
    """The signal arrives, whatever comes first."""
    for _ in range(4):
        container = d.run_detached("busybox", *POLITE)
        ready(d, container)
        with socket.socket(socket.AF_UNIX) as pause:
            pause.connect(d.sock)
            pause.sendall(f"POST /containers/{container}/pause HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            d.api("POST", f"/containers/{container}/stop", t=-1, status=204)
        equal((d.state(container)["Status"], d.state(container)["ExitCode"]), ("exited", 3))


def test_stop_signal_by_kill_thaws(d):
    """As the stop would; other signals wait for the unpause."""
    container = d.run_detached("--stop-signal", "USR1", "busybox", "sh", "-c",
                               "trap 'exit 4' USR1; trap 'touch /told' USR2; echo ready; while :; do sleep 0.05; done")
    ready(d, container)
    d.ok("pause", container)
    d.ok("kill", "-s", "USR2", container)
    equal(d.state(container)["Status"], "paused")
    d.ok("kill", "-s", "USR1", container)
    d.wait_state(container, "exited")
    equal(d.state(container)["ExitCode"], 4)


def test_times_out_of_range(d):
    """However long, and however negative."""
    for t in (-2, -1 << 40, 1 << 40):
        container = d.run_detached("busybox", *POLITE)
        ready(d, container)
        d.api("POST", f"/containers/{container}/stop", t=t, status=204)
        equal(d.state(container)["ExitCode"], 3)
    d.api("POST", f"/containers/{container}/stop", t="soon", status=400)
    body = {"Image": "busybox", "Cmd": POLITE, "StopTimeout": 1 << 62}
    container = d.api("POST", "/containers/create", body, status=201).json["Id"]
    d.ok("start", container)
    ready(d, container)
    d.ok("stop", container)
    equal(d.state(container)["ExitCode"], 3)


def test_stop_signal(d):
    container = d.run_detached("--stop-signal", "USR1", "busybox", "sh", "-c",
                               "trap 'exit 4' USR1; echo ready; while :; do sleep 0.05; done")
    ready(d, container)
    d.ok("stop", container)
    equal(d.state(container)["ExitCode"], 4)


def test_stop_of_a_stopped_one_is_304(d):
    container = d.ok("create", "busybox", "true")
    d.api("POST", f"/containers/{container}/stop", status=304)
    d.ok("stop", container)


def test_start_of_a_running_one_is_304(d):
    container = d.sleeper()
    d.api("POST", f"/containers/{container}/start", status=304)


def test_kill_with_signals(d):
    for signal in ("USR1", "SIGUSR1", "10"):
        container = d.run_detached("busybox", "sh", "-c",
                                   "trap 'exit 6' USR1; echo ready; while :; do sleep 0.05; done")
        ready(d, container)
        d.ok("kill", "-s", signal, container)
        equal(d.ok("wait", container), "6", signal)


if not STOCK:
    def test_signals_to_the_shim_are_nobodys(d):
        """The host's PID 1 alone is listened to, at a shutdown: tests/vm."""
        container = d.run_detached("busybox", *POLITE)
        ready(d, container)
        shim = int(host.read(f"/proc/{d.state(container)['Pid']}/stat").rpartition(")")[2].split()[1])
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(shim, signum)
        equal(d.exec(container, "echo", "here"), "here")
        equal(d.state(container)["Running"], True)


def test_kill_of_a_stopped_one_is_409(d):
    container = d.ok("create", "busybox", "true")
    reply = d.api("POST", f"/containers/{container}/kill", status=409)
    has(reply.message, "annot kill container", "is not running")


def test_kill_with_a_bad_signal_is_400(d):
    container = d.sleeper()
    reply = d.api("POST", f"/containers/{container}/kill", signal="SIG42x", status=400)
    if not STOCK:
        has(reply.message.lower(), "invalid signal: sig42x")


def test_restart(d):
    container = d.run_detached("busybox", "sh", "-c", "echo up; sleep 100000")
    wait_for(lambda: d.ok("logs", container) == "up", "output")
    before = d.state(container)
    equal(d.ok("restart", "-t", "0", container), container)
    after = d.state(container)
    assert after["Running"] and after["Pid"] != before["Pid"]
    assert after["StartedAt"] > before["StartedAt"]
    wait_for(lambda: d.ok("logs", container) == "up\nup", "output of both lives")


def test_restart_starts_a_stopped_one(d):
    container = d.ok("create", "busybox", "sleep", "100000")
    d.api("POST", f"/containers/{container}/restart", t=0, status=204)
    equal(d.state(container)["Running"], True)


def test_pause_stops_time(d):
    container = d.run_detached("busybox", "sh", "-c", "while :; do echo tick; sleep 0.02; done")
    wait_for(lambda: d.ok("logs", container), "a tick")
    d.ok("pause", container)
    state = d.state(container)
    equal((state["Status"], state["Running"], state["Paused"]), ("paused", True, True))
    time.sleep(0.1)  # what was in the pipe gets to the log
    count = len(d.ok("logs", container))
    time.sleep(0.5)
    equal(len(d.ok("logs", container)), count, "ticks while paused")
    has(d.ok("ps", "--format", "{{.Status}}"), "(Paused)")
    d.api("POST", f"/containers/{container}/pause", status=409)
    d.ok("unpause", container)
    wait_for(lambda: len(d.ok("logs", container)) > count, "a tick after the pause")
    d.api("POST", f"/containers/{container}/unpause", status=409 if not STOCK else None)


def test_pause_needs_a_running_one(d):
    container = d.ok("create", "busybox", "true")
    has(d.api("POST", f"/containers/{container}/pause", status=409).message, "is not running")


def test_paused_container_refuses_start_and_exec(d):
    container = d.sleeper()
    d.api("POST", f"/containers/{container}/pause", status=204)
    has(d.api("POST", f"/containers/{container}/start", status=409).message,
        "cannot start a paused container, try unpause instead")
    has(d.api("POST", f"/containers/{container}/exec", {"Cmd": ["true"]}, status=409).message,
        "is paused, unpause the container before exec")
    d.api("POST", f"/containers/{container}/unpause", status=204)


def test_rename(d):
    container = d.ok("create", "--name", "before", "busybox", "true")
    d.ok("create", "--name", "taken", "busybox", "true")
    d.ok("rename", "before", "after")
    equal(d.inspect("after")["Id"], container)
    d.api("GET", "/containers/before/json", status=404)
    has(d.api("POST", "/containers/after/rename", name="taken", status=409).message,
        'The container name "/taken" is already in use by container')
    has(d.api("POST", "/containers/after/rename", name="b@d", status=400).message,
        "Invalid container name (", "b@d), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    has(d.api("POST", "/containers/after/rename", name="after", status=400).message,
        "Renaming a container with the same name as its current name")


def test_name_conflict_text(d):
    first = d.ok("create", "--name", "same", "busybox", "true")
    reply = d.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"]}, name="same",
                  status=409)
    equal(reply.message, f'Conflict. The container name "/same" is already in use by container "{first}".'
          ' You have to remove (or rename) that container to be able to reuse that name.')


def test_remove(d):
    container = d.sleeper()
    has(d.api("DELETE", f"/containers/{container}", status=409).message,
        "emove" if STOCK else
        "container is running: stop the container before removing or force remove")
    equal(d.ok("rm", "-f", container), container)
    d.api("GET", f"/containers/{container}/json", status=404)
    has(d.api("DELETE", f"/containers/{container}", status=404).message,
        f"No such container: {container}")
    d.ok("rm", "-f", "never-was")
    has(d.fails(1, "rm", "never-was"), "No such container: never-was")


def test_rm_many(d):
    made = [d.ok("create", "busybox", "true") for _ in range(5)]
    equal(d.ok("rm", *made).split(), made)
    equal(d.ok("ps", "-aq"), "")


def test_wait_conditions(d):
    container = d.ok("create", "busybox", "sh", "-c", "exit 8")
    equal(d.api("POST", f"/containers/{container}/wait", status=200).json["StatusCode"], 0)
    replies = {}

    def waiter(condition):
        replies[condition] = d.api("POST", f"/containers/{container}/wait", condition=condition)

    threads = [threading.Thread(target=waiter, args=(c,)) for c in ("next-exit", "removed")]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    equal(replies, {}, "waiters that returned before the start")
    d.ok("start", container)
    threads[0].join(30 * SLOW)
    equal(replies["next-exit"].json["StatusCode"], 8)
    assert "removed" not in replies
    d.ok("rm", container)
    threads[1].join(30 * SLOW)
    equal(replies["removed"].json["StatusCode"], 8)
    d.api("POST", "/containers/none/wait", status=404)


def test_wait_sends_its_head_at_once(d):
    container = d.ok("create", "busybox", "sleep", "100000")
    connection = d.connect()
    connection.request("POST", f"/containers/{container}/wait?condition=next-exit")
    reply = connection.getresponse()  # blocks until the head is there; nothing runs yet
    equal(reply.status, 200)
    d.ok("start", container)
    d.ok("kill", container)
    equal(json.loads(reply.read())["StatusCode"], 137)
    connection.close()


def test_wait_with_a_bad_condition(d):
    container = d.ok("create", "busybox", "true")
    reply = d.api("POST", f"/containers/{container}/wait", condition="soon")
    if STOCK:
        return
    equal(reply.status, 400)
    has(reply.message, 'invalid condition: "soon"')


def test_wait_for_many(d):
    containers = [d.run_detached("busybox", "sh", "-c", f"exit {n}") for n in (1, 2, 3)]
    equal(d.ok("wait", *containers).split(), ["1", "2", "3"])


def test_top(d):
    container = d.sleeper()
    table = d.api("GET", f"/containers/{container}/top", status=200).json
    equal(len(table["Processes"]), 1)
    equal(table["Processes"][0][table["Titles"].index("PID")], str(d.state(container)["Pid"]))
    has(table["Processes"][0][-1], "sleep 100000")
    has(d.ok("top", container), "sleep 100000")
    stopped = d.ok("create", "busybox", "true")
    has(d.api("GET", f"/containers/{stopped}/top", status=409 if not STOCK else None).message,
        "is not running")


def test_top_with_words_for_ps(d):
    container = d.sleeper()
    table = d.api("GET", f"/containers/{container}/top", ps_args="-o pid,comm,nice", status=200).json
    equal((table["Titles"], [row[:2] for row in table["Processes"]]),
          (["PID", "COMMAND", "NI"], [[str(d.state(container)["Pid"]), "sleep"]]))
    has(d.ok("top", container, "-o", "pid,comm"), "sleep")
    has(d.docker_ok("top", container, "-eo", "pid,comm"), "sleep")
    has(d.api("GET", f"/containers/{container}/top", ps_args="-o comm", status=500).message, "find PID field in ps output")


def test_prune(d):
    keep = d.sleeper()
    old = d.ok("create", "-l", "group=old", "busybox", "true")
    other = d.ok("create", "busybox", "true")
    reply = d.api("POST", "/containers/prune", filters={"label": ["group=old"]}, status=200).json
    equal(reply["ContainersDeleted"], [old])
    reply = d.api("POST", "/containers/prune", status=200).json
    equal(reply["ContainersDeleted"], [other])
    equal(d.api("POST", "/containers/prune", status=200).json,
          {"ContainersDeleted": None, "SpaceReclaimed": 0})
    equal(d.inspect(keep)["State"]["Running"], True)


def test_prune_by_client(d):
    gone = d.ok("create", "busybox", "true")
    args = ("container", "prune", "-f") if STOCK else ("prune", "-f")
    has(d.ok(*args), gone)
    equal(d.ok("ps", "-aq"), "")


def test_autoremove_and_restart_policy_exclude_each_other(d):
    reply = d.api("POST", "/containers/create", {
        "Image": "busybox", "Cmd": ["true"],
        "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}}, status=400)
    has(reply.message.lower(), "can't create 'autoremove' container with restart policy")


def test_start_stop_in_parallel(d):
    """Many clients on one container: every answer is one of the allowed, the end state is sane."""
    container = d.ok("create", "busybox", "sleep", "100000")
    codes = []

    def hammer(action):
        for _ in range(5):
            codes.append(d.request("POST", f"/containers/{container}/{action}"
                                   + ("?t=0" if action == "stop" else "")).status)

    threads = [threading.Thread(target=hammer, args=(a,)) for a in ("start", "stop") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {204, 304, 409}, codes
    d.ok("stop", "-t", "0", container)
    equal(d.state(container)["Status"], "exited")


def shim_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("PPid:"))


def test_a_shim_that_does_not_read(d):
    """What it is told meanwhile waits, in its order; of a terminal's sizes the last one counts."""
    if STOCK:
        return
    container = d.run_detached("-t", "busybox", "sh", "-c",
                               "trap 'stty size; exit 7' TERM; touch /set; while :; do sleep 0.05; done")
    wait_for(lambda: d.ctl("exec", container, "test", "-e", "/set").code == 0, "the trap")
    shim = shim_of(d.state(container)["Pid"])
    os.kill(shim, signal.SIGSTOP)
    try:
        for n in range(1000):
            d.api("POST", f"/containers/{container}/resize?h={n % 100 + 1}&w=80", status=200)
        d.api("POST", f"/containers/{container}/kill?signal=TERM", status=204)
    finally:
        os.kill(shim, signal.SIGCONT)
    equal((d.ok("wait", container), d.ctl("logs", container).out), ("7", "100 80\r\n"))
