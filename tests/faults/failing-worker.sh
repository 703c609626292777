#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A worker of ipq filter --queues fails, and tries again. No packet of its queue may be lost, and other queues must
# not be affected.
. "$IPQ_LIVE/lib.sh"

for n in 0 1 2 3; do
	$iptables -w -A OUTPUT -p udp --dport 700$n -j NFQUEUE --queue-num $n || skip "iptables here has queue 0 only"
done

start_failing() {
	export IPQ_FAULT="$1 1 $2"
	start $FAILING_WORKER filter --queues 0-3 'drop udp dst port 9' 'accept udp dst port 7001'
	wait_for_line 'in force'
}

# all_arrive N: sends N datagrams through each queue; all must arrive.
all_arrive() {
	flows=
	for n in 0 1 2 3; do
		$TRAFFIC udp -n "$1" -w 20000 700$n >$work/flow.$n 2>&1 &
		flows="$flows $!"
	done
	result=0
	for flow in $flows; do
		wait $flow || result=1
	done
	[ $result -eq 0 ] || cat $work/flow.*
	return $result
}

for kind in packet receive send; do
	start_failing $kind 2
	expect "every datagram arrives when 2 of 3 calls fail: $kind" all_arrive 40
	stop
	expect_text "$kind: the counters add up" "adds up" adds_up "$log"
	expect "$kind: the failure is reported" grep -q 'queue 1: Cannot allocate memory; trying again' "$log"
done

# A segment whose end may begin one of these texts is held until the next segment arrives.
for n in 0 1; do
	$iptables -w -A OUTPUT -p tcp --dport 710$n -j NFQUEUE --queue-num $n
done
ip link set lo mtu 1500
export IPQ_FAULT="packet 1 1"
start $FAILING_WORKER filter --queues 0-1 'rewrite /AA/AA/ tcp' 'rewrite /BB/BB/ tcp' 'rewrite /CC/CC/ tcp' \
	'rewrite /DD/DD/ tcp' 'rewrite /EE/EE/ tcp' 'rewrite /FF/FF/ tcp' 'rewrite /GG/GG/ tcp'
wait_for_line 'in force'
expect "a connection lives while half of the calls fail" $TRAFFIC tcp -n 1000000 -w 20000 7101
stop

# After 7 failures in a row, the worker has waited for 127 ms.
start_failing packet 7
$TRAFFIC udp -n 10 -1 -w 20000 7001 >$work/slow 2>&1 &
slow=$!
expect "other queues pass 500 datagrams" $TRAFFIC udp -n 500 -1 -w 20000 7000
expect "while the worker of queue 1 fails" kill -0 $slow
wait $slow
expect_text "all of its datagrams arrive" 0 echo $?
stop

start_failing packet 1000000
$TRAFFIC udp -n 1 -e 0 -w 100 7001 >/dev/null
wait $started
expect_text "a worker that always fails ends the filter" 1 echo $?
started=
finish
