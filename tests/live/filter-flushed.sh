#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Another program flushes the tables with the rules of ipq filter.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

# remove HOW: removes the rules in one of several ways
remove() {
	case $way-$1 in
	nftables-rules) nft flush table inet ipq_61000 ;;
	nftables-*) nft flush ruleset ;;
	*-hook) $way -w -t mangle -F INPUT ;;
	*-rules) $way -w -t mangle -F ipq-61000 ;;
	*-all) $way -w -t mangle -F && $way -w -t mangle -X ;;
	esac
}

ways=$(ways_to_queue)
[ -n "$ways" ] || skip "this kernel cannot queue packets with ${ONLY_WAY:-any firewall}"
for way in $ways; do
	for how in hook rules all; do
		start $IPQ filter --via $way --on INPUT 'drop udp dst port 7001'
		wait_for_rule INPUT
		expect "$way, $how: drops" until_closed
		remove $how
		sleep 2
		expect "$way, $how: a removal is reported within 2 s" grep -q 'another program .* the rules' "$log"
		expect "$way, $how: the rules stay away" $TRAFFIC udp -n 5 7001
		stop INT
		expect_text "$way, $how: exit status 0" 0 echo $status
		expect_text "$way, $how: no rule is left" "" rules_of_ours
	done
	start $IPQ filter --keep-rules --via $way --on INPUT 'drop udp dst port 7001'
	wait_for_rule INPUT
	expect "$way --keep-rules: drops" until_closed
	for how in hook rules all; do
		remove $how
		sleep 2
		expect "$way --keep-rules, $how: the rules are there again" closed
	done
	stop INT
	expect_text "$way --keep-rules: exit status 0" 0 echo $status
	expect_text "$way --keep-rules: no rule is left" "" rules_of_ours
done

finish
