# SPDX-License-Identifier: LGPL-2.1-or-later
# The rule queues twenty packets and no more. The repeated packets do not match it, and continue with the next rule.
$iptables -w -A OUTPUT -p udp --dport 7000 -m limit --limit 1/minute --limit-burst 20 -j $queue_target ||
	skip "no limit match here"
$iptables -w -A OUTPUT -p udp --dport 7000 -j ACCEPT
start $CLIENT
wait_for_queue
expect "datagrams arrive" $TRAFFIC udp -n 20 -s 0-1400 7000
expect_text "each was queued once" 20 queued OUTPUT
expect_text "each went through the hook again" 20 sh -c \
	"$iptables -w -L OUTPUT -v -x -n | awk '\$3 == \"ACCEPT\" { print \$1 }'"
