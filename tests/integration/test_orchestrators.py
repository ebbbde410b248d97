"""The requests that cri-dockerd (below kubelet) and Nomad's docker driver make, in their order and with their fields."""
import json
import os
import re

import host
from harness import STOCK, equal, has, wait_for

LABELS = {"io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": "1-2-3"}
SANDBOX = {
    "Image": "busybox", "Cmd": ["sleep", "100000"], "Hostname": "web", "Labels": {**LABELS, "io.kubernetes.docker.type": "podsandbox"}, "OpenStdin": False,
    "HostConfig": {"NetworkMode": "none", "IpcMode": "shareable", "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"], "OomScoreAdj": -500, "CpuShares": 2,
                   "Sysctls": {"net.ipv4.ip_local_port_range": "20000 60000"}, "CgroupParent": "/ctl-kubepods/pod1", "LogConfig": {}, "PortBindings": {}, "Runtime": "runc"}}


def label_filter(**labels):
    return {"label": [f"{key.replace('__', '.')}={value}" for key, value in labels.items()]}


def container_body(sandbox):
    return {"Image": "busybox", "Entrypoint": ["sh", "-c"], "Cmd": ["echo out; echo err >&2; ls /mnt; exec sleep 100000"], "Env": ["A=1"], "User": "0:0", "WorkingDir": "/", "StdinOnce": False,
            "Labels": {**LABELS, "io.kubernetes.docker.type": "container", "io.kubernetes.sandbox.id": sandbox}, "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {"NetworkMode": f"container:{sandbox}", "IpcMode": f"container:{sandbox}", "PidMode": f"container:{sandbox}", "UTSMode": "", "CgroupParent": "/ctl-kubepods/pod1",
                           "Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/mnt", "ReadOnly": True,
                                       "BindOptions": {"Propagation": "rprivate", "CreateMountpoint": True, "ReadOnlyNonRecursive": True}}],
                           "RestartPolicy": {"Name": "no"}, "Memory": 64 << 20, "MemorySwap": 64 << 20, "CpuShares": 102, "CpuPeriod": 100000, "CpuQuota": 20000, "OomScoreAdj": 900,
                           "GroupAdd": ["0"], "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": ["/proc/sys"], "CapAdd": None, "CapDrop": ["NET_RAW"], "Devices": [], "LogConfig": {}}}


def test_a_pod(d):
    info, version = d.api("GET", "/info", status=200).json, d.api("GET", "/version", status=200).json
    assert tuple(map(int, version["ApiVersion"].split("."))) >= (1, 41) and info["CgroupDriver"] in ("cgroupfs", "systemd"), info
    os.statvfs(info["DockerRootDir"])
    assert info["DefaultRuntime"] in info["Runtimes"]
    image = d.api("GET", "/images/busybox/json", status=200).json
    equal([i["Id"] for i in d.api("GET", "/images/json", filters={"reference": ["busybox"]}, status=200).json], [image["Id"]])
    name = "k8s_POD_web_default_1-2-3_0"
    sandbox = d.api("POST", "/containers/create", SANDBOX, name=name, status=201).json["Id"]
    taken = d.api("POST", "/containers/create", SANDBOX, name=name, status=409).message
    equal(re.search(r'Conflict. (?:.)+ is already in use by container "?([0-9a-z]+)"?', taken)[1], sandbox)
    d.api("POST", f"/containers/{sandbox}/start", status=204)
    state = d.api("GET", f"/containers/{sandbox}/json", size=1, status=200).json
    # The CNI plug-in enters the namespace; cri-dockerd rewrites the name servers in place.
    namespace = os.stat(f"/proc/{state['State']['Pid']}/ns/net").st_ino
    assert namespace != os.stat("/proc/self/ns/net").st_ino and state["SizeRw"] is not None
    with open(state["ResolvConfPath"], "w") as file:
        file.write("nameserver 192.0.2.53\n")
    body = container_body(sandbox)
    container = d.api("POST", "/containers/create", body, name="k8s_web_web_default_1-2-3_0", status=201).json["Id"]
    d.api("POST", f"/containers/{container}/start", status=204)
    found = d.api("GET", f"/containers/{container}/json", status=200).json
    equal(os.stat(f"/proc/{found['State']['Pid']}/ns/net").st_ino, namespace)
    equal((found["HostConfig"]["NetworkMode"], found["Config"]["Healthcheck"]), (f"container:{sandbox}", {"Test": ["NONE"]}))
    # kubelet reads the log by the path, as one JSON object a line.
    wait_for(lambda: os.path.exists(found["LogPath"]) and os.path.getsize(found["LogPath"]), "the log")
    first = json.loads(open(found["LogPath"], encoding="utf-8").readline())
    equal((first["log"], first["stream"], set(first)), ("out\n", "stdout", {"log", "stream", "time"}))

    def run(*command):
        made = d.api("POST", f"/containers/{container}/exec", {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}, status=201).json["Id"]
        out = d.request("POST", f"/exec/{made}/start", {"Detach": False, "Tty": False})
        return out.body, d.api("GET", f"/exec/{made}/json", status=200).json
    out, ended = run("cat", "/etc/resolv.conf")
    has(out, b"nameserver 192.0.2.53")
    equal((ended["Running"], ended["ExitCode"]), (False, 0))
    equal(run("sh", "-c", "exit 7")[1]["ExitCode"], 7)
    has(run("hostname")[0], b"web")
    listed = d.api("GET", "/containers/json", all=1, filters=label_filter(io__kubernetes__sandbox__id=sandbox), status=200).json
    equal([(c["Id"], c["Names"], c["Status"].split()[0]) for c in listed], [(container, ["/k8s_web_web_default_1-2-3_0"], "Up")])
    stats = d.api("GET", f"/containers/{container}/stats", **{"stream": 0, "one-shot": 1}, status=200).json
    assert stats["memory_stats"]["usage"] > 0 and stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    d.api("POST", f"/containers/{container}/update", {"CpuQuota": 30000, "CpuPeriod": 100000, "Memory": 96 << 20, "MemorySwap": 96 << 20}, status=200)
    equal(d.api("GET", f"/containers/{container}/json", status=200).json["HostConfig"]["CpuQuota"], 30000)
    equal(d.api("POST", f"/containers/{container}/stop", t=0).status, 204)
    equal(d.api("POST", f"/containers/{container}/stop", t=0).status, 304)
    ended = d.api("GET", f"/containers/{container}/json", status=200).json["State"]
    assert not ended["Running"] and ended["ExitCode"] in (137, 143) and not ended["FinishedAt"].startswith("0001"), ended
    for one in (container, sandbox):
        d.api("DELETE", f"/containers/{one}", v=1, force=1, status=204)
    has(d.api("DELETE", f"/containers/{sandbox}", v=1, force=1, status=404).message, f"No such container: {sandbox}")
    host.remove_cgroups("ctl-kubepods")


