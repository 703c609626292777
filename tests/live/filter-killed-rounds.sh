#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq filter, its tools and its guardian are killed at random moments of start, reload and end, alone and together.
# After every round: packets that match rules in force are blocked unless the filter was ended on purpose (without
# --bypass); other packets pass; "ipq clean" removes everything, and then all packets pass. ROUNDS: number of rounds.
# SEED: seed of the random numbers.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

[ "${IPQ_SANITIZER:-none}" = none ] || ROUNDS=${ROUNDS:-6}
rounds=${ROUNDS:-12}
random=${SEED:-$(date +%s)}
echo "ROUNDS=$rounds SEED=$random"

# next LIMIT: sets $n to a random number from 0 to LIMIT - 1.
next() {
	random=$(((random * 1103515245 + 12345) & 0x7fffffff))
	n=$((random / 65536 % $1))
}

pause() {
	next $1
	sleep $(printf '0.%03d' $n)
}

closed() {
	$TRAFFIC udp -n 3 -e 0 -w 60 7001 >/dev/null
}

open() {
	$TRAFFIC udp -n 3 $1 >/dev/null
}

# family PID: prints the descendants of a process, and the process itself last.
family() {
	for child in $(cat /proc/$1/task/$1/children 2>/dev/null); do
		family $child
	done
	echo $1
}

ways=$(ways_to_queue)
[ -n "$ways" ] || skip "no firewall here that can queue"
round=0
reached=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	next $(echo $ways | wc -w)
	way=$(echo $ways | cut -d ' ' -f $((n + 1)))
	next 3
	bypass=
	[ $n != 0 ] || bypass=--bypass
	echo 'drop udp dst port 7001' >$work/rules
	start $IPQ filter $bypass --via $way --on INPUT -f $work/rules --quiet
	next 3
	moment=$n
	was_closed=no
	case $moment in
	0) # kill during the start
		pause 60
		;;
	1) # kill during a reload
		wait_for_rule INPUT
		wait_for_closed=20
		until closed || [ $wait_for_closed = 0 ]; do wait_for_closed=$((wait_for_closed - 1)); done
		was_closed=yes
		printf 'drop udp dst port 7001\ndrop udp dst port 7005\n' >$work/rules
		kill -HUP $started
		pause 40
		;;
	2) # kill during the end
		wait_for_rule INPUT
		kill -INT $started
		pause 25
		;;
	esac
	next 3
	case $n in
	0) kill -KILL $started ;;
	1) kill -KILL $(family $started) ;;
	2)
		kill -KILL $(family $started | head -n 1)
		next 2
		[ $n = 0 ] || sleep 0.05
		kill -KILL $started
		;;
	esac 2>/dev/null
	wait $started 2>/dev/null
	started=
	what="round $round, $way $bypass, moment $moment"
	# Tools that were running end soon by themselves, and the guardian needs a moment.
	sleep 0.3
	remains=$(rules_of_ours)
	[ -z "$remains" ] || reached=$((reached + 1))
	if [ -n "$bypass" ]; then
		open 7001 || fail "$what: with --bypass packets are dropped"
	elif [ $was_closed = yes ]; then
		closed || fail "$what: the filter is open after it was killed"
	fi
	[ $way = nftables ] || open 7002 || fail "$what: other packets are dropped"
	$IPQ clean >$work/clean 2>&1 || { fail "$what: ipq clean fails"; cat $work/clean; }
	remains=$(rules_of_ours)
	[ -z "$remains" ] || { fail "$what: ipq clean leaves rules"; echo "$remains"; }
	open 7001 || fail "$what: packets are dropped after ipq clean"
done
if [ $rounds -ge 12 ]; then
	expect "some rounds left rules ($reached of $rounds)" [ $reached -gt 0 ]
else # possibly the random kill came too late, and no process was killed
	ok "$reached of $rounds rounds left rules"
fi
finish
