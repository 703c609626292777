#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A hostile program must harm neither ipq run nor the queue: the next program must work immediately.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/run-lib.sh"
queue OUTPUT -p udp --dport 7000

for client in $clients; do
	name=$(basename "$client")
	for harm in storm misuse crowd linger; do
		expect "$name: the supervisor survives: $harm" timeout 30 $IPQ run -- "$client" $harm
		expect "$name: no process is left" until_gone ipq
	done
	# runs in the same ipq run, after the storm
	start $IPQ run -- sh -c "ulimit -n 3000; $client storm; $client crowd; echo over; $RAW accept 100"
	wait_for_line over # wait for this line, because the storm sets modes, too
	wait_for_queue
	expect "$name: after all that its neighbour is served" $TRAFFIC udp -n 100 7000
	stop
done
finish
