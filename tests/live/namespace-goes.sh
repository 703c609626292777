#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Network namespaces are destroyed while a program decides: a neighbour's, which takes an interface and the
# packets for it away, and the program's own.
. "$IPQ_LIVE/lib.sh"

neighbour() {
	ip netns add peer || skip "no network namespaces within this one"
	ip link add to-peer type veth peer name peer0 netns peer || skip "no veth here"
	ip addr add 10.9.3.1/24 dev to-peer
	ip link set to-peer up
	ip -n peer addr add 10.9.3.2/24 dev peer0
	ip -n peer link set peer0 up
}

# The kernel takes a namespace down some time after its end: 10 s at most.
neighbour_goes() {
	ip netns del peer
	tries=500
	while ip link show to-peer >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

queue OUTPUT -p udp --dport 7000
start $ENGINE_HOST
wait_for_queue
for turn in first second; do
	neighbour
	expect_text "a packet goes to the $turn neighbour" good $FLOW say -N peer -a 10.9.3.2 7000 good
	expect_text "another waits for its verdict" "(nothing)" $FLOW say -w 200 -N peer -a 10.9.3.2 7000 hold
	expect "the $turn neighbour goes, and its interface" neighbour_goes
	expect_text "packets elsewhere are decided as before" good $FLOW say 7000 good
	expect_column "and none waits" 3 0
done
expect_text "the verdicts on packets that went with the interface were answered" 2 \
	grep -c '^IPv4 error=No such file or directory$' "$log"
stop KILL

command -v nsenter >/dev/null || skip "no nsenter"
ip netns add own
ip netns exec own ip link set lo up
ip netns exec own $iptables -w -A OUTPUT -p udp --dport 7000 -j $queue_target
start ip netns exec own $DECIDE accept
tries=250
until [ -n "$(nsenter -t $started -n $FLOW owned 0 && echo owned)" ]; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] || break
	sleep 0.02
done
sleep 0.2
ip netns del own
inside="nsenter -t $started -n"
expect "the program works in a namespace that has lost its name" $inside $FLOW udp -n 100 7000
stop
expect_text "and ends well, with all it had to say" "0 read 100 refused 0" echo $status "$(cat "$log")"
finish
