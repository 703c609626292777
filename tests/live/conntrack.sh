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

# Once only: the connection is remembered.
expect_test connections "connections are told, and their marks and labels set"
[ $checks -gt 0 ] || skip "$(sed -n 's/^skipped: //p' "$log")"
[ -n "${IPQ_LABELS:-}" ] || echo "not tested here: labels, no nft that sets them"
finish
