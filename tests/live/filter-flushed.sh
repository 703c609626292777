#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Another program flushes the tables with the rules of ipq filter.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

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

ways=$(ways_to_queue)
[ -n "$ways" ] || skip "this kernel cannot queue packets with ${ONLY_WAY:-any firewall}"
for way in $ways; do
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
