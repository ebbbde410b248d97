"""What people type at the docker command, as rows: (command, exit status, what the output must hold, standard input).

A check is None, a text that the output holds, "=text" for the whole of standard output, a tuple of texts, or a function of
the output.  {tmp}, {registry} and {secure} are a directory, a registry for all, and one with users.  Rows with flags that a
version does not know are left out for it.  Most commands can be said in two ways; every second time they are said
the long way (dockercli.LONG)."""
import json
import os

SLEEP = "busybox sleep 100000"
# Debian's kernel does not have it, and no kernel on cgroup v2.
REAL_TIME = os.path.exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")


def is_id(out):
    return len(out.strip()) == 64 and int(out, 16) >= 0


def lines(count):
    return lambda out: len(out.splitlines()) == count


def at(path, wanted):
    """A check of inspect's answer: the value at a path."""
    def check(out):
        value = json.loads(out)[0]
        for name in path.split("/"):
            value = value[int(name)] if isinstance(value, list) else value.get(name.replace("~1", "/"))
        assert wanted(value) if callable(wanted) else value == wanted, f"{path}: got {value!r}, wanted {wanted!r}"
        return True
    return check


# Flags of create and run: (flags, path in inspect, value).  All of a group go into one container.  What run
# says of the group follows: an exit status other than 0 is wanted where one host cannot do it.

