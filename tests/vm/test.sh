#!/bin/bash
# What the guest proves: the engine as installed, started by systemd, on pure cgroup v2 and a kernel
# without the newer mount options.  Runs in the guest only; each case is a function of the
# name t_*, in the order of this file; it fails by the first command that does.
# One that fails is tried once more.
set -u
export CTLC_TIMEOUT=60
unit=containerd-lite.service
parent=/sys/fs/cgroup/containerd-lite
image=busybox

fail() { echo "    $*"; exit 1; }
same() { [ "$1" = "$2" ] || fail "${3-} is '$1', not '$2'"; }
has() { case $1 in *"$2"*) ;; *) fail "no '$2' in: $1" ;; esac; }
# The engine may hang but not the test; the status is the command's, 124 for a hang.
ctlc() { timeout -k 1 $CTLC_TIMEOUT ctlc "$@"; }
# Run a command until it succeeds, for half a minute or so.
until_true() {
    for ((i = 0; i < 300; i++)); do
        "$@" && return 0
        sleep 0.1
    done
    fail "never true: $*"
}
main_pid() { systemctl show -P MainPID $unit; }
inspect() { ctlc inspect -f "{{$2}}" "$1"; }
limit() { cat "$parent/$id/$1"; }
# Start a container that waits, its id in $id; removed when the case ends.
start() {
    id=$(ctlc run -d "$@") || fail "run -d $* failed: $?"
    trap 'ctlc rm -f $id >/dev/null' EXIT
}

# ---- under systemd ----

t_socket_activates() {
    systemctl start containerd-lite.socket
    same "$(systemctl is-active $unit)" inactive "before the first request"
    same "$(stat -c '%a %G' /run/daemon.sock)" '660 containerd-lite' "the socket"
    ctlc version >/dev/null || fail "no answer by the socket: $?"
    same "$(systemctl is-active $unit)" active "after the first request"
}

t_notifies() {
    systemctl stop $unit
    systemctl start $unit
    same "$(systemctl show -P Type,StatusErrno $unit | head -n 1)" notify
    same "$(systemctl show -P SubState $unit)" running
    curl -sf --unix-socket /run/daemon.sock http://d/_ping >/dev/null || fail "not ready though it said so"
    same "$(systemctl show -P NRestarts $unit)" 0 restarts
}

t_unified() {
    same "$(ctlc info -f '{{.Driver}}')" overlay2
    same "$(ctlc info -f '{{.CgroupVersion}} {{.CgroupDriver}}')" '2 cgroupfs'
    same "$(ctlc info 2>&1 | grep -c WARNING)" 0 "warnings of info"
    for controller in cpuset cpu io memory pids; do
        has " $(cat $parent/cgroup.subtree_control) " " $controller "
    done
}

t_disks() {
    has "$(findmnt -no FSTYPE,OPTIONS /srv/xfs)" prjquota
    same "$(findmnt -no FSTYPE /srv/btrfs)" btrfs
}

t_run() {
    same "$(ctlc run --rm $image echo hello)" hello
    ctlc run --rm $image sh -c 'exit 3'
    same $? 3 status
    ctlc run --rm $image /nowhere 2>/dev/null
    same $? 127 "status of a missing program"
}

# What goes on must be the process, its log, its exit code and the shim, whoever ends the daemon.
survive() {
    local pid log
    start $image sh -c 'i=0; while [ ! -e /stop ]; do echo $((i += 1)); sleep 0.2; done; exit 7'
    pid=$(inspect "$id" .State.Pid)
    "$@"
    same "$(inspect "$id" .State.Running)" true "running after $*"
    same "$(inspect "$id" .State.Pid)" "$pid" "pid after $*"
    log=$(ctlc logs "$id" | wc -l)
    sleep 1
    [ "$(ctlc logs "$id" | wc -l)" -gt "$log" ] || fail "the log stands still after $*"
    ctlc exec "$id" touch /stop || fail "exec after $*: $?"
    same "$(ctlc wait "$id")" 7 "exit code"
}

t_restart() { survive systemctl restart $unit; }

# What ends while there is no daemon is told by the one that the next request starts.
t_ends_meanwhile() {
    local flag=$work/flag pid
    mkdir "$flag"
    start -v "$flag:/flag" $image sh -c 'until [ -e /flag/stop ]; do sleep 0.1; done; echo last; exit 4'
    pid=$(inspect "$id" .State.Pid)
    systemctl stop $unit
    [ -d "/proc/$pid" ] || fail "the container ended with the service"
    touch "$flag/stop"
    gone() { [ ! -d "/proc/$pid" ]; }
    until_true gone
    same "$(systemctl is-active $unit)" inactive "before the request"
    same "$(ctlc wait "$id")" 4 "exit code"
    same "$(ctlc logs "$id")" last log
    same "$(systemctl is-active $unit)" active "after the request"
}

