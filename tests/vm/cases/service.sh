# shellcheck shell=bash disable=SC2154
# The service: started, reloaded, ended and watched by systemd, and its containers go on.

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
