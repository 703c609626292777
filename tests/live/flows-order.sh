#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Packets of a flow must leave in the order in which they arrived, even if the flow is left to the kernel during a
# flood.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/flows-lib.sh"
rounds=${IPQ_ROUNDS:-9}
[ "${IPQ_SANITIZER:-none}" = none ] || rounds=3

expect "without a queue no datagram is lost, duplicated or late" $FLOWS_ORDER $((rounds / 2)) 20000

rules OUTPUT -p udp --dport 7000
start $FLOWS accept
wait_for_queue
expect "with flow verdicts no datagram is lost, duplicated or late" $FLOWS_ORDER $rounds 20000
expect "the kernel kept the flows" said 'keeper 1'

no_rules
rules INPUT -p udp --dport 7000
start $FLOWS accept after=8
wait_for_queue
expect "nor when they are left after 8 packets, in INPUT" $FLOWS_ORDER $rounds 20000
expect "the kernel kept the flows" said 'keeper 1'

no_rules
find_iptables ip6tables || skip "no ip6tables here that can queue packets"
restore=$command-restore
rules OUTPUT -p udp --dport 7000
start $FLOWS accept
wait_for_queue
expect "nor with IPv6" $FLOWS_ORDER $rounds 20000 ::1
expect "the kernel kept the flows" said 'keeper 1'
finish
