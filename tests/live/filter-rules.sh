#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq filter decides real packets by its rules, with a firewall rule that it installs.
. "$IPQ_LIVE/lib.sh"

# filter_on HOOK RULE...: starts ipq filter and waits for its firewall rule.
filter_on() {
	hook=$1
	shift
	start $IPQ filter --on "$hook" "$@"
	wait_for_rule "$hook"
}

filter_on INPUT 'drop tcp dst port 7001' 'drop udp dst port 7002' 'accept'
expect "a connection to a dropped port fails" $TRAFFIC tcp -e 0 -w 300 7001
expect "a datagram to a dropped port does not arrive" $TRAFFIC udp -n 10 -e 0 -w 300 7002
expect "a connection to another port works" $TRAFFIC tcp -n 300000 7003
expect "a datagram to the next port arrives" $TRAFFIC udp -n 100 7003
stop INT
expect "the counters name the rule" grep -q ' drop udp dst port 7002$' "$log"
expect_text "counters of dropped and accepted packets add up" "adds up" adds_up "$log"
expect_text "Ctrl-C removes the rule" "" rules_of_ours

filter_on OUTPUT 'mark 7 udp dst port 7004' 'rewrite /evil/good/g udp dst port 7005' 'rewrite /evil//g udp dst port 7006' 'queue 9 udp dst port 7008'
$iptables -w -A INPUT -m mark --mark 7 -j DROP
expect "a marked packet has its mark" $TRAFFIC udp -n 10 -e 0 -w 300 7004
expect "an unmarked packet has no mark" $TRAFFIC udp -n 10 7007
expect_text "a rewritten datagram arrives with the new text" "do good, be good" $TRAFFIC say 7005 "do evil, be evil"
expect_text "a rewrite can shorten a datagram" "do , be " $TRAFFIC say 7006 "do evil, be evil"
expect "packets sent to a queue without an owner are lost" $TRAFFIC udp -n 10 -e 0 -w 300 7008
stop

filter_on INPUT 'rate 10/s burst 20 udp dst port 7009'
expect "rate accepts its burst" $TRAFFIC udp -n 20 -w 200 7009
expect "rate drops packets beyond the burst" sh -c "! $TRAFFIC udp -n 100 -w 300 7009 >/dev/null"
stop
expect "dropped packets of a rate are counted" grep -qE 'rate 10/s burst 20 udp dst port 7009  \([0-9]+ dropped\)' "$log"

filter_on INPUT 'delay 60ms icmp or icmp6'
# Each echo packet is queued twice, but ping measures the time of arrival before the reply is queued.
delay() {
	ping "$@" -n -c 3 -i 0.2 | sed -n 's/.* = \([0-9]*\).*/\1/p'
}
time=$(delay 127.0.0.1)
expect "an echo with a delay of 60 ms takes at least 60 ms" [ "${time:-0}" -ge 60 ]
expect "an echo with a delay of 60 ms takes little more than 60 ms" [ "${time:-999}" -lt ${IPQ_DELAY_AT_MOST:-110} ]
time=$(delay -6 ::1)
expect "an IPv6 echo is delayed as well" [ "${time:-0}" -ge 60 ]
stop
expect "all delayed packets were sent" grep -q ' 0 dropped' "$log"

# A repeated packet reaches the rule again, with the mark, and then passes the rule.
filter_on OUTPUT 'repeat 3 udp dst port 7010' 'count udp dst port 7010'
expect "a repeated packet arrives" $TRAFFIC udp -n 10 7010
stop
expect_text "the repeated packet was queued twice" 10 awk '/count udp/ { print $2 }' "$log"
expect "each time is counted as what was decided" grep -q '^20 packets: 10 accepted, 0 dropped, 10 sent' "$log"
finish
