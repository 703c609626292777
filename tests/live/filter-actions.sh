#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Tests actions and predicates of ipq filter that need a kernel: answers, copies, chance, metadata.
. "$IPQ_LIVE/lib.sh"
command -v python3 >/dev/null || skip "no python3"

peer() {
	python3 "$IPQ_LIVE/filter-actions.py" "$@"
}

# between LOW HIGH COMMAND...: the command must print a number in this range.
between() {
	low=$1 high=$2
	shift 2
	got=$("$@")
	[ "${got:--1}" -ge "$low" ] && [ "$got" -le "$high" ]
}

filter_on() {
	hook=$1
	shift
	start $IPQ filter --on "$hook" "$@"
	wait_for_rule "${hook%%,*}"
}

for hook in INPUT OUTPUT; do
	filter_on $hook 'reject tcp dst port 7001' 'reject udp dst port 7002'
	for family in 4 6; do
		expect_text "$hook: a rejected IPv$family connection is refused" refused peer connect $family 7001
		expect_text "$hook: a rejected IPv$family datagram is refused" refused peer ask $family 7002
		expect_text "$hook: another IPv$family port connects" connected peer connect $family 7003
		expect_text "$hook: another IPv$family port answers" connected peer ask $family 7004
	done
	stop
done
# The firewall rule must queue such a packet, although its BPF program does not find the port.
filter_on INPUT 'drop tcp dst port 7017' 'accept'
expect_text "a port after a destination options header is found" silence peer hidden 6 7017
expect_text "another port after such a header connects" connected peer hidden 6 7018
stop
expect "the counters include it" grep -qE '^ +1 +[1-9][0-9]* .* drop tcp dst port 7017$' "$log"

# The answer also passes OUTPUT, where it is not rejected again.
filter_on INPUT,OUTPUT 'reject tcp port 7001' 'reject'
expect_text "an answer to a rejected connection is not rejected itself" refused peer connect 4 7001
stop

filter_on OUTPUT 'duplicate udp dst port 7005' 'duplicate 20% udp dst port 7006'
for family in 4 6; do
	expect_text "each IPv$family datagram arrives twice" 200 peer count $family 7005 100
	expect "a fifth of IPv$family datagrams arrives twice" between 420 580 peer count $family 7006 400
done
stop
expect "duplicate in INPUT is refused with status 2" \
	sh -c "$IPQ filter --on INPUT 'duplicate udp' 2>/dev/null; [ \$? = 2 ]"

filter_on INPUT --seed 5 'drop 30% udp dst port 7007' 'drop in lo and udp dst port 7008' \
	'drop in eth*,ppp0 and udp dst port 7009' 'drop outbound'
expect "about 70 % of datagrams arrive with drop 30%" between 240 320 peer count 4 7007 400
expect_text "a packet matches the interface by which it came in" 0 peer count 4 7008 10
expect_text "it does not match another interface" 10 peer count 4 7009 10
stop

filter_on OUTPUT 'set dst port 7011 if udp dst port 7010' 'mark 0x15/0xff udp dst port 7012' \
	'drop mark 0x5/0xf and udp dst port 7012' 'drop uid 0 and udp dst port 7013' \
	'drop not uid 0-60000 and udp dst port 7014' 'mark 2, delay 20ms udp dst port 7015'
$iptables -w -A INPUT -m mark --mark 2 -j DROP
expect_text "a datagram with another port arrives there" 10 peer count 4 7010 10 7011
expect_text "an IPv6 datagram with another port arrives there" 10 peer count 6 7010 10 7011
expect_text "the next rule matches a mark that was set" 0 peer count 4 7012 10
expect_text "a packet matches the owner of its socket" 0 peer count 4 7013 10
expect_text "a negated range does not match an owner inside it" 10 peer count 4 7014 10
expect_text "a delayed packet keeps its new mark" 0 peer count 4 7015 10
stop

# Two rules that would repeat in turn: each must repeat a packet once, and no more.
filter_on OUTPUT 'repeat 11 udp dst port 7016' 'repeat 12 udp dst port 7016' 'count udp dst port 7016'
expect_text "two rules that repeat end" 10 peer count 4 7016 10
stop
expect_text "each packet was repeated by both of them" 10 awk '/count udp dst port 7016/ { print $2 }' "$log"
filter_on OUTPUT 'queue 61000 udp dst port 7019'
expect_text "queue to the own queue ends" 10 peer count 4 7019 10
stop
expect "this is counted and reported" grep -q '10 packets were accepted because they were queued again' "$log"
expect_text "queue to the own queue is refused" 2 sh -c \
	"$IPQ filter --on OUTPUT --queue 9 'queue 9 udp' 2>/dev/null; echo \$?"
finish
