#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Forwarded packets: fragments of the size of Ethernet frames, and TCP in segments that the sender left to
# its network card (GSO), which a program receives split and with complete checksums.
. "$IPQ_LIVE/lib.sh"

. "$IPQ_LIVE/router-lib.sh"
number_hosts
from_a="ip netns exec a $TRAFFIC"
total=$((${IPQ_PACKETS:-100000} / 10))

expect "packets are forwarded without a rule" $from_a udp -n 100 -N b -a 10.9.2.2 7000
queue FORWARD -p udp -d 10.9.2.2
queue FORWARD -p tcp

start $DECIDE accept
wait_for_queue
expect "datagrams in one piece arrive" $from_a udp -n $total -s 0-1472 -N b -a 10.9.2.2 7000
expect "datagrams in fragments arrive" $from_a udp -n $((total / 10)) -s 0-65507 -N b -a 10.9.2.2 7000
expect "a TCP stream arrives, both directions through the program" $from_a tcp -n $((total * 1000)) -N b -a 10.9.2.2 7001
stop
expect_text "nothing was refused" 0 sed -n 's/.* refused //p' "$log"

start $DECIDE drop
wait_for_queue
expect "no datagram arrives" $from_a udp -n 1000 -s 0-3000 -e 0 -w 300 -N b -a 10.9.2.2 7000
stop

start $DECIDE prefix
wait_for_queue
expect_text "a longer packet arrives" "re:hello" $from_a say -N b -a 10.9.2.2 7000 hello
stop
start $DECIDE cut
wait_for_queue
expect_text "a shorter packet arrives" "half" $from_a say -N b -a 10.9.2.2 7000 halfhalf
stop
start $DECIDE same
wait_for_queue
expect_text "a packet of the same length arrives" "HELLO" $from_a say -N b -a 10.9.2.2 7000 hello
finish
