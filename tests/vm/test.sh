#!/bin/bash
# What the guest proves: the engine as installed, started by systemd, on pure cgroup v2 and a kernel
# without the newer mount options.  Runs in the guest only; each case is a function of the
# name t_* in a file of cases/, in the order of these; it fails by the first command that does.
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
lsblk_number() { printf '%d:%d\n' $((16#$(stat -c %t "$1"))) $((16#$(stat -c %T "$1"))); }
weight() { echo $(($1 * 100 / 1024)); } # systemd's: twice the shares are twice the time

files=()
for part in service limits scopes isolation apparmor checkpoints storage end; do
    files+=("${0%/*}/cases/$part.sh")
    # shellcheck source=/dev/null
    . "${files[-1]}"
done

work=$(mktemp -d /root/test.XXXXXX)
systemd-sysusers && systemd-tmpfiles --create 2>/dev/null
systemctl daemon-reload
mounts=$(grep -c -e overlay -e containerd-lite /proc/self/mountinfo)
passed=0 failed=0
[ $# -gt 0 ] || mapfile -t selected < <(grep -ho '^t_[a-z0-9_]*' "${files[@]}")
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
