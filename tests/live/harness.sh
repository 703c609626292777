#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The tools of the live tests must detect faults.
. "$IPQ_LIVE/lib.sh"

expect "datagrams of all sizes arrive without a rule" $TRAFFIC udp -n 500 -s 0-65507 7000
expect "a stream arrives without a rule" $TRAFFIC tcp -n 3000000 7001
expect_text "a text arrives without a rule" "hello" $TRAFFIC say 7000 hello
expect_text "a text arrives over TCP" "hello" $TRAFFIC say -t 7000 hello

$iptables -w -A INPUT -p udp --dport 7002 -j DROP
$iptables -w -A INPUT -p tcp --dport 7003 -j DROP
expect "a dropped datagram is noticed" $TRAFFIC udp -n 10 -e 0 -w 300 7002
expect "dropped datagrams are not counted as arrived" sh -c "! $TRAFFIC udp -n 10 -w 100 7002 >/dev/null"
expect "arrived datagrams are not counted as dropped" sh -c "! $TRAFFIC udp -n 10 -e 0 -w 100 7000 >/dev/null"
expect "a dropped connection is noticed" $TRAFFIC tcp -e 0 -w 300 7003
expect "a dropped connection is not counted as one" sh -c "! $TRAFFIC tcp -w 300 7003 >/dev/null"
expect_text "a dropped text is noticed" "(nothing)" $TRAFFIC say -w 200 7002 hello

# No program owns the queue: its packets are lost.
queue OUTPUT -p udp --dport 7004
expect "packets of a queue without an owner are lost" $TRAFFIC udp -n 10 -e 0 -w 300 7004
expect_text "the rule counted them" 10 queued OUTPUT
finish
