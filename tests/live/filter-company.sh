#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq filter beside other programs that change the firewall: others that start, flushed tables, and ipq clean in other
# namespaces.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

closed() {
	$FLOW udp -n 5 -e 0 -w 200 7001 >/dev/null
}

# until_closed: at most 5 s.
until_closed() {
	tries=25
	until closed; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
	done
}

# ---- others that start
for turn in 1 2 3 4 5; do
	$IPQ filter --on OUTPUT --quiet 'drop udp dst port 7001' >$work/a 2>&1 &
	a=$!
	$IPQ filter --on INPUT --quiet 'drop udp dst port 7002' >$work/b 2>&1 &
	b=$!
	wait_for_rule OUTPUT
	wait_for_rule INPUT
	sleep 0.2
	expect "two that start at once both run ($turn)" sh -c "kill -0 $a && kill -0 $b"
	expect "both drop packets ($turn)" sh -c "$FLOW udp -n 3 -e 0 -w 150 7001 && $FLOW udp -n 3 -e 0 -w 150 7002"
	kill -INT $a $b
	wait $a
	wait $b
done
expect_text "no rule is left" "" rules_of_ours

start $IPQ filter --on INPUT --on OUTPUT 'drop udp dst port 7001'
wait_for_rule INPUT
expect "--on given twice adds the hooks" sh -c "$IPQ status | grep -q ."
wait_for_rule OUTPUT

# ---- ipq clean from elsewhere
expect "clean in another process namespace succeeds" unshare -pf --mount-proc $IPQ clean
expect "clean in another process namespace leaves rules of a live process" closed
expect "clean in a user namespace without rights here fails" sh -c "! unshare -Ur $IPQ clean 2>/dev/null"
expect "clean in a user namespace leaves them" closed
expect "a second process starts in another process namespace" sh -c \
	"timeout -s INT 2 unshare -pf --mount-proc $IPQ filter --on INPUT 'drop udp dst port 7002' 2>/dev/null; true"
expect "the second process leaves the rules of the first" closed
stop INT

# ---- flushed tables
remove_hook() {
	case $way in
	nftables) nft flush ruleset ;;
	*) $way -w -t mangle -F INPUT ;;
	esac
}

remove_all() {
	case $way in
	nftables) nft flush ruleset ;;
	*) $way -w -t mangle -F && $way -w -t mangle -X ;;
	esac
}

for way in $(ways_to_queue); do
	for keep in "" --keep-rules; do
		start $IPQ filter $keep --via $way --on INPUT 'drop udp dst port 7001'
		wait_for_rule INPUT
		expect "$way $keep: drops" until_closed
		remove_hook
		sleep 2
		expect "$way $keep: a flushed hook is reported within 2 s" grep -q 'another program removed the rules' "$log"
		if [ -z "$keep" ]; then
			expect "$way: the rules stay away" $FLOW udp -n 5 7001
		else
			expect "$way: the rules are there again" closed
			remove_all
			sleep 2
			expect "$way: also after the chain was deleted" closed
		fi
		stop INT
		expect_text "$way $keep: exit status 0" 0 echo $status
		expect_text "$way $keep: no rule is left" "" rules_of_ours
	done
done

finish
