#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# <ipq.h> against the real kernel: newapi.c opens the queues, sends the packets and looks at what arrived.
. "$IPQ_LIVE/lib.sh"

ip link set lo mtu 1500 # so that TCP's large packets are large: split by nobody on loopback
$iptables -w -A OUTPUT -p udp --dport 7000:7099 -j NFQUEUE --queue-num 0 || skip "no NFQUEUE here"
$iptables -w -A OUTPUT -p tcp --dport 7001 -j NFQUEUE --queue-num 4
$iptables -w -A OUTPUT -p tcp --sport 7001 -j NFQUEUE --queue-num 4
$iptables -w -A OUTPUT -p udp --dport 7100 -j NFQUEUE --queue-balance 2:3
$iptables -w -A INPUT -p udp --dport 7200 -j NFQUEUE --queue-num 0
$iptables -w -A INPUT -m mark --mark 42 -j DROP || skip "no mark match here"

expect_test batches "packets come in batches, in order, and leave with few system calls"
expect_test order "kept packets are decided in any order, once each"
expect_test replace "replaced packets arrive, whether longer, shorter or as long"
expect_test codes "repeat, queue, stop and marks do what they say"
expect_test equal-marks "equal verdicts with equal marks reach every packet"
expect_test gso "large TCP packets sent back arrive with checksums completed"
expect_test segments "packets are split on request"
expect_test wake "a reader is woken by threads and signal handlers, never in vain"
expect_test timeouts "timeouts are kept, spinning or not"
expect_test refused "what open refuses has its errno and its words"
expect_test capability "a capability given up is told"
expect_test lacking "what this kernel lacks is told by name"
expect_test fields "fields of a packet hold what the kernel knows"
expect_test counts "counters add up when the queue is full"
expect_test overrun "counters add up when the reader is too slow"
expect_test failopen "a full queue lets packets pass on request"
expect_test gone "packets that are gone are counted, and the queue goes on"
expect_test spin "a reader that spins gives the core back"
expect_test untracked "verdicts that the kernel would ignore are refused"
expect_test group "a group shares what --queue-balance distributes"
expect_test group-ends "a group ends with the reason, and a start that fails leaves nothing"
finish
