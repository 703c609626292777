#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The tests' own tools: were they blind, every other live test would pass whatever happened.
. "$IPQ_LIVE/lib.sh"

expect "datagrams of all sizes arrive where no rule is" $FLOW udp -n 500 -s 0-65507 7000
expect "a stream arrives where no rule is" $FLOW tcp -n 3000000 7001
expect_text "a text arrives where no rule is" "hello" $FLOW say 7000 hello
expect_text "a text arrives over TCP" "hello" $FLOW say -t 7000 hello

$iptables -w -A INPUT -p udp --dport 7002 -j DROP
$iptables -w -A INPUT -p tcp --dport 7003 -j DROP
expect "a dropped datagram is missed" $FLOW udp -n 10 -e 0 -w 300 7002
expect "dropped datagrams are not taken for arrived" sh -c "! $FLOW udp -n 10 -w 100 7002 >/dev/null"
expect "arrived datagrams are not taken for dropped" sh -c "! $FLOW udp -n 10 -e 0 -w 100 7000 >/dev/null"
expect "a dropped connection is missed" $FLOW tcp -e 0 -w 300 7003
expect "a dropped connection is not taken for one" sh -c "! $FLOW tcp -w 300 7003 >/dev/null"
expect_text "a dropped text is missed" "(nothing)" $FLOW say -w 200 7002 hello

# Nobody listens to the queue: what goes there is lost.
queue OUTPUT -p udp --dport 7004
expect "a queue that nobody reads loses its packets" $FLOW udp -n 10 -e 0 -w 300 7004
expect_text "the rule has counted them" 10 queued OUTPUT
finish
