# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Functions for live tests. Source this file. A test starts a program, sends real packets through it, and checks
# what arrived. $TRAFFIC is the traffic tool (see traffic.c). Call finish at the end.
#
#	. "$IPQ_LIVE/lib.sh"
#	queue OUTPUT -p udp --dport 7000
#	start my-program
#	wait_for_queue
#	expect "datagrams arrive" $TRAFFIC udp -n 100 7000
#	finish

PATH=$PATH:/usr/sbin:/sbin
TRAFFIC=${IPQ_TRAFFIC:-$IPQ_LIVE/traffic}
failures=0
checks=0
tries_most=$((${IPQ_PATIENCE:-10} * 50)) # maximum number of tries of a wait; each takes 0.02 s
started=
end_status=0
work=/run/test
mkdir -p $work

skip() {
	echo "skipped: $*"
	exit 77
}

# find_iptables NAME: finds a command that works on this machine, and its syntax for queue 0. A kernel may have only
# one kind of tables, and iptables-nft has only NFQUEUE, not QUEUE.
find_iptables() {
	for target in "QUEUE" "NFQUEUE --queue-num 0"; do
		for command in $1-legacy $1 $1-nft; do
			command -v $command >/dev/null 2>&1 || continue
			$command -w -A OUTPUT -p udp --dport 9 -j $target 2>/dev/null || continue
			$command -w -D OUTPUT -p udp --dport 9 -j $target
			return 0
		done
	done
	return 1
}

find_iptables iptables || skip "no iptables here that can queue packets"
iptables=$command
queue_target=$target

# queue CHAIN MATCH...: queues matching packets in queue 0, with a rule as in old scripts.
queue() {
	chain=$1
	shift
	$iptables -w -A "$chain" "$@" -j $queue_target || fail "cannot add a rule: $chain $*"
}

queue6() {
	chain=$1
	shift
	find_iptables ip6tables || skip "no ip6tables here that can queue packets"
	$command -w -A "$chain" "$@" -j $target || fail "cannot add a rule: $chain $*"
}

# start COMMAND...: starts the command in the background, with its output in $log. The process is $started.
start() {
	log=$work/log.$((checks + 1))
	: >"$log" # otherwise wait_for_line could find output of an earlier program
	"$@" >"$log" 2>&1 &
	started=$!
}

# stop [SIGNAL [STATUS]]: ends the program, which must exit with this status, and searches its output for findings of
# the sanitizers. Without STATUS, the status must be $end_status (0) or, after SIGKILL, the status of a killed
# program. STATUS "any": any status.
stop() {
	[ -n "$started" ] || return 0
	case ${1:-TERM} in
	KILL) expected=${2:-137} ;;
	*) expected=${2:-$end_status} ;;
	esac
	kill "-${1:-TERM}" $started 2>/dev/null
	# kill a program that ignores the signal
	(sleep ${IPQ_PATIENCE:-10}; kill -KILL $started) 2>/dev/null &
	killer=$!
	wait $started 2>/dev/null
	status=$?
	kill $killer 2>/dev/null
	wait $killer 2>/dev/null
	started=
	look_for_findings
	[ "$expected" = any ] || [ "$status" = "$expected" ] ||
		fail "the program exits with $expected after SIG${1:-TERM}: it did with $status"
	return 0
}

look_for_findings() {
	if grep -qE 'AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|ERROR SUMMARY: [1-9]' "$log"; then
		fail "a sanitizer found something"
		cat "$log"
	fi
}

# The kernel's table of queues, which is not readable in a user namespace.
queue_table=/proc/net/netfilter/nfnetlink_queue

# queue_column COLUMN [N]: prints this column of queue N (0); empty if the queue does not exist or is not readable.
queue_column() {
	awk -v n="${2:-0}" -v column="$1" '$1 == n { print $column }' $queue_table 2>/dev/null
}

# Whether a program owns queue N (0) and has set a copy mode. ipq run takes the queue earlier, with a range of 65530.
queue_is_ready() {
	if [ -n "$(cat $queue_table 2>/dev/null)" ]; then
		# Range 0 in the mode for packets does not count: Linux sets the mode before the range.
		awk -v n="$1" '$1 == n && ($4 == 1 || $4 == 2 && $5 != 0 && $5 != 65530) { found = 1 }
			END { exit !found }' $queue_table
	else
		# Only the owner is visible here: wait a moment until the owner is ready.
		$TRAFFIC owned "$1" && sleep 0.2
	fi
}

