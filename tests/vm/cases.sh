#!/bin/bash
# cases.sh BUILD [CASE...]
# Installs the build into a guest with Debian's own kernel, systemd and pure cgroup v2, and runs
# test.sh there.  The guest is made once, in BUILD/vm.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
here=$(dirname "$(readlink -f "$0")")
build=$1
shift
bash "$here/image.sh" "$build/vm"
rm -rf "$build/vm/tree"
DESTDIR=$build/vm/tree cmake --install "$build" >/dev/null
PYTHONDONTWRITEBYTECODE=1 "$here/many_layers.py" "$build/share/containerd-lite/images/busybox.tar" "$build/vm/many.tar"
exec bash "$here/boot.sh" -t "${VM_TIMEOUT:-1400}" -k "${VM_KERNEL_ARGS-}" -l "$build/vm/console" \
    -a "$here/test.sh" -a "$here/cases" -a "$build/vm/many.tar" "$build/vm" "$build/vm/tree" bash ./test.sh "$@"