OPTIONS = {
    "resources": (0, [
        ("--cpu-period 100000", "HostConfig/CpuPeriod", 100000), ("--cpu-quota 50000", "HostConfig/CpuQuota", 50000),
        ("-c 512", "HostConfig/CpuShares", 512), ("--cpuset-cpus 0", "HostConfig/CpusetCpus", "0"),
        ("--cpuset-mems 0", "HostConfig/CpusetMems", "0"), ("-m 64m", "HostConfig/Memory", 64 << 20),
        ("--memory-reservation 32m", "HostConfig/MemoryReservation", 32 << 20),
        ("--memory-swap 128m", "HostConfig/MemorySwap", 128 << 20), ("--pids-limit 99", "HostConfig/PidsLimit", 99),
        ("--oom-score-adj 100", "HostConfig/OomScoreAdj", 100), ("--shm-size 32m", "HostConfig/ShmSize", 32 << 20),
        ("--ulimit nofile=100:200", "HostConfig/Ulimits", [{"Name": "nofile", "Hard": 200, "Soft": 100}]),
        ("--stop-signal USR1", "Config/StopSignal", "USR1"), ("--stop-timeout 3", "Config/StopTimeout", 3),
        ("--restart on-failure:3", "HostConfig/RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
        ("--cgroup-parent /ctl-table", "HostConfig/CgroupParent", "/ctl-table"),
        ("--device /dev/null:/dev/x:r", "HostConfig/Devices",
         [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}]),
        ("--device-cgroup-rule 'c 1:3 r'", "HostConfig/DeviceCgroupRules", ["c 1:3 r"])]),
    "kernel": (0, [("--cpus 0.5", "HostConfig/NanoCpus", 500000000), ("--blkio-weight 300", "Name", "/kernel"),
                   ("-m 64m --memory-swappiness 50", "HostConfig/Memory", 64 << 20), ("--kernel-memory 32m", "Name", "/kernel"),
                   ("--oom-kill-disable", "Name", "/kernel")]),
    "io": (127, [(f"--device-{what} /dev/nothere:1000", f"HostConfig/BlkioDevice{key}", [{"Path": "/dev/nothere", "Rate": 1000}])
                 for what, key in (("read-bps", "ReadBps"), ("read-iops", "ReadIOps"), ("write-bps", "WriteBps"),
                                   ("write-iops", "WriteIOps"))]),
    "io-weight": (None, [("--blkio-weight-device /dev/nothere:100", "Name", "/io-weight")]),
    "gpus": (None, [("--gpus all", "", None)]),
    "identity": (0, [
        ("-h host", "Config/Hostname", "host"), ("--domainname dom", "Config/Domainname", "dom"), ("-u 1000:1000", "Config/User", "1000:1000"),
        ("-w /tmp", "Config/WorkingDir", "/tmp"), ("--group-add 7", "HostConfig/GroupAdd", ["7"]),
        ("-e A=1 --env-file {tmp}/env", "Config/Env/0", "B=2"), ("-l a=b --label-file {tmp}/labels", "Config/Labels", {"a": "b", "c": "d"}),
        ("--entrypoint sleep", "Config/Entrypoint", ["sleep"]), ("--expose 99", "Config/ExposedPorts", {"99/tcp": {}}),
        ("--init", "HostConfig/Init", True), ("--read-only", "HostConfig/ReadonlyRootfs", True),
        ("--tmpfs /scratch:size=1m", "HostConfig/Tmpfs", {"/scratch": "size=1m"}), ("--cap-add NET_ADMIN", "HostConfig/CapAdd/0", lambda name: name.endswith("NET_ADMIN")),
        ("--cap-drop CHOWN", "HostConfig/CapDrop/0", lambda name: name.endswith("CHOWN")), ("--security-opt no-new-privileges", "HostConfig/SecurityOpt", ["no-new-privileges"]),
        ("--sysctl kernel.msgmax=9000", "HostConfig/Sysctls", {"kernel.msgmax": "9000"}), ("--annotation x=y", "HostConfig/Annotations", {"x": "y"}),
        ("--runtime runc", "HostConfig/Runtime", "runc"), ("--isolation default", "HostConfig/Isolation", "default"),
        ("--log-driver json-file --log-opt max-size=1m", "HostConfig/LogConfig", {"Type": "json-file", "Config": {"max-size": "1m"}}),
        ("--interactive --tty", "Config/OpenStdin", True), ("--disable-content-trust", "Name", "/identity"),
        ("--platform linux/amd64", "Platform", "linux")]),
    "namespaces": (0, [("--privileged", "HostConfig/Privileged", True), ("--userns host", "HostConfig/UsernsMode", "host"),
                       ("--uts host", "HostConfig/UTSMode", "host"), ("--ipc shareable", "HostConfig/IpcMode", "shareable"),
                       ("--pid host", "HostConfig/PidMode", "host"), ("--cgroupns private", "HostConfig/CgroupnsMode", "private")]),
    "network": (0, [
        ("--network mine --ip 10.77.0.9", "NetworkSettings/Networks/mine/IPAMConfig/IPv4Address", "10.77.0.9"),
        ("--ip6 2001:db8:77::9", "NetworkSettings/Networks/mine/IPAMConfig/IPv6Address", "2001:db8:77::9"),
        ("--link-local-ip 169.254.7.7", "NetworkSettings/Networks/mine/IPAMConfig/LinkLocalIPs", ["169.254.7.7"]),
        ("--network-alias nick", "NetworkSettings/Networks/mine/Aliases/0", "nick"),
        ("--link other:alias", "NetworkSettings/Networks/mine/Links", ["other:alias"]), ("--mac-address 02:42:0a:4d:00:09", "Name", "/network"),
        ("--add-host h:1.2.3.4", "HostConfig/ExtraHosts", ["h:1.2.3.4"]), ("--dns 192.0.2.1", "HostConfig/Dns", ["192.0.2.1"]),
        ("--dns-option ndots:2", "HostConfig/DnsOptions", ["ndots:2"]), ("--dns-search example.org", "HostConfig/DnsSearch", ["example.org"]),
        ("-p 127.0.0.1::80/tcp", "HostConfig/PortBindings/80~1tcp/0/HostIp", "127.0.0.1"), ("-P", "HostConfig/PublishAllPorts", True)]),
    "health": (0, [("--health-cmd true", "Config/Healthcheck/Test", ["CMD-SHELL", "true"]),
                   ("--health-interval 1h", "Config/Healthcheck/Interval", 3600 * 10**9), ("--health-retries 2", "Config/Healthcheck/Retries", 2),
                   ("--health-start-period 1s", "Config/Healthcheck/StartPeriod", 10**9), ("--health-timeout 2s", "Config/Healthcheck/Timeout", 2 * 10**9),
                   ("--health-start-interval 1s", "Config/Healthcheck/StartInterval", 10**9)]),
    "no-health": (0, [("--no-healthcheck", "Config/Healthcheck/Test", ["NONE"])]),
    "mounts": (0, [("-v {tmp}:/from:ro", "HostConfig/Binds", ["{tmp}:/from:ro"]), ("--mount type=tmpfs,dst=/t", "HostConfig/Mounts/0/Type", "tmpfs"),
                   ("--volumes-from other", "HostConfig/VolumesFrom", ["other"]), ("--volume-driver local", "HostConfig/VolumeDriver", "local"),
                   ("--tty", "Config/Tty", True)]),
}

