#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A normal end removes every rule. After kill -9, the guardian or the next start removes rules that block nothing;
# filter-killed.sh tests those that block packets.
. "$IPQ_LIVE/lib.sh"

for signal in INT TERM QUIT HUP; do
	start $IPQ watch --on INPUT,OUTPUT,FORWARD udp
	wait_for_rule FORWARD
	stop $signal
	expect_text "SIG$signal: no rule is left" "" rules_of_ours
	expect_text "SIG$signal: exit status 0" 0 echo $status
done

start $IPQ watch --on INPUT -c 1 udp dst port 7001
wait_for_rule INPUT
$TRAFFIC udp -n 1 7001 >/dev/null
expect "-c 1 ends after one packet" wait $started
expect_text "no rule is left after that" "" rules_of_ours
started=

# eventually_clean: waits until no rule of ours is left, at most 5 s.
eventually_clean() {
	tries=250
	while [ -n "$(rules_of_ours)" ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

guardian_of() {
	cat /proc/$1/task/$1/children
}

start $IPQ filter --on INPUT,PREROUTING --bypass 'drop udp dst port 7002'
wait_for_rule INPUT
expect "filter --bypass drops while it runs" $TRAFFIC udp -n 5 -e 0 -w 200 7002
stop KILL
expect "filter --bypass: packets pass after kill -9" $TRAFFIC udp -n 5 7002
expect "filter --bypass: the guardian removes the rules" eventually_clean

start $IPQ filter --on INPUT --bypass 'drop udp dst port 7002'
wait_for_rule INPUT
kill -KILL $(guardian_of $started)
stop KILL
expect "without its guardian they stay" [ -n "$(rules_of_ours)" ]
expect "and packets pass" $TRAFFIC udp -n 5 7002
start $IPQ watch --on OUTPUT -c 1 udp dst port 7003
wait_for_rule OUTPUT
$TRAFFIC udp -n 1 7003 >/dev/null
wait $started
started=
expect_text "the next start on another hook removes them" "" rules_of_ours

start $IPQ filter --on INPUT 'drop udp dst port 7004'
wait_for_rule INPUT
timeout -s INT 1 $IPQ watch --on INPUT udp dst port 7005 2>/dev/null
expect "a second ipq does not remove the rules of a live one" $TRAFFIC udp -n 5 -e 0 -w 200 7004
stop

expect "an unknown hook is refused" sh -c "! $IPQ watch --on NOWHERE 2>$work/error"
expect "with the names of those that exist" grep -q POSTROUTING $work/error
expect_text "and leaves no rule" "" rules_of_ours
expect "a dry run prints the rules" sh -c "$IPQ filter --on INPUT --dry-run --bypass 'drop udp' | grep -qE -- '--queue-bypass|queue num [0-9]+ bypass'"
expect_text "and sets none" "" rules_of_ours
finish
