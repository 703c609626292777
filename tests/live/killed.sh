#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# After a reader was killed under load the queue has no owner and no packet, and the next reader works.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000

for turn in 1 2 3; do
	start $DECIDE accept
	wait_for_queue
	$TRAFFIC udp -n 100000 -s 0-1400 -e 0 -w 300 7000 >$work/flow &
	flow=$!
	sleep ${IPQ_MOMENT:-0.2}
	expect "packets arrived before the kill ($turn)" kill -0 $flow
	stop KILL
	expect "the queue has no owner after the kill ($turn)" wait_for_no_queue
	wait $flow
	arrived=$(sed -n 's/.* sent, \([0-9]*\) arrived.*/\1/p' $work/flow)
	expect "some packets had arrived, $arrived, and not all ($turn)" test "$arrived" -gt 0 -a "$arrived" -lt 100000
done
start $DECIDE accept
wait_for_queue
expect "the next reader receives every packet" $TRAFFIC udp -n 300 7000
finish
