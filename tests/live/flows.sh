#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The rest of a decided flow: with the rules, the kernel keeps the flow; without them, the library does.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/flows-lib.sh"

for hook in OUTPUT INPUT PREROUTING POSTROUTING; do
	no_rules
	rules $hook -p udp --dport 7000
	start $FLOWS accept
	wait_for_queue
	expect "$hook: datagrams of a flow that the kernel keeps arrive" $TRAFFIC udp -n 500 7000
	expect "$hook: the program saw few of them" said 'seen [1-9][0-9]\{0,1\} keeper 1'
done

no_rules
rules OUTPUT -p tcp
start $FLOWS accept after=8
wait_for_queue
expect "a TCP connection that is left after 8 packets arrives whole" $TRAFFIC tcp -n 5000000 8000
expect "the program saw few of its packets" said 'seen [1-9][0-9]\{0,2\} keeper 1'

# Marks of this run must not decide flows in the next run, which uses the same ports.
no_rules
rules OUTPUT -p udp --dport 7000
start $FLOWS accept
wait_for_queue
expect "the flow of a first run" $TRAFFIC udp -n 10 7000
expect "is seen and kept by the kernel" said 'seen [1-9][0-9]* keeper 1'
start $FLOWS accept new
wait_for_queue
expect "the next run" $TRAFFIC udp -n 10 7000
expect "sees the flow again" said 'seen [1-9][0-9]* keeper 1'

no_rules
$iptables -w -t mangle -A OUTPUT -p udp --dport 7000 -j NFQUEUE --queue-num 0
start $FLOWS accept
wait_for_queue
expect "without the rules all datagrams arrive" $TRAFFIC udp -n 500 7000
expect "the library noticed and kept the flow" said 'keeper 0 .* came back [1-9].*missing'

start $FLOWS drop
wait_for_queue
expect "no datagram of a dropped flow arrives" $TRAFFIC udp -n 100 -e 0 -w 300 7000
expect "the library dropped them" said 'seen [1-9][0-9]\{0,1\} keeper'

no_rules
rules OUTPUT -p tcp --dport 8000
start $FLOWS drop after=1
wait_for_queue
expect "a TCP connection that is dropped after its SYN stays without data" $TRAFFIC tcp -n 1000 -e 0 -w 1500 8000
stop_with INT

no_rules
rules OUTPUT -p udp --dport 7000
start $FLOWS accept forget=1
wait_for_queue
expect "datagrams of a forgotten flow arrive" $TRAFFIC udp -n 200 7000
expect "the program saw it twice or more" said 'seen \([2-9]\|[1-9][0-9]\)'

start $FLOWS mark new
wait_for_queue
$iptables -w -t mangle -A POSTROUTING -p udp --dport 7000 -m mark --mark 7
expect "datagrams of a marked flow arrive" $TRAFFIC udp -n 100 7000
expect "each has the mark" sh -c "$iptables -w -t mangle -vnxL POSTROUTING | grep -q '^ *100 .*0x7'"
expect "the library keeps it" said "seen [0-9]\{1,2\} .* packets [1-9]"

# The same rules with IPQ_O_CONNTRACK: the verdict sets the connection mark itself.
no_rules
rules OUTPUT -p udp --dport 7000
start $FLOWS accept conntrack
sleep 0.5
if grep -q '^skipped: ' "$log"; then
	stop TERM 77
	echo "not tested here: IPQ_O_CONNTRACK"
else
	wait_for_queue
	expect "IPQ_O_CONNTRACK: datagrams of a flow that the kernel keeps arrive" $TRAFFIC udp -n 500 7000
	expect "the program saw few of them" said 'seen [1-9][0-9]\{0,1\} keeper 2'
	no_rules
	$iptables -w -t mangle -A OUTPUT -p udp --dport 7000 -j NFQUEUE --queue-num 0
	# A namespace tracks connections only while a rule uses them.
	$iptables -w -t mangle -A INPUT -m conntrack --ctstate INVALID
	start $FLOWS accept conntrack
	wait_for_queue
	expect "without the rules all datagrams arrive" $TRAFFIC udp -n 500 7000
	expect "the library noticed and kept the flow" said 'seen [1-9][0-9]\{0,1\} keeper 0 .* came back [1-9].*missing'
fi

# With nftables, a set drops even flows of which no packet has passed.
no_rules
if $IPQ rules --flows --on OUTPUT --via nftables -- udp dport 7000 | nft -f - 2>/dev/null; then
	start $FLOWS accept
	wait_for_queue
	expect "nftables: datagrams of a flow that the kernel keeps arrive" $TRAFFIC udp -n 500 7000
	expect "the program saw few of them" said 'seen [1-9][0-9]\{0,1\} keeper 1'
	# In OUTPUT the sender of a dropped packet gets an error.
	nft delete table inet ipq_flows_0
	$IPQ rules --flows --on INPUT --via nftables -- udp dport 7000 | nft -f -
	start $FLOWS drop new
	wait_for_queue
	expect "no datagram of a dropped flow arrives" $TRAFFIC udp -n 1000 -e 0 -w 300 7000
	expect "the kernel dropped them" said 'seen [1-9][0-9]\{0,1\} keeper 1 flows 1 packets [1-5]\{0,1\}[0-9]\{1,2\} '
else
	echo "not tested here: nftables cannot queue"
fi
finish
