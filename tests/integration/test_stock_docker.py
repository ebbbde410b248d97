"""The stock docker command against the daemon: every command that is not of Swarm or plugins, every flag (dockertable.py)."""
import collections
import os
import shlex
import shutil
import subprocess
import tempfile

import dockercli
import host
from dockercli import LONG
from dockertable import NEWER, NO_ROW, OPTIONS, SCENES, at
from harness import IMAGE, SLOW, Daemon, equal
from registries import Registry, htpasswd, skopeo

PROGRAM = dockercli.programs()[0]
COMMANDS = dockercli.commands_of(PROGRAM)
SHORT = {**{long: short for short, long in LONG.items()}, "builder build": "build"}
DOCKERFILE = """FROM busybox AS one
ARG A
RUN echo told $A; mkdir -p /made
COPY file /made/
CMD ["echo", "one"]
FROM one
CMD ["echo", "two"]
"""


# What is said, and how

def split(words, commands):
    """(command as --help has it, its words that follow)."""
    for count in (3, 2, 1):
        name = " ".join(words[:count])
        if name in commands or name in LONG:
            return name, words[count:]
    return "", words


def every_option():
    return [(f"{command} {flag}",) for _, flags in OPTIONS.values() for flag, _, _ in flags for command in ("create", "run -d")]


def in_turn():
    """The rows of all scenes; every second time the long command of two."""
    seen, told = collections.Counter(), {}
    for name, scene in SCENES.items():
        told[name] = []
        for row, *rest in scene:
            first, _, others = row.partition(" ")
            seen[first] += 1
            if first in LONG and seen[first] % 2 == 0:
                row = f"{LONG[first]} {others}".strip()
            told[name].append((row, *rest))
    return told


TOLD = in_turn()


def flags_of(command, rest, commands):
    stop = command.split()[-1:] in (["run"], ["create"], ["exec"], ["top"]) and not command.startswith(("network", "volume", "context"))
    return set(dockercli.flags_used(rest, commands.get(command, {}), stop))


def knows(commands, row):
    """Whether this version has the command and all flags.  What all versions have is never left out."""
    if row.startswith("--"):
        return True
    command, rest = split(shlex.split(row), commands)
    if command not in commands:
        assert row.split()[0] in NEWER or " ".join(row.split()[:2]) in NEWER, f"what is this? {row}"
        return False
    unknown = flags_of(command, rest, commands) - set(commands[command]) - {"help"}
    assert unknown <= NEWER, f"flags {unknown} of {row}"
    return not unknown


# Doing it

class Desk:
    """Where the commands are typed: files, a registry, one with users."""

    def __init__(self, d, program):
        self.d, self.program = d, program
        self.tmp = tempfile.mkdtemp(prefix="ctl-docker-")
        os.makedirs(f"{self.tmp}/context")
        os.makedirs(f"{self.tmp}/config")
        for name, text in (("env", "B=2\n"), ("labels", "c=d\n"), ("context/Dockerfile", DOCKERFILE), ("context/file", "text"),
                           ("context/scratch", "FROM scratch\nARG A\nCOPY file /\nCMD [\"x\"]\n")):
            with open(f"{self.tmp}/{name}", "w") as file:
                file.write(text)
        htpasswd(f"{self.tmp}/users", user="secret")
        self.registry = Registry(f"{self.tmp}/open")
        self.secure = Registry(f"{self.tmp}/secure", auth={"htpasswd": {"realm": "x", "path": f"{self.tmp}/users"}})

    def fill(self, text):
        for name, value in (("tmp", self.tmp), ("registry", self.registry.host), ("secure", self.secure.host), ("sock", self.d.sock)):
            text = text.replace("{%s}" % name, value)
        return text

    def type(self, row, typed=None):
        environment = {"DOCKER_CONFIG": f"{self.tmp}/config", "DOCKER_BUILDKIT": "0", "DOCKER_CLI_EXPERIMENTAL": "enabled",
                       "DOCKER_CONTENT_TRUST_SERVER": "https://127.0.0.1:1"}
        if " --context " in f" {row}":
            environment["DOCKER_HOST"] = ""
        return subprocess.run([self.program, *shlex.split(self.fill(row))], env={**self.d.environment(), **environment},
                              input=typed, stdin=None if typed is not None else subprocess.DEVNULL, text=True, timeout=60 * SLOW,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)

    def close(self):
        self.registry.close()
        self.secure.close()
        shutil.rmtree(self.tmp)
        host.remove_cgroups("ctl-table")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wrong_with(desk, row, status, check, typed=None):
    done = desk.type(row, typed)
    text = difference(desk, done, status, check)
    return text and f"{text}: exit {done.returncode}, {done.stdout[-400:]!r}, {done.stderr[-400:]!r}"


