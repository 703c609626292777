#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Rules of ipq filter change all together or not at all: while another program holds the xtables lock, and when there are
# many of them.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

# Tools that count how often they change rules: in the one file that they may write.
mkdir -p $work/bin
for name in iptables-legacy-restore ip6tables-legacy-restore iptables-nft-restore ip6tables-nft-restore; do
	real=$(command -v $name) || continue
	printf '#!/bin/sh\necho >>%s\nexec %s "$@"\n' $XTABLES_LOCKFILE $real >$work/bin/$name
	chmod +x $work/bin/$name
done
changes() {
	wc -l <$XTABLES_LOCKFILE
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
	expect "after the failed reload the new rules are not in force" $FLOW udp -n 5 7002
	kill -HUP $started
	wait_for_line '1 rule in force$'
	sleep 0.3
	expect "the next reload succeeds" sh -c "$FLOW udp -n 5 7001 && $FLOW udp -n 5 -e 0 -w 200 7002"
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

# ---- many rules
for way in $(ways_to_queue | grep iptables); do
	for i in $(seq 1 250); do echo "drop udp dst port $((8000 + i))"; done >$work/rules
	: >$XTABLES_LOCKFILE
	PATH=$work/bin:$PATH start $IPQ filter --via $way --on INPUT -f $work/rules
	wait_for_rule INPUT
	sleep 0.3
	expect_text "$way: 250 rules are loaded by one command for each family" 2 changes
	expect "$way: the last of them drops" $FLOW udp -n 5 -e 0 -w 200 8250
	echo 'drop udp dst port 7001' >>$work/rules
	kill -HUP $started
	expect "$way: an added rule drops after a reload" until_closed
	expect "$way: a reload takes two commands for each family" [ $(changes) -le 6 ]
	expect "$way: the others still drop" $FLOW udp -n 5 -e 0 -w 200 8001
	for i in $(seq 1 300); do echo "drop udp dst port $((8500 + i))"; done >$work/rules
	echo 'drop udp dst port 7001' >>$work/rules
	kill -HUP $started
	wait_for_line '^ipq filter: 301 rules in force$'
	expect "$way: 300 other rules are in force after a reload" sh -c "$FLOW udp -n 5 -e 0 -w 200 8800 && $FLOW udp -n 5 8001"
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