SCENES = {}

SCENES["run"] = [
    ("run --rm busybox echo hi", 0, "=hi"),
    ("run --rm -i busybox cat", 0, "=typed", "typed"),
    ("run --rm -a stderr busybox sh -c 'echo o; echo e >&2; exit 42'", 42, "e"),
    ("run --rm busybox nonsense", 127, "executable file not found"),
    ("run --rm busybox /etc", 126, "permission denied"),
    ("run --rm -m 1m busybox true", 125, "Minimum memory limit allowed is 6MB"),
    ("run --rm --cpu-rt-period 1000 --cpu-rt-runtime 2000 busybox true", 125, "real"),
    ("create --cpu-rt-period 1000000 --cpu-rt-runtime 0 --name rt busybox", *((0, is_id) if REAL_TIME else (1, "CPU real-time scheduler"))),
    ("run --rm --pull never nothere", 125, "No such image: nothere:latest"),
    ("create --pull never nothere", 1, "No such image: nothere:latest"),
    ("run --rm --quiet --pull never nothere", 125, "No such image"),
    ("create --quiet --pull never nothere", 1, "No such image"),
    ("run --rm --storage-opt size=x busybox true", 125, ""),
    ("create --storage-opt size=x busybox true", 1, ""),
    ("run --cidfile {tmp}/cid1 -d --detach-keys ctrl-a --sig-proxy=false --name bg " + SLEEP, 0, is_id),
    ("create --cidfile {tmp}/cid2 --rm --name made busybox true", 0, is_id),
    ("start -a made", 0, None),
    ("run --help", 0, "Usage"), ("create --help", 0, "Usage"),
    ("exec bg echo inside", 0, "=inside"),
    ("exec -i -e A=1 --env-file {tmp}/env -u 1000 -w /tmp bg sh -c 'cat; id -u; pwd; echo $A $B'", 0, "=x1000\n/tmp\n1 2", "x"),
    ("exec --privileged --detach-keys ctrl-a bg grep CapEff /proc/self/status", 0, "CapEff"),
    ("exec -d bg touch /flag", 0, ""),
    ("exec -t bg sh -c 'test -t 1 && exit 7'", 7, None),
    ("exec bg nonsense", (126, 127), "executable file not found"),
    ("exec nobody true", 1, "No such container: nobody"),
    ("create -i -a stdin -a stdout --name typed busybox cat", 0, is_id),
    ("start -i --detach-keys ctrl-a typed", 0, "=to cat", "to cat"),
    ("start typed", 0, "typed"),
    ("attach typed", 0, "=again", "again"),
    ("run -d --name brief busybox sh -c 'sleep 2; echo bye; exit 3'", 0, is_id),
    ("attach --no-stdin --sig-proxy=false --detach-keys ctrl-a brief", 3, "=bye"),
    ("attach brief", 1, "stopped container"), ("logs -f brief", 0, "=bye"),
    ("start nobody", 1, "No such container: nobody"),
]

