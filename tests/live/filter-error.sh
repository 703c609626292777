#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# An error while packets are decided must not open the filter. In this test there is no memory for packets that are
# delayed.
. "$IPQ_LIVE/lib.sh"
command -v prlimit >/dev/null || skip "no prlimit"
[ "$IPQ_SANITIZER" = none ] || skip "sanitizers reserve address space"

closed() {
	$TRAFFIC udp -n 5 -e 0 -w 200 7001 >/dev/null
}

provoke() {
	# only one arena, because memory that other arenas have reserved stays usable
	MALLOC_ARENA_MAX=1 start timeout -k 1 20 $IPQ filter "$@" --on INPUT 'drop udp dst port 7001' 'delay 100s udp dst port 7005'
	wait_for_rule INPUT
	expect "drops while it runs" closed
	child=$(cat /proc/$started/task/$started/children | awk '{ print $1 }')
	size=$(awk '/^VmSize/ { print $2 * 1024 }' /proc/$child/status)
	prlimit --pid $child --as=$((size + 1000000))
	$TRAFFIC udp -n 1000 -s 30000-50000 -e 0 -w 500 7005 >/dev/null
	wait $started
	expect_text "after an error the exit status is 1" 1 echo $?
	started=
}

provoke
expect "the filter stays closed" closed
expect "a message names the remedy" grep -q 'ipq clean' "$log"
expect "ipq clean removes the rules" $IPQ clean
expect "after ipq clean packets pass" $TRAFFIC udp -n 5 7001
provoke --bypass
expect "after an error with --bypass packets pass" $TRAFFIC udp -n 5 7001
expect_text "after an error with --bypass no rule is left" "" rules_of_ours
finish
