#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq filter is killed at each step of its start. Then no queue and no process may be left. Rules that are left must
# block only the packets that the filter should decide, and ipq clean must remove them.
. "$IPQ_LIVE/lib.sh"
log=$work/said

# Waits for a short time until a tool that ipq has started has ended.
has_ended() {
	tries=150
	while pgrep -x ipq >/dev/null || $TRAFFIC owned 0; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

leaves_nothing() {
	has_ended && $TRAFFIC udp -n 1 -w 100 7003 >$work/said.other && "$IPQ" clean >$work/said.clean 2>&1 && [ -z "$(rules_of_ours)" ]
}

# Every third step, beginning with a different one in each run. STRIDE=1: all steps, which takes minutes.
stride=${STRIDE:-3} left=0 steps=0
step=$((1 + $$ % stride))
while [ $step -lt 400 ]; do
	# If the step is not reached within 2 s, it is one of the periodic checks after the start.
	timeout 2 "$KILLED_AT" $step "$IPQ" filter --on INPUT 'drop udp dst port 7002' >"$log" 2>&1 </dev/null
	status=$?
	[ $status -eq 77 ] && skip "$(tail -n 1 "$log")"
	[ $status -eq 0 ] || break
	where=$(grep 'system call' "$log")
	leaves_nothing || {
		fail "other traffic passes and ipq clean removes all after a kill at step $step ($where)"
		rules_of_ours
		cat $work/said.other $work/said.clean
		pgrep -a ipq
		break
	}
	grep -q removed $work/said.clean && left=$((left + 1))
	step=$((step + stride)) steps=$((steps + 1))
done
echo "$steps steps up to $step, then: $(tail -n 1 "$log")"
expect "there were steps" [ $steps -gt 5 ]
expect "after some of them rules were left" [ $left -gt 0 ]
finish
