#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq run --restart: a program that is killed at any moment loses no packet, repeats none, and keeps their order.
# IPQ_KILLS=N kills N times (9), IPQ_RATE=N sends N packets a second (10000).
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/run-lib.sh"
queue OUTPUT -p udp --dport 7000

# Prints the pid of the supervisor's child with this name, or nothing.
program() {
	supervisor=$(cat "/proc/$started/task/$started/children")
	for child in $(cat "/proc/${supervisor% }/task/${supervisor% }/children" 2>/dev/null); do
		[ "$(readlink "/proc/$child/exe" 2>/dev/null)" != "$work/$1" ] || echo "$child"
	done
}

# kill_often NAME: kills the program at different moments, with different signals, while packets are sent.
kill_often() {
	kills=0
	while kill -0 $flow 2>/dev/null && [ $kills -lt "${IPQ_KILLS:-9}" ]; do
		sleep 0.0$((kills * 7 % 9 + 1))
		victim=$(program "$1")
		[ -n "$victim" ] || continue
		kill -"$(echo KILL SEGV ABRT | cut -d' ' -f$((kills % 3 + 1)))" "$victim" 2>/dev/null && kills=$((kills + 1))
	done
}

rate=${IPQ_RATE:-10000}
[ "${IPQ_SANITIZER:-none}" = none ] || rate=3000
for client in $clients; do
	name=$(basename "$client")
	start $IPQ run --restart --log $work/events.$name -- "$client" accept 0
	wait_for_queue
	$TRAFFIC udp -o -n $((rate * (${IPQ_KILLS:-9} + 6) / 15)) -r $rate -w 5000 7000 >$work/flow &
	flow=$!
	kill_often "$name"
	wait $flow
	expect_text "$name: killed often: each packet arrives once, in order" 0 echo $?
	cat $work/flow
	expect "$name: it was killed while packets came ($kills times)" [ $kills -gt 2 ]
	tries=50
	# Between two starts there is no program to kill.
	until victim=$(program "$name") && [ -n "$victim" ] || [ $tries = 0 ]; do
		tries=$((tries - 1))
		sleep 0.1
	done
	kill -KILL $victim
	expect "$name: killed: the next one is at work" $TRAFFIC udp -n 100 -w 5000 7000
	stop TERM 143 # the program dies by the signal, and ipq run exits with the program's status
	expect_text "$name: and was started as often as it was killed" $((kills + 2)) grep -c '^program: .*, process' $work/events.$name
	expect_text "$name: nothing was dropped" 1 grep -c 'IPv4: .* 0 dropped, 0 without a reader, 0 lost to a full queue, 0 to a' \
		$work/events.$name
	expect "$name: no process is left" until_gone ipq
	expect "$name: the queue is free" wait_for_no_queue
done

# ends STATUS STARTS OPTION... -- COMMAND: ipq run must exit with this status, after this number of starts.
ends() {
	want=$1 starts=$2
	shift 2
	rm -f $work/events
	timeout 20 $IPQ run --log $work/events "$@" 2>$work/said
	[ "$? $(grep -c '^program: .*, process' $work/events)" = "$want $starts" ] || { cat $work/events $work/said; return 1; }
}
expect "a program that succeeds is not started again" ends 0 1 --restart -- true
expect "a program that fails is started again up to the limit" ends 3 3 --restart --restart-limit 3 -- sh -c 'exit 3'
expect "the limit is reported" grep -q "failed 3 times without deciding a packet" $work/said
expect "a missing program, too" ends 127 2 --restart --restart-limit=2 -- /nonexistent
expect "without --restart it ends at once" ends 3 1 -- sh -c 'exit 3'
expect "a program that was asked to end is not started again" ends 143 1 --restart -- sh -c 'kill -TERM $$'
expect_text "one that its user ends with SIGQUIT is not, either" 3 status_of timeout --preserve-status -k 5 -s QUIT 0.5 \
	$IPQ run --restart -- sh -c 'trap "exit 3" QUIT; while :; do sleep 0.05; done'
expect_text "a limit that is no number exits with 125" 125 status_of $IPQ run --restart --restart-limit=x -- true

# Each start has the caller's descriptors, and no child of the previous one is left.
expect "each start has the caller's descriptors" sh -c \
	"$IPQ run --restart --restart-limit 3 -- sh -c 'echo \$(ls /proc/self/fd | wc -l) >&5; sleep 4321 & echo \$! >>$work/pids; exit 1' 5>$work/fds 2>$work/said; test \$? = 1"
expect_text "and they are the same" 1 sh -c "sort -u $work/fds | wc -l"
expect_text "in all three" 3 sh -c "wc -l <$work/fds"
all_gone() {
	tries=250
	while kill -0 $(cat $work/pids) 2>/dev/null; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
	[ "$(wc -l <$work/pids)" = 3 ]
}
expect "its children are killed with it" all_gone

# The starter, the supervisor's child that is not the program, keeps no descriptor of a start.
descriptors_of_starter='for p in $(cat /proc/$PPID/task/$PPID/children); do [ $p = $$ ] || ls /proc/$p/fd | wc -l; done'
$IPQ run --restart --restart-limit 3 -- sh -c "$descriptors_of_starter >>$work/starter; exit 1" 2>$work/said
expect_text "the starter has as many descriptors at each start" "3 1" \
	sh -c "echo \$(wc -l <$work/starter) \$(sort -u $work/starter | wc -l)"

# If the starter is killed, the program cannot be started again: ipq run must end with the program's status.
expect_text "the starter is killed: the status is that of the program" 9 status_of timeout 10 $IPQ run --restart -- sh -c \
	'for p in $(cat /proc/$PPID/task/$PPID/children); do [ $p = $$ ] || kill -KILL $p; done; sleep 0.2; exit 9'
expect "and no process is left" until_gone ipq

# A signal must end ipq run while it waits for the next start.
$IPQ run --restart --restart-limit 0 -- sh -c 'exit 9' 2>$work/said &
started=$!
until grep -q "in 400 ms" $work/said; do sleep 0.02; done
kill -TERM $started
wait $started
expect_text "asked to end while it waits, it has the status of the last start" 9 echo $?
started=
expect "and nothing is left" until_gone ipq
finish
