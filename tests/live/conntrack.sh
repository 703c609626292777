#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Packets carry their connection, and verdicts set its mark and labels, where this kernel has that.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000:7099
# A rule that asks for connections is what has a namespace track them.
$iptables -w -A INPUT -m conntrack --ctstate INVALID || skip "no connection tracking here"
# Connections have room for labels once a rule sets some.
nft 'add table ip labels; add chain ip labels in { type filter hook input priority 0; };
	add rule ip labels in udp dport 9 ct label set 3' && export IPQ_LABELS=1

timeout 60 $NEWAPI connections >"$work/said" 2>&1
[ $? -ne 77 ] || skip "$(tail -n 1 "$work/said" | sed 's/^skipped: //')"
[ -n "${IPQ_LABELS:-}" ] || echo "not tested here: labels, no nft that sets them"
expect_test connections "connections are told, and their marks and labels set"
finish
