# shellcheck shell=bash disable=SC2154
# Size limits: other daemons, on file systems with quota.

quota_ctlc() { CTLC_TIMEOUT=30 ctlc -H unix:///tmp/quota/sock "$@"; }
writes() { quota_ctlc run --rm --network none "$@"; }

# size_limits DRIVER: what the root file system is limited to is all that fits, for everybody alone.
size_limits() {
    local out big="dd if=/dev/zero of=/big bs=1M count=100"
    same "$(quota_ctlc info -f '{{.Driver}}')" "$1"
    out=$(writes --storage-opt size=20m $image sh -c "$big" 2>&1) && fail "100 MiB fit into 20: $out"
    case $out in *"No space left on device"* | *"Disk quota exceeded"*) ;; *) fail "$out" ;; esac
    writes --storage-opt size=200m $image $big || fail "100 MiB do not fit into 200"
    writes $image $big || fail "without a limit: $?"
    # Two at a time, each its own; one that was stopped keeps what it has, and its limit.
    one=$(quota_ctlc run -d --network none --storage-opt size=20m $image sleep 1000)
    two=$(quota_ctlc run -d --network none --storage-opt size=20m $image sleep 1000)
    for c in $one $two; do
        quota_ctlc exec $c dd if=/dev/zero of=/a bs=1M count=12 || fail "12 MiB do not fit into 20"
    done
    # What is renamed, linked, removed and copied up stays in the bounds.
    quota_ctlc exec $one sh -c 'mv /a /b; ln /b /c; mkdir /d; mv /b /d/b; rm /c; mv /etc/passwd /etc/p' ||
        fail "renaming within the limit: $?"
    quota_ctlc restart -t 0 $one >/dev/null
    quota_ctlc exec $one dd if=/dev/zero of=/e bs=1M count=12 && fail "24 MiB fit into 20 after a restart"
    quota_ctlc exec $one sh -c 'rm /e; rm /d/b; dd if=/dev/zero of=/f bs=1M count=12' || fail "removing frees: $?"
    same "$(xfs_limits)" 2 "limits on record"
    quota_ctlc rm -f $one $two >/dev/null
    no_limits() { [ "$(xfs_limits)" = 0 ]; } # they go with the files, behind the answer
    until_true no_limits
    same "$(xfs_limits)" 0 "limits on record"
    out=$(quota_ctlc create --storage-opt size=ten $image 2>&1) && fail "size=ten: $out"
    has "$out" "invalid size: 'ten'"
    out=$(quota_ctlc create --storage-opt inodes=5 $image 2>&1) && fail "inodes=5: $out"
    has "$out" "Unknown option inodes"
}

# Of other projects than 0.
xfs_limits() { repquota -P -n /tmp/quota/disk 2>/dev/null | grep -c '^#[1-9].* [1-9][0-9]* *[1-9][0-9]* *[1-9]'; }

quota_daemon() {
    local driver=$1 mkfs=$2
    shift 2
    mkdir -p /tmp/quota/disk
    truncate -s 600M /tmp/quota/image
    $mkfs /tmp/quota/image >/dev/null 2>&1 || fail "$mkfs: $?"
    mount -o loop,prjquota /tmp/quota/image /tmp/quota/disk || fail "mount: $?"
    containerd-lite --data-root /tmp/quota/disk/data --exec-root /tmp/quota/run --bridge none \
        --pidfile /tmp/quota/pid -s "$driver" -H unix:///tmp/quota/sock >/tmp/quota/log 2>&1 &
    daemon=$!
    trap 'kill $daemon; wait $daemon; umount -l /tmp/quota/disk; rm -rf --one-file-system /tmp/quota' EXIT
    until_true test -S /tmp/quota/sock
    until_true quota_ctlc version >/dev/null
    ( size_limits "$driver" ) || { tail -n 20 /tmp/quota/log; exit 1; }
}

t_size_xfs() { quota_daemon overlay2 'mkfs.xfs -q'; }
t_size_ext4() { quota_daemon overlay2 'mkfs.ext4 -q -O quota,project -E quotatype=prjquota'; }
t_size_vfs() { quota_daemon vfs 'mkfs.xfs -q'; }

# On a disk of btrfs each container is a subvolume, its limit one of a quota group.
t_size_btrfs() {
    local c
    mkdir -p /tmp/quota
    containerd-lite --data-root /srv/btrfs/data --exec-root /tmp/quota/run --bridge none \
        --pidfile /tmp/quota/pid -s btrfs -H unix:///tmp/quota/sock >/tmp/quota/log 2>&1 &
    daemon=$!
    trap 'kill $daemon; wait $daemon; tail -n 20 /tmp/quota/log; rm -rf --one-file-system /tmp/quota' EXIT
    until_true test -S /tmp/quota/sock
    until_true quota_ctlc version >/dev/null
    same "$(quota_ctlc info -f '{{.Driver}}')" btrfs
    subvolumes() { btrfs subvolume list /srv/btrfs | wc -l; }
    before=$(subvolumes)
    c=$(quota_ctlc run -d --network none --storage-opt size=20m $image sleep 1000) || fail "run: $?"
    [ "$(subvolumes)" -gt "$before" ] || fail "no subvolume: $(btrfs subvolume list /srv/btrfs)"
    has "$(quota_ctlc exec "$c" dd if=/dev/urandom of=/big bs=1M count=40 2>&1)" 'quota exceeded'
    writes --storage-opt size=80m $image dd if=/dev/urandom of=/big bs=1M count=40 || fail "40 MiB do not fit into 80"
    quota_ctlc rm -f "$c" >/dev/null
    gone() { [ "$(subvolumes)" = "$before" ]; }
    until_true gone
}

t_size_refused() {
    systemctl start containerd-lite.socket
    local out
    out=$(ctlc create --storage-opt size=1g $image 2>&1) && fail "a limit without quota: $out"
    has "$out" "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
}
