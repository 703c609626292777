#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# live.sh MODULE: runs a Python test. Rules queue datagrams to port 7000+N to queue N: in OUTPUT, and for port 7004 in
# INPUT.
. "$IPQ_LIVE/lib.sh"
for n in 0 1 2 3; do
	$iptables -w -A OUTPUT -p udp --dport 700$n -j NFQUEUE --queue-num $n || skip "no -j NFQUEUE here"
done
$iptables -w -A INPUT -p udp --dport 7004 -j NFQUEUE --queue-num 4
export iptables
exec $PYTHON -B -m unittest -v "$1"
