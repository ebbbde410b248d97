#!/bin/sh
# Makes the embedded image busybox:latest from a static busybox binary.
#
#     busybox-image.sh BUSYBOX OUT.tar
#
# OUT.tar is a docker-archive (manifest.json) and an OCI layout (oci-layout, index.json) at once,
# with one uncompressed layer.  The same binary gives the same bytes: names are in a fixed order,
# owners are 0, and every time stamp is the binary's own.  Needs no root.
set -eu
LC_ALL=C
export LC_ALL
umask 022

busybox=$1
out=$2

work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

mtime=$(stat -L -c %Y "$busybox")
created=$(date -u -d "@$mtime" +%Y-%m-%dT%H:%M:%SZ)

digest() { sha256sum "$1" | cut -d' ' -f1; }

# Each path of the list on stdin, in that order, relative to directory $1, into the tar $2.
pack() {
    tar -C "$1" --format=gnu --no-recursion --owner=0 --group=0 --numeric-owner \
        --mtime="@$mtime" -cf "$2" -T -
}

# The root file system, as the official image has it: every applet a hard link in /bin.
fill_root() {
    mkdir -p "$1/bin" "$1/dev" "$1/etc" "$1/home" "$1/root" "$1/tmp" "$1/usr/bin" "$1/usr/sbin" \
        "$1/var/spool/mail" "$1/var/www"
    chmod 0755 "$1"
    chmod 0700 "$1/root"
    chmod 1777 "$1/tmp"
    cp "$busybox" "$1/bin/busybox"
    chmod 0755 "$1/bin/busybox"
    "$busybox" --list | while read -r applet; do
        [ "$applet" = busybox ] || ln "$1/bin/busybox" "$1/bin/$applet"
    done
    # Scripts ask for this one by its full name.
    ln -s ../../bin/env "$1/usr/bin/env"

    cat >"$1/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
END
    cat >"$1/etc/group" <<'END'
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
lp:x:7:
mail:x:8:
kmem:x:9:
wheel:x:10:root
cdrom:x:11:
dialout:x:18:
floppy:x:19:
video:x:28:
audio:x:29:
tape:x:32:
www-data:x:33:
operator:x:37:
utmp:x:43:
plugdev:x:46:
staff:x:50:
lock:x:54:
netdev:x:82:
users:x:100:
nobody:x:65534:
END
    cat >"$1/etc/shadow" <<'END'
root:*:::::::
daemon:*:::::::
bin:*:::::::
sys:*:::::::
sync:*:::::::
mail:*:::::::
www-data:*:::::::
operator:*:::::::
nobody:*:::::::
END
    chmod 0640 "$1/etc/shadow"
    cat >"$1/etc/nsswitch.conf" <<'END'
passwd:         files
group:          files
shadow:         files
hosts:          files dns
networks:       files
protocols:      files
services:       files
END
}

# busybox itself comes first, so that it is the file and the applets are the links.
list_root() {
    printf '%s\n' bin bin/busybox
    (cd "$1" && find . -mindepth 1 | sed 's,^\./,,' | grep -vx -e bin -e bin/busybox | sort)
}

mkdir -p "$work/root" "$work/image/blobs/sha256"
fill_root "$work/root"
list_root "$work/root" | pack "$work/root" "$work/layer.tar"

blobs=$work/image/blobs/sha256
layer=$(digest "$work/layer.tar")
layer_size=$(stat -c %s "$work/layer.tar")
mv "$work/layer.tar" "$blobs/$layer"

case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) arch=$(uname -m) ;;
esac
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
printf '{"architecture":"%s","config":{"Env":["PATH=%s"],"Cmd":["sh"],"WorkingDir":"/"},"created":"%s","history":[{"created":"%s","created_by":"BusyBox %s, every applet linked in /bin"}],"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$arch" "$path" "$created" "$created" \
    "$("$busybox" | sed -n '1s/^BusyBox \(v[^ ]*\).*/\1/p')" "$layer" >"$work/config"
config=$(digest "$work/config")
config_size=$(stat -c %s "$work/config")
mv "$work/config" "$blobs/$config"

printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' \
    "$config" "$config_size" "$layer" "$layer_size" >"$work/manifest"
manifest=$(digest "$work/manifest")
manifest_size=$(stat -c %s "$work/manifest")
mv "$work/manifest" "$blobs/$manifest"

printf '{"imageLayoutVersion":"1.0.0"}' >"$work/image/oci-layout"
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"platform":{"architecture":"%s","os":"linux"},"annotations":{"io.containerd.image.name":"docker.io/library/busybox:latest","org.opencontainers.image.ref.name":"latest"}}]}' \
    "$manifest" "$manifest_size" "$arch" >"$work/image/index.json"
printf '[{"Config":"blobs/sha256/%s","RepoTags":["busybox:latest"],"Layers":["blobs/sha256/%s"]}]' \
    "$config" "$layer" >"$work/image/manifest.json"

# The small files come first: a reader knows what it needs before the layer passes by.
printf '%s\n' oci-layout index.json manifest.json blobs blobs/sha256 "blobs/sha256/$config" \
    "blobs/sha256/$manifest" "blobs/sha256/$layer" | pack "$work/image" "$work/image.tar"
mv "$work/image.tar" "$out"
