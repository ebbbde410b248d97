#!/bin/bash
# package_test.sh OLD.deb NEW.deb
# Runs in a guest without the engine: its package is installed, upgraded while containers run, removed and purged, and
# systemd is what starts, restarts and stops the service.
set -u
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
unit=containerd-lite.service passed=0 failed=0

fail() { echo "    $*"; exit 1; }
same() { [ "$1" = "$2" ] || fail "${3-} is '$1', not '$2'"; }
ctlc() { timeout -k 1 60 ctlc "$@"; }
until_true() {
    for ((i = 0; i < 300; i++)); do
        "$@" && return 0
        sleep 0.1
    done
    fail "never true: $*"
}
version() { dpkg-query -W -f '${db:Status-Abbrev}${Version}' containerd-lite; }
main_pid() { systemctl show -P MainPID $unit; }
inspect() { ctlc inspect -f "{{$2}}" "$1"; }
lines() { ctlc logs counter | wc -l; }
beyond() { [ "$(lines)" -gt "$1" ]; }

p_installs() {
    dpkg --install "$old" || fail "dpkg: $?"
    same "$(dpkg --audit)" '' "what dpkg complains of"
    same "$(systemctl is-active containerd-lite.socket)" active socket
    same "$(systemctl is-enabled containerd-lite.socket $unit | xargs)" 'enabled enabled' "at the next boot"
    same "$(stat -c '%a %G' /run/daemon.sock)" '660 containerd-lite' "the socket"
    ctlc run --rm busybox true || fail "run: $?"
    same "$(readlink "/proc/$(main_pid)/exe")" /usr/sbin/containerd-lite "the daemon"
    same "$(systemctl show -P FragmentPath $unit)" /lib/systemd/system/$unit "the unit"
}

p_upgrades() {
    local pid daemon seen
    echo '{"labels": ["kept=yes"]}' >/etc/containerd-lite/daemon.json
    ctlc run -d --name counter -m 64m busybox sh -c 'i=0; while [ ! -e /stop ]; do echo $((i += 1)); sleep 0.2; done; exit 7' ||
        fail "run: $?"
    until_true beyond 1
    pid=$(inspect counter .State.Pid) daemon=$(main_pid) seen=$(lines)
    dpkg --install "$new" || fail "dpkg: $?"
    same "$(version)" "ii $(dpkg-deb -f "$new" Version)" version
    [ "$(main_pid)" != "$daemon" ] || fail "the old daemon serves"
    same "$(readlink "/proc/$(main_pid)/exe")" /usr/sbin/containerd-lite "the daemon"
    same "$(inspect counter .State.Running)" true running
    same "$(inspect counter .State.Pid)" "$pid" pid
    until_true beyond $((seen + 5))
    ctlc logs counter | awk '$1 != NR { exit 1 }' || fail "the log has gaps: $(ctlc logs counter | xargs)"
    same "$(ctlc info -f '{{.Labels}}')" '[kept=yes]' "labels of the administrator's configuration"
    ctlc exec counter touch /stop || fail "exec: $?"
    same "$(ctlc wait counter)" 7 "exit code"
}

p_removes() {
    local pid
    ctlc network create own || fail "network create: $?"
    ctlc run -d --name last --network own -p 8080:80 --stop-signal KILL busybox sleep 1000 || fail "run: $?"
    pid=$(inspect last .State.Pid)
    dpkg --remove containerd-lite || fail "dpkg: $?"
    gone() { [ ! -d "/proc/$pid" ] && ! pgrep -f containerd-lite; }
    until_true gone
    same "$(systemctl is-active containerd-lite.socket $unit | xargs)" 'inactive inactive'
    [ ! -e /usr/bin/ctlc ] || fail "ctlc is left"
    same "$(grep -c containerd-lite /proc/self/mountinfo)" 0 mounts
    same "$(find /sys/fs/cgroup -name '*containerd-lite*')" '' cgroups
    same "$(nft list tables)" '' "nft tables"
    same "$(ip -o link show | awk -F': ' '$2 != "lo" { print $2 }')" '' interfaces
    grep -q kept=yes /etc/containerd-lite/daemon.json || fail "the configuration is gone"
}

p_purges() {
    dpkg --purge containerd-lite || fail "dpkg: $?"
    dpkg-query -W containerd-lite 2>/dev/null && fail "dpkg knows of it"
    same "$(find /etc /run /var /usr/{bin,sbin,libexec,lib/systemd} -name '*containerd-lite*' -o -name '*ctlc*')" '' files
    same "$(systemctl list-unit-files --no-legend 'containerd-lite*')" '' units
    same "$(systemctl list-units --all --no-legend --failed)" '' "failed units"
}

old=$1 new=$2
log=$(mktemp)
for case in p_installs p_upgrades p_removes p_purges; do
    from=${EPOCHREALTIME/./} verdict=ok
    ($case) >"$log" 2>&1 || verdict=FAILED
    printf '%-8s %-20s %6d ms\n' $verdict "${case#p_}" $(((${EPOCHREALTIME/./} - from) / 1000))
    if [ $verdict = ok ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        sed "1s/^/FAIL ${case#p_}\n/" "$log"
        journalctl -u $unit -o cat --no-pager | tail -n 40
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
