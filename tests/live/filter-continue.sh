#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A packet that ipq filter accepts reaches every rule that it would reach without ipq: later rules of the same table,
# and other ipq processes on the same hook. Each of these rules and processes gets it once.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

# until_more_rules COUNT: waits until ipq has more than COUNT rules, at most 5 s.
until_more_rules() {
	tries=250
	until [ "$(rules_of_ours | wc -l)" -gt "$1" ] || [ $tries = 0 ]; do
		tries=$((tries - 1))
		sleep 0.02
	done
	sleep 0.2
}

# filter_on NAME HOOK RULE...: starts ipq filter in the background; its output goes to $work/NAME, its process is
# $pid_NAME.
filter_on() {
	name=$1
	before=$(rules_of_ours | wc -l)
	hook=$2
	shift 2
	$IPQ filter --via $way --on $hook "$@" >$work/$name 2>&1 &
	eval "pid_$name=$!"
	until_more_rules "$before"
}

ways=$(ways_to_queue)
[ -n "$ways" ] || skip "this kernel cannot queue packets with ${ONLY_WAY:-any firewall}"
for way in $ways; do
	# Rules of the user in the same table. With nftables, each ipq process has its own table.
	if [ $way != nftables ]; then
		$way -w -t mangle -A INPUT -p udp --dport 7001 -j DROP
		$way -w -t mangle -A INPUT -p udp --dport 7002 -m mark --mark 7 -j DROP
		$way -w -t mangle -A INPUT -p udp --dport 7003 -m mark ! --mark 0 -j DROP
		filter_on one INPUT 'mark 7 udp dst port 7002' 'accept udp dst portrange 7001-7010' 'drop udp dst port 7011'
		expect "$way: a later DROP in the same table applies to accepted packets" $TRAFFIC udp -n 10 -e 0 -w 300 7001
		expect "$way: a later rule sees the mark of an accepted packet" $TRAFFIC udp -n 10 -e 0 -w 300 7002
		expect "$way: a later rule sees no mark of ipq" $TRAFFIC udp -n 10 7003
		expect "$way: later packets are still dropped" $TRAFFIC udp -n 10 -e 0 -w 300 7011
		end one
		expect_text "$way: each packet was decided once" 10 matched one 'mark 7 udp'
		$way -w -t mangle -F INPUT
	fi

	# Several filters on one hook, started in this order: the drops of each filter have effect, and each filter
	# gets each packet once.
	filter_on one INPUT 'drop udp dst port 7001' 'count udp dst port 7004'
	filter_on two INPUT 'drop udp dst port 7002' 'count udp dst port 7004'
	filter_on three INPUT --bypass 'drop udp dst port 7003' 'count udp dst port 7004'
	for port in 7001 7002 7003; do
		expect "$way: three on one hook: what one drops is dropped ($port)" $TRAFFIC udp -n 10 -e 0 -w 300 $port
	done
	expect "$way: three on one hook: other packets arrive" $TRAFFIC udp -n 100 7004
	end two
	expect "$way: the first still drops when the second has ended" $TRAFFIC udp -n 10 -e 0 -w 300 7001
	expect "$way: the third still drops when the second has ended" $TRAFFIC udp -n 10 -e 0 -w 300 7003
	filter_on four INPUT,OUTPUT 'count udp dst port 7004'
	expect "$way: a fourth on two hooks: all arrive" $TRAFFIC udp -n 100 7004
	end one three four
	expect_text "$way: each saw each packet once" "200 100 200 200" echo $(for name in one two three four; do
		matched $name 'count udp dst port 7004'
	done)

	# ipq watch before, between and after filters: one line for each packet that reaches it, and no other effect.
	filter_on one INPUT 'drop udp dst port 7001'
	before=$(rules_of_ours | wc -l)
	$IPQ watch --via $way --on INPUT udp dst portrange 7001-7004 >$work/seen 2>$work/watch &
	watch=$!
	until_more_rules "$before"
	sleep 0.3
	expect "$way: with ipq watch on the hook the filter drops" $TRAFFIC udp -n 10 -e 0 -w 300 7001
	expect "$way: with ipq watch on the hook the filter accepts" $TRAFFIC udp -n 10 7004
	filter_on two INPUT 'drop udp dst port 7003'
	expect "$way: a filter that starts later drops too" $TRAFFIC udp -n 10 -e 0 -w 300 7003
	expect "$way: both accept" $TRAFFIC udp -n 10 7004
	kill -INT $watch
	wait $watch
	end one two
	expect_text "$way: watch showed each packet that got to it once" 30 grep -c udp $work/seen

	# If another program exchanges the rules of two filters, they must not repeat each other's packets for ever.
	if [ $way != nftables ]; then
		filter_on one INPUT 'count udp dst port 7006'
		filter_on two INPUT 'count udp dst port 7006'
		second=$($way -w -t mangle -S INPUT | sed -n 's/^-A INPUT -j \(ipq-[0-9]*\)$/\1/p' | tail -n 1)
		$way -w -t mangle -D INPUT -j $second
		$way -w -t mangle -I INPUT -j $second
		sleep 6
		expect "$way: packets arrive after two chains were exchanged" $TRAFFIC udp -n 10 7006
		end one two
		expect_text "$way: after that each decides them once" "10 10" echo $(matched one 'count udp') $(matched two 'count udp')
	fi

	# A packet with a user's mark in our bits does not bypass the filter.
	if [ $way != nftables ]; then
		filter_on one INPUT 'drop udp dst port 7001'
		ours=$($way-save -t mangle | sed -n 's/.*--mark \(0x[0-9a-f]*\).* -g ipq.*/\1/p')
		$way -w -t mangle -A OUTPUT -p udp --dport 7001 -j MARK --set-mark $(printf '0x%x' $(((ours + 0x02000000) & 0xfe000000)))
		expect "$way: a mark in the same bits that is not ours does not pass" $TRAFFIC udp -n 10 -e 0 -w 300 7001
		end one
		$way -w -t mangle -F OUTPUT

		# A packet with the mark of a filter that has ended does not bypass the filter either.
		filter_on one INPUT 'count udp dst port 7004'
		ours=$($way-save -t mangle | sed -n 's/.*--mark \(0x[0-9a-f]*\).* -g ipq.*/\1/p')
		filter_on two INPUT 'drop udp dst port 7001'
		end one
		$way -w -t mangle -A OUTPUT -p udp --dport 7001 -j MARK --set-mark $ours
		expect "$way: the mark of a filter that has ended does not pass" until_closed
		end two
		$way -w -t mangle -F OUTPUT

		# If the rule that removes our mark from a repeated packet is missing, the packet must not be repeated
		# for ever.
		filter_on one INPUT 'count udp dst port 7005'
		$way -w -t mangle -I INPUT 1 -j MARK --set-mark 1
		sleep 2
		expect "$way: a rule before ours that changes marks is noticed" grep -q 'changes packet marks' $work/one
		expect "$way: after such a rule packets still arrive" $TRAFFIC udp -n 10 7005
		end one
		expect_text "$way: after such a rule packets are decided once" 10 matched one 'count udp dst port 7005'
		$way -w -t mangle -F INPUT

		# Packets that are queued again with our mark, because the rule for such packets is missing, are not
		# repeated again.
		filter_on one INPUT 'drop udp dst port 7001' 'count udp dst port 7007'
		back=$($way -w -t mangle -S | sed -n 's/^-A \(.* -g ipq-[0-9]*-done\)$/\1/p')
		$way -w -t mangle -D $back
		$way -w -A INPUT -p udp --dport 7007 -m mark ! --mark 0 -j DROP
		expect "$way: packets that come back with our mark arrive, without it" $TRAFFIC udp -n 10 7007
		expect "$way: others are still dropped" $TRAFFIC udp -n 10 -e 0 -w 300 7001
		end one
		$way -w -D INPUT -p udp --dport 7007 -m mark ! --mark 0 -j DROP
		expect "$way: they are reported" grep -q '10 accepted packets were queued again because rules were missing' $work/one
	fi
	expect_text "$way: no rule is left" "" rules_of_ours
done
finish
