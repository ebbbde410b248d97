#!/bin/sh
# debian.sh FILE.tar: a small Debian 12, for test_debian.py.  As root.
set -eu
INITRD=No mmdebstrap --quiet --mode=root --variant=minbase --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$1.new.tar"
mv "$1.new.tar" "$1"
