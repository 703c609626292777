#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Combinations of features that work alone, in both families: PREROUTING and POSTROUTING, reloads under traffic, queue
# numbers above 255, and the end of a filter while packets are held by each action.
. "$IPQ_LIVE/lib.sh"

# both WHAT TRAFFIC-ARGUMENT...: sends datagrams of each family.
both() {
	of=$1
	shift
	$TRAFFIC udp -a ::1 "$@" >$work/both &
	six=$!
	expect "$of" $TRAFFIC udp "$@"
	wait $six
	expect_text "$of in IPv6" 0 echo $?
}

# until_counted N: waits until N packets have matched no rule of the filter; at most 5 s.
until_counted() {
	tries=50
	until kill -USR1 $started && sleep 0.1 && grep -q "^ *- *$1 .* no rule decided" "$log"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
	done
}

# The numbers of both queues are equal in their lower 8 bits, so a mistake in the upper 8 bits is noticed.
start $IPQ filter --on PREROUTING,POSTROUTING --queue 700 'drop hook POSTROUTING and udp dst port 7001' \
	'drop hook PREROUTING and udp dst port 7002' 'count hook PREROUTING and udp dst port 7003' \
	'count hook POSTROUTING and udp dst port 7003' 'queue 600 hook POSTROUTING and udp dst port 7004'
wait_for_rule POSTROUTING
both "POSTROUTING drops" -n 10 -e 0 -w 200 7001
both "PREROUTING drops" -n 10 -e 0 -w 200 7002
both "what neither drops passes both" -n 10 7003
both "queue 600 has no owner" -n 10 -e 0 -w 200 7004
IPQ_SOURCE=nfqueue:600 IPQ_SOURCE_INET6=nfqueue:600 $DECIDE accept 20 >$work/decide &
owner=$!
wait_for_queue 600
expect "its owner accepts" $TRAFFIC udp -n 10 7004
kill $owner
wait $owner
stop
expect_text "each hook has seen each packet" "20 20 20 20 30" sh -c \
	"awk '/hook .* udp dst port/ { print \$2 }' $log | tr '\n' ' ' | sed 's/ \$//'"
expect_text "no rule is left in either" "" rules_of_ours

# A killed filter leaves rules for both hooks, and clean removes them.
start $IPQ filter --on PREROUTING,POSTROUTING --queue 700 'drop udp dst port 7001'
wait_for_rule POSTROUTING
stop KILL
expect_text "clean names both hooks" "POSTROUTING PREROUTING" sh -c \
	"$IPQ clean | grep -o 'P[A-Z]*ROUTING' | sort -u | tr '\n' ' ' | sed 's/ \$//'"
expect_text "and leaves nothing" "" rules_of_ours

# The rules are reloaded while packets of both families pass, and while some packets are held.
one='drop udp dst port 7020\ncount udp dst port 7021\ndelay 700ms udp dst port 7022\n'
two='count udp dst port 7021\ndrop udp dst port 7023\n'
printf "$one" >$work/rules
start $IPQ filter --on INPUT,OUTPUT --queues 700-701 -f $work/rules
wait_for_rule OUTPUT
both "the first rules are in force" -n 5 -e 0 -w 200 7020
$TRAFFIC udp -n 3000 7021 >$work/four &
four=$!
$TRAFFIC udp -a ::1 -n 3000 7021 >$work/six &
six=$!
$TRAFFIC udp -n 5 -w 2000 7022 >$work/held &
held=$!
for rules in "$two" "dorp udp\n" "$one" "$two" "" "$two"; do
	printf "$rules" >$work/rules
	kill -HUP $started
	sleep 0.1
done
for family in four six held; do
	eval "wait \$$family"
	expect_text "no packet is lost by a reload ($family)" 0 echo $?
done
both "the last rules are in force" -n 5 -e 0 -w 200 7023
both "the first ones are not" -n 5 7020
stop
expect_text "the counter of the rule that stayed" 12000 awk '/count udp dst port 7021$/ { n = $2 } END { print n }' "$log"

# The filter ends while packets wait in the queue: each packet arrives, whether the filter decides it or not.
for round in 1 2 3; do
	start $IPQ filter --on OUTPUT --queue 700 'count udp dst port 7040'
	wait_for_rule OUTPUT
	$TRAFFIC udp -n 6000 7040 >$work/7040 &
	flow=$!
	sleep 0.05
	stop
	wait $flow
	expect_text "no packet is lost at the end ($round)" 0 echo $?
done

# The filter ends while each action holds packets: the packets are sent immediately, with the changes of the other
# actions.
$iptables -w -A INPUT -m mark --mark 5 -j DROP
start $IPQ filter --on OUTPUT --queue 700 'delay 30s udp dst port 7030' 'delay 30s jitter 100ms udp dst port 7031' \
	'reorder 100% 30s udp dst port 7032' 'mark 5, delay 30s udp dst port 7033' \
	'rewrite /evil/wonderful/, delay 30s udp dst port 7034' \
	'duplicate, delay 30s udp dst port 7036' 'rate 1000/s burst 1000, delay 30s udp dst port 7037'
wait_for_rule OUTPUT
wait=${IPQ_PATIENCE:-4}000 # in ms; a slow machine needs time for the end of the filter
for port in 7030 7031 7032 7037; do
	$TRAFFIC udp -n 10 -w $wait $port >$work/$port &
	eval "flow_$port=$!"
	$TRAFFIC udp -a ::1 -n 10 -w $wait $port >$work/six.$port &
	eval "six_$port=$!"
done
$TRAFFIC udp -n 10 -e 0 -w 2000 7033 >$work/7033 &
marked=$!
$TRAFFIC say -w $wait 7034 "do evil" >$work/7034 &
said=$!
$TRAFFIC udp -n 10 -e 9 -w $((wait / 4 + 2000)) 7036 >$work/7036 & # wait longer
expect "all are held" until_counted 101
stop
for port in 7030 7031 7032 7037; do
	for family in flow six; do
		eval "wait \$${family}_$port"
		expect_text "held packets leave at the end ($family, $port)" 0 echo $?
	done
done
wait $marked
expect_text "a held packet leaves with its mark" 0 echo $?
wait
expect "copies leave at once, and the held packets at the end" grep -q '10 arrived as sent, 0 changed, 10 twice' $work/7036
expect_text "a held packet leaves with its new text" "do wonderful" cat $work/7034
finish
