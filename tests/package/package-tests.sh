#!/bin/bash
# package-tests.sh SOURCE BUILD
# Installs BUILD into directories; makes a release of SOURCE's last commit and builds the Debian package from it
# elsewhere, for BUILD/package; has lintian look at it, and in a clean Debian 12 installs it, runs a container, upgrades
# it while one is running, removes and purges it.  As root; needs mmdebstrap and lintian.
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
self=$(realpath "$0")
source=$(cd "$1" && pwd)
build=$(cd "$2" && pwd)
export LC_ALL=C.UTF-8
failed=0

fail() { echo "FAIL     $*"; failed=1; }
ok() { echo "ok       $*"; }

use_package() { # what follows the installation, in namespaces of its own
    root=$base/root
    trap 'if [ -s "$root/run/test.pid" ]; then kill "$(<"$root/run/test.pid")"; fi' EXIT
    ip link set lo up
    inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
    check() { # NAME COMMAND...
        local name=$1
        shift
        if "$@" >"$base/log" 2>&1; then ok "$name"; else fail "$name: $*"; cat "$base/log"; fi
    }
    gone() { # PATH in the root
        if compgen -G "$root$1" >/dev/null; then fail "left behind: $1"; else ok "no $1"; fi
    }
    serves() { for ((i = 0; i < 100; i++)); do inside ctlc version >/dev/null 2>&1 && return; sleep 0.1; done; return 1; }
    start() { inside containerd-lite --pidfile /run/test.pid </dev/null >>"$base/daemon.log" 2>&1 & serves; }
    stop() {
        kill "$(<"$root/run/test.pid")"
        for ((i = 0; i < 100; i++)); do [ -s "$root/run/test.pid" ] || return 0; sleep 0.1; done
        return 1
    }
    install_again() { inside dpkg --install --force-confnew "/${package##*/}"; }

    check group inside getent group containerd-lite
    check conffile grep -q '^Conffiles:' <(inside dpkg -s containerd-lite)
    check files inside dpkg --verify containerd-lite
    check completion inside bash -n /usr/share/bash-completion/completions/ctlc
    for file in zsh/vendor-completions/_ctlc fish/vendor_completions.d/ctlc.fish man/man1/ctlc.1.gz man/man8/containerd-lite.8.gz \
        containerd-lite/images/busybox.tar; do
        check "$file" test -s "$root/usr/share/$file"
    done
    check configuration inside containerd-lite --validate
    check modes test "$(stat -c '%a %U' "$root"/{etc,var/lib}/containerd-lite)" = $'755 root\n711 root'

    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    check start start
    check run inside ctlc run --rm busybox true
    id=$(inside ctlc run -d busybox sleep 1000)
    echo '{"labels": ["kept=yes"]}' >"$root/etc/containerd-lite/daemon.json"
    # Without a service manager nobody restarts the daemon but we.
    check upgrade install_again
    check stop stop
    check restart start
    [ "$(inside ctlc inspect -f '{{.State.Running}}' "$id")" = true ] && ok "runs on" || fail "the container did not outlive the upgrade"
    check configuration grep -q kept=yes <(inside ctlc info)
    check remove inside dpkg --remove containerd-lite
    check stopped stop
    grep -q . "$root/etc/containerd-lite/daemon.json" && ok "configuration stays" || fail "configuration is gone"
    check purge inside dpkg --purge containerd-lite
    for path in /usr/bin/ctlc /usr/sbin/containerd-lite /usr/libexec/containerd-lite /etc/containerd-lite /var/lib/containerd-lite \
        /run/containerd-lite '/usr/share/*/containerd-lite*' '/etc/systemd/system/*/containerd-lite*' \
        '/var/lib/systemd/deb-systemd-helper-*/containerd-lite*'; do
        gone "$path"
    done
    if inside ls /proc/*/exe -l 2>/dev/null | grep -q "$base.*containerd-lite"; then fail "a process is left"; else ok "no process"; fi
    exit $failed
}

if [ -n "${CTL_PACKAGE_BASE-}" ]; then
    base=$CTL_PACKAGE_BASE package=$build/package/$CTL_PACKAGE_NAME
    use_package
fi

# installed NAME DESTDIR PREFIX [OPTION...]: what cmake --install writes is in DESTDIR/PREFIX, and knows of PREFIX only.
installed() {
    local name=$1 top=${2:-$3} where=$2$3 prefix=$3 file
    local -x DESTDIR=$2
    shift 3
    mkdir -p "$top"
    # Writing elsewhere fails, but for the build directory, where its own list goes.
    unshare --mount --propagation private sh -ec \
        'mount --bind "$1" "$1"; mount --bind "$2" "$2"; mount -o remount,bind,ro /; shift 2; exec "$@"' \
        - "$build" "$top" cmake --install "$build" "$@" >"$base/log" 2>&1 || { fail "install $name"; cat "$base/log"; return; }
    for file in bin/ctlc sbin/containerd-lite libexec/containerd-lite/containerd-lite-{shim,layer} \
        share/containerd-lite/images/busybox.tar lib/systemd/system/containerd-lite.{service,socket} \
        lib/sysusers.d/containerd-lite.conf lib/tmpfiles.d/containerd-lite.conf \
        share/man/man1/ctlc.1 share/man/man8/containerd-lite.8 share/bash-completion/completions/ctlc \
        share/zsh/site-functions/_ctlc share/fish/vendor_completions.d/ctlc.fish; do
        [ -s "$where/$file" ] || fail "install $name: no $file"
    done
    while read -r file; do fail "install $name: $file is outside"; done < <(find "$top" ! -type d ! -path "$where/*")
    file=$where/lib/systemd/system/containerd-lite.service
    grep -qx "ExecStart=$prefix/sbin/containerd-lite -H fd://" "$file" || fail "install $name: $(grep ^ExecStart= "$file")"
    if "$where/bin/ctlc" --version >/dev/null; then ok "ctlc, install $name"; else fail "install $name: ctlc does not start"; fi
}

base=$(mktemp -d /tmp/ctl-package-XXXXXX)
root=$base/root
mkdir "$root"
trap 'rm -rf --one-file-system "$base"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$build/CMakeCache.txt")
installed DESTDIR "$base/destdir" "$prefix"
installed prefix '' "$base/prefix" --prefix "$base/prefix"
installed both "$base/both" /opt/engine --prefix /opt/engine

# Where there is no .git it is such a tree already.
if [ -e "$source/.git" ]; then
    cmake --build "$build" -t dist
    tar -xf "$build"/containerd-lite-*.tar.gz -C "$base"
    source=$(echo "$base"/containerd-lite-*/)
