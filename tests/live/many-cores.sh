#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The example many_cores, which has threads, must handle real packets as its first lines describe.
. "$IPQ_LIVE/lib.sh"
$iptables -w -A OUTPUT -p udp --dport 7100 -j NFQUEUE --queue-balance 2:3 || skip "no NFQUEUE here"
$iptables -w -A INPUT -p udp --dport 7100 -m mark --mark 2 || skip "no mark match here"
$iptables -w -A INPUT -p udp --dport 7100 -m mark --mark 3

# marked N: prints the number of incoming packets with this mark.
marked() {
	$iptables -w -L INPUT -v -x -n | awk -v m="$(printf '0x%x' "$1")" '$NF == m { print $1 }'
}

start $EXAMPLE_MANY_CORES 2 2
wait_for_queue 2
wait_for_queue 3
for host in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
	expect "many_cores accepts packets to 127.0.0.$host" $TRAFFIC udp -n 10 -w 500 -a 127.0.0.$host 7100
done
stop
expect "many_cores exits with 0 on SIGTERM" [ "$status" -eq 0 ]
expect_text "all packets were marked" 160 sh -c "echo \$(($(marked 2) + $(marked 3)))"
expect "both queues had packets" [ "$(marked 2)" -gt 0 -a "$(marked 3)" -gt 0 ]
expect_text "many_cores counts the packets" 160 awk '/^queue/ { sum += $3 } END { print sum }' "$log"
finish
