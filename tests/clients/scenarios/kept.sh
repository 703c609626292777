# SPDX-License-Identifier: LGPL-2.1-or-later
# The client is killed while packets pass, under ipq keep and under ipq run --restart.
queue OUTPUT -p udp --dport 7000

# kill_clients N: kills all processes of the program N times, at different moments.
kill_clients() {
	kills=0 tries=500
	while [ $kills -lt "$1" ] && [ $tries -gt 0 ]; do
		tries=$((tries - 1))
		sleep 0.0$((kills * 5 % 7 + 2))
		victims=
		for exe in /proc/[0-9]*/exe; do
			[ "$(readlink "$exe" 2>/dev/null)" != "$PROGRAM" ] || victims="$victims $(echo "$exe" | cut -d/ -f3)"
		done
		[ -z "$victims" ] || ! kill -KILL $victims 2>/dev/null || kills=$((kills + 1))
	done
}

for supervisor in "keep --" "run --restart --"; do
	start $IPQ $supervisor "$PROGRAM"
	wait_for_queue
	expect "ipq $supervisor: packets are accepted" $TRAFFIC udp -n 20 -w 5000 7000
	$TRAFFIC udp -o -n 1000 -r 1000 -w 10000 7000 >$work/flow &
	flow=$!
	kill_clients 5
	wait $flow
	expect_text "ipq $supervisor: killed $kills times: each packet arrives once, in order" 0 echo $?
	cat $work/flow
	expect "ipq $supervisor: it was killed five times" [ $kills = 5 ]
	stop TERM any # SIGTERM kills the program, and ipq run exits with the program's status
	expect "ipq $supervisor: the queue is free" wait_for_no_queue
done
