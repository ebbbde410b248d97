#!/bin/sh
# From a bare Debian 12 to a running container, or to a test report:
#
#     sudo ./quickstart.sh [IMAGE [COMMAND...]]    default: busybox sh
#     sudo ./quickstart.sh test
#
# Installs what is missing, builds what is out of date, and never does either twice.
set -eu
cd "$(dirname "$0")"
export HOME="${HOME:-/root}" PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

build_packages="gcc libc6-dev cmake ninja-build pkg-config check busybox-static
    libuv1-dev libmicrohttpd-dev libjansson-dev libnl-3-dev libnl-route-3-dev libnftnl-dev
    libmnl-dev libsqlite3-dev libseccomp-dev libarchive-dev libzstd-dev zlib1g-dev liblzma-dev libisal-dev libssl-dev nettle-dev
    libcurl4-openssl-dev libncurses-dev"
# docker.io: the stock client drives our daemon, the stock daemon is the yardstick.
test_packages="docker.io curl python3 python3-docker python3-yaml python3-jsonschema socat
    iproute2 nftables procps systemd qemu-system-x86 mmdebstrap e2fsprogs
    docker-registry docker-compose skopeo umoci oci-image-tool openssl btrfs-progs zstd clang libclang-rt-14-dev
    nginx-light redis-server postgresql postgresql-client iperf3 openssh-server openssh-client bind9-dnsutils dnsperf tcpdump
    lxcfs lintian git"

socket=/var/run/daemon.sock
pidfile=/run/containerd-lite.pid
daemon_log=/var/log/containerd-lite.log
build_log=build/quickstart.log
test_log=build/tests.log

say() { printf '%s\n' "quickstart: $*" >&2; }
die() { say "$*"; exit 1; }

# Run a command with its output in the log, which is shown only if the command fails.
quietly() {
    "$@" >>"$build_log" 2>&1 </dev/null && return 0
    tail -n 60 "$build_log" >&2
    die "failed: $* (all of it in $build_log)"
}

missing() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s ' "$package"
    done
}

# A package that brings a service must not start it: the machine's owner did not ask for one.
# Debian's services ask policy-rc.d before they start; 101 is its "no".  A subshell, so that the
# trap takes the answer away again however this ends.
install_packages() (
    command -v apt-get >/dev/null || die "this needs Debian's apt-get; install by hand: $*"
    say "installing: $*"
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        trap 'exit 1' HUP INT TERM
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
    fi
    export DEBIAN_FRONTEND=noninteractive
    # A machine that has just booted may be busy with its own upgrades.
    quietly apt-get -q -o DPkg::Lock::Timeout=300 update
    quietly apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@"
    # Nor may it come up with the next boot.
    [ -d /run/systemd/system ] || return 0
    for package in "$@"; do
        case $package in
        docker.io) units="docker.service docker.socket containerd.service" ;;
        nginx-light) units=nginx.service ;;
        redis-server) units=redis-server.service ;;
        postgresql) units=postgresql.service ;;
        *) continue ;;
        esac
        # shellcheck disable=SC2086 # a list of names
        systemctl -q disable $units 2>/dev/null || :
    done
)

need() {
    lacking=$(missing "$@")
    # shellcheck disable=SC2086 # a list of names
    [ -z "$lacking" ] || install_packages $lacking
}

# build PRESET [TARGET]: ninja configures again by itself when a build file has changed.
build() {
    if [ ! -e "build/$1/build.ninja" ]; then
        say "configuring build/$1"
        quietly cmake --preset "$1"
    fi
    say "building build/$1 (output in $build_log)"
    quietly ninja -C "build/$1" ${2:+"$2"}
}

answers() { build/release/bin/ctlc -H "unix://$socket" version >/dev/null 2>&1; }

# The daemon of an older build gives way; its containers go on without noticing.
stop_old_daemon() {
    old=$(cat $pidfile 2>/dev/null) || return 0
    case $(readlink "/proc/$old/exe" 2>/dev/null) in
    */build/release/bin/containerd-lite" (deleted)") ;;
    *) return 0 ;;
    esac
    say "stopping the daemon of an older build; containers go on"
    kill "$old" 2>/dev/null || return 0
    tries=0
    while kill -0 "$old" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -le 100 ] || die "the old daemon (process $old) does not end"
        sleep 0.1
    done
}

start_daemon() {
    stop_old_daemon
    ! answers || return 0
    setsid build/release/bin/containerd-lite --pidfile $pidfile \
        </dev/null >>$daemon_log 2>&1 9>&- &
    daemon=$!
    tries=0
    until answers; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 $daemon 2>/dev/null; then
            tail -n 20 $daemon_log >&2
            die "the daemon does not answer on $socket (log: $daemon_log)"
        fi
        sleep 0.1
    done
    say "started a daemon on $socket, log $daemon_log; stop it with: kill \$(cat $pidfile)"
}

