#!/bin/bash
# package.sh BUILD
# Installs, upgrades and purges the Debian package in BUILD/package, which tests/package makes, in the guest of
# image.sh, under systemd.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
here=$(dirname "$(readlink -f "$0")")
build=$1
shopt -s nullglob
packages=("$build"/package/containerd-lite_*.deb)
[ ${#packages[@]} -eq 1 ] || { echo "package.sh: not one package in $build/package: ${packages[*]}" >&2; exit 2; }

bash "$here/image.sh" "$build/vm"
work=$(mktemp -d "$build/vm/package.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$work/tree"
cp "${packages[0]}" "$work/old.deb"
dpkg-deb -R "$work/old.deb" "$work/next"
sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/next" "$work/new.deb" >/dev/null
bash "$here/boot.sh" -t "${VM_TIMEOUT:-600}" -k "${VM_KERNEL_ARGS-}" -l "$build/vm/console-package" \
    -a "$here/package_test.sh" -a "$work/old.deb" -a "$work/new.deb" "$build/vm" "$work/tree" \
    bash ./package_test.sh /job/old.deb /job/new.deb
