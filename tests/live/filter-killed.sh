#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq filter without --bypass blocks the packets that it filters, however it ends, until it is started on that hook
# again or "ipq clean" removes its rules.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

closed() {
	$TRAFFIC udp -n 5 -e 0 -w 200 7001 >/dev/null
}

open() {
	$TRAFFIC udp -n 5 7001 >/dev/null
}

for way in $(ways_to_queue); do
	filter="$IPQ filter --via $way"
	start $filter --on INPUT 'drop udp dst port 7001'
	wait_for_rule INPUT
	expect "$way: drops while it runs" closed
	stop KILL
	expect "$way: blocks after kill -9" closed
	expect "$way: other ports are blocked only if the kernel cannot select" sh -c \
		"[ $way = nftables ] || $TRAFFIC udp -n 5 7002"

	start $IPQ watch --on INPUT udp dst port 7005
	wait_for_rule INPUT
	stop INT
	expect "$way: ipq watch on the hook does not open it" closed
	start $filter --on OUTPUT 'drop udp dst port 7003'
	wait_for_rule OUTPUT
	stop INT
	expect "$way: ipq filter on another hook does not open it" closed

	expect "$way: clean --dry-run names the rules" sh -c "$IPQ clean --dry-run | grep -q 'would remove .*ipq.*INPUT'"
	expect "$way: after clean --dry-run it still blocks" closed
	expect "$way: clean names the rules" sh -c "$IPQ clean | grep -q 'removed .*ipq.*INPUT'"
	expect_text "$way: clean leaves no rule" "" rules_of_ours
	expect "$way: after clean packets pass" open

	start $filter --on INPUT,FORWARD 'drop udp dst port 7001'
	wait_for_rule INPUT
	stop KILL
	start $filter --on INPUT 'drop udp dst port 7002'
	wait_for_line ' in force'
	expect "$way: a start on that hook takes over" sh -c "$TRAFFIC udp -n 5 7001 && $TRAFFIC udp -n 5 -e 0 -w 200 7002"
	expect "$way: the other hook stays blocked" sh -c "$IPQ clean --dry-run | grep -q '(FORWARD)'"
	expect "$way: clean removes its rules" $IPQ clean
	expect "$way: clean leaves the rules of the live process" sh -c "$TRAFFIC udp -n 5 -e 0 -w 200 7002"
	stop INT
	expect_text "$way: no rule is left" "" rules_of_ours

	# A new filter does not use the queue number of a killed filter while that filter's rules exist.
	start $filter --on INPUT --queue 5 'drop udp dst port 7001'
	wait_for_rule INPUT
	stop KILL
	expect "$way: --queue with that number and another hook is refused" sh -c \
		"! timeout 5 $filter --on OUTPUT --queue 5 'drop udp dst port 7001' 2>$work/error"
	expect "$way: the error names ipq clean" grep -q 'ipq clean' $work/error
	expect "$way: after the refusal it still blocks" closed
	start $filter --on INPUT --queue 5 'drop udp dst port 7002'
	wait_for_line ' in force'
	expect "$way: with that hook it takes over" open
	stop INT
	expect_text "$way: no rule is left then" "" rules_of_ours
	expect_text "$way: clean has nothing to do" "" $IPQ clean

	# A new filter does not use one of several queue numbers of a killed filter either.
	start $filter --on INPUT --queues 61000-61003 'drop udp dst port 7001'
	wait_for_rule INPUT
	stop KILL
	start $filter --on OUTPUT 'count udp dst port 7003'
	wait_for_line ' in force'
	expect "$way: a filter on another hook takes none of the queues of a killed one" closed
	stop INT
	expect "$way: clean removes the rules for several queues" $IPQ clean
done
finish