SCENES["life"] = [
    ("run -d --name day -l kind=test -p 127.0.0.1::80 busybox sh -c 'echo out; echo err >&2; trap exit TERM; while :; do sleep 0.1; done'", 0, is_id),
    ("run -d --name night " + SLEEP, 0, is_id),
    ("ps", 0, ("CONTAINER ID", "day", "busybox", "->80/tcp", "Up ")),
    ("ps -a -f name=day --format '{{.Names}} {{.Label \"kind\"}}' --no-trunc", 0, "=day test"),
    ("ps -n 1 -q", 0, lines(1)), ("ps -l -s", 0, ("night", "virtual")),
    ("ps --filter status=nonsense", 1, "nvalid filter"),
    ("top day", 0, ("PID", "sleep")), ("top day -o pid,comm", 0, "COMMAND"), ("top nobody", 1, "No such container: nobody"),
    ("port day", 0, "80/tcp -> 127.0.0.1:"), ("port day 80/tcp", 0, "127.0.0.1:"), ("port day 81", 1, "No public port '81"),
    ("logs --tail all day", 0, ("out", "err")), ("logs -n 1 -t --details --since 2020-01-01 --until 2100-01-01 day", 0, "T"),
    ("logs nobody", 1, "No such container: nobody"),
    ("exec day sh -c 'echo new >/made; rm /etc/shadow'", (0, 1), None),
    ("diff day", 0, "A /made"), ("diff nobody", 1, "No such container: nobody"),
    ("pause day", 0, "=day"), ("exec day true", 1, "is paused"), ("pause day", 1, "already paused"), ("start day", 1, "cannot start a paused container"),
    ("unpause day", 0, "=day"), ("unpause day", 1, "is not paused"),
    ("update --blkio-weight 500 --cpu-period 100000 --cpu-quota 20000 -c 300 --cpuset-cpus 0 --cpuset-mems 0 -m 100m "
     "--memory-reservation 50m --memory-swap 200m --pids-limit 55 --restart unless-stopped day", (0, 1), None),
    ("update -c 301 -m 101m --memory-swap 201m --pids-limit 56 --restart unless-stopped night", 0, "night"),
    ("inspect night", 0, at("HostConfig/PidsLimit", 56)), ("inspect night", 0, at("HostConfig/RestartPolicy/Name", "unless-stopped")),
    ("update --cpus 0.5 night", (0, 1), None), ("update --cpu-rt-period 1000 --cpu-rt-runtime 2000 night", 1, "real"),
    ("update --kernel-memory 1 night", 1, "6MB"), ("update --restart always nobody", 1, "No such container: nobody"),
    ("rename night dawn", 0, None), ("rename dawn dawn", 1, "Renaming a container with the same name as its current name"),
    ("rename dawn day", 1, "Conflict. The container name \"/day\" is already in use by container"), ("rename dawn night", 0, None),
    ("commit -a me -m words -c 'CMD [\"true\"]' -p=false night mine:1", 0, "sha256:"), ("commit night", 0, "sha256:"),
    ("cp night:/etc/passwd {tmp}/passwd", 0, None), ("cp -a -L {tmp}/passwd night:/copied", 0, None), ("cp -q {tmp}/passwd night:/copied", 0, None),
    ("cp night:/nothere {tmp}", 1, "night"), ("exec night cat /copied", 0, "root:"),
    ("export -o {tmp}/rootfs.tar night", 0, None), ("export nobody", 1, "No such container: nobody"),
    ("stats --no-stream --no-trunc day night", 0, ("day", "night", "MEM USAGE")), ("stats -a --no-stream --format '{{.Name}}'", 0, "night"),
    ("inspect -f '{{.Name}}' -s --type container night", 0, "=/night"), ("container inspect -f '{{.SizeRw}}' -s night", 0, None),
    ("inspect --type volume night", 1, "o such volume"), ("inspect nobody", 1, "No such object: nobody"),
    ("kill -s USR2 nobody", 1, "No such container: nobody"), ("kill -s NONE night", 1, "nvalid signal: NONE"), ("kill -s KILL night", 0, "=night"),
    ("wait night", 0, "=137"), ("kill night", 1, "is not running"), ("start night", 0, "=night"),
    ("restart -t 0 night", 0, "=night"), ("restart --signal KILL --timeout 0 night", 0, "=night"), ("restart nobody", 1, "No such container: nobody"),
    ("rm night", 1, "ontainer is running"), ("stop -t 0 night", 0, "=night"), ("stop --signal KILL --timeout 0 day", 0, "=day"),
    ("stop nobody", 1, "No such container: nobody"), ("wait night nobody", 1, "No such container: nobody"), ("rm -v night", 0, "=night"),
    ("create --link day:nick --name linked busybox", 0, is_id), ("rm -l linked/nick", (0, 1), None), ("rm -f linked", 0, None),
    ("rm -f day", 0, "=day"), ("rm nobody", 1, "No such container: nobody"),
    ("create --name old busybox", 0, is_id), ("container prune -f --filter label=none", 0, "Total reclaimed space: 0B"), ("container prune -f", 0, "Deleted Containers"),
]

