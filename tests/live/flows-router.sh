#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Flows left to the kernel on a router: every byte arrives, and the program receives only the first packets. UDP, TCP,
# ICMP, fragments, SNAT and DNAT, all hooks at once, untracked connections, marks of other programs.
. "$IPQ_LIVE/lib.sh"
. "$IPQ_LIVE/flows-lib.sh"
command -v python3 >/dev/null || skip "no python3"

. "$IPQ_LIVE/router-lib.sh"
number_hosts
from_a="ip netns exec a $TRAFFIC"

# with HOOKS PROGRAM-OPTION...: starts the program for packets of these hooks.
with() {
	no_rules
	rules $1
	shift
	start $FLOWS "$@"
	wait_for_queue
}
few='seen [1-9][0-9]\{0,2\} keeper 1 '

with FORWARD accept after=8
expect "forwarded datagrams arrive" $from_a udp -n 3000 -N b -a 10.9.2.2 7000
expect "datagrams in fragments arrive" $from_a udp -n 1000 -s 3000-9000 -N b -a 10.9.2.2 7000
expect "a forwarded TCP stream arrives" $from_a tcp -n 20000000 -N b -a 10.9.2.2 7001
expect "the program saw few of these packets" said "$few"

all=PREROUTING,INPUT,FORWARD,OUTPUT,POSTROUTING
with $all accept after=8
expect "all hooks: forwarded datagrams arrive" $from_a udp -n 3000 -N b -a 10.9.2.2 7000
expect "all hooks: a forwarded TCP stream arrives" $from_a tcp -n 20000000 -N b -a 10.9.2.2 7001
expect "all hooks: datagrams to this machine arrive" $TRAFFIC udp -n 3000 7000
expect "the program saw few of these packets" said "$few"

if command -v ping >/dev/null; then
	with FORWARD accept
	expect "echo replies arrive" ip netns exec a sh -c \
		"ping -q -A -c 50 -W 1 10.9.2.2 | grep -q ' 50 received'"
	expect "the program saw few of these packets" said 'seen [1-9] keeper 1 '
fi

# Addresses and ports change between PREROUTING and POSTROUTING.
if $iptables -w -t nat -A POSTROUTING -o to-b -j SNAT --to-source 10.9.2.1 2>/dev/null &&
	$iptables -w -t nat -A PREROUTING -i to-a -p udp --dport 7100 -j DNAT --to-destination 10.9.2.2:7000; then
	cat >$work/nat.py <<'END'
import socket, subprocess, sys
server = subprocess.Popen(['ip', 'netns', 'exec', 'b', 'python3', '-u', '-c', '''
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 7000))
print('ready')
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data[::-1], peer)
'''], stdout=subprocess.PIPE)
server.stdout.readline()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
good = 0
for i in range(300):
    data = b'%d abc' % i
    s.sendto(data, ('10.9.1.1', 7100))
    good += s.recv(2000) == data[::-1]
server.kill()
print(good)
END
	for hooks in PREROUTING FORWARD POSTROUTING $all; do
		with $hooks accept
		expect_text "SNAT and DNAT, $hooks: each datagram arrives and is answered" 300 \
			timeout 30 ip netns exec a python3 $work/nat.py
		expect "the program saw few of these packets" said 'seen [1-9][0-9]\{0,1\} keeper 1 '
	done
	$iptables -w -t nat -F
else
	echo "not tested here: translated addresses"
fi

# Untracked connections have no mark: each packet is queued, and the library decides it.
if $iptables -w -t raw -A OUTPUT -p udp --dport 7000 -j CT --notrack 2>/dev/null; then
	with OUTPUT accept
	expect "not tracked: datagrams arrive" $TRAFFIC udp -n 500 7000
	expect "not tracked: the library decided all but the first" said 'seen [1-9][0-9]\{0,1\} .* packets [45][0-9][0-9] '
	$iptables -w -t raw -F
else
	echo "not tested here: connections that are not tracked"
fi

# Bits of other programs in packet marks and connection marks do not change.
with OUTPUT accept
$iptables -w -t mangle -I OUTPUT -p udp --dport 7000 -j MARK --set-xmark 0x5/0xff
$iptables -w -t mangle -I OUTPUT -p udp --dport 7000 -j CONNMARK --set-xmark 0x7/0xff
$iptables -w -t mangle -A POSTROUTING -p udp --dport 7000 -m mark --mark 0x5 -m connmark --mark 0x7/0xff
expect "marks of others: datagrams arrive" $TRAFFIC udp -n 500 7000
expect "the program saw few of these packets" said 'seen [1-9][0-9]\{0,1\} keeper 1 '
expect "each packet kept the other bits of both marks" sh -c \
	"$iptables -w -t mangle -vnxL POSTROUTING | grep -q '^ *500 '"

# A new connection uses the same ports, after a reset.
cat >$work/again.py <<'END'
import socket, struct
server = socket.create_server(('127.0.0.1', 7002))
for i in range(3):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', 7102))
    s.connect(('127.0.0.1', 7002))
    peer, _ = server.accept()
    for j in range(20):
        s.sendall(b'x' * 1000)
        got = b''
        while len(got) < 1000:
            got += peer.recv(1000)
    for end in s, peer:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        end.close()
END
with OUTPUT accept
expect "three connections between the same ports" timeout 20 python3 $work/again.py
expect "the program saw each of them begin" said 'seen \([3-9]\|[1-9][0-9]\) keeper 1 '

# A child process that ends does not affect the packet that is held back.
with OUTPUT accept fork
expect "a child that ends: datagrams arrive" $TRAFFIC udp -n 200 7000
expect "the program saw few of these packets" said 'seen [1-9][0-9]\{0,1\} keeper 1 '
finish
