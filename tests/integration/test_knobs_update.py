"""POST /containers/{id}/update: all of the values or none of them."""
import os

import host
from harness import STOCK, equal, has
from test_knobs_effect import MIB, V2, path, value

FILES = [("cpu", "cpu.weight"), ("cpu", "cpu.max"), ("pids", "pids.max"), ("memory", "memory.max"),
         ("memory", "memory.swap.max"), ("memory", "memory.low")] if V2 else \
        [("cpu", "cpu.shares"), ("cpu", "cpu.cfs_quota_us"), ("cpu", "cpu.cfs_period_us"), ("pids", "pids.max"),
         ("memory", "memory.limit_in_bytes"), ("memory", "memory.memsw.limit_in_bytes"),
         ("memory", "memory.soft_limit_in_bytes")]


def snapshot(d, container):
    return {file: value(d, container, *file) for file in FILES}, \
        {k: v for k, v in d.inspect(container)["HostConfig"].items() if k != "RestartPolicy"}


def update(d, container, status=200, **members):
    return d.api("POST", f"/containers/{container}/update", members, status=status)


def test_values_arrive(d):
    container = d.sleeper("-m", "64m")
    equal(update(d, container, Memory=128 * MIB, MemorySwap=256 * MIB, MemoryReservation=32 * MIB, CpuShares=512,
                 CpuQuota=30000, CpuPeriod=60000, PidsLimit=55, CpusetCpus="0").json, {"Warnings": []})
    wanted = {("memory", "memory.max"): 128 * MIB, ("memory", "memory.swap.max"): 128 * MIB,
              ("memory", "memory.low"): 32 * MIB, ("cpu", "cpu.max"): "30000 60000", ("cpu", "cpu.weight"): 50,
              ("pids", "pids.max"): 55} if V2 else {
        ("memory", "memory.limit_in_bytes"): 128 * MIB, ("memory", "memory.memsw.limit_in_bytes"): 256 * MIB,
        ("memory", "memory.soft_limit_in_bytes"): 32 * MIB, ("cpu", "cpu.shares"): 512,
        ("cpu", "cpu.cfs_quota_us"): 30000, ("cpu", "cpu.cfs_period_us"): 60000, ("pids", "pids.max"): 55}
    for file, content in wanted.items():
        equal(value(d, container, *file), str(content), file)
    got = d.inspect(container)["HostConfig"]
    equal((got["Memory"], got["MemorySwap"], got["CpuShares"], got["CpuQuota"], got["PidsLimit"], got["CpusetCpus"]),
          (128 * MIB, 256 * MIB, 512, 30000, 55, "0"))
    # The next start has them, too.
    d.ok("restart", "-t", "0", container)
    for file, content in wanted.items():
        equal(value(d, container, *file), str(content), file)


def test_one_value_alone_keeps_the_others(d):
    container = d.sleeper("-m", "64m", "--memory-swap", "100m", "--cpu-quota", "30000")
    update(d, container, Memory=80 * MIB)
    update(d, container, CpuPeriod=50000)
    if V2:
        equal(value(d, container, "", "memory.swap.max"), str(20 * MIB))
        equal(value(d, container, "", "cpu.max"), "30000 50000")
    else:
        equal(value(d, container, "memory", "memory.memsw.limit_in_bytes"), str(100 * MIB))
        equal(value(d, container, "cpu", "cpu.cfs_quota_us"), "30000")


def test_memory_up_and_down(d):
    """v1 takes memory and memory+swap in one order only, and which depends on the direction."""
    container = d.sleeper("-m", "64m", "--memory-swap", "64m")
    for mib in (256, 32, 128, 64):
        update(d, container, Memory=mib * MIB, MemorySwap=mib * MIB)
        equal(value(d, container, "memory", "memory.max" if V2 else "memory.limit_in_bytes"), str(mib * MIB))


