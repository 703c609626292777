#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Packets have their conntrack entry, and verdicts set its mark and labels, if the kernel supports it.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000:7099
# A namespace tracks connections only if a rule uses them.
$iptables -w -A INPUT -m conntrack --ctstate INVALID || skip "no connection tracking here"
# Connections have labels only if a rule sets some.
nft 'add table ip labels; add chain ip labels in { type filter hook input priority 0; };
	add rule ip labels in udp dport 9 ct label set 3' && export IPQ_LABELS=1

# Run only one of the tests per namespace: the kernel remembers the connection.
expect_test connections "packets have conntrack entries, and verdicts set marks and labels"
[ $checks -gt 0 ] || skip "$(sed -n 's/^skipped: //p' "$log")"
[ -n "${IPQ_LABELS:-}" ] || echo "not tested here: labels: nft cannot set them"
finish
