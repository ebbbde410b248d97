# shellcheck shell=bash disable=SC2154
# The cgroup driver systemd: each container in a scope of its own.  Another daemon.

scopes_ctlc() { CTLC_TIMEOUT=60 ctlc -H unix:///tmp/scopes/sock "$@"; }
scopes_daemon() {
    containerd-lite --data-root /tmp/scopes/data --exec-root /tmp/scopes/run --bridge none --pidfile /tmp/scopes/pid \
        --exec-opt native.cgroupdriver=systemd -H unix:///tmp/scopes/sock "$@" >>/tmp/scopes/log 2>&1 &
    daemon=$!
    until_true test -S /tmp/scopes/sock
    until_true scopes_ctlc version >/dev/null
}
scopes() { systemctl list-units --all --plain --no-legend 'ctl-*.scope' | awk '{print $1}'; }
no_scopes() { [ -z "$(scopes)" ]; }
# What is there of the scope's unit is $unit, of its cgroup $dir.
scope_of() {
    unit=$(scopes | grep -- "-$1.scope") || fail "no scope of $1: $(scopes)"
    dir=/sys/fs/cgroup$(systemctl show -P ControlGroup "$unit")
}

t_scopes() {
    local out
    mkdir -p /tmp/scopes
    trap 'kill $daemon; wait $daemon; cat /tmp/scopes/log; rm -rf --one-file-system /tmp/scopes' EXIT
    scopes_daemon
    same "$(scopes_ctlc info -f '{{.CgroupVersion}} {{.CgroupDriver}}')" '2 systemd'
    id=$(scopes_ctlc run -d --network none -m 64m --pids-limit 20 --cpus 0.5 $image sleep 1000) || fail "run: $?"
    scope_of "$id"
    same "$(systemctl show -P ActiveState "$unit")" active "$unit"
    same "$(systemctl show -P Delegate "$unit")" yes Delegate
    same "$(systemctl show -P Slice "$unit")" system.slice Slice
    same "$dir" "/sys/fs/cgroup/system.slice/$unit" "its cgroup"
    same "$(cat "$dir/container/cgroup.procs")" "$(scopes_ctlc inspect -f '{{.State.Pid}}' "$id")" "its processes"
    same "$(echo $(ls -d "$dir"/*/))" "$dir/container/ $dir/hold/" "cgroups in it"
    has "$(cat /proc/$(cat "$dir/hold/cgroup.procs")/cmdline | tr '\0' ' ')" "containerd-lite-shim ${id:0:12}"
    limits() { echo $(cat "$dir/container/memory.max" "$dir/container/pids.max" "$dir/container/cpu.max"); }
    same "$(limits)" "$((64 << 20)) 20 50000 100000" limits
    systemctl daemon-reload
    same "$(limits)" "$((64 << 20)) 20 50000 100000" "limits after daemon-reload"
    scopes_ctlc update -m 48m --memory-swap 48m "$id" >/dev/null || fail "update: $?"
    same "$(limits)" "$((48 << 20)) 20 50000 100000" "limits after update"
    systemctl daemon-reload
    same "$(limits)" "$((48 << 20)) 20 50000 100000" "limits after update and daemon-reload"
    same "$(scopes_ctlc exec "$id" cat /proc/self/cgroup)" 0::/ "the container's view"
    has "$(cat "/proc/$(scopes_ctlc inspect -f '{{.State.Pid}}' "$id")/cgroup")" "/system.slice/$unit/container"
    has "$(scopes_ctlc stats --no-stream --format '{{.MemUsage}}' "$id")" 48MiB
    same "$(scopes_ctlc top "$id" | wc -l)" 2 "lines of top"
    scopes_ctlc pause "$id" >/dev/null || fail "pause: $?"
    same "$(cat "$dir/container/cgroup.freeze")" 1 frozen
    scopes_ctlc unpause "$id" >/dev/null || fail "unpause: $?"
    # Containers go on without the daemon, and the next one finds them.
    kill -9 $daemon
    wait $daemon
    rm -f /tmp/scopes/sock
    scopes_daemon
    same "$(scopes_ctlc inspect -f '{{.State.Status}}' "$id")" running "after the daemon's death"
    same "$(scopes_ctlc exec "$id" echo here)" here
    # The name is soon free for the next run.
    scopes_ctlc restart -t 0 "$id" >/dev/null || fail "restart: $?"
    same "$(limits)" "$((48 << 20)) 20 50000 100000" "limits after restart"
    scopes_ctlc rm -f "$id" >/dev/null
    until_true no_scopes
    [ ! -e "$dir" ] || fail "$dir is left"
    scopes_ctlc run --network none --name killed -m 32m --memory-swap 32m $image tail /dev/zero
    same "$(scopes_ctlc inspect -f '{{.State.OOMKilled}}' killed)" true OOMKilled
    scopes_ctlc rm killed >/dev/null
    id=$(scopes_ctlc run -d --network none --cgroup-parent own-part.slice $image sleep 1000) || fail "run in a slice: $?"
    scope_of "$id"
    same "$dir" "/sys/fs/cgroup/own.slice/own-part.slice/$unit" "its cgroup"
    out=$(scopes_ctlc run --network none --cgroup-parent /own/parent $image true 2>&1) && fail "no slice: $out"
    has "$out" 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"'
    scopes_ctlc rm -f "$id" >/dev/null
    until_true no_scopes
    kill $daemon
    wait $daemon
    trap 'rm -rf --one-file-system /tmp/scopes' EXIT
    out=$(containerd-lite --data-root /tmp/scopes/data --exec-opt native.cgroupdriver=nope 2>&1) && fail "nope: $out"
    has "$out" 'native.cgroupdriver option nope not supported'
}

# The service is protected from the OOM killer; its containers must not be.
t_oom_score() {
    same "$(ctlc run --rm $image cat /proc/self/oom_score_adj)" 0 "oom_score_adj"
    same "$(ctlc run --rm --oom-score-adj -700 $image cat /proc/self/oom_score_adj)" -700 "oom_score_adj"
}

t_ulimits() {
    same "$(ctlc run --rm --ulimit nofile=2000000:2000000 --ulimit core=0 $image sh -c 'ulimit -n; ulimit -Hc')" \
        '1048576
0' "above the service's own limit"
}

t_oom() {
    id=$(ctlc create -m 24m --memory-swap 24m $image sh -c 'tail /dev/zero')
    ctlc start "$id" >/dev/null
    same "$(ctlc wait "$id")" 137 "exit code"
    same "$(inspect "$id" .State.OOMKilled)" true OOMKilled
    ctlc rm "$id" >/dev/null
}

t_stats() {
    start -m 64m $image sleep 1000
    has "$(ctlc stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' "$id")" '/ 64MiB 1'
    has "$(ctlc top "$id")" 'sleep 1000'
}
