"""run: output, exit codes, configuration of the process."""
import os
import re
import signal

import host
from harness import SLOW, equal, has, wait_for


def test_output_of_both_streams(d):
    done = d.ctl("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
    equal((done.code, done.out, done.err), (0, "out\n", "err\n"))


def test_exit_codes_of_the_program(d):
    for code in (0, 1, 42, 125, 255):
        d_code = d.ctl("run", "--rm", "busybox", "sh", "-c", f"exit {code}").code
        equal(d_code, code)


def test_signal_death_is_128_plus_n(d):
    for name, code in (("KILL", 137), ("TERM", 143), ("ABRT", 134)):
        equal(d.ctl("run", "--rm", "busybox", "sh", "-c",
                    f"sh -c 'kill -{name} $$'; exit $?").code, code, name)


def test_kill_from_outside_is_137(d):
    client = d.spawn_client("run", "--name", "victim", "busybox", "sleep", "100000")
    wait_for(lambda: d.request("GET", "/containers/victim/json").status == 200
             and d.state("victim")["Running"], "it to run")
    d.ok("kill", "victim")
    equal(client.wait(30 * SLOW), 137)
    client.communicate()
    equal(d.state("victim")["ExitCode"], 137)


def test_missing_program_is_127_and_leaves_nothing(d):
    err = d.fails(127, "run", "--rm", "busybox", "no-such-program")
    has(err, "no-such-program", "executable file not found in $PATH")
    equal(d.ok("ps", "-aq"), "")


def test_missing_program_with_a_path_is_127(d):
    has(d.fails(127, "run", "--rm", "busybox", "/no/such"), "no such file or directory")


def test_not_executable_is_126(d):
    has(d.fails(126, "run", "--rm", "busybox", "/etc/passwd"), "permission denied")
    d.fails(126, "run", "--rm", "busybox", "/etc")


def test_failed_start_stays_created_without_rm(d):
    d.fails(127, "run", "--name", "bad", "busybox", "no-such-program")
    state = d.state("bad")
    equal((state["Status"], state["ExitCode"], state["Running"]), ("created", 127, False))
    has(state["Error"], "executable file not found")


def test_daemon_error_is_125(d):
    d.fails(125, "run", "--rm", "-m", "1m", "busybox", "true")
    has(d.fails(125, "run", "--rm", "--no-such-flag", "busybox"), "no-such-flag")
    equal(d.ok("ps", "-aq"), "")


def test_detached_prints_the_id(d):
    container = d.run_detached("--name", "one", "busybox", "sleep", "100000")
    assert re.fullmatch("[0-9a-f]{64}", container), container
    equal(d.inspect("one")["Id"], container)
    equal(d.inspect(container[:5])["Name"], "/one")


def test_stdin_goes_in_and_its_end_ends(d):
    equal(d.ok("run", "--rm", "-i", "busybox", "cat", input="a\nb\n"), "a\nb")
    equal(d.ok("run", "--rm", "-i", "busybox", "wc", "-c", input="x" * 300000), "300000")


def test_without_i_stdin_is_empty(d):
    equal(d.ok("run", "--rm", "busybox", "wc", "-c", input="ignored"), "0")


def test_much_output_arrives_whole(d):
    done = d.ctl("run", "--rm", "busybox", "sh", "-c", "yes 0123456789 | head -c 5000000")
    equal((done.code, len(done.out)), (0, 5000000))


def test_output_without_newline_and_binary(d):
    equal(d.ctl("run", "--rm", "busybox", "printf", "no newline").out, "no newline")
    done = d.ctl("run", "--rm", "busybox", "sh", "-c", r"printf '\001\000\002\012\377' | xxd -p; true")
    equal(done.out.strip(), "0100020aff")


def test_environment(d):
    out = d.ok("run", "--rm", "-e", "A=1 2", "-e", "EMPTY=", "--hostname", "box", "busybox", "env")
    lines = set(out.splitlines())
    for line in ("A=1 2", "EMPTY=", "HOSTNAME=box", "HOME=/root",
                 "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"):
        assert line in lines, (line, lines)


def test_env_file(d):
    path = f"{d.root}/env"
    with open(path, "w") as file:
        file.write("# comment\nFROM_FILE=yes\n\nSECOND=a=b\n")
    has(d.ok("run", "--rm", "--env-file", path, "busybox", "env"), "FROM_FILE=yes", "SECOND=a=b")


def test_working_directory_is_made(d):
    equal(d.ok("run", "--rm", "-w", "/not/there/yet", "busybox", "pwd"), "/not/there/yet")
    equal(d.ok("run", "--rm", "busybox", "pwd"), "/")


def test_entrypoint(d):
    equal(d.ok("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"), "a b")
    state = d.ok("create", "--entrypoint", "/bin/sh", "busybox", "-c", "true")
    details = d.inspect(state)
    equal((details["Path"], details["Args"]), ("/bin/sh", ["-c", "true"]))


def test_user_by_number_and_name(d):
    equal(d.ok("run", "--rm", "-u", "1234:5678", "busybox", "id", "-u"), "1234")
    equal(d.ok("run", "--rm", "-u", "1234:5678", "busybox", "id", "-g"), "5678")
    has(d.ok("run", "--rm", "-u", "www-data", "busybox", "id"), "uid=33(www-data)", "gid=33(www-data)")
    has(d.ok("run", "--rm", "-u", "nobody:mail", "busybox", "id"), "uid=65534", "gid=8(mail)")
    equal(d.ok("run", "--rm", "-u", "www-data", "busybox", "sh", "-c", "echo $HOME"), "/var/www")
    has(d.ok("run", "--rm", "--group-add", "audio", "--group-add", "777", "busybox", "id"),
        "29(audio)", "777")


def test_unknown_user_is_an_error(d):
    done = d.ctl("run", "--rm", "-u", "nosuchuser", "busybox", "true")
    assert done.code in (125, 126, 127), done
    has(done.err, "nosuchuser")
    equal(d.ok("ps", "-aq"), "")


def test_rm_removes_everything(d):
    d.ok("run", "--rm", "--name", "gone", "busybox", "true")
    wait_for(lambda: d.request("GET", "/containers/gone/json").status == 404, "gone to be gone")


def test_writes_stay_in_their_container(d):
    d.ok("run", "--name", "writer", "busybox", "sh", "-c", "echo mine >/f; rm /bin/wget")
    equal(d.shell("ls /f 2>&1 | grep -c 'No such'; ls /bin/wget"), "1\n/bin/wget")


def test_files_survive_a_restart(d):
    d.ok("run", "--name", "keeper", "busybox", "sh", "-c", "echo x >>/f; wc -l </f")
    d.ok("start", "keeper")
    d.ok("wait", "keeper")
    equal(d.ok("logs", "keeper").split(), ["1", "2"])


def test_labels_and_name_are_kept(d):
    container = d.ok("create", "--name", "labelled", "-l", "a=1", "-l", "b", "busybox", "true")
    details = d.inspect(container)
    equal(details["Config"]["Labels"], {"a": "1", "b": ""})
    equal(details["Name"], "/labelled")


def test_name_is_made_up(d):
    details = d.inspect(d.ok("create", "busybox", "true"))
    assert re.fullmatch(r"/[a-z]+_[a-z]+\d?", details["Name"]), details["Name"]


def test_pid_1_ends_everything(d):
    """Children of PID 1 go with it, and the container is really over."""
    container = d.run_detached("busybox", "sh", "-c", "sleep 100001 & sleep 0.1; exit 3")
    equal(d.ok("wait", container), "3")
    assert not any("100001" in host.read(f"/proc/{pid}/cmdline") for pid in host.pids())


def test_init_reaps_and_forwards(d):
    out = d.shell("cat /proc/1/comm; ps -o pid,args", "--init")
    assert not out.startswith("sh"), out
    container = d.run_detached("--init", "busybox", "sh", "-c",
                               "trap 'exit 7' TERM; while :; do sleep 0.05; done")
    d.exec(container, "sh", "-c", "(sleep 0.01 &) ; sleep 0.1")
    equal(d.exec(container, "sh", "-c", "cat /proc/[0-9]*/stat | grep -c ' Z ' || true"), "0")
    d.ok("stop", "-t", "20", container)
    equal(d.state(container)["ExitCode"], 7)


def test_oom_score_and_ulimits(d):
    equal(d.shell("cat /proc/1/oom_score_adj", "--oom-score-adj", "500"), "500")
    equal(d.shell("ulimit -n; ulimit -Hn", "--ulimit", "nofile=1000:2000"), "1000\n2000")


def test_started_container_runs_when_start_returns(d):
    container = d.sleeper()
    state = d.state(container)
    equal((state["Status"], state["Running"]), ("running", True))
    assert os.path.exists(f"/proc/{state['Pid']}/ns/net")
    assert state["StartedAt"] > "2020" and state["FinishedAt"].startswith("0001")


def test_create_then_start_attached(d):
    d.ok("create", "--name", "later", "busybox", "sh", "-c", "echo started; exit 5")
    equal(d.state("later")["Status"], "created")
    done = d.ctl("start", "-a", "later")
    equal((done.code, done.out), (5, "started\n"))


def test_signal_proxy(d):
    """A signal to the client reaches the program."""
    client = d.spawn_client("run", "--rm", "--name", "proxied", "busybox", "sh", "-c",
                            "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.05; done")
    equal(client.stdout.readline(), b"ready\n")
    client.send_signal(signal.SIGUSR1)
    out, err = client.communicate(timeout=60 * SLOW)
    equal((client.returncode, out), (9, b"caught\n"), err)


def test_cidfile(d):
    path = f"{d.root}/cid"
    container = d.ok("run", "-d", "--cidfile", path, "busybox", "true")
    with open(path) as file:
        equal(file.read().strip(), container)
