#!/bin/bash
# image.sh DIR [PACKAGE...]
# Builds the guest that boot.sh boots, a small Debian 12 with systemd, and more packages in it: DIR/vmlinuz and
# DIR/root.img, and its disks for storage tests, DIR/xfs.img (project quota) and DIR/btrfs.img.
# Does nothing when DIR holds the same guest already.  Runs as root; needs mmdebstrap and e2fsprogs.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
for tool in mmdebstrap mke2fs; do
    command -v $tool >/dev/null || { echo "image.sh: $tool is missing" >&2; exit 2; }
done

packages=(linux-image-cloud-amd64 systemd-sysv dbus udev kmod iproute2 nftables procps curl
    e2fsprogs quota xfsprogs
    libmicrohttpd12 libjansson4 libuv1 libnl-3-200 libnl-route-3-200 libnftnl11 libmnl0
    libsqlite3-0 libseccomp2 libarchive13 libzstd1 libssl3 libnettle8 libisal2
    apparmor btrfs-progs criu lxcfs zstd
    python3-minimal python3-docker python3-yaml python3-jsonschema socat "${@:2}")
disk_size=6G # of the root file system; the files are sparse
data_size=2G # of the other disks

mkdir -p "$1"
out=$(cd "$1" && pwd)
exec 9>"$out/lock"
flock 9
stamp=$(printf '%s\n' "${packages[@]}" | cat - "$0" | sha256sum)
[ ! -f "$out/stamp" ] || [ "$(<"$out/stamp")" != "$stamp" ] || exit 0
rm -f "$out/stamp"
work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
root=$work/root

# No initrd: the drivers of the root disk and its file system are built into the cloud kernel.
INITRD=No mmdebstrap --quiet --mode=root --variant=minbase \
    --include="$(IFS=,; echo "${packages[*]}")" --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$root"

echo vm >"$root/etc/hostname"
echo '127.0.0.1 localhost vm' >"$root/etc/hosts"
echo '/dev/nvme0n1 / ext4 rw,noatime 0 0' >"$root/etc/fstab"
mkdir -p "$root/srv/xfs" "$root/srv/btrfs"
for unit in getty@tty1.service serial-getty@ttyS0.service systemd-timesyncd.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service lxcfs.service \
    docker.service docker.socket containerd.service docker-registry.service \
    nginx.service redis-server.service postgresql.service ssh.service named.service iperf3.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# The guest's end of boot.sh: unpack the job, run it, send back its output and its status.  Where the
# command left the file /job/again before it reset the machine, it runs again; without it a second
# boot is a crash.
cat >"$root/usr/local/sbin/vm-job" <<'JOB'
#!/bin/bash
disk=/dev/disk/by-id/virtio port=/dev/virtio-ports/vm
finish() { echo "$1" >$port.status; sync; sleep 0.1; poweroff -ff; }
for ((i = 0; i < 1200; i++)); do
    [ -e $disk-job ] && [ -e $disk-xfs ] && [ -e $disk-btrfs ] && [ -e $port.output ] &&
        [ -e $port.status ] && break
    sleep 0.1
done
mount -t xfs -o pquota,noatime $disk-xfs /srv/xfs || finish 125
mount -t btrfs -o noatime $disk-btrfs /srv/btrfs || finish 125
if [ ! -e /job/again ]; then
    if [ -e /job ]; then
        echo "the guest came up again on its own" >$port.output
        finish 125
    fi
    tar -xpf $disk-job -C / --keep-directory-symlink || finish 125
    sync
fi
cd /job || finish 125
bash ./command >$port.output 2>&1 </dev/null
finish $?
JOB
chmod 755 "$root/usr/local/sbin/vm-job"
cat >"$root/etc/systemd/system/vm-job.service" <<'UNIT'
[Unit]
Description=The command given to boot.sh
After=basic.target dbus.socket
[Service]
Type=exec
ExecStart=/usr/local/sbin/vm-job
Environment=HOME=/root LC_ALL=C.UTF-8 CTL_TEST_XFS=/srv/xfs CTL_TEST_BTRFS=/srv/btrfs
Delegate=yes
TasksMax=infinity
OOMPolicy=continue
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../vm-job.service "$root/etc/systemd/system/multi-user.target.wants/vm-job.service"

# By the guest's own tools, so that the host needs none.
for fs in xfs btrfs; do
    truncate -s $data_size "$root/data.img"
    unshare --mount sh -c 'mount -t proc proc "$1/proc" && exec chroot "$1" mkfs.$2 -q /data.img' - "$root" $fs
    mv "$root/data.img" "$out/$fs.img"
done
cp "$root"/boot/vmlinuz-* "$out/vmlinuz"
rm -rf "${root:?}"/boot/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
rm -f "$out/root.img"
truncate -s $disk_size "$out/root.img"
mke2fs -q -t ext4 -m 0 -E lazy_itable_init=1,lazy_journal_init=1 -d "$root" "$out/root.img"
echo "$stamp" >"$out/stamp"