fi
cmake -S "$source" -B "$base/build" --preset package >/dev/null
cmake --build "$base/build" -t all -t package >"$base/build.log" 2>&1 || { tail -50 "$base/build.log"; exit 1; }
shopt -s nullglob
packages=("$base"/build/containerd-lite_*.deb)
[ ${#packages[@]} -eq 1 ] || { echo "not one package: ${packages[*]}"; exit 1; }
ok "package from a release"
if cmake --build "$base/build" -t dist >"$base/log" 2>&1; then fail "a release of no commit"; fi
grep -q "is no git checkout" "$base/log" || { fail "why there is no release of a release"; cat "$base/log"; }
rm -rf "$build/package"
mkdir "$build/package"
cp "${packages[0]}" "$build/package/"
package=$build/package/${packages[0]##*/}
if lintian --allow-root --fail-on error,warning "$package"; then ok lintian; else fail lintian; fi

mmdebstrap --quiet --mode=root --variant=minbase --aptopt='APT::Install-Recommends "false"' \
    --customize-hook="copy-in $package /" \
    --customize-hook='for p in "$1"/containerd-lite_*.deb; do chroot "$1" apt-get -qq install -y "/${p##*/}" >"$1/install.log" 2>&1 || { cat "$1/install.log"; exit 1; }; done' \
    bookworm "$root"
ok install

CTL_PACKAGE_BASE=$base CTL_PACKAGE_NAME=${package##*/} unshare --mount --net --propagation private "$self" "$source" "$build" || failed=1
exit $failed
