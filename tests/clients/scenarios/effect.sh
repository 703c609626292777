# SPDX-License-Identifier: LGPL-2.1-or-later
# Requests have taken effect when the call returns: on the queue's own socket, with an engine, and under ipq run.
# There is one exception: under ipq run without --exact, a read that does not wait may come too early for the refusal
# of a verdict.
queue OUTPUT -p udp --dport 7000
takes_effect() {
	way=$1
	shift
	for aspect in mode range $more; do
		for both in "" both; do
			expect "$way $both: $aspect" timeout 60 "$@" $aspect $both
		done
	done
	for both in "" both; do
		start "$@" exit $both
		wait_for_line ready
		[ -n "$both" ] || expect "$way: a failed ipq_set_mode is a message, too" timeout 60 "$@" ignored
		expect "$way $both: a verdict before _exit is applied" $TRAFFIC udp -n 1 -s 1 7000
		wait $started
		started=
		wait_for_no_queue
	done
}
if [ "$CLIENT" = "$PROGRAM" ]; then
	more=refusal
	takes_effect "own socket" $CLIENT
	takes_effect "engine" env IPQ_SOURCE=engine:nfqueue:0 $CLIENT
	more=
	takes_effect "linked, under ipq run" $IPQ run $CLIENT
	expect "engine: modes by hand" timeout 60 env IPQ_SOURCE=engine:nfqueue:0 $CLIENT hand
else
	# Under ipq run without --exact. A 32-bit program receives by socketcall(2), whose arguments a filter cannot
	# see.
	more=
	[ "$(od -An -tu1 -j4 -N1 "$PROGRAM" | tr -d ' ')" = 1 ] || more=peek
	takes_effect "ipq run" $CLIENT
	expect "ipq run: modes by hand" timeout 60 $CLIENT hand
	expect "ipq run --exact: refusal" timeout 60 $IPQ run --exact -- "$PROGRAM" refusal
	expect "ipq run --exact: peek" timeout 60 $IPQ run --exact -- "$PROGRAM" peek
fi
