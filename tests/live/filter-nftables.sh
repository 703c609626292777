#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The table that --via nftables sets lives exactly as long as ipq, even when that is killed. Where the kernel
# cannot queue from nftables, a counter stands in the queue's place: whose the table is stays the same.
. "$IPQ_LIVE/lib.sh"
nft=$(command -v nft) || skip "no nft"
$nft -c 'add table inet x { flags owner; }' 2>/dev/null || skip "nftables without table owners here"

queueing=yes
if ! $nft -c 'table inet x { chain c { type filter hook input priority 0; queue num 9; }; }' 2>/dev/null; then
	queueing=no
	mkdir -p $work/bin
	cat >$work/bin/nft <<-END
		#!/bin/sh
		case \$1 in
		-i | -c) sed -u 's/queue num [0-9-]*\( bypass\)*/counter/g' | exec $nft "\$@" ;;
		*) exec $nft "\$@" ;;
		esac
	END
	chmod +x $work/bin/nft
	PATH=$work/bin:$PATH
fi

tables() {
	$nft list tables
}

# gone: within 3 s no table is left.
gone() {
	tries=150
	while [ -n "$(tables)" ]; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.02
	done
}

for signal in INT KILL; do
	start $IPQ filter --via nftables --on INPUT,FORWARD 'drop udp dst port 7001'
	wait_for_rule INPUT
	expect "the table is there" sh -c "$nft list ruleset | grep -q 'type filter hook forward'"
	expect "nobody else can take it away" sh -c "! $nft flush ruleset 2>/dev/null || [ -n \"\$($nft list tables)\" ]"
	if [ $queueing = yes ]; then
		expect "and queues" $FLOW udp -n 5 -e 0 -w 200 7001
	fi
	stop $signal
	expect "it is gone after SIG$signal" gone
done
expect "a dry run shows it" sh -c \
	"$IPQ filter --via nftables --on OUTPUT --bypass --dry-run 'drop udp' | grep -q 'queue num [0-9]* bypass'"
finish