if not STOCK:
    def test_all_or_nothing(d):
        container = d.sleeper("-m", "64m", "--memory-swap", "128m", "--cpu-quota", "10000", "--pids-limit", "99")
        before = snapshot(d, container)
        # The kernel refuses a burst above the quota, after it took all of the others.
        reply = update(d, container, 500, Memory=100 * MIB, MemorySwap=300 * MIB, MemoryReservation=50 * MIB,
                       CpuShares=700, CpuQuota=20000, PidsLimit=7, CpuBurst=90000)
        has(reply.message, f"Cannot update container {container}", "90000", "nvalid argument")
        equal(snapshot(d, container), before)
        # Neither does a refused one change what does not run.
        d.ok("kill", container)
        update(d, container, 400, CpuShares=700, CpuQuota=1)
        equal(d.inspect(container)["HostConfig"]["CpuShares"], 0)

    def test_block_devices(d):
        """A list takes the place of the one before."""
        device = next(f"/dev/{n}" for n in sorted(os.listdir("/dev")) if n.startswith("loop") and n != "loop-control")
        number = f"{os.major(os.stat(device).st_rdev)}:{os.minor(os.stat(device).st_rdev)}"
        file = "io.max" if V2 else "blkio.throttle.write_bps_device"
        container = d.sleeper("--device-write-bps", f"{device}:1mb", "--cpu-quota", "10000")
        has(value(d, container, "blkio", file), number, str(MIB))
        update(d, container, BlkioDeviceWriteBps=[{"Path": device, "Rate": 2 * MIB}])
        has(value(d, container, "blkio", file), str(2 * MIB))
        update(d, container, 500, BlkioDeviceWriteBps=[{"Path": device, "Rate": 3 * MIB}], CpuBurst=90000)
        has(value(d, container, "blkio", file), str(2 * MIB))
        d.ok("update", "--device-read-bps", f"{device}:4mb", container)
        has(value(d, container, "blkio", "io.max" if V2 else "blkio.throttle.read_bps_device"), str(4 * MIB))

    def test_device_rules(d):
        """In place of those before, at once and for the next start."""
        opens = "rm -f /d; mknod /d c 10 237 && : </d && echo may"  # /dev/loop-control
        container = d.sleeper("--device", "/dev/fuse" if os.path.exists("/dev/fuse") else "/dev/null")

        def may():
            result = d.ctl("exec", container, "sh", "-c", opens)
            assert result.out.strip() == "may" or "not permitted" in result.err, result
            return result.out.strip() == "may"
        assert not may()
        d.ok("update", "--device-cgroup-rule", "c 10:237 rwm", container)
        assert may()
        d.exec(container, "sh", "-c", "echo x >/dev/null && head -c 1 /dev/zero >/dev/null")
        d.ok("restart", "-t", "0", container)
        assert may()
        # Refused with the rest of its update, and taken back.
        update(d, container, 400, DeviceCgroupRules=["nonsense"])
        update(d, container, DeviceCgroupRules=["c 10:1 r"])
        assert not may()
        d.exec(container, "sh", "-c", "echo x >/dev/null && mknod /m c 10 1 && head -c 1 /dev/zero >/dev/null")
        equal(d.inspect(container)["HostConfig"]["DeviceCgroupRules"], ["c 10:1 r"])

    def test_what_may_not_change_does_not(d):
        container = d.sleeper("--cgroup-parent", "")
        update(d, container, CgroupParent="/elsewhere", Ulimits=[{"Name": "nofile", "Soft": 9, "Hard": 9}])
        got = d.inspect(container)["HostConfig"]
        equal((got["CgroupParent"], got["Ulimits"]), ("", []))
        d.ok("kill", container)  # its cgroup is found


def test_many_at_once(d):
    """Updates of one container come one after the other: the record is what the kernel has."""
    import threading
    container = d.sleeper("-m", "64m")
    threads = [threading.Thread(target=update, args=(d, container), kwargs={"CpuShares": n, "PidsLimit": n})
               for n in range(100, 116)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    got = d.inspect(container)["HostConfig"]
    equal(value(d, container, "pids", "pids.max"), str(got["PidsLimit"]))
    if not V2:
        equal(value(d, container, "cpu", "cpu.shares"), str(got["CpuShares"]))
    assert host.read(path(d, container, "cpu", "cgroup.procs")).split()
