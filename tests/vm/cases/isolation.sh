# shellcheck shell=bash disable=SC2154
# The life of a container, what it may do, how it is reached.

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
