#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Flows that rules of ipq filter decide: the data arrives, the rules are applied only to the first packets, the kernel
# keeps the flows, and packets of accepted flows reach the firewall rules after ours.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

# Sends packets of the same flow in every run, that is, with the same ports.
same_flow() {
	$TRAFFIC udp -f 7105 -n 20 "$@" 7005
}

# filter_on RULE...: starts ipq filter in the background; its output goes to $log.
filter_on() {
	log=$work/filter
	: >$log
	$IPQ filter --via $way --on INPUT $options "$@" >$log 2>&1 &
	filter=$!
	wait_for_line 'in force'
}

end() {
	kill -INT $filter
	wait $filter
	look_for_findings
}

# reported PATTERN: the filter's report must have a line that matches the pattern.
reported() {
	grep -q "$1" $log || { cat $log; return 1; }
}

# Checks the table of ipq status, and its output for Prometheus.
status_shows() {
	$IPQ status >$work/status
	$IPQ status --openmetrics >$work/metrics
	awk '$5 ~ /^(ip|nft)/ && $2 >= 2 && $3 > 100 && $4 > 1000000 { found = 1 } END { exit !found }' $work/status &&
		grep -q '^ipq_queue_passed_packets_total{queue="61000",firewall="[a-z-]*"} [1-9][0-9][0-9]' $work/metrics &&
		$IPQ status --json | grep -q '"flows":\[{"queue":61000,"firewall":"[a-z-]*","left":[2-9]' ||
		{ cat $work/status $work/metrics; return 1; }
}

# Counts packets with the mark 7 that reached the end of the hook.
marked() {
	$way -w -t mangle -vnxL INPUT | awk '/mark match 0x7/ { print $1 }'
}

options=
for way in $(ways_to_queue); do
	# The user has rules in the same table.
	if [ $way != nftables ]; then
		$way -w -t mangle -A INPUT -p udp --dport 7002 -m mark ! --mark 0 -j DROP
		$way -w -t mangle -A INPUT -p udp --dport 7003 -m length --length 0:65535 -j DROP
	fi
	filter_on 'accept flow after 2 udp dst portrange 7001-7003' 'drop flow udp dst port 7004' 'accept flow after 8 tcp'
	expect "$way: datagrams of an accepted flow arrive" $TRAFFIC udp -n 200 7001
	if [ $way != nftables ]; then
		expect "$way: without a mark of ipq" $TRAFFIC udp -n 200 7002
		expect "$way: a later rule drops packets of an accepted flow" $TRAFFIC udp -n 20 -e 0 -w 300 7003
	fi
	expect "$way: no datagram of a dropped flow arrives" $TRAFFIC udp -n 20 -e 0 -w 300 7004
	expect "$way: a TCP connection arrives whole" $TRAFFIC tcp -n 10000000 8000
	expect "$way: ipq status shows the flows that the kernel keeps" status_shows
	end
	flows=$([ $way = nftables ] && echo 3 || echo 5)
	expect "$way: the rules saw three datagrams of each accepted flow" reported \
		"^ *1  *$(((flows - 2) * 3)) .*accept flow after 2"
	expect "$way: and one of the dropped flow" reported '^ *2  *1 .*drop flow'
	expect "$way: and nine of the connection" reported '^ *3  *9 .*accept flow after 8'
	expect "$way: the flows were counted, and the kernel kept them" reported \
		" $flows flows decided: .* in the kernel [1-9][0-9][0-9]"
	expect "$way: so that few packets were queued" reported '^[1-9][0-9]\{0,2\} packets: '
	expect_text "$way: no rule is left" "" rules_of_ours
	[ $way = nftables ] || $way -w -t mangle -F INPUT

	# Packets of both directions get the mark, even those that match no condition.
	if [ $way != nftables ]; then
		$way -w -t mangle -A INPUT -p udp -m mark --mark 7
		filter_on 'mark 7 flow udp dst port 7001'
		expect "$way: datagrams of a marked flow arrive" $TRAFFIC udp -n 50 7001
		expect_text "$way: each has the mark" 50 marked
		end
		expect "$way: the rule saw one" reported '^ *1  *1 .*mark 7 flow'
		$way -w -t mangle -F INPUT
	fi

	# SIGUSR2 sets the counters to 0.
	filter_on 'accept flow udp dst port 7001'
	expect "$way: another flow" $TRAFFIC udp -n 20 7001
	kill -USR2 $filter
	wait_for_line ' flows decided'
	end
	expect "$way: the counters of flows are set to 0" reported \
		' 0 flows decided: 0 more packets, 0 bytes of them; in the kernel 0 packets, 0 bytes$'

	# New rules decide the flows again.
	echo 'accept flow udp dst port 7005' >$work/rules
	options="-f $work/rules"
	filter_on
	options=
	expect "$way: before a reload the flow is accepted" same_flow
	echo 'drop udp dst port 7005' >$work/rules
	kill -HUP $filter
	wait_for_line 'in force' 2 # the first such line was printed at the start, so wait for two
	expect "$way: after a reload its packets are dropped" same_flow -e 0 -w 300
	end
	expect "$way: by the new rule" reported '^ *1  *20 .*drop udp'
done

# The user's own rules keep accepted flows in the kernel.
. "$IPQ_LIVE/flows-lib.sh"
no_rules
rules OUTPUT -p udp --dport 7006
log=$work/filter
$IPQ filter --queue 0 'accept flow udp' >$log 2>&1 &
filter=$!
wait_for_queue
expect "with the rules of \"ipq rules --flows\" datagrams arrive" $TRAFFIC udp -n 500 7006
end
expect "and the kernel kept the flow" reported '^[1-9][0-9]\{0,1\} packets\{0,1\}: '
finish
