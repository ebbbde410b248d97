#!/bin/bash
# boot.sh [-t SECONDS] [-l FILE] [-k WORDS] [-a PATH]... IMAGE_DIR TREE COMMAND...
# Boots the guest that image.sh built, throw-away and without a network; copies TREE over its root
# and what is given by -a into /job; runs COMMAND there, prints its output (both streams as
# one) and exits with its status.  A command that writes /job/again and resets the guest is run
# once more.  -t: time limit, default 600; -l: keep the console's log;
# -k: more words for the kernel's command line.
# 124: out of time.  125: the guest failed; the end of its console is on stderr.
# VM_MEMORY: megabytes, default 2048.  VM_ACCEL=kvm where that works: the default is emulation, which works everywhere.
set -euo pipefail
usage() { sed -n '2,9s/^# //p' "$0" >&2; exit 2; }
limit=600 log='' words='' add=()
while getopts t:l:k:a: opt; do
    case $opt in
    t) limit=$OPTARG ;; l) log=$OPTARG ;; k) words=$OPTARG ;; a) add+=("$OPTARG") ;; *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 3 ] || usage
image=$1 tree=$2
shift 2
[ -f "$image/stamp" ] || { echo "boot.sh: no guest in $image (make it with image.sh)" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/vm-run.XXXXXX")
trap 'kill $(jobs -p) 2>/dev/null || :; wait; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$work/job"
[ ${#add[@]} -eq 0 ] || cp -r "${add[@]}" "$work/job/"
printf '%q ' exec "$@" >"$work/job/command"
tar -cf "$work/job.tar" --owner=0 --group=0 -C "$tree" . -C "$work" job

# Nehalem boots faster than "max", and the cloud kernel has no drivers for "pc".
# The output goes by way of a file: no slow reader can hold up the guest or lose its last lines.
: >"$work/output"
TMPDIR=$work setpriv --pdeathsig TERM timeout -k 5 "$limit" \
    qemu-system-x86_64 -accel "${VM_ACCEL:-tcg,thread=multi,tb-size=512}" -cpu "${VM_CPU:-Nehalem}" \
    -M q35 -smp 2 -m "${VM_MEMORY:-2048}" -nodefaults -no-user-config -display none -nic none \
    -kernel "$image/vmlinuz" \
    -append "root=/dev/nvme0n1 rootfstype=ext4 rw console=ttyS0 panic=-1 mitigations=off loglevel=5 $words" \
    -drive "if=none,id=root,file=$image/root.img,format=raw,snapshot=on,cache=unsafe" \
    -device nvme,drive=root,serial=root \
    -drive "if=none,id=xfs,file=$image/xfs.img,format=raw,snapshot=on,cache=unsafe" \
    -device virtio-blk-pci,drive=xfs,serial=xfs \
    -drive "if=none,id=btrfs,file=$image/btrfs.img,format=raw,snapshot=on,cache=unsafe" \
    -device virtio-blk-pci,drive=btrfs,serial=btrfs \
    -drive "if=none,id=job,file=$work/job.tar,format=raw,readonly=on" \
    -device virtio-blk-pci,drive=job,serial=job \
    -serial "file:$work/console" -device virtio-serial-pci -device virtio-rng-pci \
    -chardev "file,id=output,path=$work/output" -device virtserialport,chardev=output,name=vm.output \
    -chardev "file,id=status,path=$work/status" -device virtserialport,chardev=status,name=vm.status \
    </dev/null &
vm=$!
tail -c +1 -f -s 0.1 --pid=$vm "$work/output" &
reader=$!
code=0
wait $vm || code=$?
wait $reader || :
[ -z "$log" ] || cp "$work/console" "$log"
if [ $code -eq 124 ] || [ $code -eq 137 ]; then
    echo "boot.sh: out of time after $limit s" >&2
    tail -n 30 "$work/console" >&2 || :
    exit 124
fi
status=$(cat "$work/status" 2>/dev/null || :)
if [ $code -ne 0 ] || [ -z "$status" ]; then
    echo "boot.sh: the guest failed (qemu exit $code); its console ended with:" >&2
    tail -n 30 "$work/console" >&2 || :
    exit 125
fi
exit "$status"
