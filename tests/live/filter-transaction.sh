#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The rules of ipq filter change all together or not at all: while another program holds the xtables lock, and when
# there are many rules.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

# Replacements for the tools. They count how often they change rules, in the only file that they may write, and die at
# the change whose number is in $work/die.
mkdir -p $work/bin
for name in iptables-legacy-restore ip6tables-legacy-restore iptables-nft-restore ip6tables-nft-restore; do
	real=$(command -v $name) || continue
	cat >$work/bin/$name <<-END
		#!/bin/sh
		echo >>$XTABLES_LOCKFILE
		[ ! -e $work/die ] || [ \$(wc -l <$XTABLES_LOCKFILE) != \$(cat $work/die) ] || kill -KILL \$\$
		exec $real "\$@"
	END
	chmod +x $work/bin/$name
done
changes() {
	wc -l <$XTABLES_LOCKFILE
}

# Checks that none of our rules queues all packets.
rules_are_narrow() {
	$way -w -t mangle -S | grep NFQUEUE >$work/narrow
	[ -s $work/narrow ] && ! grep -v bpf $work/narrow
}

# ---- the xtables lock, and reloads
if command -v iptables-legacy >/dev/null && command -v flock >/dev/null && ways_to_queue | grep -q legacy; then
	echo 'drop udp dst port 7001' >$work/rules
	start $IPQ filter --via iptables-legacy --on INPUT -f $work/rules
	wait_for_rule INPUT
	expect "drops" until_closed
	flock $XTABLES_LOCKFILE sleep 8 &
	holder=$!
	sleep 0.3
	echo 'drop udp dst port 7002' >$work/rules
	kill -HUP $started
	wait $holder
	sleep 1
	expect "a reload while the lock is held fails" grep -q 'the rules stay as they were' "$log"
	expect "after the failed reload the old rules are in force" closed
	expect "after the failed reload the new rules are not in force" $TRAFFIC udp -n 5 7002
	kill -HUP $started
	wait_for_line '1 rule in force$'
	sleep 0.3
	expect "the next reload succeeds" sh -c "$TRAFFIC udp -n 5 7001 && $TRAFFIC udp -n 5 -e 0 -w 200 7002"
	flock $XTABLES_LOCKFILE sleep 7 &
	holder=$!
	sleep 0.3
	kill -INT $started
	wait $started
	expect_text "an end while the lock is held waits and exits with 0" 0 echo $?
	started=
	expect "a message reports that it waits" grep -q 'holds the xtables lock: waiting' "$log"
	expect_text "no rule is left" "" rules_of_ours
	wait $holder
fi

# ---- the tool is killed: this does not show what the kernel supports, so the filters must stay
for way in $(ways_to_queue | grep iptables); do
	: >$XTABLES_LOCKFILE
	echo 1 >$work/die
	expect "$way: a start whose tool is killed fails" sh -c \
		"! PATH=$work/bin:$PATH timeout 10 $IPQ filter --via $way --on INPUT 'drop udp dst port 7001' 2>$work/error"
	expect "$way: it says why" grep -q 'killed by signal 9' $work/error
	expect_text "$way: it leaves no rule" "" rules_of_ours
	rm $work/die
	echo 'drop udp dst port 7001' >$work/rules
	PATH=$work/bin:$PATH start $IPQ filter --via $way --on INPUT -f $work/rules
	wait_for_rule INPUT
	for tool in 1 2; do # kill the tool for IPv4, then the tool for IPv6
		: >$XTABLES_LOCKFILE
		echo $tool >$work/die
		echo 'drop udp dst port 7002' >$work/rules
		kill -HUP $started
		wait_for_line 'rules stay as they were' $tool
		expect "$way: after a reload whose tool $tool is killed, the old rules queue what they did" wait_until rules_are_narrow
		expect "$way: and drop it" closed
		rm $work/die
	done
	stop
done

# ---- many rules
for way in $(ways_to_queue | grep iptables); do
	for i in $(seq 1 250); do echo "drop udp dst port $((8000 + i))"; done >$work/rules
	: >$XTABLES_LOCKFILE
	PATH=$work/bin:$PATH start $IPQ filter --via $way --on INPUT -f $work/rules
	wait_for_rule INPUT
	sleep 0.3
	expect_text "$way: 250 rules are loaded by one command for each family" 2 changes
	expect "$way: the last of them drops" $TRAFFIC udp -n 5 -e 0 -w 200 8250
	echo 'drop udp dst port 7001' >>$work/rules
	kill -HUP $started
	expect "$way: an added rule drops after a reload" until_closed
	expect "$way: a reload takes two commands for each family" [ $(changes) -le 6 ]
	expect "$way: the others still drop" $TRAFFIC udp -n 5 -e 0 -w 200 8001
	for i in $(seq 1 300); do echo "drop udp dst port $((8500 + i))"; done >$work/rules
	echo 'drop udp dst port 7001' >>$work/rules
	kill -HUP $started
	wait_for_line '^ipq filter: 301 rules in force$'
	expect "$way: 300 other rules are in force after a reload" sh -c "$TRAFFIC udp -n 5 -e 0 -w 200 8800 && $TRAFFIC udp -n 5 8001"
	for bad in "" "drop udp dst port"; do
		echo "$bad" >$work/rules
		kill -HUP $started
		sleep 0.3
		expect "$way: a file with «$bad» changes nothing" closed
	done
	stop INT
	expect_text "$way: no rule is left" "" rules_of_ours
done
finish
