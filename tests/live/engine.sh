#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ip_queue in user space with real packets: both families from the one queue of today's kernel, each to
# its own socket, in ip_queue's own messages.
. "$IPQ_LIVE/lib.sh"

queue INPUT -p udp --dport 7000
queue INPUT -p udp --dport 7002
queue OUTPUT -p udp --dport 7001
queue6 INPUT -p udp --dport 7000
queue6 INPUT -p udp --dport 7002
$iptables -w -t mangle -A INPUT -p udp --dport 7000 -j MARK --set-mark 0xdeadbeef
start $ENGINE_HOST
wait_for_queue

expect_text "an accepted IPv4 packet arrives" good $FLOW say 7000 good
expect_text "an accepted IPv6 packet arrives" good $FLOW say -a ::1 7000 good
expect_text "a dropped IPv4 packet does not" "(nothing)" $FLOW say -w 200 7000 drop
expect_text "a dropped IPv6 packet does not" "(nothing)" $FLOW say -w 200 -a ::1 7000 drop
expect_text "a replaced packet arrives as replaced" yes! $FLOW say 7000 xes!
expect_text "a packet on its way out arrives" out $FLOW say 7001 out
expect_text "verdicts in another order count" "(nothing)" $FLOW say -w 200 7000 hold
expect_text "a packet that was kept arrives when its verdict comes" hold $FLOW say 7000 next
expect "hundreds of packets of all sizes arrive" $FLOW udp -n 500 -s 0-9000 7002
expect "hundreds of IPv6 packets arrive" $FLOW udp -n 500 -s 0-9000 -a ::1 7002
expect_column "no packet is left in the queue" 3 0

# As the kernel's ip_queue filled them in: see tests/replay.
expect "fields of a packet that came in" grep -q \
	'^IPv4 hook=1 in=lo out= protocol=0800 type=772 address=6 stamped=1 mark=deadbeef length=32$' "$log"
expect "fields of an IPv6 packet that came in" grep -q \
	'^IPv6 hook=1 in=lo out= protocol=86dd type=772 address=6 stamped=1 mark=0 length=52$' "$log"
# Linux fills the protocol in before OUTPUT today; ip_queue's own kernels had 0 there.
expect "fields of a packet that goes out" grep -q \
	'^IPv4 hook=3 in= out=lo protocol=0[08]00 type=0 address=0 stamped=0 mark=0 length=31$' "$log"

# The kernel drops what waits when a device goes down, and says so only when the verdict comes.
expect_text "a packet waits" "(nothing)" $FLOW say -w 200 7000 hold
ip link set lo down
ip link set lo up
expect_text "packets arrive after the device was down" good $FLOW say 7000 good
wait_for_line '^IPv4 error=No such file or directory$'
ok "the verdict on a packet that went down with its device is answered"

stop KILL
expect "the queue goes with its owner" wait_for_no_queue
finish