def test_an_allocation(d):
    """Nomad: a task with its fields, and a group in bridge mode behind a pause container."""
    alloc = f"{d.root}/alloc"
    os.makedirs(f"{alloc}/local", exist_ok=True)
    body = {"Image": "busybox", "Cmd": ["httpd", "-f", "-p", "80"], "Env": ["NOMAD_TASK_NAME=web"], "Labels": {"com.hashicorp.nomad.alloc_id": "a1"}, "ExposedPorts": {"80/tcp": {}, "80/udp": {}},
            "HostConfig": {"Memory": 64 << 20, "MemorySwap": 64 << 20, "MemoryReservation": 32 << 20, "CPUShares": 100, "PidsLimit": 20, "CapDrop": ["all"], "CapAdd": ["chown", "net_bind_service"],
                           "Binds": [f"{alloc}/local:/local"], "LogConfig": {"Type": "json-file", "Config": {"max-file": "2", "max-size": "2m"}}, "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
                           "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}], "80/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}, "Init": False, "NetworkMode": "default"}}
    task = d.api("POST", "/containers/create", body, name="web-a1", status=201).json["Id"]
    d.api("POST", f"/containers/{task}/start", status=204)
    found = d.api("GET", f"/containers/{task}/json", status=200).json
    equal(found["HostConfig"]["PidsLimit"], 20)
    equal(set(found["NetworkSettings"]["Ports"]), {"80/tcp", "80/udp"})
    pause = d.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sleep", "100000"], "HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": "unless-stopped"}},
                                                 "Labels": {"com.hashicorp.nomad.alloc_id": "a2"}}, name="nomad_init_a2", status=201).json["Id"]
    d.api("POST", f"/containers/{pause}/start", status=204)
    key = d.api("GET", f"/containers/{pause}/json", status=200).json["NetworkSettings"]["SandboxKey"]
    if not STOCK:
        assert os.path.exists(key) or os.path.exists(f"/proc/{d.state(pause)['Pid']}/ns/net"), key
    member = d.api("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sh", "-c", "exit 4"], "HostConfig": {"NetworkMode": f"container:{pause}"}}, status=201).json["Id"]
    d.api("POST", f"/containers/{member}/start", status=204)
    equal(d.api("POST", f"/containers/{member}/wait", status=200).json["StatusCode"], 4)
    names = [c["Names"][0] for c in d.api("GET", "/containers/json", filters={"label": ["com.hashicorp.nomad.alloc_id"]}, status=200).json]
    equal(sorted(names), ["/nomad_init_a2", "/web-a1"])
    for one in (member, pause, task):
        d.api("DELETE", f"/containers/{one}", v=1, force=1, status=204)
