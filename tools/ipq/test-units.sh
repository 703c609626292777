#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-units.sh IPQ UNIT...: systemd must accept the unit files, and rate their restrictions as intended.
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
	# The programs that units name must exist: uses the build's ipq, and another existing program.
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
