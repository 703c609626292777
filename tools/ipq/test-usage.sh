#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-usage.sh IPQ: what a stranger mistypes is told as such, with exit status 2, and nothing runs.
set -u
ipq=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# refused TEXT ARGUMENT...: exit status 2, and TEXT on standard error.
refused() {
	text=$1
	shift
	timeout 10 "$ipq" "$@" >"$work/out" 2>"$work/error"
	status=$?
	if [ $status -ne 2 ] || ! grep -qF -- "$text" "$work/error"; then
		echo "ipq $*: exit status $status, not 2, or no «$text»:"
		cat "$work/error"
		failed=1
	fi
}

refused 'options come first' filter drop --json
refused 'options come first' filter --json 'drop tcp port 23' --help
refused '--record says which packets' filter --record drop drop
refused 'Is a directory' filter --source pcap:/dev/null -f "$work"
refused 'is no hook' filter --on INPTU --dry-run drop
refused 'is no hook' watch --on INPTU --dry-run
refused 'no filter from here on' filter 'drop tcp prot 23'
refused 'no filter from here on' watch tcp prot 23

# The help fits a screen of 80 by 24 and has three examples.
for command in '' watch filter run status doctor bench; do
	"$ipq" $command --help >"$work/help"
	if ! awk 'length > 80 { wide = 1 } END { exit wide || NR > 24 }' "$work/help"; then
		echo "ipq $command --help does not fit a screen"
		failed=1
	fi
	if [ "$(grep -cE '^  (sudo )?ipq ' "$work/help")" -lt 3 ]; then
		echo "ipq $command --help has not three examples"
		failed=1
	fi
done
exit $failed