SCENES["images"] = [
    ("images", 0, ("REPOSITORY", "busybox", "latest")), ("images -a --digests -f dangling=false --no-trunc --format '{{.Repository}}'", 0, "=busybox"),
    ("images -q", 0, lines(1)), ("images --filter nonsense=1", 1, "nvalid filter"),
    ("tag busybox mine:1", 0, None), ("tag nothere mine:1", 1, "No such image: nothere:latest"), ("images --tree", 0, "mine:1"),
    ("history mine:1", 0, "CREATED BY"), ("history --format '{{.ID}}' -H=false --no-trunc busybox", 0, "sha256:"), ("history -q busybox", 0, None),
    ("history nothere", 1, "No such image: nothere:latest"),
    ("image inspect -f '{{.Os}}' busybox", 0, "=linux"), ("image inspect nothere", 1, "No such image: nothere"), ("image inspect mine:1", 0, at("RepoTags/0", "busybox:latest")),
    ("save -o {tmp}/mine.tar mine:1", 0, None), ("save nothere", 1, "No such image: nothere"), ("rmi mine:1", 0, "Untagged: mine:1"),
    ("load -q -i {tmp}/mine.tar", 0, "Loaded image: mine:1"), ("load -i {tmp}/nonsense", 1, None), ("load -i {tmp}/mine.tar", 0, "Loaded image: mine:1"),
    ("rmi -f --no-prune mine:1", 0, "Untagged: mine:1"), ("rmi nothere", 1, "No such image: nothere"),
    ("import -c 'CMD [\"true\"]' -m words --platform linux/amd64 {tmp}/rootfs.tar imported:1", 0, "sha256:"), ("import {tmp}/rootfs.tar", 0, "sha256:"),
    ("run --rm imported:1", 0, "="), ("image prune -f", 0, "deleted: sha256:"), ("image prune -a -f --filter label=none", 0, "Total reclaimed space: 0B"),
    ("build -t built:1 -f {tmp}/context/Dockerfile --add-host h:1.2.3.4 --build-arg A=arg --cache-from busybox --compress --cpu-period 100000 "
     "--cpu-quota 90000 -c 512 --cpuset-cpus 0 --cpuset-mems 0 --force-rm --iidfile {tmp}/iid --label x=y -m 64m --memory-swap 128m --network none "
     "--no-cache --rm --shm-size 1m --target one --ulimit nofile=100:200 {tmp}/context", 0, ("Successfully tagged built:1", "told arg")),
    ("build -q --isolation default --disable-content-trust --cgroup-parent /ctl-table {tmp}/context", 0, "sha256:"),
    ("build --platform linux/amd64 {tmp}/context", 0, "Using cache"),
    ("build --pull --build-arg A=1 -f {tmp}/context/scratch {tmp}/context", 0, "Successfully built"),
    ("build --squash {tmp}/context", 1, "xperimental"), ("build --security-opt x=y {tmp}/context", 1, "security option"),
    ("build --target nothere {tmp}/context", 1, "failed to reach build target nothere in Dockerfile"),
    ("build {tmp}/nonsense", 1, None), ("builder build -q {tmp}/context", 0, "sha256:"),
    ("image inspect built:1", 0, at("Config/Labels", {"x": "y"})), ("inspect -f '{{.Config.Cmd}}' built:1", 0, "=[echo one]"),
    ("run --rm built:1", 0, "=one"), ("rmi built:1 imported:1", 0, "Untagged: built:1"),
    ("builder prune -f -a --filter until=1h --keep-storage 1MB", 0, "Total"),
]

