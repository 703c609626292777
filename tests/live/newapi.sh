#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# <ipq.h> with the real kernel: newapi.c opens the queues, sends the packets and checks which ones arrive.
. "$IPQ_LIVE/lib.sh"

ip link set lo mtu 1500 # packets of TCP then exceed the MTU, because on loopback they are not split
$iptables -w -A OUTPUT -p udp --dport 7000:7099 -j NFQUEUE --queue-num 0 || skip "no NFQUEUE here"
$iptables -w -A OUTPUT -p tcp --dport 7001 -j NFQUEUE --queue-num 4
$iptables -w -A OUTPUT -p tcp --sport 7001 -j NFQUEUE --queue-num 4
$iptables -w -A OUTPUT -p udp --dport 7100 -j NFQUEUE --queue-balance 2:3
$iptables -w -A INPUT -p udp --dport 7200 -j NFQUEUE --queue-num 0
$iptables -w -A INPUT -m mark --mark 42 -j DROP || skip "no mark match here"

expect_test batches "packets are received in batches, in order, with few system calls"
expect_test order "kept packets are decided in any order and once each"
expect_test replace "replaced packets arrive, whether longer, shorter or of the same length"
expect_test codes "repeat, queue, stop and marks work"
expect_test equal-marks "equal verdicts with equal marks reach every packet"
expect_test gso "large TCP packets that are sent back have complete checksums"
expect_test segments "IPQ_O_SEGMENT splits packets"
expect_test wake "threads and signal handlers wake a reader exactly when they call"
expect_test timeouts "timeouts are respected, with and without spinning"
expect_test refused "open fails with the right errno and a message"
expect_test capability "a dropped capability is an error of receive"
expect_test lacking "a feature that the kernel lacks is named"
expect_test fields "packets have the fields that the kernel provides"
expect_test counts "counters add up when the queue is full"
expect_test overrun "counters add up when the reader is too slow"
expect_test failopen "a full queue accepts packets with IPQ_O_FAIL_OPEN"
expect_test gone "verdicts on lost packets are counted and the queue continues"
expect_test spin "a spinning reader yields its processor"
expect_test untracked "verdicts that the kernel would ignore are rejected"
expect_test group "a group receives from all queues of --queue-balance"
expect_test group-ends "a group returns the error that stopped it, and a failed start leaves no thread"
expect_test group-restarts "a thread of a group that fails or ends is replaced, and no packet is lost or repeated"
finish
