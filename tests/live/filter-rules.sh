#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq filter decides real packets as its rules say, by a firewall rule of its own.
. "$IPQ_LIVE/lib.sh"

# filter_on HOOK RULE...: runs ipq filter in the background until its rule stands.
filter_on() {
	hook=$1
	shift
	start $IPQ filter --on "$hook" "$@"
	wait_for_rule "$hook"
}

filter_on INPUT 'drop tcp dst port 7001' 'drop udp dst port 7002' 'accept'
expect "a blocked port takes no connection" $FLOW tcp -e 0 -w 300 7001
expect "a blocked port gets no datagram" $FLOW udp -n 10 -e 0 -w 300 7002
expect "another port takes connections" $FLOW tcp -n 300000 7003
expect "the port beside it gets datagrams" $FLOW udp -n 100 7003
stop INT
expect "the counters name the rule" grep -q ' drop udp dst port 7002$' "$log"
expect_text "dropped and accepted add up" "adds up" adds_up "$log"
expect_text "the rule is gone after Ctrl-C" "" rules_of_ours

filter_on OUTPUT 'mark 7 udp dst port 7004' 'rewrite /evil/good/g udp dst port 7005' 'rewrite /evil//g udp dst port 7006' 'queue 9 udp dst port 7008'
$iptables -w -A INPUT -m mark --mark 7 -j DROP
expect "a marked packet is known by its mark" $FLOW udp -n 10 -e 0 -w 300 7004
expect "an unmarked one is not" $FLOW udp -n 10 7007
expect_text "a word in a datagram is another when it arrives" "do good, be good" $FLOW say 7005 "do evil, be evil"
expect_text "a datagram may become shorter" "do , be " $FLOW say 7006 "do evil, be evil"
expect "the other queue, which nobody reads, loses what is sent there" $FLOW udp -n 10 -e 0 -w 300 7008
stop

filter_on INPUT 'rate 10/s burst 20 udp dst port 7009'
expect "a rate lets its burst pass and no more at once" $FLOW udp -n 20 -w 200 7009
expect "and what is beyond not" sh -c "! $FLOW udp -n 100 -w 300 7009 >/dev/null"
stop
expect "what was beyond is counted" grep -qE 'rate 10/s burst 20 udp dst port 7009  \([0-9]+ dropped\)' "$log"

filter_on INPUT 'delay 60ms icmp or icmp6'
# Each echo passes twice, but ping counts up to the answer's arrival before the queue.
delay() {
	ping "$@" -n -c 3 -i 0.2 | sed -n 's/.* = \([0-9]*\).*/\1/p'
}
time=$(delay 127.0.0.1)
expect "an echo through a delay of 60 ms takes 60 ms at least" [ "${time:-0}" -ge 60 ]
expect "and not much more" [ "${time:-999}" -lt ${IPQ_DELAY_AT_MOST:-110} ]
time=$(delay -6 ::1)
expect "so does one over IPv6" [ "${time:-0}" -ge 60 ]
stop
expect "all that were held have left" grep -q ' 0 dropped' "$log"

# A packet that is repeated meets the rule again, with the mark, and goes on.
filter_on OUTPUT 'repeat 3 udp dst port 7010' 'count udp dst port 7010'
expect "a repeated packet arrives" $FLOW udp -n 10 7010
stop
expect_text "after one turn" 10 awk '/count udp/ { print $2 }' "$log"
finish
