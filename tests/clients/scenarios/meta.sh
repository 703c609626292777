# SPDX-License-Identifier: LGPL-2.1-or-later
# The program accepts only packets with the right mark, device and timestamp, so nothing else arrives.
$iptables -w -t mangle -A PREROUTING -p udp --dport 7000 -j MARK --set-mark 7 || skip "no mark target here"
queue INPUT -p udp --dport 7000
queue INPUT -p udp --dport 7002
start $CLIENT
wait_for_queue
# The kernel enables packet timestamps a moment after the request.
sleep 0.2
expect "marked datagrams arrive" $TRAFFIC udp -n 100 -s 0-1400 7000
expect "others do not" $TRAFFIC udp -n 10 -e 0 -w 300 7002
