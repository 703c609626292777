#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-units.sh IPQ UNIT...: systemd accepts the unit files, and finds them as closed as they are meant to be.
set -u
ipq=$(realpath "$1") || exit 1
shift
command -v systemd-analyze >/dev/null || { echo "skipped: no systemd-analyze"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0
for unit in "$@"; do
	name=$(basename "$unit")
	instance=$(echo "$name" | sed 's/@/@test/')
	# The programs must exist: that of the build, and any other one.
	sed "s|^ExecStart=[^ ]*/ipq |ExecStart=$ipq |; s|/usr/local/sbin/packet-program|/bin/true|" "$unit" >"$work/$name"
	said=$(systemd-analyze verify --man=no --recursive-errors=no "$work/$instance" 2>&1) && [ -z "$said" ] || {
		echo "FAILED: verify $name: $said"
		failures=1
	}
	said=$(systemd-analyze security --offline=true --threshold=30 "$work/$instance" 2>&1) || {
		echo "FAILED: $name: $said"
		failures=1
	}
	echo "$said" | tail -n 1
done
exit $failures
