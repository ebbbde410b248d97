"""ctlc has every command and every flag of the stock docker command; what it has not is here, with the reason."""
import re
import shutil
import subprocess

import dockercli
from harness import BUILD, CTLC, STOCK, equal

MISSING = {
    **{f"{command} --isolation": "Windows" for command in ("build", "builder build")},
    **{f"{command} --disable-content-trust": "speaks to a Notary server alone" for command in ("build", "builder build")},
    "context": "one daemon: -H and DOCKER_HOST say which", "trust": "speaks to a Notary server alone",
    "volume update": "Swarm",
    "version --kubeconfig": "Kubernetes", "restart --time": "-t, --timeout", "stop --time": "-t, --timeout",
    "start --checkpoint-dir": "checkpoints are the daemon's",
    "volume ls --cluster": "Swarm",
    **{f"volume create --{flag}": "Swarm" for flag in "availability group limit-bytes required-bytes scope secret sharing topology-preferred topology-required type".split()},
    **{f"{command} --{flag}": "Windows" for command in ("create", "run") for flag in ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops")},
    **{f"{command} --use-api-socket": "experimental" for command in ("create", "run")},
}
SHORT = {long: short for short, long in dockercli.LONG.items()}


def lacking(program, ours):
    """What docker has and ctlc has not, commands by their short names."""
    for command, flags in dockercli.commands_of(program).items():
        name = SHORT.get(command, command)
        if command not in ours:
            yield name
            continue
        for flag in flags.values():
            mine = ours[command].get(flag.long)
            if flag.long != "help" and (mine is None or mine.short != flag.short or mine.takes_value != flag.takes_value):
                yield f"{name} --{flag.long}"


def test_all_that_docker_has():
    if STOCK:
        return
    ours = dockercli.commands_of(CTLC, skip=("compose",))
    # `completion SHELL` is one command with an argument here.
    found = {name for program in dockercli.programs()[-1:] for name in lacking(program, ours) if name.split()[0] != "completion"}

    def excused(name):
        return name in MISSING or name.split()[0] in MISSING
    equal({name for name in found if not excused(name)}, set(), "neither there nor excused")


def test_the_manual_has_them_all():
    """Each command and each option is in ctlc(1), in the section that is made of the program's own tables."""
    with open(f"{BUILD}/docs/ctlc.1", encoding="utf-8") as file:
        page = file.read()
    sections = {}
    for part in page.split('\n.SS "')[1:]:
        head, _, text = part.partition('"\n')
        for name in head.replace("\\-", "-").split(", "):
            sections[name] = set(re.findall(r"--[\w-]+", text.replace("\\-", "-")))
    lost = {f"{command} --{flag}" for command, flags in dockercli.commands_of(CTLC, skip=("compose",)).items() for flag in flags
            if flag != "help" and f"--{flag}" not in sections.get(command, ())}
    equal(lost, set())
    assert "--platform" in sections["save"] and "--platform" in sections["image inspect"]
    if shutil.which("man"):
        done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", f"{BUILD}/docs/ctlc.1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
        equal(done.stderr, "")
