#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Flows that one ipq filter leaves to the kernel: other filters on the same hook still get every packet, and a
# decision ends with the run that made it.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

# send ...: sends datagrams of the same flow, one after the other.
send() {
	$TRAFFIC udp -f 7101 -1 "$@" 7001
}

# filter_on NAME RULE...: starts ipq filter in the background; its output goes to $work/NAME, its process is $pid_NAME.
filter_on() {
	name=$1
	shift
	log=$work/$name
	: >$log
	$IPQ filter --via $way --on INPUT "$@" >$log 2>&1 &
	eval "pid_$name=$!"
	wait_for_line 'in force'
}

# passed NAME: prints how many packets of its flows the kernel has passed.
passed() {
	sed -n 's/.*in the kernel \([0-9]*\) .*/\1/p' $work/$1
}

for way in $(ways_to_queue); do
	filter_on below 'accept flow udp dst port 7001'
	filter_on above 'count udp dst port 7001'
	[ $way = nftables ] || $way -w -t mangle -A PREROUTING -j CONNMARK --restore-mark
	expect "$way: a filter above one that leaves flows: all packets arrive" send -n 50
	end above
	filter_on second 'accept flow udp dst port 7001'
	expect "$way: two that leave flows: all packets arrive" send -n 50
	end second below
	expect_text "$way: the filter above saw each packet once" 50 matched above 'count udp'
	expect_text "$way: the rule below saw the first one" 1 matched below 'accept flow'
	expect "$way: and the kernel let others pass" [ $(passed below) -ge 49 ]
	[ $way = nftables ] || $way -w -t mangle -F PREROUTING

	filter_on above 'accept flow udp dst port 7001'
	filter_on below 'count udp dst port 7001'
	expect "$way: a filter below one that leaves flows: all packets arrive" send -n 50
	end above below
	expect_text "$way: the filter below saw each packet once" 50 matched below 'count udp'

	# Packets of a dropped flow are not queued either, after one of them has passed.
	filter_on drop 'drop flow after 3 udp dst port 7001'
	expect "$way: three packets arrive before the flow is dropped" send -n 10 -e 3 -w 300
	expect "$way: none arrives after that" send -n 10 -e 0 -w 300
	end drop
	expect_text "$way: the rule saw four" 4 matched drop 'drop flow'
	expect "$way: the kernel dropped the last ten" grep -q '^\([4-9]\|10\) packets: ' $work/drop

	# After a kill, flows that were left to the kernel pass while the rules exist, and other flows are blocked.
	# The next run decides all flows again.
	filter_on killed 'accept flow udp dst port 7001'
	send -n 3 >/dev/null
	kill -KILL $pid_killed
	wait $pid_killed
	expect "$way: after a kill the left flow passes" send -n 3
	expect "$way: others do not" $TRAFFIC udp -n 3 -e 0 -w 200 7001
	filter_on next 'drop flow udp dst port 7001'
	expect "$way: the next run decides the flow again" send -n 3 -e 0 -w 300
	kill -KILL $pid_next
	wait $pid_next
	expect "$way: ipq clean" sh -c "$IPQ clean >/dev/null"
	expect_text "$way: leaves no rule" "" rules_of_ours
done
finish
