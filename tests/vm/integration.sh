#!/bin/bash
# integration.sh BUILD [--all] [-k WORD] [FILE...]
# Runs integration tests in the guest of image.sh: Debian's own kernel, systemd, pure cgroup v2.  By default what
# depends on those; --all is every file, in a second guest that has the programs of all tests, in BUILD/vm/all.
set -euo pipefail
usage() { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
[ $# -ge 1 ] || usage
here=$(dirname "$(readlink -f "$0")")
repository=$(dirname "$(dirname "$here")")
build=$1
shift

# What cgroups, the kernel, systemd and AppArmor do to it.
files=(test_lifecycle.py test_cgroup.py test_knobs_effect.py test_knobs_update.py test_stats.py test_health.py
    test_knobs_bad.py test_knobs_net.py test_metrics.py test_knobs_io.py test_security.py test_restart.py test_procview.py)
# What tests of all files call, as in quickstart.sh.  Without a network there is nothing to fetch for two of them.
programs=(docker.io docker-registry docker-compose skopeo umoci oci-image-tool openssl xz-utils bzip2 git iptables
    nginx-light redis-server postgresql postgresql-client iperf3 openssh-server openssh-client bind9-dnsutils
    dnsperf tcpdump psmisc)
not_here=(test_stock_node.py test_debian.py)

all='' words=() named=()
while [ $# -gt 0 ]; do
    case $1 in
    --all) all=1 ;;
    -k) [ $# -ge 2 ] || usage; words=(-k "$2"); shift ;;
    -*) usage ;;
    *) named+=("$(basename "${1%.py}").py") ;;
    esac
    shift
done
[ ${#named[@]} -eq 0 ] || files=("${named[@]}")
guest=$build/vm limit=2400 memory=2048
if [ "$all" ]; then
    [ ${#named[@]} -gt 0 ] || mapfile -t files < <(cd "$repository/tests/integration" && printf '%s\n' test_*.py |
        grep -vxF "$(printf '%s\n' "${not_here[@]}")")
    guest=$build/vm/all limit=14400 memory=4096
    bash "$here/image.sh" "$guest" "${programs[@]}"
else
    bash "$here/image.sh" "$guest"
fi
for file in "${files[@]}"; do
    [ -e "$repository/tests/integration/$file" ] || { echo "integration.sh: no $file in tests/integration" >&2; exit 2; }
done

tree=$build/vm/tests
rm -rf "$tree"
mkdir -p "$tree/opt/repository/"{tests,api} "$tree/opt/build/bin" "$tree/opt/build/share" "$tree/usr/local/bin"
cp -r "$repository/tests/integration" "$tree/opt/repository/tests/"
cp "$repository/api/openapi.yaml" "$tree/opt/repository/api/"
cp -r "$repository/docs" "$tree/opt/repository/" # known differences are held against them
cp -r "$build/share/containerd-lite" "$tree/opt/build/share/"
cp -r "$build/docs" "$tree/opt/build/" # the manual that is made of the program
for program in containerd-lite containerd-lite-shim containerd-lite-layer ctlc; do
    strip -o "$tree/opt/build/bin/$program" "$build/bin/$program"
done
# The stock client's.
strip -o "$tree/usr/local/bin/docker" "$(command -v docker)"
VM_MEMORY=${VM_MEMORY:-$memory} exec bash "$here/boot.sh" -t "${VM_TIMEOUT:-$limit}" -k "${VM_KERNEL_ARGS-}" \
    -l "$build/vm/console-tests" "$guest" "$tree" \
    env CTL_SLOW="${CTL_SLOW:-15}" PYTHONDONTWRITEBYTECODE=1 python3 /opt/repository/tests/integration/run.py \
    --build /opt/build --jobs 2 "${words[@]}" "${files[@]}"
