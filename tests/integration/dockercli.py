"""What a docker command, or ctlc, says in its --help: its commands and their flags."""
import os
import re
import shutil
import subprocess

# Neither is of one host.  Their commands are hidden by some versions, depending on the daemon.
SWARM = {"config", "node", "secret", "service", "stack", "swarm"}
PLUGIN = {"plugin"}
FLAG = re.compile(r"^\s{2,6}(?:-(\w), )?--([\w-]+)(?: ([\w-]+))?(?:\s{2,}|$)")
NAME = re.compile(r"^  ([a-z][\w-]*)\*?\s{2,}")

# The short commands and the long ones that are the same.
CONTAINER = ("attach commit cp create diff exec export inspect kill logs pause port rename restart rm run start stats stop top "
             "unpause update wait").split()
LONG = {**{name: f"container {name}" for name in CONTAINER if name != "inspect"}, "ps": "container ls",
        **{name: f"image {name}" for name in "build history import load pull push save tag".split()},
        "images": "image ls", "rmi": "image rm", "events": "system events", "info": "system info"}


def programs():
    """Stock docker commands of this machine: CTL_DOCKER or Debian's first, then others of other versions."""
    found = {}
    for path in (os.environ.get("CTL_DOCKER"), "/usr/bin/docker", shutil.which("docker"), "/usr/local/bin/docker"):
        if path and os.access(path, os.X_OK):
            version = subprocess.run([path, "--version"], stdout=subprocess.PIPE, check=True).stdout
            found.setdefault(version, path)
    return list(found.values())


class Flag:
    def __init__(self, long, short, kind):
        self.long, self.short, self.takes_value = long, short, kind is not None


def help_of(program, *words, environment=None):
    done = subprocess.run([program, *words, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8",
                               "DOCKER_HOST": "unix:///nonexistent", **(environment or {})}, check=False)
    return done.stdout


def parse(text):
    """(names of commands, {long name: Flag}) of a help text."""
    commands, flags, section = [], {}, ""
    for line in text.splitlines():
        if re.match(r"^\S.*:\s*$", line):
            section = line.strip(" :")
        elif section.endswith("Commands") and NAME.match(line):
            commands.append(NAME.match(line)[1])
        elif section.endswith("Options") and FLAG.match(line):
            short, long, kind = FLAG.match(line).groups()
            flags[long] = Flag(long, short, kind)
    return commands, flags


def commands_of(program, skip=SWARM | PLUGIN, environment=None):
    """{"container ls": {long name: Flag}} of all commands below the first level's that are not skipped."""
    found = {}

    def walk(words):
        names, flags = parse(help_of(program, *words, environment=environment))
        if not names:
            found[" ".join(words)] = flags
        for name in names:
            if (words or name not in skip) and name != "help" and len(words) < 3:
                walk([*words, name])
    walk([])
    assert found.get("run"), f"{program} --help was not understood"
    return found


def flags_used(words, flags, stop):
    """Long names of the flags among the words behind a command; unknown ones as they are written.
    With stop, what follows the first other word belongs to somebody else: the command in a container."""
    by_short = {flag.short: flag for flag in flags.values() if flag.short}
    used, at = [], 0
    while at < len(words) and words[at] != "--":
        word, at = words[at], at + 1
        if word.startswith("--"):
            name, sign, _ = word[2:].partition("=")
            used.append(name)
            at += bool(name in flags and flags[name].takes_value and not sign)
        elif word.startswith("-") and len(word) > 1:
            for place, letter in enumerate(word[1:], 1):
                flag = by_short.get(letter)
                used.append(flag.long if flag else letter)
                if flag and flag.takes_value:
                    at += place == len(word) - 1
                    break
                if word[place + 1:place + 2] == "=":
                    break
        elif stop:
            break
    return used
