#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The IPv4 and IPv6 rules of iptables change one after the other. Blocked packets stay blocked in between, and if the
# second change fails, the first one is undone.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

[ -e /proc/net/if_inet6 ] || skip "no IPv6 here"
ways=$(ways_to_queue | grep iptables)
[ -n "$ways" ] || skip "this kernel cannot queue packets with iptables"

# Replacements for the IPv6 tools. While $work/fail exists, they do nothing and fail; while $work/lie exists, they work
# but report failure; while $work/wait exists, they wait until it is removed.
mkdir -p $work/bin
for way in $ways; do
	real=$(command -v ip6tables${way#iptables}-restore) || skip "no ip6tables${way#iptables}-restore"
	cat >$work/bin/ip6tables${way#iptables}-restore <<-END
		#!/bin/sh
		[ ! -e $work/fail ] || { echo 'no rules today' >&2; exit 1; }
		tries=500
		while [ -e $work/wait ] && [ \$tries -gt 0 ]; do tries=\$((tries - 1)); sleep 0.02; done
		[ ! -e $work/lie ] || { $real "\$@"; echo 'killed, perhaps' >&2; exit 1; }
		exec $real "\$@"
	END
	chmod +x $work/bin/*
done
PATH=$work/bin:$PATH

# blocked PORT, passes PORT: checks that packets are blocked, or pass, in both families.
blocked() {
	$TRAFFIC udp -n 3 -e 0 -w 150 $1 >/dev/null && $TRAFFIC udp -a ::1 -n 3 -e 0 -w 150 $1 >/dev/null
}

passes() {
	$TRAFFIC udp -n 3 $1 >/dev/null && $TRAFFIC udp -a ::1 -n 3 $1 >/dev/null
}

until_ipv4_rule() {
	tries=250
	until $way -w -t mangle -S ipq-$1 >/dev/null 2>&1 || [ $tries = 0 ]; do
		tries=$((tries - 1))
		sleep 0.02
	done
	[ $tries -gt 0 ]
}

rules_for() {
	$way -w -t mangle -S "$1" | grep -c NFQUEUE
}

for way in $ways; do
	filter="$IPQ filter --via $way --on INPUT"

	touch $work/fail
	expect "$way: a start that fails for IPv6 fails" sh -c "! $filter 'drop udp dst port 7001' 2>$work/error"
	expect "$way: it says why" grep -q 'no rules today' $work/error
	expect_text "$way: it leaves no rule" "" rules_of_ours
	expect "$way: nothing is blocked" passes 7001
	rm $work/fail

	touch $work/lie
	expect "$way: a start whose tool fails after its work fails" sh -c "! $filter 'drop udp dst port 7001' 2>$work/error"
	rm $work/lie
	expect "$way: its rules can be removed" $IPQ clean
	expect_text "$way: no rule is left after it" "" rules_of_ours

	# A killed filter blocks these packets.
	start $filter --queue 5 'drop udp dst port 7001'
	wait_for_line ' in force'
	stop KILL
	expect "$way: a killed filter blocks both" blocked 7001
	touch $work/fail
	expect "$way: a start after it that fails for IPv6 fails" sh -c "! $filter 'drop udp dst port 7001' 2>$work/error"
	expect "$way: what was blocked is blocked" blocked 7001
	expect "$way: only the rules of the killed one are left" sh -c "! rules=\$($way -t mangle -S | grep 'ipq-61000')"
	rm $work/fail
	touch $work/wait
	start $filter 'drop udp dst port 7001'
	expect "$way: a start adds the IPv4 rules first" until_ipv4_rule 61000
	expect "$way: what was blocked is blocked in between" blocked 7001
	rm $work/wait
	wait_for_line ' in force'
	expect "$way: what was blocked is blocked in the end" blocked 7001
	expect "$way: no rule of the killed one is left" sh -c "! rules=\$($way -t mangle -S | grep 'ipq-5')"
	stop INT
	expect_text "$way: no rule is left" "" rules_of_ours

	# A reload.
	echo 'drop udp dst port 7001' >$work/rules
	start $filter -f $work/rules
	wait_for_line ' in force'
	before=$(rules_for ipq-61000)
	echo 'drop udp dst port 7002' >$work/rules
	touch $work/fail
	kill -HUP $started
	wait_for_line 'the rules stay as they were'
	expect "$way: after a reload that fails for IPv6 the old rules are in force" blocked 7001
	expect "$way: the new ones are not" passes 7002
	expect_text "$way: the IPv4 rules are the old ones" "$before" rules_for ipq-61000
	rm $work/fail
	touch $work/lie
	kill -HUP $started
	tries=500
	until [ "$(grep -c 'the rules stay as they were' "$log")" = 2 ] || [ $tries = 0 ]; do tries=$((tries - 1)); sleep 0.02; done
	rm $work/lie
	expect "$way: a reload whose tool fails after its work changes nothing" blocked 7001
	touch $work/wait
	kill -HUP $started
	tries=250
	until [ "$(rules_for ipq-61000)" -gt $before ] || [ $tries = 0 ]; do tries=$((tries - 1)); sleep 0.02; done
	expect "$way: a reload changes the IPv4 rules first" [ $tries -gt 0 ]
	expect "$way: in between the old rules are in force" blocked 7001
	rm $work/wait
	wait_for_line '1 rule in force$'
	expect "$way: the new rules are in force" blocked 7002
	expect "$way: no change was taken for that of another program" sh -c "! grep 'another program' '$log'"
	expect "$way: the old ones are not" passes 7001

	$way -w -t mangle -I INPUT -j ipq-61000
	touch $work/fail
	kill -INT $started
	wait $started
	expect_text "$way: an end that cannot remove the IPv6 rules fails" 1 echo $?
	started=
	expect "$way: it names them" grep -q 'left: ip6tables.* chain ipq-61000 (INPUT), which drops packets from now on' "$log"
	expect_text "$way: the IPv4 rules are removed" "" sh -c "$way -w -t mangle -S | grep ipq"
	rm $work/fail
	expect "$way: ipq clean removes the others" $IPQ clean
	expect_text "$way: no rule is left in the end" "" rules_of_ours
done
finish
