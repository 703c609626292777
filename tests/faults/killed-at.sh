#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq is killed at each step of its start: no rule, no queue and no process is left.
. "$IPQ_LIVE/lib.sh"
log=$work/said

# Wait a moment: the guardian may still be working.
is_clean() {
	tries=150
	while [ -n "$(rules_of_ours)" ] || pgrep -x ipq >/dev/null || $FLOW owned 0; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

step=1
while [ $step -lt 200 ]; do
	timeout 20 "$KILLED_AT" $step "$IPQ" filter --on INPUT 'drop udp dst port 7002' >"$log" 2>&1 </dev/null
	status=$?
	[ $status -eq 77 ] && skip "$(tail -n 1 "$log")"
	[ $status -eq 0 ] || break
	where=$(grep 'system call' "$log")
	is_clean || {
		fail "nothing stays when ipq is killed at step $step ($where)"
		rules_of_ours
		pgrep -a ipq
		break
	}
	step=$((step + 1))
done
echo "$step steps, then: $(tail -n 1 "$log")"
expect "there were steps" [ $step -gt 10 ]
finish
