# shellcheck shell=bash disable=SC2154
# The host goes down; and nothing is left.

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

# The next run of this script begins with the next case; the one that calls this is not counted.
goes_on() {
    echo "passed=$passed failed=$failed selected=(${selected[*]:$((passed + failed + 1))})" >/job/again
    sync
}

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
    goes_on
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

# An orderly end: systemd stops the service, then everything.
t_reboot() {
    local name
    systemctl -q enable $unit
    for name in always unless-stopped on-failure:3 no; do
        ctlc run -d --restart $name --name "${name%:*}" $image sleep 1000 >/dev/null || fail "run --restart $name: $?"
    done
    ctlc run -d --restart unless-stopped --name stopped $image sleep 1000 >/dev/null || fail "run: $?"
    # Each gets its own signal, and is killed at its own time; systemd itself would wait 90 s for the deaf one.
    # shellcheck disable=SC2016 # for the container's shell
    ctlc run -d --restart always --name polite -p 8080:80 --stop-signal USR1 $image \
        sh -c 'trap "" TERM; trap "date +%s; exit 0" USR1; echo on; while :; do sleep 0.1; done' >/dev/null || fail "run: $?"
    # shellcheck disable=SC2016
    ctlc run -d --restart always --name deaf --stop-timeout 2 $image \
        sh -c 'trap "" TERM; boot=$(cat /proc/sys/kernel/random/boot_id); while :; do echo "$boot $(date +%s)"; sleep 1; done' \
        >/dev/null || fail "run: $?"
    ctlc stop -t 0 stopped >/dev/null || fail "stop: $?"
    said() { [ "$(ctlc logs "$1" | wc -l)" -ge "$2" ]; }
    until_true said polite 1
    until_true said deaf 1
    goes_on
    systemctl reboot
    sleep 300
    fail "the machine goes on"
}

t_after_reboot() {
    local name told last
    active() { [ "$(systemctl is-active $unit)" = active ]; }
    until_true active
    running() { [ "$(ctlc inspect -f '{{.State.Running}}' "$1")" = true ]; }
    for name in always unless-stopped on-failure polite deaf; do
        until_true running $name
    done
    for name in no stopped; do
        same "$(inspect $name .State.Status)" exited "the container $name"
    done
    said() { [ "$(ctlc logs "$1" | wc -l)" -ge "$2" ]; }
    until_true said polite 3
    told=$(ctlc logs polite | sed -n 2p)
    same "$(ctlc logs polite | xargs)" "on $told on" "what one says that is told to end"
    last=$(ctlc logs deaf | awk 'NR == 1 { boot = $1 } $1 == boot { last = $2 } END { print last }')
    [ "$last" -lt $((told + 60)) ] || fail "one that does not listen went on for $((last - told)) s"
    # shellcheck disable=SC2046 # a list
    ctlc rm -f $(ctlc ps -aq) >/dev/null || fail "rm: $?"
    nothing_left
}

t_stop_service() {
    systemctl stop containerd-lite.socket $unit
    same "$(systemctl show -P Result $unit)" success
    same "$(systemctl show -P ExecMainStatus $unit)" 0
}