def difference(desk, done, status, check):
    if status is not None and done.returncode not in (status if isinstance(status, tuple) else (status,)):
        return f"wanted exit {status}"
    if isinstance(check, str) and check.startswith("="):
        return None if done.stdout.rstrip("\n") == desk.fill(check[1:]) else f"wanted exactly {check[1:]!r}"
    if callable(check):
        return None if check(done.stdout) else "the check fails"
    missing = [part for part in ((check,) if isinstance(check, str) else check or ()) if desk.fill(part) not in done.stdout + done.stderr]
    return f"no {missing}" if missing else None


def play(desk, rows, commands):
    """All rows in their order, those that this version does not know left out."""
    wrong = []
    for row, status, check, *typed in rows:
        if knows(commands, row):
            text = wrong_with(desk, row, status, check, *typed)
            wrong += [f"docker {desk.fill(row)}\n    {text}"] if text else []
    assert not wrong, "\n".join(wrong)


def test_run(d):
    with Desk(d, PROGRAM) as desk:
        play(desk, TOLD["run"], COMMANDS)


def test_life(d):
    with Desk(d, PROGRAM) as desk:
        play(desk, TOLD["life"], COMMANDS)


def test_images(d):
    with Desk(d, PROGRAM) as desk:
        desk.type("create --name rootfs busybox")
        desk.type("export -o {tmp}/rootfs.tar rootfs")
        play(desk, TOLD["images"], COMMANDS)


def test_registry():
    with Daemon() as d, Desk(d, PROGRAM) as desk:  # it remembers where blobs came from
        skopeo("copy", "--dest-tls-verify=false", "--format", "v2s2", f"docker-archive:{IMAGE}", f"docker://{desk.registry.host}/schema2:1")
        play(desk, TOLD["registry"], COMMANDS)


def test_networks(d):
    with Desk(d, PROGRAM) as desk:
        play(desk, TOLD["networks"], COMMANDS)


def test_volumes(d):
    with Desk(d, PROGRAM) as desk:
        play(desk, TOLD["volumes"], COMMANDS)


def test_system(d):
    with Desk(d, PROGRAM) as desk:
        play(desk, TOLD["system"], COMMANDS)


# The flags of create and run

def filled(desk, value):
    if isinstance(value, str):
        return desk.fill(value)
    return [filled(desk, each) for each in value] if isinstance(value, list) else value


def option_rows(desk, group, command, status, flags):
    """One container with all flags of a group, and what inspect says of it."""
    known = [(flag, path, value) for flag, path, value in flags if knows(COMMANDS, f"{command} {flag}")]
    row = f"{command} --name {group} {' '.join(flag for flag, _, _ in known)} busybox {'100000' if group == 'identity' else 'sleep 100000'}"
    yield row, status, None
    if status is None:
        return
    yield f"inspect {group}", 0, lambda out: all(at(path, filled(desk, value))(out) for _, path, value in known)
    yield f"rm -f {group}", 0, None


def test_flags_of_create_and_run(d):
    with Desk(d, PROGRAM) as desk:
        rows = [("network create --subnet 10.77.0.0/24 --ipv6 --subnet 2001:db8:77::/64 mine", 0, None),
                ("run -d --network mine --name other -v /v busybox sleep 100000", 0, None)]
        for group, (status, flags) in OPTIONS.items():
            rows += option_rows(desk, group, "create", 0 if status is not None else None, flags)
            rows += option_rows(desk, group, "run -d", status, flags)
        rows += [("rm -f -v other", 0, None), ("network rm mine", 0, None)]
        play(desk, rows, COMMANDS)


# Nothing is missing

def test_every_command_and_flag():
    said, used = set(), collections.defaultdict(set)
    for rows in (*TOLD.values(), every_option()):
        for row, *_ in rows:
            command, rest = split(shlex.split(row), COMMANDS)
            said.add(command)
            used[SHORT.get(command, command)] |= flags_of(command, rest, COMMANDS)
    missing = {command for command in COMMANDS if command not in said}
    for command, flags in COMMANDS.items():
        name = SHORT.get(command, command)
        missing |= {f"{name} --{flag}" for flag in flags if flag not in used[name] | {"help"}}

    def excused(text):
        command, _, flag = text.partition(" --")
        return any(key in NO_ROW for key in (text, command, command.split()[0], f"--{flag}"))
    equal({text for text in missing if not excused(text)}, set())