SCENES["registry"] = [
    ("tag busybox {registry}/busybox:1", 0, None), ("tag busybox {registry}/busybox:2", 0, None),
    ("push --disable-content-trust {registry}/busybox:1", 0, ("The push refers to repository", "1: digest: sha256:")),
    ("push -a -q {registry}/busybox", 0, None), ("push --platform linux/amd64 {registry}/busybox:1", (0, 1), None),
    ("push {registry}/nothere", 1, "An image does not exist locally with the tag: {registry}/nothere"),
    ("rmi {registry}/busybox:1 {registry}/busybox:2", 0, "Untagged: {registry}/busybox:1"),
    ("pull {registry}/busybox:1", 0, ("Pulling from busybox", "Status: ")), ("pull -a {registry}/busybox", 0, "2: Pulling from busybox"),
    ("pull -q --platform linux/amd64 --disable-content-trust {registry}/busybox:2", 0, "={registry}/busybox:2"),
    ("pull {registry}/nothere", 1, "manifest for {registry}/nothere:latest not found"),
    ("run --rm --pull always {registry}/busybox:1 echo pulled", 0, "pulled"), ("create --pull always --name c11 {registry}/busybox:1", 0, None),
    ("rm c11", 0, None), ("rmi {registry}/busybox:1 {registry}/busybox:2", 0, "Untagged"),
    ("login -u user -p wrong {secure}", 1, "nauthorized"), ("login -u user --password-stdin {secure}", 0, "Login Succeeded", "secret"),
    ("tag busybox {secure}/busybox:1", 0, None), ("push {secure}/busybox:1", 0, "digest: sha256:"), ("logout {secure}", 0, "Removing login credentials"),
    ("push {secure}/busybox:1", 1, "no basic auth credentials"), ("rmi {secure}/busybox:1", 0, None),
    ("search --filter is-official=true --format '{{.Name}}' --limit 5 --no-trunc term", 1, None), ("search --limit 1000 term", 1, None),
    # Debian's docker command knows no manifests of OCI, as we push them.
    ("manifest create --insecure -a {registry}/schema2:list {registry}/schema2:1", 0, "Created manifest list"),
    ("manifest annotate --arch arm64 --os linux --os-features x --os-version 1 --variant v8 {registry}/schema2:list {registry}/schema2:1", 0, None),
    ("manifest inspect --insecure -v {registry}/schema2:1", 0, "application/vnd.docker.distribution.manifest.v2+json"),
    ("manifest push --insecure -p {registry}/schema2:list", 0, "sha256:"), ("manifest rm {registry}/schema2:list", 1, "No such manifest"),
]