run_container() {
    # shellcheck disable=SC2086 # a list of names
    need $build_packages
    build release
    start_daemon
    exec 9>&-
    [ $# -gt 0 ] || set -- busybox
    if [ -t 0 ] && [ -t 1 ]; then
        [ $# -gt 1 ] || set -- "$1" sh
        say "ctlc run -it --rm $*"
        exec build/release/bin/ctlc -H "unix://$socket" run -it --rm "$@"
    fi
    say "ctlc run --rm $*"
    # shellcheck disable=SC2016 # for the container's shell
    [ $# -gt 1 ] || set -- "$1" sh -c 'echo "hello from $(hostname), process $$ of its own world"; uname -sr; id'
    exec build/release/bin/ctlc -H "unix://$socket" run --rm "$@"
}

# Add up ctest's reports: a Check program and the integration runner tell how many cases they hold;
# a program that ended without telling (crash, time limit) counts as one.
# shellcheck disable=SC2016 # awk's $1
summary='
    /^[0-9]+: .*Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
        k = $1 + 0; match($0, /Checks: [0-9]+/); n = substr($0, RSTART + 8, RLENGTH - 8) + 0
        match($0, /Failures: [0-9]+/); f = substr($0, RSTART + 10, RLENGTH - 10) + 0
        match($0, /Errors: [0-9]+/); f += substr($0, RSTART + 8, RLENGTH - 8) + 0
        good[k] += n - f; bad[k] += f
    }
    /^[0-9]+: [0-9]+ passed, [0-9]+ failed/ { k = $1 + 0; good[k] += $2; bad[k] += $4 }
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+:/ {
        match($0, /#[0-9]+/); k = substr($0, RSTART + 1, RLENGTH - 1) + 0
        ok = / Passed /
        if (ok && good[k] + bad[k] == 0) good[k] = 1
        if (!ok && bad[k] == 0) bad[k] = 1
        passed += good[k]; failed += bad[k]; delete good[k]; delete bad[k]
    }
    END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 || passed == 0 }
'

# The clients of Node once for all builds; a registry that cannot be reached is told by the tests,
# which are skipped then.
fetch_node_clients() {
    export CTL_NODE="$PWD/build/node"
    cmp -s tests/integration/node/package-lock.json build/node/node_modules/package-lock.json && return 0
    say "fetching stock clients into build/node"
    mkdir -p build/node
    cp tests/integration/node/package*.json build/node/
    (cd build/node && npm ci --ignore-scripts --no-audit --no-fund) >>"$build_log" 2>&1 </dev/null || return 0
    cp build/node/package-lock.json build/node/node_modules/
}

# The same of a Debian image, which takes a mirror of Debian.
fetch_debian() {
    export CTL_DEBIAN="$PWD/build/debian.tar"
    [ ! -e "$CTL_DEBIAN" ] || return 0
    say "making a Debian for the tests"
    tests/integration/debian.sh "$CTL_DEBIAN" >>"$build_log" 2>&1 </dev/null || return 0
}

run_tests() {
    # Stock clients of Node are tests too; any node will do.
    { command -v node && command -v npm; } >/dev/null || test_packages="$test_packages nodejs npm"
    # shellcheck disable=SC2086 # lists of names
    need $build_packages $test_packages
    fetch_node_clients
    fetch_debian
    build release
    build asan
    build fuzz fuzzers
    : >"$test_log"
    status=0
    # A container's process swaps what is copied for so long (tests/integration/test_cp.py).
    export CTL_RACE_SECONDS=60
    for preset in release asan fuzz; do
        say "testing build/$preset"
        only=
        [ $preset != fuzz ] || only="-L fuzz -j $(nproc)"
        # shellcheck disable=SC2086 # a list of options
        { ctest --test-dir "build/$preset" $only --verbose --no-tests=error 2>&1 </dev/null 9>&- ||
            echo "quickstart: ctest failed"; } | tee -a "$test_log"
    done
    if grep -qx "quickstart: ctest failed" "$test_log"; then
        status=1
        say "what failed (all of it in $test_log):"
        grep -E '^[0-9]+: FAIL(ED)? |^[0-9]+: .*:[FE]:|\*\*\*(Failed|Timeout|Exception)|^[0-9]+: SUMMARY: ' "$test_log" >&2 || :
    fi
    awk "$summary" "$test_log" || status=1
    return $status
}

[ "$(id -u)" = 0 ] || die "please run as root: sudo ./quickstart.sh"
mkdir -p build
# One at a time: a second run waits and then finds the work done.
exec 9>build/.lock
flock 9
: >"$build_log"

if [ "${1-}" = test ] && [ $# -eq 1 ]; then
    run_tests
else
    run_container "$@"
fi
