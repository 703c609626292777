#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# 100,000 packets of all sizes: all must arrive if the program accepts them, and none if it drops them.
. "$IPQ_LIVE/lib.sh"
# The sanitizers make the program slow: a tenth of the packets is enough.
total=${IPQ_PACKETS:-100000}
large=$((total / 10))

queue OUTPUT -p udp --dport 7000
queue OUTPUT -p tcp --dport 7001

start $DECIDE accept
wait_for_queue
expect "datagrams of all sizes arrive" $TRAFFIC udp -n $large -s 0-65507 7000
expect "datagrams of common sizes arrive" $TRAFFIC udp -n $((total - large)) -s 0-1472 7000
expect "a TCP stream in large segments arrives" $TRAFFIC tcp -n $((total * 1000)) 7001
stop
expect_text "the program exits with 0" 0 echo $status
expect "the program read every datagram" test "$(sed -n 's/^read \([0-9]*\) .*/\1/p' "$log")" -ge $total
expect_text "nothing was refused" 0 sed -n 's/.* refused //p' "$log"

start $DECIDE drop
wait_for_queue
expect "no datagram arrives" $TRAFFIC udp -n $total -s 0-1472 -e 0 -w 300 7000
expect "no large datagram arrives" $TRAFFIC udp -n 500 -s 0-65507 -e 0 -w 300 7000
expect "no connection is made" $TRAFFIC tcp -e 0 -w 300 7001
stop
expect_text "the program exits with 0" 0 echo $status
finish