SCENES["networks"] = [
    ("network create -d bridge --attachable --aux-address a=10.78.0.5 --gateway 10.78.0.1 --internal --ip-range 10.78.0.128/25 "
     "--ipam-driver default --ipam-opt x=y --ipv6 --label k=v -o com.docker.network.bridge.enable_icc=true --subnet 10.78.0.0/24 "
     "--subnet 2001:db8:78::/64 full", 0, is_id),
    ("network inspect full", 0, at("IPAM/Config",  # in the order that the client chose
        lambda parts: {"Subnet": "10.78.0.0/24", "IPRange": "10.78.0.128/25", "Gateway": "10.78.0.1", "AuxiliaryAddresses": {"a": "10.78.0.5"}} in parts)),
    ("network inspect full", 0, at("Labels", {"k": "v"})), ("network create full", 1, "network with name full already exists"),
    ("network create --ipv4=true four", 0, is_id), ("network create --config-only --subnet 10.79.0.0/24 conf", 0, is_id),
    ("network create --config-from conf fromconf", 0, is_id), ("network rm conf", 1, 'configuration network "conf" is in use'), ("network rm fromconf", 0, "=fromconf"), ("network rm conf", 0, "=conf"), ("network create --ingress in", 1, None), ("network create --scope local sc", 0, None),
    ("network create plain", 0, is_id), ("network inspect -f '{{.Driver}}' -v plain", 0, "=bridge"), ("network inspect nothere", 1, "nothere"),
    ("network ls", 0, ("bridge", "host", "none", "full")), ("network ls -f name=pla -q --no-trunc", 0, is_id), ("network ls --format '{{.Name}}' -f driver=host", 0, "=host"),
    ("create --name cc " + SLEEP, 0, is_id), ("create --name other " + SLEEP, 0, is_id),
    ("network connect --alias nick --driver-opt a=b --ip 10.78.0.130 --ip6 2001:db8:78::30 --link other:o --link-local-ip 169.254.8.8 full cc", 0, None),
    ("network connect --gw-priority 1 plain cc", 0, None), ("network connect plain other", 0, None), ("network connect nothere cc", 1, "network nothere not found"),
    ("inspect cc", 0, at("NetworkSettings/Networks/full/IPAMConfig", {"IPv4Address": "10.78.0.130", "IPv6Address": "2001:db8:78::30", "LinkLocalIPs": ["169.254.8.8"]})),
    ("start other", 0, None), ("network rm plain", 1, "has active endpoints"), ("network disconnect -f plain other", 0, None), ("network disconnect full cc", 0, None),
    ("network disconnect full cc", 1, "not connected"), ("network rm bridge", 1, "bridge is a pre-defined network and cannot be removed"), ("network rm plain", 0, "=plain"),
    ("network rm nothere", 1, "nothere"), ("network rm --force nothere", 0, None), ("rm -f cc other", 0, None),
    ("network prune -f --filter label=none", 0, None), ("network prune -f", 0, ("Deleted Networks", "full")),
]

SCENES["volumes"] = [
    ("volume create -d local --label k=v -o type=tmpfs -o device=tmpfs full", 0, "=full"), ("volume inspect full", 0, at("Options", {"type": "tmpfs", "device": "tmpfs"})),
    ("volume create plain", 0, "=plain"), ("volume create -d nothere xx", 1, "nothere"), ("volume ls", 0, ("DRIVER", "plain")),
    ("volume ls -f label=k=v -q", 0, "=full"), ("volume ls --format '{{.Name}} {{.Scope}}' -f name=plain", 0, "=plain local"),
    ("volume inspect -f '{{.Driver}}' plain", 0, "=local"), ("volume inspect nothere", 1, "o such volume"),
    ("run -d --name user -v plain:/v " + SLEEP, 0, is_id), ("volume rm plain", 1, "volume is in use"), ("rm -f user", 0, None), ("volume rm plain", 0, "=plain"),
    ("volume rm nothere", 1, "o such volume"), ("volume rm -f nothere", 0, None),
    ("volume prune -f --filter label=none", 0, "Total reclaimed space: 0B"), ("volume prune -f -a", 0, "full"), ("volume prune -f", 0, "Total"),
    ("volume rm -f full", 0, None),
]

