"""ctlc has every command and every flag of the stock docker command; what it has not is here, with the reason."""
import dockercli
from harness import CTLC, STOCK, equal

MISSING = {
    **{f"{command} --isolation": "Windows" for command in ("build", "builder build")},
    **{f"{command} --disable-content-trust": "speaks to a Notary server alone" for command in ("build", "builder build")},
    "context": "one daemon: -H and DOCKER_HOST say which", "manifest": "speaks to registries alone", "trust": "speaks to a Notary server alone",
    "builder prune --keep-storage": "steps share their layers with images: there is no size of the cache alone", "volume update": "Swarm",
    "version --kubeconfig": "Kubernetes", "restart --time": "-t, --timeout", "stop --time": "-t, --timeout",
    "start --checkpoint-dir": "checkpoints are the daemon's", "images --tree": "shows the platforms of an image: one is kept here", "network inspect --verbose": "Swarm",
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
    ours = dockercli.commands_of(CTLC, skip=())
    # `completion SHELL` is one command with an argument here.
    found = {name for program in dockercli.programs()[-1:] for name in lacking(program, ours) if name.split()[0] != "completion"}

    def excused(name):
        return name in MISSING or name.split()[0] in MISSING
    equal({name for name in found if not excused(name)}, set(), "neither there nor excused")
