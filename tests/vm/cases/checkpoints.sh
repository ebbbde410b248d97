# shellcheck shell=bash disable=SC2154
# Checkpoints by the real CRIU.

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
