#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The nftables table of --via nftables. A normal end must remove it. After kill -9 it must stay (filter-killed.sh) or,
# with --bypass, be removed by the guardian. If the kernel cannot queue from nftables, these tests use a log statement
# instead of the queue.
. "$IPQ_LIVE/lib.sh"
nft=$(command -v nft) || skip "no nft"
$nft -c 'add table inet x' 2>/dev/null || skip "no nftables here"

queueing=yes
if ! $nft -c 'table inet x { chain c { type filter hook input priority 0; queue num 9; }; }' 2>/dev/null; then
	queueing=no
	mkdir -p $work/bin
	cat >$work/bin/nft <<-END
		#!/bin/sh
		case "\$*" in
		*"-f -") sed 's/queue num [0-9-]*\( bypass\)*/log group 65000 comment "queue\1"/g' | exec $nft "\$@" ;;
		*) exec $nft "\$@" ;;
		esac
	END
	chmod +x $work/bin/nft
	PATH=$work/bin:$PATH
fi

tables() {
	$nft list tables
}

# gone: waits until no table is left, at most 3 s.
gone() {
	tries=150
	while [ -n "$(tables)" ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

for signal in INT TERM; do
	start $IPQ filter --via nftables --on INPUT,FORWARD 'drop udp dst port 7001'
	wait_for_rule INPUT
	expect "the table is there" sh -c "$nft list ruleset | grep -q 'type filter hook forward'"
	if [ $queueing = yes ]; then
		expect "and queues" $TRAFFIC udp -n 5 -e 0 -w 200 7001
	fi
	stop $signal
	expect_text "SIG$signal: it is gone" "" tables
done

start $IPQ filter --via nftables --on INPUT,FORWARD 'drop udp dst port 7001'
wait_for_rule INPUT
stop KILL
expect "after kill -9 the table stays" sh -c "sleep 0.3; $nft list tables | grep -q ipq_"
start $IPQ filter --via nftables --on INPUT 'drop udp dst port 7001'
wait_for_line ' in force'
expect_text "a start on one of its hooks takes that hook over" "1 hook forward" sh -c \
	"echo \$($nft list table inet ipq_61000 | grep -c hook) \$($nft list table inet ipq_61000 | grep -o 'hook [a-z]*')"
expect "clean removes the rest" $IPQ clean
expect_text "and not the table of the live one" "table inet ipq_61001" tables
stop INT
expect_text "no table is left" "" tables

# Packets wait when the filter ends.
if [ $queueing = yes ]; then
	for round in 1 2 3; do
		start $IPQ filter --via nftables --on OUTPUT --queue 700 'count udp dst port 7002' 'delay 30s udp dst port 7003'
		wait_for_rule OUTPUT
		$TRAFFIC udp -n 10 -w ${IPQ_PATIENCE:-4}000 7003 >$work/7003 &
		held=$!
		$TRAFFIC udp -n 3000 -w ${IPQ_PATIENCE:-4}000 7002 >$work/7002 &
		flow=$!
		sleep 0.1
		stop INT
		wait $flow
		expect_text "packets that wait at the end arrive ($round)" 0 echo $?
		wait $held
		expect_text "packets that are held at the end arrive ($round)" 0 echo $?
	done
fi

start $IPQ filter --via nftables --on INPUT --bypass 'drop udp dst port 7001'
wait_for_rule INPUT
stop KILL
expect "--bypass: after kill -9 the guardian removes it" gone
expect "a dry run shows it" sh -c \
	"$IPQ filter --via nftables --on OUTPUT --bypass --dry-run 'drop udp' | grep -q 'queue num [0-9]* bypass'"
finish
