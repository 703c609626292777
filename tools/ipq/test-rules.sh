#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-rules.sh IPQ: the output of ipq rules must have the requested queue, hooks and marks.
set -u
ipq=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# has LINE...: the output must have each LINE, apart from its indentation.
has() {
	for line; do
		sed 's/^[ 	]*//' "$work/out" | grep -qxF -- "$line" || { echo "no line «$line»"; failed=1; }
	done
}

# refused TEXT ARGUMENT...: the command must fail with TEXT.
refused() {
	text=$1
	shift
	"$ipq" rules "$@" >"$work/out" 2>"$work/error"
	[ $? -eq 2 ] && grep -qF -- "$text" "$work/error" && [ ! -s "$work/out" ] ||
		{ echo "ipq rules $*: not refused with «$text»"; failed=1; }
}

"$ipq" rules --flows --on FORWARD,OUTPUT --queue 3 -- -p tcp >"$work/out" || failed=1
has '*mangle' '-A ipq-flows-3 -p tcp -j NFQUEUE --queue-num 3' '-A FORWARD -j ipq-flows-3' '-A OUTPUT -j ipq-flows-3' \
	'-A ipq-flows-3 -m connmark --mark 0x41000000/0xff000000 -j RETURN' \
	'-A ipq-flows-3 -m connmark --mark 0x42000000/0xff000000 -j DROP' \
	'-A ipq-flows-3 -m mark --mark 0x42000000/0xff000000 -g ipq-gone-3' COMMIT
"$ipq" rules --flows --on INPUT --flow-mark 0x10/0x70 >"$work/out" || failed=1
has '-A ipq-flows-0 -m mark --mark 0x10/0x70 -g ipq-left-0' '-A ipq-flows-0 -m mark --mark 0x20/0x70 -g ipq-gone-0'
"$ipq" rules --flows --on INPUT --via nftables --flow-mark 0x10/0x70 -- udp dport 53 >"$work/out" || failed=1
has 'table inet ipq_flows_0 {' 'type filter hook input priority -150;' 'ct mark and 0x70 == 0x10 counter accept' \
	'ct mark set ct mark and 0xffffff8f or 0x20' 'udp dport 53 queue num 0'
refused 'give --flows' --on INPUT
refused 'give --on HOOK' --flows
refused 'is not a hook' --flows --on INPTU
refused 'two adjacent bits' --flows --on INPUT --flow-mark 0x40000000/0x40000000
refused 'two adjacent bits' --flows --on INPUT --flow-mark 0x30/0xf0
for mark in 1 1/ /1 x/0xff -1/0xff 0x1ff/0xff 1/0x1000000ff; do
	refused '--flow-mark' --flows --on INPUT --flow-mark "$mark"
done
refused '--queue' --flows --on INPUT --queue 65536
refused '--via' --flows --on INPUT --via pf
exit $failed
