#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The Scapy examples: a packet that Scapy changed arrives, a DNS question is answered.
. "$IPQ_LIVE/lib.sh"
for python in $PYTHON /usr/bin/python3; do
	$python -c 'import scapy.all, ipq' 2>/dev/null && break
	python=
done
[ -n "$python" ] || skip "no Python with scapy here"
$iptables -w -A OUTPUT -p udp --dport 7000 -j NFQUEUE --queue-num 0
$iptables -w -A OUTPUT -p udp --dport 53 -j NFQUEUE --queue-num 0
$iptables -w -A INPUT -p udp --dport 7000 -m ttl --ttl-eq 42

start $python -B "$EXAMPLES/scapy_ttl.py" 0
wait_for_queue
expect "datagrams that Scapy changed arrive" $TRAFFIC udp -n 5 7000
expect "with the new TTL" sh -c "$iptables -w -vnxL INPUT | grep -q '^ *5 '"
stop TERM 143

start $python -B "$EXAMPLES/scapy_dns.py" name.example 192.0.2.7
wait_for_queue
expect "the question is answered" $python -c '
import socket
question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\4name\7example\0\0\1\0\1"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.sendto(question, ("127.0.0.1", 53))
answer = s.recv(512)
assert answer[:2] == b"\x12\x34" and answer[-4:] == bytes([192, 0, 2, 7]), answer
'
stop TERM 143
finish
