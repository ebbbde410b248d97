# shellcheck shell=bash disable=SC2154
# What a container may use, in the files of cgroup v2 and by its effect.

t_memory() {
    start -m 64m --memory-reservation 32m --memory-swap 96m $image sleep 1000
    same "$(limit memory.max)" $((64 << 20)) memory.max
    same "$(limit memory.low)" $((32 << 20)) memory.low
    same "$(limit memory.swap.max)" $((32 << 20)) memory.swap.max
    ctlc update -m 80m --memory-swap 80m "$id" >/dev/null || fail "update: $?"
    same "$(limit memory.max)" $((80 << 20)) "updated memory.max"
    same "$(limit memory.swap.max)" 0 "updated memory.swap.max"
}

t_swap() {
    start -m 64m $image sleep 1000
    same "$(limit memory.swap.max)" $((64 << 20)) "memory.swap.max by default"
    ctlc rm -f "$id" >/dev/null
    start -m 64m --memory-swap -1 $image sleep 1000
    same "$(limit memory.swap.max)" max "unlimited memory.swap.max"
}

t_cpu() {
    start --cpus 0.5 --cpu-shares 2048 --cpuset-cpus 1 --cpuset-mems 0 $image sleep 1000
    same "$(limit cpu.max)" '50000 100000' cpu.max
    same "$(limit cpu.weight)" "$(weight 2048)" cpu.weight
    same "$(limit cpuset.cpus)" 1 cpuset.cpus
    same "$(limit cpuset.mems)" 0 cpuset.mems
    has "$(ctlc exec "$id" grep Cpus_allowed_list /proc/self/status)" '	1'
}

t_cpu_bites() {
    start --cpus 0.2 $image sh -c 'while :; do :; done'
    sleep 3
    has "$(grep '^nr_throttled' "$parent/$id/cpu.stat")" nr_throttled
    [ "$(awk '/^nr_throttled/ {print $2}' "$parent/$id/cpu.stat")" -gt 5 ] || fail "never throttled"
}

t_pids() {
    start --pids-limit 5 $image sleep 1000
    same "$(limit pids.max)" 5 pids.max
    ctlc exec "$id" sh -c 'for i in 1 2 3 4 5 6 7; do sleep 50 & done' 2>/dev/null && fail "too many forks"
    [ "$(limit pids.current)" -le 5 ] || fail "pids.current $(limit pids.current)"
}

t_io() {
    local root
    root=$(lsblk_number /dev/nvme0n1)
    start --device-read-bps /dev/nvme0n1:2mb --device-write-bps /dev/nvme0n1:1mb \
        --device-read-iops /dev/nvme0n1:300 --device-write-iops /dev/nvme0n1:200 $image sleep 1000
    same "$(limit io.max)" "$root rbps=2097152 wbps=1048576 riops=300 wiops=200" io.max
    SECONDS=0
    ctlc exec "$id" dd if=/dev/zero of=/file bs=64k count=48 conv=fsync 2>/dev/null || fail "dd: $?"
    [ $SECONDS -ge 2 ] || fail "3 MB at 1 MB/s were written in $SECONDS s"
}

t_io_weight() {
    start --blkio-weight 300 $image sleep 1000
    if [ -e "$parent/$id/io.bfq.weight" ]; then
        same "$(limit io.bfq.weight)" 'default 300' io.bfq.weight
    else
        same "$(limit io.weight)" 'default 2930' io.weight # opencontainers' 1 + (300 - 10) * 9999 / 990
    fi
}

t_cgroup_parent() {
    start --cgroup-parent /own/parent -m 32m $image sleep 1000
    same "$(cat "/sys/fs/cgroup/own/parent/$id/memory.max")" $((32 << 20)) memory.max
    ctlc rm -f "$id" >/dev/null
    rmdir /sys/fs/cgroup/own/parent /sys/fs/cgroup/own || fail "something is left in it"
}
