#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Rules that test the state and the mark of a packet's connection, on a kernel that reports them.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/rules-lib.sh"

way=$(ways_to_queue | head -n 1)
[ -n "$way" ] || skip "no firewall here that can queue"
# A namespace tracks connections only if a rule uses them.
$iptables -w -A INPUT -p udp --dport 7002 -m connmark --mark 5/0xf || skip "no connection marks here"
start $IPQ filter --via $way --on INPUT 'drop state new and udp dst port 7001' 'ctmark 5/0xf udp dst port 7002' \
	'count state new and tcp dst port 7004' 'count state established and tcp dst port 7004' \
	'count ctmark 5/0xf and udp dst port 7002'
tries=50
until rules_of_ours | grep -q . || ! kill -0 $started 2>/dev/null || [ $tries = 0 ]; do
	tries=$((tries - 1))
	sleep 0.1
done
! grep -q 'this kernel sends no connection state' "$log" || skip "$(cat "$log")"
sleep 0.3
expect "packets of new connections are dropped" $TRAFFIC udp -n 5 -e 0 -w 200 7001
expect "the first packet of a connection is new, the others are not" $TRAFFIC tcp -n 100000 7004
expect "packets whose connection gets a mark arrive" $TRAFFIC udp -n 10 7002
expect_text "a later rule of the firewall sees the mark of the connection" 10 sh -c \
	"$iptables -w -L INPUT -v -n -x | awk '/connmark/ || /CONNMARK/ { print \$1 }'"
stop INT

# matched RULE: prints how many packets matched the rule.
matched() {
	awk -v rule="$1" '/^ *[0-9]+ +[0-9]+ +[0-9]+  / && index($0, rule) { print $2 }' "$log"
}
expect_text "one packet was new" 1 matched 'count state new'
expect "the others were established" [ "$(matched 'count state established')" -gt 1 ]
expect_text "a later rule of ours sees the mark of the connection" 9 matched 'count ctmark'
finish
