#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq run must end in the same way as its program, and leave no process and no queue if one of its processes is
# killed.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/run-lib.sh"
queue OUTPUT -p udp --dport 7000

expect_text "exit status is that of the program" 7 status_of $IPQ run sh -c 'exit 7'
expect_text "a missing program exits with 127" 127 status_of $IPQ run -- /nonexistent
expect_text "a file that is no program exits with 126" 126 status_of $IPQ run -- /etc/passwd
# Bytes 18 and 19 of an ELF file name the machine: sets an unknown one.
{ head -c 18 $IPQ; printf '\252\252'; tail -c +21 $IPQ; } >$work/foreign
chmod +x $work/foreign
foreign_program() {
	$IPQ run -- "$@" 2>&1 | grep -q 'not a program that this kernel can run'
}
expect "a program for another machine is not run as a script" foreign_program $work/foreign
PATH=$work:$PATH expect "a program for another machine in PATH is not run as a script" foreign_program foreign
expect_text "a program for another machine exits with 126" 126 status_of $IPQ run -- $work/foreign
printf 'exit 7\n' >$work/script
chmod +x $work/script
expect_text "a script without #! runs" 7 status_of $IPQ run -- $work/script
expect_text "an unknown source exits with 125" 125 status_of $IPQ run --source nonsense:1 true
expect_text "an unknown option exits with 125" 125 status_of $IPQ run --nonsense true
expect_text "a log that cannot be written exits with 125" 125 status_of $IPQ run --log /nonexistent/log true
expect_text "ipq run inside ipq run exits with 125" 125 status_of $IPQ run $IPQ run true
expect_text "closed standard descriptors do no harm" 4 status_of sh -c "exec $IPQ run sh -c 'exit 4' <&- >&- 2>&-"
expect_text "SIGCHLD ignored by the caller does no harm" 6 status_of sh -c "trap '' CHLD; exec $IPQ run sh -c 'true & wait; exit 6'"
for signal in 15 9 11 1; do
	expect_text "a program killed by signal $signal has that status" $((128 + signal)) \
		status_of $IPQ run sh -c "kill -$signal \$\$"
done

$IPQ run sh -c 'trap "exit 9" USR1; : >/run/test/trap; while :; do sleep 0.05; done' &
started=$!
until_there $work/trap
kill -USR1 $started
wait $started
expect_text "a signal to ipq run reaches the program" 9 echo $?
started=

# a program, a child, and a child with its own session; each of these processes in turn is killed during a burst
family="$RAW sleep $work/owned & setsid sleep 4321 & wait"
for victim in front supervisor program; do
	rm -f $work/owned
	$IPQ run sh -c "$family" 2>$work/said &
	started=$!
	until_there $work/owned
	$TRAFFIC udp -n 20000 -e 0 -w 300 7000 >/dev/null &
	flow=$!
	sleep 0.1
	supervisor=$(cat /proc/$started/task/$started/children)
	program=$(cat /proc/${supervisor% }/task/${supervisor% }/children)
	case $victim in
	front) kill -KILL $started ;;
	supervisor) kill -KILL $supervisor ;;
	program) kill -KILL $program $(cat /proc/${program% }/task/${program% }/children) ;;
	esac
	wait $started
	status=$?
	case $victim in
	supervisor) want=125 ;;
	*) want=137 ;;
	esac
	expect_text "$victim killed: the exit status" $want echo $status
	expect "$victim killed: no child is left" until_gone sleep
	expect "$victim killed: the owner of the queue has ended" until_gone raw-native
	expect "$victim killed: ipq has ended" until_gone ipq
	expect "$victim killed: the queue is free" wait_for_no_queue
	wait $flow
	started=
done

# The supervisor does not run while the program decides all its packets and ends: it reads the verdicts afterwards.
is_gone() {
	[ ! -e "$1" ]
}
rm -f $work/late
$IPQ run -- $RAW late $work/late 400 &
started=$!
until_there $work/late
$TRAFFIC udp -n 400 -w 3000 7000 >$work/flow &
flow=$!
expect "the program has read all packets" wait_until is_gone $work/late
supervisor=$(cat /proc/$started/task/$started/children)
kill -STOP $supervisor
kill -USR1 $(cat /proc/${supervisor% }/task/${supervisor% }/children)
until_there $work/late
sleep 0.1
kill -CONT $supervisor
wait $flow
expect_text "verdicts of a program that has ended are in force" 0 echo $?
cat $work/flow
wait $started
expect_text "and its status is reported" 0 echo $?
started=

# The kernel kills the program if no process of ipq run is left.
rm -f $work/owned
$IPQ run -- $RAW sleep $work/owned &
started=$!
until_there $work/owned
kill -KILL $(cat /proc/$started/task/$started/children) $started
wait $started
started=
expect "both processes of ipq run killed: the program has ended" until_gone raw-native
expect "both processes of ipq run killed: the queue is free" wait_for_no_queue

# A program that becomes a daemon returns to the shell and still receives packets.
rm -f $work/owned
expect_text "ipq run ends with the parent of a daemon" 42 status_of timeout ${IPQ_PATIENCE:-5} $IPQ run --log $work/log $RAW daemon $work/owned
until_there $work/owned
expect "the daemon receives packets" $TRAFFIC udp -n 100 7000
expect_text "one process serves the daemon" 1 alive ipq
supervisor=$(sed -n 's/.*; process \([0-9]*\) continues.*/\1/p' $work/log)
kill -TERM "$supervisor"
expect "SIGTERM to the supervisor ends the daemon" until_gone raw-native
expect "the supervisor ends as well" until_gone ipq
expect "the queue is free then" wait_for_no_queue
finish