SCENES["system"] = [
    ("version", 0, ("Client:", "Server:", "API version:")), ("version -f '{{.Server.Os}}'", 0, "=linux"),
    ("info", 0, ("Server Version", "Cgroup Driver")), ("info -f '{{.OSType}}'", 0, "=linux"),
    ("system df", 0, ("TYPE", "Images", "Local Volumes", "Build Cache")), ("system df -v", 0, "busybox"), ("system df --format '{{.Type}}'", 0, "Containers"),
    ("run -d --name ev " + SLEEP, 0, is_id), ("rm -f ev", 0, "=ev"),
    ("events --since 1h --until=-1s -f type=container -f container=ev --format '{{.Action}}'", 0, "=create\nstart\nkill\ndie\ndestroy"),
    ("events --since 1h --until=-1s -f event=die", 0, "container die"), ("events --filter nonsense=1", 1, "nvalid filter"),
    ("create --name old busybox", 0, is_id), ("system prune -f -a --filter label=none", 0, "Total reclaimed space: 0B"), ("system prune -f --volumes", 0, "Deleted Containers"),
    ("context ls -q", 0, "default"), ("context ls --format '{{.Name}}'", 0, "default"),
    ("context create --description words --docker host=unix://{sock} here", 0, "here"), ("context create --from here two", 0, "two"),
    ("--context here ps", 0, "CONTAINER ID"), ("context show", 0, None),
    ("context inspect -f '{{.Name}}' here", 0, "=here"), ("context update --description other --docker host=unix://{sock} here", 0, "here"),
    ("context export here {tmp}/here.context", 0, None), ("context import third {tmp}/here.context", 0, "third"), ("context use default", 0, "default"),
    ("context rm -f here two third", 0, "here"),
    ("checkpoint create --leave-running --checkpoint-dir {tmp} nobody c1", 1, None), ("checkpoint ls --checkpoint-dir {tmp} nobody", 1, None),
    ("checkpoint rm --checkpoint-dir {tmp} nobody c1", 1, None), ("start --checkpoint c1 --checkpoint-dir {tmp} nobody", 1, None),
    *[(f"completion {shell} --no-descriptions", 0, "docker") for shell in ("bash", "fish", "powershell", "zsh")],
]

# Commands and flags that not all versions have.  Rows with them are left out for those.
NEWER = {"annotation", "health-start-interval", "quiet", "q", "signal", "timeout", "tree", "platform", "ipv4", "gw-priority", "force", "all", "a", "kernel-memory",
         "checkpoint", "checkpoint-dir", "completion", "context show"}

# What no row has, and why.
NO_ROW = {
    "trust": "speaks to a Notary server alone, never to an engine",
    "--cpu-count": "Windows", "--cpu-percent": "Windows", "--io-maxbandwidth": "Windows", "--io-maxiops": "Windows",
    "volume update": "Swarm", "volume ls --cluster": "Swarm",
    **{f"volume create --{flag}": "volumes of a Swarm" for flag in
       "availability group limit-bytes required-bytes scope secret sharing topology-preferred topology-required type".split()},
    "context create --default-stack-orchestrator": "Kubernetes", "context create --kubernetes": "Kubernetes", "context export --kubeconfig": "Kubernetes",
    "context update --default-stack-orchestrator": "Kubernetes", "context update --kubernetes": "Kubernetes", "version --kubeconfig": "Kubernetes",
    "--use-api-socket": "experimental: hands the daemon's socket and its credentials into the container",
    "history --platform": "needs 1.48's images of several platforms", "image inspect --platform": "as history", "load --platform": "as history",
    "rmi --platform": "as history", "save --platform": "as history",
}
