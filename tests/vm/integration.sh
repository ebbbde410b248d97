#!/bin/bash
# integration.sh BUILD [FILE...]
# Runs integration tests (files of tests/integration, by default what ctest runs there) in the guest of image.sh:
# Debian's own kernel, systemd, pure cgroup v2.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
here=$(dirname "$(readlink -f "$0")")
repository=$(dirname "$(dirname "$here")")
build=$1
shift
# What depends on the layout of cgroups, and the life of containers.
files=(test_lifecycle.py test_cgroup.py test_knobs_effect.py test_knobs_update.py test_stats.py test_health.py)
[ $# -eq 0 ] || files=("$@")

bash "$here/image.sh" "$build/vm"
tree=$build/vm/tests
rm -rf "$tree"
mkdir -p "$tree/opt/repository/"{tests,api} "$tree/opt/build/bin" "$tree/opt/build/share" "$tree/usr/local/bin"
cp -r "$repository/tests/integration" "$tree/opt/repository/tests/"
cp "$repository/api/openapi.yaml" "$tree/opt/repository/api/"
cp -r "$build/share/containerd-lite" "$tree/opt/build/share/"
for program in containerd-lite containerd-lite-shim containerd-lite-layer ctlc; do
    strip -o "$tree/opt/build/bin/$program" "$build/bin/$program"
done
# The stock client's.
strip -o "$tree/usr/local/bin/docker" "$(command -v docker)"
exec bash "$here/run.sh" -t "${VM_TIMEOUT:-1800}" -k "${VM_KERNEL_ARGS-}" -l "$build/vm/console-tests" "$build/vm" "$tree" \
    env CTL_SLOW="${CTL_SLOW:-15}" python3 /opt/repository/tests/integration/run.py --build /opt/build --jobs 2 "${files[@]}"
