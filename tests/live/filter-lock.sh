#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A signal arrives while ipq waits for a lock: once when ipq starts, and once when it ends.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"
command -v flock >/dev/null || skip "no flock"
ways_to_queue | grep -q legacy || skip "only iptables-legacy has a lock"

# lock SECONDS: another program holds the xtables lock for this time, or until unlock is called.
lock() {
	flock $XTABLES_LOCKFILE sleep $1 &
	holder=$!
	wait_until is_locked || fail "nothing is locked"
}

is_locked() {
	! flock -n $XTABLES_LOCKFILE true
}

# The child of flock(1) holds the lock.
unlock() {
	kill $(cat /proc/$holder/task/$holder/children) $holder
	wait $holder
}

nothing_is_left() {
	[ -z "$(rules_of_ours)" ]
}

has_ended() {
	! kill -0 $started 2>/dev/null || grep -q '^State:.*zombie' /proc/$started/status 2>/dev/null
}

# ends WHAT STATUS: the program must end while the lock is held, with this status.
ends() {
	expect "$1: it ends at once" wait_until has_ended
	expect "$1: the lock is still held" is_locked
	has_ended || kill -KILL $started
	wait $started
	expect_text "$1: exit status $2" $2 echo $?
	started=
	look_for_findings
}

FILTER="filter --via iptables-legacy --on INPUT"
WATCH="watch --via iptables-legacy --on INPUT"
waiting='holds the xtables lock: waiting'
for command in "$FILTER --quiet drop\ udp\ dst\ port\ 7001" "$FILTER --bypass --quiet drop\ udp\ dst\ port\ 7001" \
	"$WATCH --quiet udp"; do
	name=${command%% drop*}
	for signal in INT TERM; do
		lock 300
		eval "start $IPQ $command"
		wait_for_line "$waiting"
		kill -$signal $started
		ends "SIG$signal at the start of $name" 0
		expect "SIG$signal at the start of $name: a message says so" grep -q 'interrupted while it started; no rule was added' "$log"
		unlock
		sleep 0.3
		expect_text "SIG$signal at the start of $name: nothing is left" "" rules_of_ours
	done

	eval "start $IPQ $command"
	wait_for_rule INPUT
	lock 300
	kill -INT $started
	wait_for_line "$waiting"
	kill -INT $started
	ends "a second signal at the end of $name" 1
	expect "a second signal at the end of $name: the rules are named" grep -q 'left: iptables.* chain ipq-.*(INPUT)' "$log"
	case $name in
	*bypass* | watch*)
		expect "a second signal at the end of $name: packets pass" $TRAFFIC udp -n 5 7001
		unlock
		expect "a second signal at the end of $name: the guardian removes the rules" wait_until nothing_is_left
		;;
	*)
		expect "a second signal at the end of $name: it says that they block" grep -q 'which drops packets from now on' "$log"
		expect "a second signal at the end of $name: it is closed" closed
		unlock
		expect "a second signal at the end of $name: ipq clean removes the rules" $IPQ clean
		;;
	esac
	wait_until nothing_is_left
	expect_text "a second signal at the end of $name: nothing is left" "" rules_of_ours
done

# timeout(1) sends its signal twice: ipq must count that as one signal.
start timeout -s INT 2 $IPQ $FILTER --quiet 'drop udp dst port 7001'
wait_for_rule INPUT
lock 5
wait $started
started=
expect "timeout -s INT while the lock is held: the rules are not left" sh -c "! grep -q left: $log"
expect_text "timeout -s INT while the lock is held: no rule is there" "" rules_of_ours
wait $holder

# A reload waits for the lock.
echo 'drop udp dst port 7001' >$work/rules
start $IPQ $FILTER -f $work/rules
wait_for_line ' in force'
lock 300
echo 'drop udp dst port 7002' >$work/rules
kill -HUP $started
wait_for_line "$waiting"
kill -INT $started
wait_for_line "$waiting" 2
unlock
wait $started
expect_text "a signal during a reload ends it, and the end waits" 0 echo $?
started=
expect_text "a signal during a reload: nothing is left" "" rules_of_ours

# Now the lock of ipq itself.
$IPQ watch --queue 65535 --quiet &
holder=$!
wait_for_queue 65535
start $IPQ $FILTER 'drop udp dst port 7001'
wait_for_line 'waiting for another ipq process'
kill -INT $started
expect "a signal while another ipq changes rules: it ends at once" wait_until has_ended
stop KILL 0
expect "a signal while another ipq changes rules: the other is still at work" kill -0 $holder
kill $holder
wait $holder
finish