kill_daemon() {
    local old
    old=$(main_pid)
    echo "$old" >>"$work/ended"
    systemctl kill -s KILL "$@" $unit
    changed() { [ "$(main_pid)" != "$old" ] && [ "$(systemctl is-active $unit)" = active ]; }
    until_true changed
}
t_kill_main() { survive kill_daemon --kill-whom=main; }
t_kill_all() { survive kill_daemon --kill-whom=all; }

t_daemon_reload() {
    start --memory 64m $image sleep 1000
    systemctl daemon-reload
    same "$(limit memory.max)" $((64 << 20)) memory.max
    ctlc run --rm --cpus 1 --pids-limit 9 $image true || fail "run after daemon-reload: $?"
}

t_reload() {
    local old
    old=$(main_pid)
    start $image sleep 1000
    mkdir -p /etc/containerd-lite
    echo '{"labels": ["place=here"]}' >/etc/containerd-lite/daemon.json
    systemctl reload $unit || fail "reload: $?"
    labelled() { case $(ctlc info -f '{{.Labels}}') in *place=here*) ;; *) return 1 ;; esac }
    until_true labelled
    same "$(main_pid)" "$old" "pid after a reload"
    same "$(inspect "$id" .State.Running)" true "running after a reload"
    rm /etc/containerd-lite/daemon.json
    systemctl reload $unit || fail "reload: $?"
}

# A daemon that hangs is killed and comes back; its containers do not notice.
hang_daemon() {
    local old
    old=$(main_pid)
    echo "$old" >>"$work/ended"
    kill -STOP "$old"
    changed() { [ "$(main_pid)" != "$old" ] && [ "$(systemctl is-active $unit)" = active ]; }
    until_true changed
    has "$(journalctl -u $unit -o cat --no-pager)" 'Watchdog timeout'
}
t_watchdog() {
    mkdir -p /run/systemd/system/$unit.d
    printf '[Service]\nWatchdogSec=5\n' >/run/systemd/system/$unit.d/watchdog.conf
    systemctl daemon-reload
    systemctl restart $unit
    survive hang_daemon
    rm -r /run/systemd/system/$unit.d
    systemctl daemon-reload
    systemctl restart $unit
}

# ---- limits ----

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

# ---- scopes: the other cgroup driver ----

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

# ---- life ----

t_pause() {
    start $image sh -c 'while echo; do sleep 0.1; done'
    ctlc pause "$id" >/dev/null || fail "pause: $?"
    same "$(inspect "$id" .State.Status)" paused
    has "$(limit cgroup.events)" 'frozen 1'
    ctlc unpause "$id" >/dev/null || fail "unpause: $?"
    has "$(limit cgroup.events)" 'frozen 0'
    ctlc pause "$id" >/dev/null
    ctlc kill "$id" >/dev/null || fail "kill of a paused container: $?"
    same "$(ctlc wait "$id")" 137 "exit code"
}

t_exec() {
    start $image sleep 1000
    same "$(echo text | ctlc exec -i "$id" cat)" text
    ctlc exec "$id" sh -c 'exit 9'
    same $? 9 status
    same "$(ctlc exec "$id" cat /proc/self/cgroup)" 0::/ "cgroup by exec"
    same "$(ctlc exec "$id" cat /proc/self/oom_score_adj)" 0 "oom_score_adj by exec"
    same "$(ctlc exec -t "$id" tty)" $'/dev/pts/0\r' "terminal of exec"
}

t_stop() {
    start $image sh -c 'trap "exit 5" TERM; while :; do sleep 0.1; done'
    ctlc stop -t 20 "$id" >/dev/null || fail "stop: $?"
    same "$(inspect "$id" .State.ExitCode)" 5 "exit code"
    [ ! -e "$parent/$id" ] || fail "its cgroup is left"
}

# ---- isolation ----