# wait_until COMMAND...: repeats the command until it succeeds. Fails after too many tries.
wait_until() {
	tries=$tries_most
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

# Waits until a program is ready at queue N (0).
wait_for_queue() {
	wait_until queue_is_ready "${1:-0}" || { fail "no process opened queue ${1:-0}"; finish; }
}

queue_has_no_owner() {
	! $TRAFFIC owned "$1"
}

# Waits until no process owns queue N (0).
wait_for_no_queue() {
	wait_until queue_has_no_owner "${1:-0}"
}

has_printed() {
	[ "$(grep -c "$1" "$log")" -ge "$2" ]
}

# wait_for_line TEXT [N]: waits until the program has printed N (1) lines with TEXT.
wait_for_line() {
	wait_until has_printed "$1" "${2:-1}" || { fail "the program did not print: $1"; finish; }
}

# expect_column WHAT COLUMN VALUE: this column of queue 0 in the kernel's table must have this value, if it is readable.
expect_column() {
	if [ -r $queue_table ] && [ -n "$(cat $queue_table 2>/dev/null)" ]; then
		expect_text "$1" "$3" queue_column "$2"
	else
		echo "not looked at here: $1"
	fi
}

# Prints how many packets the queue rule in CHAIN has counted.
queued() {
	$iptables -w -L "${1:-OUTPUT}" -v -x -n | awk '$3 ~ /^(N?F?QUEUE)$/ { sum += $1 } END { print sum + 0 }'
}

# Prints the rules of ipq in the firewall.
rules_of_ours() {
	for tool in iptables ip6tables; do
		for variant in $tool $tool-legacy $tool-nft; do
			command -v $variant >/dev/null && $variant -w -t mangle -S 2>/dev/null | grep ipq-
		done
	done
	command -v nft >/dev/null && nft list tables 2>/dev/null | grep ipq_
	return 0
}

has_rule() {
	rules_of_ours | grep -qiE -- "-A $1 -j|ipq_"
}

# Waits until `ipq --on HOOK` has set its rule.
wait_for_rule() {
	wait_until has_rule "$1" || { fail "no rule of ours in $1"; cat "$log"; finish; }
	sleep 0.1 # the rule for IPv6 is the last one
}

# Checks that the counters that `ipq filter` printed in FILE add up.
adds_up() {
	awk '/^ *[0-9-]+ +[0-9]+ +[0-9]+  / { rules += $2 }
		/^[0-9]+ packets: / { all = $1; out = $3 + $5 + $7 }
		END { print (all > 0 && rules == all && out == all) ? "adds up" : "rules " rules " all " all " out " out }' "$1"
}

ok() {
	checks=$((checks + 1))
	echo "ok: $*"
}

fail() {
	checks=$((checks + 1))
	failures=$((failures + 1))
	echo "FAILED: $*"
}

# expect WHAT COMMAND...: the command must succeed.
expect() {
	what=$1
	shift
	if "$@"; then ok "$what"; else fail "$what: $*"; fi
}

# expect_text WHAT TEXT COMMAND...: the command must succeed and print exactly this.
expect_text() {
	what=$1
	text=$2
	shift 2
	got=$("$@")
	if [ "$got" = "$text" ]; then ok "$what"; else fail "$what: expected «$text», got «$got»: $*"; fi
}

# expect_test NAME WHAT: runs this test of newapi.c; if it cannot run here, it prints the reason.
expect_test() {
	log=$work/$1
	timeout ${IPQ_PATIENCE:-60} $NEWAPI "$1" >"$log" 2>&1
	status=$?
	cat "$log"
	look_for_findings
	case $status in
	0) ok "$2" ;;
	77) echo "not tested here: $2" ;;
	*) fail "$2 ($1: status $status)" ;;
	esac
}

finish() {
	stop
	[ $checks -gt 0 ] || fail "this test tested nothing"
	if [ $failures -gt 0 ] && [ -n "${log:-}" ] && [ -s "$log" ]; then
		echo "---- output of the program:"
		tail -n 20 "$log"
	fi
	[ $failures -eq 0 ]
	exit
}
