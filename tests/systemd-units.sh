#!/bin/sh
# systemd-units.sh SYSTEMD_ANALYZE UNIT...: the units hold no mistake that systemd knows of.
# The program need not be installed yet, nor its manual page.
set -eu
analyze=$1
shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for unit in "$@"; do
    sed -e 's,^ExecStart=[^ ]*,ExecStart=/bin/true,' -e '/^Documentation=/d' "$unit" \
        >"$dir/$(basename "$unit")"
done
output=$("$analyze" verify "$dir"/* 2>&1) || { echo "$output"; exit 1; }
# Some mistakes are told without failing.
! echo "$output" | grep "^$dir"
