#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# However ipq ends, no rule of its own stays: by signals, by an error, by kill -9, and by kill -9 of the
# guardian too once it is run again.
. "$IPQ_LIVE/lib.sh"

for signal in INT TERM QUIT HUP; do
	start $IPQ watch --on INPUT,OUTPUT,FORWARD udp
	wait_for_rule FORWARD
	stop $signal
	expect_text "nothing is left after SIG$signal" "" rules_of_ours
done

start $IPQ watch --on INPUT -c 1 udp dst port 7001
wait_for_rule INPUT
$FLOW udp -n 1 7001 >/dev/null
expect "-c 1 ends after one packet" wait $started
expect_text "nothing is left after that" "" rules_of_ours
started=

# eventually_clean: within 3 s nothing of ours is left.
eventually_clean() {
	tries=150
	while [ -n "$(rules_of_ours)" ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

start $IPQ filter --on INPUT,PREROUTING 'drop udp dst port 7002'
wait_for_rule INPUT
expect "the rule works" $FLOW udp -n 5 -e 0 -w 200 7002
stop KILL
expect "nothing is left soon after kill -9" eventually_clean
expect "and packets pass" $FLOW udp -n 5 7002

start $IPQ filter --on INPUT 'drop udp dst port 7002'
wait_for_rule INPUT
guardian=$(cat /proc/$started/task/$started/children)
kill -KILL $guardian
stop KILL
expect "without the guardian it stays, or this test proves nothing" [ -n "$(rules_of_ours)" ]
expect "a rerun for another hook" timeout 10 sh -c "
	$IPQ watch --on OUTPUT -c 1 udp dst port 7003 & sleep ${IPQ_MOMENT:-0.7}; $FLOW udp -n 1 7003 >/dev/null; wait"
expect_text "removes what was left" "" rules_of_ours

# What lives is left alone.
start $IPQ filter --on INPUT 'drop udp dst port 7004'
wait_for_rule INPUT
timeout -s INT 1 $IPQ watch --on INPUT udp dst port 7005 2>/dev/null
expect "a second ipq does not remove the first one's rule" $FLOW udp -n 5 -e 0 -w 200 7004
stop

expect "an unknown hook is refused" sh -c "! $IPQ watch --on NOWHERE 2>$work/error"
expect "with the names of those that exist" grep -q POSTROUTING $work/error
expect_text "and leaves nothing" "" rules_of_ours
expect "a dry run prints the rule" sh -c "$IPQ filter --on INPUT --dry-run --bypass 'drop udp' | grep -q -- '--queue-bypass'"
expect_text "and sets none" "" rules_of_ours

# bypass: without it packets are lost while nobody reads, with it they pass.
start $IPQ filter --on INPUT --bypass 'drop udp dst port 7006'
wait_for_rule INPUT
guardian=$(cat /proc/$started/task/$started/children)
kill -KILL $guardian
stop KILL
expect "with --bypass packets pass when ipq was killed" $FLOW udp -n 5 7006
finish
