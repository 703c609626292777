#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A reader killed in the middle of the flow leaves nothing behind: no owner, no packet, no obstacle to the next.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000

for turn in 1 2 3; do
	start $DECIDE accept
	wait_for_queue
	$FLOW udp -n 100000 -s 0-1400 -e 0 -w 300 7000 >$work/flow &
	flow=$!
	sleep ${IPQ_MOMENT:-0.2}
	expect "it was in the middle of the flow ($turn)" kill -0 $flow
	stop KILL
	expect "the queue has no owner any more ($turn)" wait_for_no_queue
	wait $flow
	arrived=$(sed -n 's/.* sent, \([0-9]*\) arrived.*/\1/p' $work/flow)
	expect "some had arrived, $arrived, and not all ($turn)" test "$arrived" -gt 0 -a "$arrived" -lt 100000
done
start $DECIDE accept
wait_for_queue
expect "the next reader gets everything" $FLOW udp -n 300 7000
finish