# /dev/nvme0n1 is in no default list; mknod itself is allowed, opening must not be.
t_devices() {
    same "$(ctlc run --rm $image sh -c 'echo x >/dev/null && head -c 4 /dev/zero | wc -c')" 4
    number=$(lsblk_number /dev/nvme0n1)
    open="mknod /tmp/d b ${number/:/ } && head -c 1 /tmp/d >/dev/null"
    has "$(ctlc run --rm $image sh -c "$open" 2>&1)" 'Operation not permitted'
    ctlc run --rm --device /dev/nvme0n1:/dev/disk:r $image sh -c 'head -c 1 /dev/disk >/dev/null' ||
        fail "--device: $?"
    has "$(ctlc run --rm --device /dev/nvme0n1:/dev/disk:r $image sh -c ': >>/dev/disk' 2>&1)" 'not permitted'
    ctlc run --rm --device-cgroup-rule "b $number r" $image sh -c "$open" || fail "--device-cgroup-rule: $?"
}

t_privileged() {
    ctlc run --rm --privileged $image sh -c 'head -c 1 /dev/nvme0n1 >/dev/null && mount -t tmpfs t /tmp' ||
        fail "--privileged: $?"
    has "$(ctlc run --rm --privileged $image grep CapEff /proc/self/status)" "$(grep -o '[0-9a-f]*$' <<<"$(grep CapEff /proc/self/status)")"
}

t_userns() {
    start --userns auto -p 8081:80 $image sh -c 'id -u; touch /file /home/f; mkdir -p /www; exec httpd -f -p 80 -h /'
    local pid
    pid=$(inspect "$id" .State.Pid)
    [ "$(awk '{print $2}' "/proc/$pid/uid_map")" -ge 1000 ] || fail "root is $(cat "/proc/$pid/uid_map")"
    same "$(ctlc exec "$id" stat -c %u:%g /bin/busybox /file | sort -u)" 0:0 "owner inside"
    same "$(stat -c %u "/proc/$pid/root/file")" "$(awk '{print $2}' "/proc/$pid/uid_map")" "owner outside"
}

t_seccomp() {
    same "$(ctlc run --rm $image grep -w Seccomp /proc/self/status | tr -d '\t ')" Seccomp:2
    ctlc run --rm $image unshare -m true 2>/dev/null && fail "unshare was allowed"
    same "$(ctlc run --rm --security-opt seccomp=unconfined $image grep -w Seccomp /proc/self/status | tr -d '\t ')" \
        Seccomp:0
}

# AppArmor is on in this kernel, and no profile is loaded: containers run unconfined, none is promised.
t_apparmor() {
    same "$(cat /sys/module/apparmor/parameters/enabled)" Y AppArmor
    same "$(ctlc run --rm $image cat /proc/self/attr/apparmor/current)" unconfined "the profile"
    same "$(ctlc info -f '{{range .SecurityOptions}}{{println .}}{{end}}' | sort | xargs)" \
        'name=cgroupns name=seccomp,profile=builtin' SecurityOptions
    ctlc run --rm --security-opt apparmor=unconfined $image true || fail "apparmor=unconfined: $?"
}

t_cgroupns() {
    same "$(ctlc run --rm $image cat /proc/self/cgroup)" 0::/
    same "$(ctlc run --rm -m 32m $image cat /sys/fs/cgroup/memory.max)" $((32 << 20)) "memory.max inside"
    ctlc run --rm $image sh -c 'echo max >/sys/fs/cgroup/memory.max' 2>/dev/null && fail "writable inside"
    same "$(ctlc run --rm --cgroupns host $image sed 's,/[0-9a-f]*$,,' /proc/self/cgroup)" 0::/containerd-lite
    same "$(ctlc run --rm --privileged $image sh -c 'mkdir /sys/fs/cgroup/sub && ls -d /sys/fs/cgroup/sub')" \
        /sys/fs/cgroup/sub
}

