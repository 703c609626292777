#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Text that grows in a connection between two other hosts (FORWARD), and in a connection of this host (INPUT,OUTPUT):
# segments must fit into 1500 bytes, and both ends must receive the whole stream.
. "$IPQ_LIVE/lib.sh"
command -v python3 >/dev/null || skip "no python3"

. "$IPQ_LIVE/router-lib.sh"
number_hosts

cat >$work/text.py <<'END'
import random, socket, sys
random.seed(5)
sent = b''.join(random.choice([b'evil', b'ev', b'il ', b'good ', b'x' * 50]) for _ in range(60000))
if sys.argv[1:] == ['serve']:
    server = socket.create_server(('', 7001))
    for _ in range(4):
        connection, _ = server.accept()
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    sys.exit()
client = socket.create_connection(('10.9.2.2', 7001), 10)
client.settimeout(15)
received = b''
while chunk := client.recv(65536):
    received += chunk
new = sys.argv[1].encode()
assert received.replace(new, b'evil') == sent, 'the stream is torn'
assert received.count(new) > sent.count(b'evil') * 0.9
END
timeout 60 ip netns exec b python3 $work/text.py serve &
sleep 0.5
rule='rewrite /evil/WONDERFUL/g tcp src port 7001'
start $IPQ filter --on FORWARD "$rule"
wait_for_rule FORWARD
expect "a rewritten forwarded stream is complete" timeout 30 ip netns exec a python3 $work/text.py WONDERFUL
stop INT
start $IPQ filter --on INPUT,OUTPUT "$rule"
wait_for_rule OUTPUT
expect "a rewritten local stream is complete" timeout 30 python3 $work/text.py WONDERFUL
stop INT

# Each packet passes two or three of these hooks.
start $IPQ filter --on PREROUTING,INPUT,FORWARD,OUTPUT,POSTROUTING 'rewrite /evil/<evil>/g port 7001'
wait_for_rule POSTROUTING
expect "a forwarded stream is rewritten at one hook" timeout 30 ip netns exec a python3 $work/text.py "<evil>"
expect "a local stream is rewritten at one hook" timeout 30 python3 $work/text.py "<evil>"
for from in "ip netns exec a" ""; do
	expect_text "a datagram is rewritten at one hook" "<evil>" $from $TRAFFIC say -N b -a 10.9.2.2 7001 evil
done
expect_text "a loopback datagram is rewritten at one hook" "<evil>" $TRAFFIC say 7001 evil
stop INT

# A delay and a mark have effect on forwarded packets.
start $IPQ filter --on FORWARD 'delay 30ms icmp' 'drop udp'
wait_for_rule FORWARD
time=$(ip netns exec a ping -n -c 3 -i 0.2 10.9.2.2 | sed -n 's/.* = \([0-9]*\).*/\1/p')
expect "an echo and its reply are each delayed by 30 ms" [ "${time:-0}" -ge 60 -a "${time:-0}" -lt 110 ]
expect "dropped datagrams are not forwarded" ip netns exec a $TRAFFIC udp -n 5 -e 0 -w 300 -N b -a 10.9.2.2 7000
finish
