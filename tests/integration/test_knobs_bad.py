"""Bad values of limits: status and text are dockerd's.

The same table runs against dockerd with CTL_ENGINE=dockerd.  Where the two differ a row says what
ours is, and why that is meant."""
import os
import re

import host
from harness import STOCK, equal, wait_for

MIB = 1 << 20
NOWHERE = "/dev/nonexistent"
CPUS = os.cpu_count()
RANGE = f"Range of CPUs is from 0.01 to {CPUS}.00, as there are only {CPUS} CPUs available"
ONLINE = f"0-{CPUS - 1}" if CPUS > 1 else "0"
PERIOD = "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
QUOTA = "CPU cfs quota can not be less than 1ms (i.e. 1000)"
V2 = host.pure_v2()

# HostConfig, status of create, text; 201 and a text: what the start says (status 500).
CREATE = [
    ({"Memory": -1}, 400, "Minimum memory limit allowed is 6MB"),
    ({"Memory": 6 * MIB - 1}, 400, "Minimum memory limit allowed is 6MB"),
    ({"Memory": 64 * MIB, "MemorySwap": 32 * MIB}, 400,
     "Minimum memoryswap limit should be larger than memory limit, see usage"),
    ({"MemorySwap": 64 * MIB}, 400, "You should always set the Memory limit when using Memoryswap limit, see usage"),
    ({"MemorySwap": -2}, 201, None),
    ({"Memory": 64 * MIB, "MemorySwap": -2}, 201, None),
    ({"MemorySwappiness": 101}, 400, "Invalid value: 101, valid memory swappiness range is 0-100"),
    ({"MemorySwappiness": -2}, 400, "Invalid value: -2, valid memory swappiness range is 0-100"),
    ({"MemoryReservation": 1}, 400, "Minimum memory reservation allowed is 6MB"),
    ({"MemoryReservation": -1}, 201, None),
    ({"Memory": 64 * MIB, "MemoryReservation": 65 * MIB}, 400,
     "Minimum memory limit can not be less than memory reservation limit, see usage"),
    ({"KernelMemory": 1}, 400, "Minimum kernel memory limit allowed is 6MB"),
    ({"OomScoreAdj": 1001}, 400, "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
    ({"OomScoreAdj": -1001}, 400, "Invalid value -1001, range for oom score adj is [-1000, 1000]"),
    ({"CpuShares": -5}, 201, "shares: invalid argument"),
    ({"CpuShares": 1}, 201, "the minimum allowed cpu-shares is 2"),
    ({"CpuShares": 300000}, 201, "the maximum allowed cpu-shares is 262144"),
    ({"CpuPeriod": -1}, 400, PERIOD),
    ({"CpuPeriod": 999}, 400, PERIOD),
    ({"CpuPeriod": 1000001}, 400, PERIOD),
    ({"CpuQuota": 999}, 400, QUOTA),
    ({"CpuQuota": -2}, 201, None),
    ({"NanoCpus": -1}, 400, RANGE),
    ({"NanoCpus": CPUS * 10**9 + 1}, 400, RANGE),
    ({"NanoCpus": 10**9, "CpuPeriod": 1000}, 400, "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
    ({"NanoCpus": 10**9, "CpuQuota": 50000}, 400, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
    ({"CpusetCpus": "0-99"}, 400, f"Requested CPUs are not available - requested 0-99, available: {ONLINE}"),
    ({"CpusetCpus": "9999"}, 400, "Invalid value 9999 for cpuset cpus: value of out range, maximum is 8192"),
    ({"CpusetCpus": "x-y"}, 400, "Invalid value x-y for cpuset cpus: invalid format: x-y"),
    ({"CpusetCpus": "1-0"}, 400, "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"),
    ({"CpusetCpus": "0,"}, 400, "Invalid value 0, for cpuset cpus: invalid format: 0,"),
    ({"CpusetCpus": "-1"}, 400, "Invalid value -1 for cpuset cpus: invalid format: -1"),
    ({"CpusetMems": "77"}, 400, "Requested memory nodes are not available - requested 77, available: 0"),
    ({"CpusetMems": "9999"}, 400, "Invalid value 9999 for cpuset mems: value of out range, maximum is 8192"),
    ({"CpusetMems": "x"}, 400, "Invalid value x for cpuset mems: invalid format: x"),
    ({"PidsLimit": -2}, 201, None),
    ({"PidsLimit": 1 << 62}, 201, 'failed to write "4611686018427387904"'),
    ({"BlkioDeviceReadBps": [{"Path": NOWHERE, "Rate": 1}]}, 201, f"stat {NOWHERE}: no such file or directory"),
    ({"BlkioDeviceWriteBps": [{"Path": NOWHERE, "Rate": 1}]}, 201, f"stat {NOWHERE}: no such file or directory"),
    ({"BlkioDeviceReadIOps": [{"Path": NOWHERE, "Rate": 1}]}, 201, f"stat {NOWHERE}: no such file or directory"),
    ({"BlkioDeviceWriteIOps": [{"Path": NOWHERE, "Rate": 1}]}, 201, f"stat {NOWHERE}: no such file or directory"),
    ({"Devices": [{"PathOnHost": NOWHERE, "PathInContainer": NOWHERE, "CgroupPermissions": "rwm"}]}, 201,
     f'error gathering device information while adding custom device "{NOWHERE}": no such file or directory'),
    ({"Devices": [{"PathOnHost": "/etc/passwd", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]}, 201,
     'error gathering device information while adding custom device "/etc/passwd": not a device node'),
    ({"ShmSize": -1}, 400, "SHM size can not be less than 0"),
    ({"CgroupnsMode": "bogus"}, 400, "invalid cgroup namespace mode: bogus"),
    ({"Sysctls": {"net.ipv4.nosuch": "1"}}, 201, "no such file or directory"),
]
if not V2:
    CREATE += [
        # No runtime is left to this container by its parent.
        ({"CpuRealtimeRuntime": 950000}, 201, "invalid argument"),
    ]

# HostConfig, then dockerd's and our status of create with the text, and why ours is not the same.
# 201 with a text is told by the start.
DIFFERENT = [
    # Told when the container is made, and not when it is too late.
    ({"DeviceCgroupRules": ["bad"]}, 201, 400, "invalid device cgroup rule format: 'bad'"),
    ({"DeviceCgroupRules": ["c 1:3 x"]}, 201, 400, "invalid device cgroup rule format: 'c 1:3 x'"),
    ({"DeviceCgroupRules": ["c -1:3 r"]}, 201, 400, "invalid device cgroup rule format: 'c -1:3 r'"),
    ({"Sysctls": {"vm.swappiness": "1"}}, 201, 400, 'sysctl "vm.swappiness" is not in a separate kernel namespace'),
    ({"Sysctls": {"net.ipv4.ip_forward": "1"}, "NetworkMode": "host"}, 201, 400,
     'sysctl "net.ipv4.ip_forward" not allowed in host network namespace'),
    ({"Sysctls": {"kernel.shmmax": "1"}, "IpcMode": "host"}, 201, 400,
     'sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace'),
    # 20.10 says 500 to what it cannot decode; its successors say 400, as we do.
    ({"CpuRealtimePeriod": 1000, "CpuRealtimeRuntime": 2000}, 500, 400,
     "cpu real-time runtime cannot be higher than cpu real-time period"),
    ({"IOMaximumIOps": 1}, 500, 400, "Invalid QoS settings: linux does not support configuration of maximum IOPs"),
    ({"IOMaximumBandwidth": 1}, 500, 400,
     "Invalid QoS settings: linux does not support configuration of maximum bandwidth"),
    ({"BlkioWeight": 65536}, 500, 400, "cannot unmarshal number 65536 into Go struct field"),
    ({"BlkioDeviceReadBps": [{"Path": "/dev/loop0", "Rate": -1}]}, 500, 400,
     "cannot unmarshal number -1 into Go struct field"),
    ({"Memory": "64m"}, 500, 400, "cannot unmarshal string into Go struct field"),
    # A container must not leave its place in the tree of cgroups.
    ({"CgroupParent": "../x"}, 201, 400, None if STOCK else "invalid cgroup parent: ../x"),
]

# What it has, what is sent, status, text.
LIMITED = {"Memory": 64 * MIB, "MemorySwap": 128 * MIB}
UPDATE = [
    ({}, {"Memory": 1}, 400, "Minimum memory limit allowed is 6MB"),
    ({}, {"Memory": -1}, 400, "Minimum memory limit allowed is 6MB"),
    (LIMITED, {"Memory": 256 * MIB}, 409,
     "Cannot update container ID: Memory limit should be smaller than already set memoryswap limit, update the "
     "memoryswap at the same time"),
    (LIMITED, {"Memory": 64 * MIB, "MemorySwap": 32 * MIB}, 400,
     "Minimum memoryswap limit should be larger than memory limit, see usage"),
    (LIMITED, {"MemoryReservation": 1}, 400, "Minimum memory reservation allowed is 6MB"),
    ({}, {"NanoCpus": 10**12}, 400, RANGE),
    ({}, {"NanoCpus": -5}, 400, RANGE),
    ({"CpuPeriod": 50000}, {"NanoCpus": 10**9}, 409,
     "Cannot update container ID: Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"),
    ({"CpuQuota": 50000}, {"NanoCpus": 10**9}, 409,
     "Cannot update container ID: Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"),
    ({"NanoCpus": 10**9}, {"CpuPeriod": 50000}, 409,
     "Cannot update container ID: Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"),
    ({"NanoCpus": 10**9}, {"CpuQuota": 50000}, 409,
     "Cannot update container ID: Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"),
    ({}, {"NanoCpus": 10**9, "CpuQuota": 5000}, 400,
     "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
    ({}, {"CpuPeriod": 1}, 400, PERIOD),
    ({}, {"CpuQuota": 1}, 400, QUOTA),
    ({}, {"CpusetCpus": "99"}, 400, f"Requested CPUs are not available - requested 99, available: {ONLINE}"),
    ({}, {"CpusetMems": "99"}, 400, "Requested memory nodes are not available - requested 99, available: 0"),
    ({}, {"CpuShares": 1}, 500, "the minimum allowed cpu-shares is 2"),
    ({}, {"KernelMemory": 1}, 400, "Minimum kernel memory limit allowed is 6MB"),
    ({}, {"MemorySwappiness": 200}, 400, "Invalid value: 200, valid memory swappiness range is 0-100"),
    ({}, {"RestartPolicy": {"Name": "bogus"}}, 400, "invalid restart policy 'bogus'"),
    ({}, {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}}, 400,
     "maximum retry count cannot be used with restart policy 'always'"),
]
if not V2:  # swap is the kernel's to judge, and counted otherwise on v2
    UPDATE += [(LIMITED, {"MemorySwap": 32 * MIB}, 500, 'failed to write "33554432"'),
               ({}, {"MemorySwap": 64 * MIB}, 500, "invalid argument")]


def send(d, method, path, body=None):
    """As a client of API 1.41, dockerd 20.10's."""
    return d.request(method, f"/v1.41{path}", body)


def create(d, host_config):
    return send(d, "POST", "/containers/create", {"Image": "busybox", "Cmd": ["sleep", "1000"],
                                                  "HostConfig": {"NetworkMode": "none", **host_config}})


def check(d, host_config, status, text):
    reply = create(d, host_config)
    equal(reply.status, status, f"{host_config} {reply}")
    if status != 201:
        assert reply.message == text or (text in reply.message and "cannot unmarshal" in text), (host_config, reply)
        return
    id = reply.json["Id"]
    reply = send(d, "POST", f"/containers/{id}/start")
    if text is None:
        equal(reply.status, 204, f"{host_config} {reply}")
    else:
        assert reply.status in (400, 500) and text in reply.message, (host_config, reply)
    send(d, "DELETE", f"/containers/{id}?force=1")


def test_create(d):
    for row in CREATE:
        check(d, *row)


def test_what_is_meant_to_differ(d):
    for host_config, theirs, ours, text in DIFFERENT:
        check(d, host_config, theirs if STOCK else ours, text)


def test_update(d):
    for base, body, status, text in UPDATE:
        id = create(d, base).json["Id"]
        equal(send(d, "POST", f"/containers/{id}/start").status, 204)
        before = d.inspect(id)["HostConfig"]
        reply = send(d, "POST", f"/containers/{id}/update", body)
        equal(reply.status, status, f"{base} {body} {reply}")
        message = reply.message.replace(id, "ID")
        assert message == text or (status == 500 and text in message), (base, body, reply)
        equal(d.inspect(id)["HostConfig"], before, f"{base} {body}: what it has")
        send(d, "DELETE", f"/containers/{id}?force=1")


def warnings(d, host_config):
    reply = create(d, host_config)
    equal(reply.status, 201, f"{host_config} {reply}")
    send(d, "DELETE", f"/containers/{reply.json['Id']}?force=1")
    return reply.json["Warnings"]


def test_warnings(d):
    no_limit = "OOM killer is disabled for the container, but no memory limit is set, this can result in the system " \
               "running out of resources."
    discarded = "Your kernel does not support OomKillDisable. OomKillDisable discarded."
    equal(warnings(d, {"OomKillDisable": True}), [discarded if V2 else no_limit])
    equal(warnings(d, {"CpuPercent": 50}), ["linux does not support CPU percent. Percent discarded."])
    assert "Specifying a kernel memory limit is deprecated and will be removed in a future release." in \
        warnings(d, {"KernelMemory": 32 * MIB})
    equal(warnings(d, {"Memory": 64 * MIB, "CpuShares": 512, "PidsLimit": 10}), [])


if not STOCK:
    def test_our_own_limits(d):
        for host_config, status, text in (
                ({"CpuBurst": -1}, 400, "CPU cfs burst can not be less than 0"),
                ({"MemoryHigh": 1}, 400, "Minimum memory high limit allowed is 6MB"),
                ({"NetClassId": -1}, 400, "cannot unmarshal number -1 into Go struct field"),
                ({"HugepageLimits": [{"PageSize": 2, "Limit": 1}]}, 400, "cannot unmarshal number"),
        ):
            check(d, host_config, status, text)
        equal(warnings(d, {"NetClassId": 1}), [])
        if V2:
            equal(warnings(d, {"MemoryHigh": 64 * MIB}), [])
        else:
            equal(warnings(d, {"MemoryHigh": 64 * MIB}),
                  ["Your kernel does not support memory high limit capabilities or the cgroup is not mounted. "
                   "Limitation discarded."])
        for option in (("--hugetlb-limit", "nothing"), ("--net-prio", "eth0"), ("--rdma-limit", "mlx:x=1")):
            result = d.ctl("create", *option, "busybox")
            assert result.code == 125 and re.search(r"bad format for", result.err), result

    def test_a_limit_of_rdma(d):
        """A device that is not there is refused; a kernel without the controller warned of."""
        kept = any("rdma" in key.split(",") or "rdma" in host.read(f"{mount}/cgroup.controllers").split()
                   for key, mount in host.hierarchies().items())
        limit = {"RdmaLimits": [{"Device": "none0", "HcaHandles": 1}]}
        if kept:
            check(d, limit, 400, 'no such RDMA device: "none0"')
        else:
            equal(warnings(d, limit), ["Your kernel does not support RDMA limit capabilities or the cgroup is not "
                                       "mounted. Limitation discarded."])

    def test_the_command_line_round_trip(d):
        id = d.ok("create", "-m", "64m", "--memory-swap", "100m", "--memory-reservation", "32m", "--memory-swappiness",
                  "20", "--oom-kill-disable", "--oom-score-adj", "100", "--cpu-shares", "512", "--cpu-period", "50000",
                  "--cpu-quota", "20000", "--cpu-burst", "10000", "--cpuset-cpus", "0", "--cpuset-mems", "0",
                  "--pids-limit", "50", "--blkio-weight", "300", "--device-read-bps", "/dev/loop0:1mb",
                  "--device-write-iops", "/dev/loop0:100", "--device-cgroup-rule", "c 10:237 rm", "--memory-high",
                  "48m", "--ulimit", "nofile=100:200", "--sysctl", "kernel.shmmni=77", "--net-classid", "65537",
                  "--kernel-memory", "64m", "busybox")
        got = d.inspect(id)["HostConfig"]
        wanted = {"Memory": 64 * MIB, "MemorySwap": 100 * MIB, "MemoryReservation": 32 * MIB, "MemorySwappiness": 20,
                  "OomKillDisable": True, "OomScoreAdj": 100, "CpuShares": 512, "CpuPeriod": 50000, "CpuQuota": 20000,
                  "CpuBurst": 10000, "CpusetCpus": "0", "CpusetMems": "0", "PidsLimit": 50, "BlkioWeight": 300,
                  "BlkioDeviceReadBps": [{"Path": "/dev/loop0", "Rate": MIB}],
                  "BlkioDeviceWriteIOps": [{"Path": "/dev/loop0", "Rate": 100}],
                  "DeviceCgroupRules": ["c 10:237 rm"], "MemoryHigh": 48 * MIB,
                  "Ulimits": [{"Name": "nofile", "Hard": 200, "Soft": 100}], "Sysctls": {"kernel.shmmni": "77"},
                  "NetClassId": 65537}
        equal({key: got[key] for key in wanted}, wanted)
        d.restart()
        got = d.inspect(id)["HostConfig"]
        equal({key: got[key] for key in wanted}, wanted)
        wait_for(d.answers, "the daemon")
