#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Network namespaces are destroyed while a program decides packets: another one, which removes an interface
# with its packets, and the program's own.
. "$IPQ_LIVE/lib.sh"

neighbour() {
	ip netns add peer || skip "no network namespaces within this one"
	ip link add to-peer type veth peer name peer0 netns peer || skip "no veth here"
	ip addr add 10.9.3.1/24 dev to-peer
	ip link set to-peer up
	ip -n peer addr add 10.9.3.2/24 dev peer0
	ip -n peer link set peer0 up
}

# The kernel destroys a namespace some time after its last use: wait at most 10 s.
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
	expect_text "a packet reaches the $turn other namespace" good $TRAFFIC say -N peer -a 10.9.3.2 7000 good
	expect_text "another packet waits for its verdict" "(nothing)" $TRAFFIC say -w 200 -N peer -a 10.9.3.2 7000 hold
	expect "the $turn other namespace and its interface disappear" neighbour_goes
	expect_text "packets of other interfaces are decided" good $TRAFFIC say 7000 good
	expect_column "no packet waits" 3 0
done
expect_text "the verdicts on packets of the removed interface are refused" 2 \
	grep -c '^IPv4 error=No such file or directory$' "$log"
stop KILL

command -v nsenter >/dev/null || skip "no nsenter"
ip netns add own
ip netns exec own ip link set lo up
ip netns exec own $iptables -w -A OUTPUT -p udp --dport 7000 -j $queue_target
start ip netns exec own $DECIDE accept
tries=250
until [ -n "$(nsenter -t $started -n $TRAFFIC owned 0 && echo owned)" ]; do
	tries=$((tries - 1))
	[ $tries -gt 0 ] || break
	sleep 0.02
done
sleep 0.2
ip netns del own
inside="nsenter -t $started -n"
expect "the program works in a namespace without a name" $inside $TRAFFIC udp -n 100 7000
stop
expect_text "the program exits with 0 and reports its counts" "0 read 100 refused 0" echo $status "$(cat "$log")"
finish
