#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ip_queue in user space with real packets: both families from one queue of the current kernel, each to its own socket,
# in ip_queue's messages.
. "$IPQ_LIVE/lib.sh"

queue INPUT -p udp --dport 7000
queue INPUT -p udp --dport 7002
queue OUTPUT -p udp --dport 7001
queue6 INPUT -p udp --dport 7000
queue6 INPUT -p udp --dport 7002
$iptables -w -t mangle -A INPUT -p udp --dport 7000 -j MARK --set-mark 0xdeadbeef
start $ENGINE_HOST
wait_for_queue

expect_text "an accepted IPv4 packet arrives" good $TRAFFIC say 7000 good
expect_text "an accepted IPv6 packet arrives" good $TRAFFIC say -a ::1 7000 good
expect_text "a dropped IPv4 packet does not arrive" "(nothing)" $TRAFFIC say -w 200 7000 drop
expect_text "a dropped IPv6 packet does not arrive" "(nothing)" $TRAFFIC say -w 200 -a ::1 7000 drop
expect_text "a replaced packet arrives with its new bytes" yes! $TRAFFIC say 7000 xes!
expect_text "an accepted outgoing packet arrives" out $TRAFFIC say 7001 out
expect_text "verdicts in another order are applied" "(nothing)" $TRAFFIC say -w 200 7000 hold
expect_text "a packet decided later arrives" hold $TRAFFIC say 7000 next
expect "hundreds of packets of all sizes arrive" $TRAFFIC udp -n 500 -s 0-9000 7002
expect "hundreds of IPv6 packets arrive" $TRAFFIC udp -n 500 -s 0-9000 -a ::1 7002
expect_column "no packet waits in the queue" 3 0

# The same values as with the kernel's ip_queue: see tests/replay.
expect "an incoming packet has its fields" grep -q \
	'^IPv4 hook=1 in=lo out= protocol=0800 type=772 address=6 stamped=1 mark=deadbeef length=32$' "$log"
expect "an incoming IPv6 packet has its fields" grep -q \
	'^IPv6 hook=1 in=lo out= protocol=86dd type=772 address=6 stamped=1 mark=0 length=52$' "$log"
# Current kernels set the protocol before OUTPUT; kernels with ip_queue had 0 there.
expect "an outgoing packet has its fields" grep -q \
	'^IPv4 hook=3 in= out=lo protocol=0[08]00 type=0 address=0 stamped=0 mark=0 length=31$' "$log"

# The kernel drops packets that wait when a device goes down, and refuses their verdicts later.
expect_text "a packet waits for its verdict" "(nothing)" $TRAFFIC say -w 200 7000 hold
ip link set lo down
ip link set lo up
expect_text "packets arrive after the device was down" good $TRAFFIC say 7000 good
wait_for_line '^IPv4 error=No such file or directory$'
ok "the verdict on a packet whose device went down is refused"

stop KILL
expect "the queue is free after its owner ended" wait_for_no_queue
finish
