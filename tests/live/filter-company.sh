#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq filter together with other programs that change the firewall: other filters that start, and ipq clean in other
# namespaces.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

# ---- other filters that start
for turn in 1 2 3; do
	$IPQ filter --on OUTPUT --quiet 'drop udp dst port 7001' >$work/a 2>&1 &
	a=$!
	$IPQ filter --on INPUT --quiet 'drop udp dst port 7002' >$work/b 2>&1 &
	b=$!
	wait_for_rule OUTPUT
	wait_for_rule INPUT
	sleep 0.2
	expect "two that start at once both run ($turn)" sh -c "kill -0 $a && kill -0 $b"
	expect "both drop packets ($turn)" sh -c "$TRAFFIC udp -n 3 -e 0 -w 150 7001 && $TRAFFIC udp -n 3 -e 0 -w 150 7002"
	kill -INT $a $b
	wait $a
	wait $b
done
expect_text "no rule is left" "" rules_of_ours

start $IPQ filter --on INPUT --on OUTPUT 'drop udp dst port 7001'
wait_for_rule INPUT
expect "--on given twice adds the hooks" sh -c "$IPQ status | grep -q ."
wait_for_rule OUTPUT

# ---- ipq clean in other namespaces
expect "clean in another process namespace succeeds" unshare -pf --mount-proc $IPQ clean
expect "clean in another process namespace leaves rules of a live process" closed
expect "clean in a user namespace without rights here fails" sh -c "! unshare -Ur $IPQ clean 2>$work/error"
expect "clean in a user namespace names the right that is missing" grep -q \
	'needs CAP_NET_ADMIN over this network namespace' $work/error
expect "so does a start" sh -c "! unshare -Ur $IPQ filter --on INPUT 'drop udp dst port 7001' 2>$work/error"
expect "it names the right that is missing" grep -q 'CAP_NET_ADMIN' $work/error
expect "clean in a user namespace leaves them" closed
expect "a second process starts in another process namespace" sh -c \
	"timeout -s INT 2 unshare -pf --mount-proc $IPQ filter --on INPUT 'drop udp dst port 7002' 2>/dev/null; true"
expect "the second process leaves the rules of the first" closed
stop INT

# ---- numbers of queues and groups
log_rules() {
	rules_of_ours | grep -q LOG
}
start $IPQ watch --on INPUT --group 22 udp
wait_until log_rules
$IPQ filter --on OUTPUT --queue 22 'drop udp dst port 7001' >$work/a 2>&1 &
a=$!
expect "a queue may have the number of a group" wait_for_rule OUTPUT
kill -INT $a
wait $a
stop INT
start $IPQ filter --on INPUT --queues 20-22 'drop udp dst port 7001'
wait_for_rule INPUT
stop KILL
for number in 20 21 22; do
	expect "the number of a killed process's rules is taken: $number" sh -c \
		"! timeout -s INT 3 $IPQ filter --on OUTPUT --queue $number 'drop udp dst port 7001' 2>$work/error"
	expect "the error says how to free it: $number" grep -q 'has this number' $work/error
done
$IPQ clean

finish