t_publish() {
    start -p 8080:80 $image sh -c 'mkdir /w; echo served >/w/index.html; exec httpd -f -p 80 -h /w'
    served() { [ "$(curl -s -m 2 "http://$1/")" = served ]; }
    until_true served 127.0.0.1:8080
    until_true served "$(ip -4 -o addr show scope global | awk 'NR == 1 {sub("/.*", "", $4); print $4}'):8080"
}

# A second host, in a network namespace: it reaches a published port, and is reached from behind
# the guest's address.
t_outside() {
    local listen='$s = IO::Socket::INET->new(Listen => 1, LocalPort => 99) or die $!;
        $c = $s->accept or die; print $c $c->peerhost, "\n"'
    ip netns add outside
    ip link add outer type veth peer name inner netns outside
    trap 'ctlc rm -f $id >/dev/null; ip netns del outside; kill %1 2>/dev/null' EXIT
    ip addr add 10.99.0.1/24 dev outer
    ip link set outer up
    ip -n outside addr add 10.99.0.2/24 dev inner
    ip -n outside link set inner up
    id=$(ctlc run -d -p 8080:80 $image sh -c 'mkdir /w; echo served >/w/index.html; exec httpd -f -p 80 -h /w')
    served() { [ "$(ip netns exec outside curl -s -m 2 http://10.99.0.1:8080/)" = served ]; }
    until_true served
    timeout 30 ip netns exec outside perl -MIO::Socket::INET -e "$listen" &
    listens() { ip netns exec outside ss -ltn | grep -q ':99 '; }
    until_true listens
    same "$(ctlc exec "$id" nc 10.99.0.2 99 </dev/null)" 10.99.0.1 "the container's address outside"
}

# ---- AppArmor ----

told() { ctlc run --rm "$@" $image sh -c 'cat /proc/self/attr/current'; }

t_apparmor() {
    has "$(ctlc info -f '{{.SecurityOptions}}')" name=apparmor
    start $image sleep 1000
    same "$(inspect "$id" .AppArmorProfile)" docker-default AppArmorProfile
    same "$(ctlc exec "$id" cat /proc/self/attr/current)" 'docker-default (enforce)' "of an exec"
    same "$(told --user 1000 --security-opt no-new-privileges)" 'docker-default (enforce)' "of a user"
    same "$(told --init)" 'docker-default (enforce)' "below an init"
    same "$(told --privileged)" unconfined "of a privileged one"
    same "$(told --security-opt apparmor=unconfined)" unconfined "of an unconfined one"
}

t_apparmor_bites() {
    local mount='mkdir /m && mount -t tmpfs none /m'
    ctlc run --rm --cap-add SYS_ADMIN $image sh -c "$mount" && fail "a mount under the default profile"
    ctlc run --rm --cap-add SYS_ADMIN --security-opt apparmor=unconfined $image sh -c "$mount" ||
        fail "no mount without a profile"
    # What a container writes to, and its signals, are its own affair.
    ctlc run --rm $image sh -c 'echo 5 >/proc/self/oom_score_adj && sleep 9 & sleep 0.1; kill $! && wait $!; [ $? = 143 ]' ||
        fail "an ordinary program"
}

t_apparmor_profile() {
    apparmor_parser -r <<'PROFILE' || fail "apparmor_parser"
profile guarded flags=(attach_disconnected,mediate_deleted) {
  network, capability, file, signal,
  deny /secret rw,
}
PROFILE
    same "$(told --security-opt apparmor=guarded)" 'guarded (enforce)' "of the custom profile"
    ctlc run --rm --security-opt apparmor=guarded $image sh -c 'echo x >/secret' && fail "wrote /secret"
    ctlc run --rm --security-opt apparmor=guarded $image sh -c 'echo x >/open' || fail "did not write /open"
    start --security-opt apparmor=guarded $image sleep 1000
    same "$(inspect "$id" .AppArmorProfile)" guarded AppArmorProfile
    has "$(ctlc run --rm --security-opt apparmor=nowhere $image true 2>&1)" 'apparmor failed to apply profile'
    # Somebody has unloaded the default: it is loaded again.
    printf docker-default >/sys/kernel/security/apparmor/.remove
    same "$(told)" 'docker-default (enforce)' "after it was unloaded"
}

t_at_once() {
    same "$(seq 12 | xargs -P 6 -I {} timeout 120 ctlc run --rm -m 32m $image echo {} | sort -n | xargs)" \
        '1 2 3 4 5 6 7 8 9 10 11 12' "what was said"
}

# ---- layers ----

# Made by many_layers.py.
t_many_layers() {
    CTLC_TIMEOUT=300 ctlc load -q -i many.tar >/dev/null || fail "load: $?"
    same "$(ctlc run --rm many:120 sh -c 'cat /top /f1 /f120; ls /f* | wc -l; echo w >/f7; cat /f7')" '120
1
120
120
w'
    same "$(ctlc run --rm --userns auto many:120 sh -c 'cat /top; stat -c %u /f3; echo w >/f7; cat /f7')" '120
0
w'
    ctlc rmi many:120 >/dev/null || fail "rmi: $?"
}

# ---- checkpoints ----

counter='i=0; while [ ! -e /stop ]; do echo $((i += 1)); sleep 0.2; done; exit 7'
beyond() { [ "$(ctlc logs --tail 1 "$id")" -gt "$1" ]; }
# The numbers go on where they were: none is missing, none comes twice.
counts_on() {
    until_true beyond $(($(ctlc logs --tail 1 "$id") + 3))
    ctlc logs "$id" | awk '$1 != NR { print "line " NR " is " $1; exit 1 }' || fail "the count after $*"
}

t_checkpoint() {
    local pid
    start --network none $image sh -c "$counter"
    until_true beyond 3
    pid=$(inspect "$id" .State.Pid)
    ctlc checkpoint create --leave-running "$id" one || fail "checkpoint that leaves it running: $?"
    same "$(inspect "$id" .State.Pid)" "$pid" "pid after a checkpoint"
    counts_on "a checkpoint"
    ctlc checkpoint create "$id" two || fail "checkpoint: $?"
    same "$(inspect "$id" '.State.Status')" exited
    same "$(ctlc checkpoint ls "$id" | sort | xargs)" "CHECKPOINT NAME one two"
    ctlc start --checkpoint two "$id" || fail "start from a checkpoint: $?"
    counts_on "a restore"
    same "$(ctlc exec "$id" cat /proc/1/comm)" sh "PID 1"
    ctlc checkpoint create "$id" three || fail "checkpoint of what was restored: $?"
    ctlc start --checkpoint three "$id" || fail "start from the checkpoint of that: $?"
    counts_on "another restore"
    ctlc exec "$id" touch /stop || fail "exec after a restore: $?"
    same "$(ctlc wait "$id")" 7 "exit code"
}

# All that makes a container safe is there again; and it is the shim's child like any other.
t_checkpoint_confines() {
    local before after path
    state() {
        ctlc exec "$id" sh -c 'grep -E "^(Cap|Seccomp:|NoNewPrivs|Uid|Gid|Groups)" /proc/1/status; cat /proc/1/attr/current
            cat /proc/1/cgroup; hostname; cut -d " " -f 2-4 /proc/mounts | sort; cat /proc/1/limits /proc/1/oom_score_adj
            for ns in cgroup ipc mnt net pid uts; do [ /proc/1/ns/$ns -ef /proc/self/ns/$ns ] && echo $ns; done'
    }
    start --user 1000:100 --memory 64m --pids-limit 50 --cap-drop ALL --hostname here --security-opt no-new-privileges \
        --ulimit nofile=100:200 --oom-score-adj 300 $image sh -c 'i=0; while :; do echo $((i += 1)); sleep 0.2; done'
    until_true beyond 1
    before=$(state)
    path=$(cut -d : -f 3 "/proc/$(inspect "$id" .State.Pid)/cgroup")
    ctlc checkpoint create "$id" one || fail "checkpoint: $?"
    ctlc start --checkpoint one "$id" || fail "start from a checkpoint: $?"
    counts_on "a restore"
    after=$(state)
    diff <(echo "$before") <(echo "$after") || fail "not as it was"
    same "$(limit memory.max)" $((64 << 20)) memory.max
    same "$(cut -d : -f 3 "/proc/$(inspect "$id" .State.Pid)/cgroup")" "$path" cgroup
}

t_checkpoint_outside() {
    local dir=$work/outside
    mkdir -p "$dir/below"
    mount -t tmpfs tmpfs "$dir/below"
    echo deep >"$dir/below/file"
    start -p 127.0.0.1:8099:80 -v "$dir:/outside" -v inside:/volume --tmpfs /memory --restart unless-stopped $image \
        sh -c "echo kept >/memory/file; mkdir /www; echo page >/www/index.html; httpd -p 80 -h /www; exec 9>>/outside/log 8>>/volume/log
            i=0; while [ ! -e /stop ]; do echo \$((i += 1)); echo \$i >&9; echo \$i >&8; sleep 0.2; done; exit 7"
    trap 'ctlc rm -f $id >/dev/null; ctlc volume rm inside >/dev/null' EXIT
    until_true beyond 3
    same "$(curl -s http://127.0.0.1:8099)" page "before"
    ctlc checkpoint create "$id" one || fail "checkpoint: $?"
    systemctl restart $unit
    same "$(inspect "$id" .State.Status)" exited "after a restart of the daemon"
    same "$(wc -l <"$dir/log")" "$(ctlc logs "$id" | wc -l)" "lines in the bind"
    ctlc start --checkpoint one "$id" || fail "start from a checkpoint: $?"
    counts_on "a restore"
    kill_daemon
    counts_on "the daemon's end"
    same "$(ctlc exec "$id" cat /memory/file)" kept "the file in memory"
    same "$(curl -s http://127.0.0.1:8099)" page "after"
    same "$(ctlc exec "$id" cat /outside/below/file)" deep "what is mounted below the bind"
    umount -l "$dir/below"
    awk '$1 != NR { exit 1 }' "$dir/log" || fail "the bind: $(xargs <"$dir/log")"
    ctlc exec "$id" awk '$1 != NR { exit 1 }' /volume/log || fail "the volume"
}

# Input goes on to the restored process, and comes back by those who attach and by the log.
t_checkpoint_streams() {
    start -i $image sh -c 'n=0; while read -r line; do echo $((n += 1)) $line; done; exit 5'
    say() { { echo "$1"; sleep 2; } | ctlc attach --detach-keys ctrl-x "$id" >/dev/null & until_true answered "$1"; }
    answered() { ctlc logs "$id" | grep -q " $1\$"; }
    say one
    ctlc checkpoint create "$id" one || fail "checkpoint: $?"
    ctlc start --checkpoint one "$id" || fail "start from a checkpoint: $?"
    say two
    same "$(ctlc logs "$id")" "1 one
2 two"
    ctlc kill "$id" >/dev/null
}

# What CRIU cannot dump: an open connection.  The container does not notice.
t_checkpoint_refused() {
    start $image sh -c "sleep 9999 | nc -lp 99 >/dev/null & sleep 2; sleep 9999 | nc 127.0.0.1 99 & $counter"
    connected() { ctlc exec "$id" netstat -tn | grep -q ESTABLISHED; }
    until_true connected
    has "$(ctlc checkpoint create "$id" one 2>&1)" "criu dump failed: "
    same "$(ctlc checkpoint ls "$id")" "CHECKPOINT NAME"
    same "$(inspect "$id" .State.Running)" true
    counts_on "a checkpoint that failed"
    # Unless the administrator tells it to.
    mkdir -p /etc/criu
    echo tcp-established >/etc/criu/containerd-lite.conf
    ctlc checkpoint create "$id" one || fail "checkpoint with a connection: $?"
    ctlc start --checkpoint one "$id" || fail "start from it: $?"
    rm /etc/criu/containerd-lite.conf
    connected || fail "the connection is gone"
    counts_on "a restore with a connection"
}

t_quiet_kernel() {
    local told
    # What t_pids provoked is no complaint about us.
    told=$(dmesg | grep -i -e overlayfs -e 'cgroup:' | grep -v 'fork rejected by pids')
    same "$told" '' "what the kernel complains of"
}

# ---- size limits: another daemon, on a file system with project quota ----

quota_ctlc() { CTLC_TIMEOUT=30 ctlc -H unix:///tmp/quota/sock "$@"; }
writes() { quota_ctlc run --rm --network none "$@"; }

# size_limits DRIVER: what the root file system is limited to is all that fits, for everybody alone.
size_limits() {
    local out big="dd if=/dev/zero of=/big bs=1M count=100"
    same "$(quota_ctlc info -f '{{.Driver}}')" "$1"
    out=$(writes --storage-opt size=20m $image sh -c "$big" 2>&1) && fail "100 MiB fit into 20: $out"
    case $out in *"No space left on device"* | *"Disk quota exceeded"*) ;; *) fail "$out" ;; esac
    writes --storage-opt size=200m $image $big || fail "100 MiB do not fit into 200"
    writes $image $big || fail "without a limit: $?"
    # Two at a time, each its own; one that was stopped keeps what it has, and its limit.
    one=$(quota_ctlc run -d --network none --storage-opt size=20m $image sleep 1000)
    two=$(quota_ctlc run -d --network none --storage-opt size=20m $image sleep 1000)
    for c in $one $two; do
        quota_ctlc exec $c dd if=/dev/zero of=/a bs=1M count=12 || fail "12 MiB do not fit into 20"
    done
    # What is renamed, linked, removed and copied up stays in the bounds.
    quota_ctlc exec $one sh -c 'mv /a /b; ln /b /c; mkdir /d; mv /b /d/b; rm /c; mv /etc/passwd /etc/p' ||
        fail "renaming within the limit: $?"
    quota_ctlc restart -t 0 $one >/dev/null
    quota_ctlc exec $one dd if=/dev/zero of=/e bs=1M count=12 && fail "24 MiB fit into 20 after a restart"
    quota_ctlc exec $one sh -c 'rm /e; rm /d/b; dd if=/dev/zero of=/f bs=1M count=12' || fail "removing frees: $?"
    same "$(xfs_limits)" 2 "limits on record"
    quota_ctlc rm -f $one $two >/dev/null
    no_limits() { [ "$(xfs_limits)" = 0 ]; } # they go with the files, behind the answer
    until_true no_limits
    same "$(xfs_limits)" 0 "limits on record"
    out=$(quota_ctlc create --storage-opt size=ten $image 2>&1) && fail "size=ten: $out"
    has "$out" "invalid size: 'ten'"
    out=$(quota_ctlc create --storage-opt inodes=5 $image 2>&1) && fail "inodes=5: $out"
    has "$out" "Unknown option inodes"
}

# Of other projects than 0.
xfs_limits() { repquota -P -n /tmp/quota/disk 2>/dev/null | grep -c '^#[1-9].* [1-9][0-9]* *[1-9][0-9]* *[1-9]'; }

quota_daemon() {
    local driver=$1 mkfs=$2
    shift 2
    mkdir -p /tmp/quota/disk
    truncate -s 600M /tmp/quota/image
    $mkfs /tmp/quota/image >/dev/null 2>&1 || fail "$mkfs: $?"
    mount -o loop,prjquota /tmp/quota/image /tmp/quota/disk || fail "mount: $?"
    containerd-lite --data-root /tmp/quota/disk/data --exec-root /tmp/quota/run --bridge none \
        --pidfile /tmp/quota/pid -s "$driver" -H unix:///tmp/quota/sock >/tmp/quota/log 2>&1 &
    daemon=$!
    trap 'kill $daemon; wait $daemon; umount -l /tmp/quota/disk; rm -rf --one-file-system /tmp/quota' EXIT
    until_true test -S /tmp/quota/sock
    until_true quota_ctlc version >/dev/null
    ( size_limits "$driver" ) || { tail -n 20 /tmp/quota/log; exit 1; }
}

t_size_xfs() { quota_daemon overlay2 'mkfs.xfs -q'; }
t_size_ext4() { quota_daemon overlay2 'mkfs.ext4 -q -O quota,project -E quotatype=prjquota'; }
t_size_vfs() { quota_daemon vfs 'mkfs.xfs -q'; }

t_size_refused() {
    systemctl start containerd-lite.socket
    local out
    out=$(ctlc create --storage-opt size=1g $image 2>&1) && fail "a limit without quota: $out"
    has "$out" "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
}

# ---- nothing is left ----

nothing_left() {
    same "$(ctlc ps -aq)" '' "containers"
    no_shims() { ! pgrep -f containerd-lite-shim >/dev/null; }
    until_true no_shims
    same "$(find $parent -mindepth 1 -type d)" $parent/shims "cgroups"
    same "$(cat $parent/shims/cgroup.procs)" '' "processes among the shims"
    same "$(journalctl -u $unit -o cat --no-pager | grep -c -e left-over -e 'remains running')" 0 \
        "processes left in the service's cgroup"
    same "$(ip -o link show type veth)" '' "veth pairs"
    same "$(grep -c -e overlay -e containerd-lite /proc/self/mountinfo)" "$mounts" "mounts"
    # Ours stay, of IPv4 and IPv6, and there are no others.
    same "$(nft list tables | sort)" "$(printf 'table %s containerd-lite\n' ip ip6)" "nft tables"
    has "$(nft list ruleset)" containerd
    # A port has two parts at least; the relay's own, which stays, has one.
    same "$(nft list maps | grep -c 'elements.* \. ')" 0 "published ports: $(nft list maps | grep -A2 elements)"
    same "$(ls /run/containerd-lite 2>/dev/null | grep -E '^[0-9a-f]{12,}$')" '' "run directories"
    same "$(journalctl -b -u $unit -o cat --no-pager | grep -c 'Scheduled restart job')" \
        "$(cat "$work/ended" 2>/dev/null | wc -l)" "restarts by systemd"
    same "$(journalctl -u $unit -o cat --no-pager | grep -c -i -e assert -e ' error')" 0 \
        "$(journalctl -u $unit -o cat --no-pager | grep -i -e assert -e error)"
}

t_leaves_nothing() { nothing_left; }

# ---- the host goes down without a word ----

# Not counted when it succeeds: the second run of this script begins with the next case.
t_host_reset() {
    local name
    local keep='[ -e /kept ] || { mkdir -p /w; echo served >/w/index.html; echo text >/kept; }; exec httpd -f -p 80 -h /w'
    systemctl -q enable $unit
    ctlc run -d --restart always --name forever -p 8080:80 $image sh -c "$keep" >/dev/null || fail "run: $?"
    ctlc run -d --restart always --userns auto --name mapped $image sh -c 'touch /f; sleep 1000' >/dev/null ||
        fail "run --userns: $?"
    ctlc run -d --name plain -m 32m $image sleep 1000 >/dev/null || fail "run: $?"
    ctlc run -d --rm --name fleeting $image sh -c 'touch /f; sleep 1000' >/dev/null || fail "run --rm: $?"
    ctlc create --name idle $image echo idle >/dev/null || fail "create: $?"
    for name in unless-stopped.on unless-stopped.off always.off on-failure.on; do
        ctlc run -d --restart ${name%.*} --name $name $image sleep 1000 >/dev/null || fail "run --restart: $?"
    done
    ctlc stop -t 0 unless-stopped.off always.off >/dev/null || fail "stop: $?"
    until_true ctlc exec forever test -e /kept
    echo "passed=$passed failed=$failed selected=(${selected[*]:$((passed + failed + 1))})" >/job/again
    sync
    ctlc run -d --name late $image sleep 1000 >/dev/null # may be forgotten, but not by half
    echo b >/proc/sysrq-trigger
    sleep 100
    fail "the machine goes on"
}

t_after_reset() {
    local name
    active() { [ "$(systemctl is-active $unit)" = active ]; }
    until_true active
    running() { [ "$(ctlc inspect -f '{{.State.Running}}' "$1")" = true ]; }
    until_true running forever
    until_true running mapped
    for name in unless-stopped.on always.off on-failure.on; do
        until_true running $name
    done
    same "$(inspect unless-stopped.off .State.Status)" exited "one that a client has stopped"
    served() { [ "$(curl -s -m 2 http://127.0.0.1:8080/)" = served ]; }
    until_true served
    same "$(ctlc exec forever cat /kept)" text "a file of before"
    same "$(inspect plain .State.Status)" exited "a container without a policy"
    same "$(inspect plain .State.ExitCode)" 255 "its exit code"
    same "$(ctlc ps -aqf name=fleeting)" '' "the container of run --rm"
    same "$(ctlc start -a idle)" idle "a container that never ran"
    for name in plain $(ctlc ps -aqf name=late); do
        ctlc start "$name" >/dev/null || fail "start $name: $?"
        running "$name" || fail "$name does not run"
    done
    same "$(cat "$parent/$(inspect plain .Id)/memory.max")" $((32 << 20)) memory.max
    # shellcheck disable=SC2046 # a list
    ctlc rm -f $(ctlc ps -aq) >/dev/null || fail "rm: $?"
    nothing_left
}

t_stop_service() {
    systemctl stop containerd-lite.socket $unit
    same "$(systemctl show -P Result $unit)" success
    same "$(systemctl show -P ExecMainStatus $unit)" 0
}

lsblk_number() { printf '%d:%d\n' $((16#$(stat -c %t "$1"))) $((16#$(stat -c %T "$1"))); }
weight() { echo $(($1 * 100 / 1024)); } # systemd's: twice the shares are twice the time

work=$(mktemp -d /root/test.XXXXXX)
systemd-sysusers && systemd-tmpfiles --create 2>/dev/null
systemctl daemon-reload
mounts=$(grep -c -e overlay -e containerd-lite /proc/self/mountinfo)
passed=0 failed=0
[ $# -gt 0 ] || mapfile -t selected < <(grep -o '^t_[a-z0-9_]*' "$0")
[ $# -eq 0 ] || selected=("$@")
if [ -e /job/again ]; then
    . /job/again
    rm /job/again
fi
# attempt CASE: run it in a subshell, its output in $work/log.
attempt() { (ulimit -c 0; "$1") >"$work/log" 2>&1; }
for case in "${selected[@]}"; do
    from=${EPOCHREALTIME/./}
    verdict=ok
    if ! attempt $case; then
        # An emulated machine stalls at times.  Once more, and both outcomes are told.
        printf '%-8s %-20s at first:\n' again "${case#t_}"
        cat "$work/log"
        attempt $case || verdict=FAILED
    fi
    printf '%-8s %-20s %6d ms\n' $verdict "${case#t_}" $(((${EPOCHREALTIME/./} - from) / 1000))
    if [ $verdict = ok ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        cat "$work/log"
        { echo "FAIL ${case#t_}"; cat "$work/log"; } >>/root/failures
    fi
done
if [ $failed -ne 0 ]; then
    journalctl -u $unit -o cat --no-pager | tail -n 40
    cat /root/failures
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
