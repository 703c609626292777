#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Text that grows in one direction and shrinks in the other, in connections of every kind: each end compares all
# received bytes with the expected text.
. "$IPQ_LIVE/lib.sh"
command -v python3 >/dev/null || skip "no python3"
# All processes run on one CPU. On several CPUs, segments that an acknowledgement releases overtake those that the
# program sends, and a segment that was overtaken before the filter keeps its length.
python3 -c 'import os; os.sched_setaffinity(os.getppid(), {min(os.sched_getaffinity(0))})'

. "$IPQ_LIVE/router-lib.sh"
number_hosts
number_hosts_6
for host in a b; do # TCP Fast Open without cookies
	ip netns exec $host sh -c "echo 519 >/proc/sys/net/ipv4/tcp_fastopen"
done

peer=$IPQ_LIVE/filter-sockets.py
ip netns exec b python3 $peer serve $work >$work/server 2>&1 &
server=$!
# client KIND ADDRESS edited|as-sent: runs the client, whose result must be "good"
client() {
	timeout 40 ip netns exec a python3 $peer $1 $work $2 $3 2>&1 | tail -n 1
}
grow='rewrite /~/[tilde]/g tcp dst portrange 7001-7009'
shrink='rewrite /%//g tcp src portrange 7001-7009'
ip netns exec a python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)' 2>/dev/null && multipath=1

if [ "${multipath:-}" ]; then
	client old-multipath 10.9.2.2 as-sent >$work/old &
	old=$!
	tries=250
	until [ -e $work/result.connected ] || [ $((tries -= 1)) = 0 ]; do sleep 0.02; done
fi
start $IPQ filter --on FORWARD "$grow" "$shrink" 'rewrite /~/=/g udp'
wait_for_rule FORWARD
if [ "${multipath:-}" ]; then
	touch $work/go
	wait $old
	expect_text "an older connection of Multipath TCP stays as it is" "good, good" cat $work/old
	expect_text "a new connection with Multipath TCP" "good, good" client multipath 10.9.2.2 edited
else
	echo "not looked at: no Multipath TCP here"
fi
expect_text "TCP over IPv6" "good, good" client tcp fd09:2::2 edited
expect_text "TCP-MD5 stays as it is" "good, good" client signed 10.9.2.2 as-sent
expect_text "Fast Open, with data in the SYN" "good, good" client fast-open 10.9.2.2 edited
expect_text "urgent data" "good, good" client urgent 10.9.2.2 edited

# 3000 bytes of UDP in fragments: only the first fragment is edited. The checksum is that of the complete datagram.
ip netns exec b python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7000))
s.settimeout(5)
data = s.recv(9999)
print(len(data), data == b"=" * 1472 + b"~" * 1528)' >$work/fragments &
receiver=$!
sleep 0.3
ip netns exec a python3 -c '
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"~" * 3000, ("10.9.2.2", 7000))'
wait $receiver
expect_text "fragments: the first one is edited" "3000 True" cat $work/fragments

for host in a b; do
	ip netns exec $host $iptables -w -t raw -A PREROUTING -p tcp -m statistic --mode random --probability 0.02 -j DROP
done
expect_text "2 % loss behind the filter" "good, good" client tcp 10.9.2.2 edited
stop INT
expect "what was not edited is reported" grep -q 'not edited: signed' $log
expect "fragments are reported" grep -q 'not edited: fragment' $log
start $IPQ filter --on FORWARD "$grow" "$shrink" 'reorder 5% 4ms tcp'
wait_for_rule FORWARD
expect_text "2 % loss and 5 % reordering" "good, good" client tcp 10.9.2.2 edited
for host in a b; do
	ip netns exec $host $iptables -w -t raw -F
done
ip link set to-b mtu 1300
ip -n a route flush cache
expect_text "a path with an MTU of 1300" "good, good" client tcp 10.9.2.2 edited
ip link set to-b mtu 1500
stop INT

# Host c is connected through b. The MTU between b and c decreases, and b reports it in ICMP errors about rewritten
# segments.
ip netns add c
ip -n b link add to-c type veth peer name c0 netns c
ip -n b addr add 10.9.3.1/24 dev to-c
ip -n b link set to-c up
ip -n c addr add 10.9.3.2/24 dev c0
ip -n c link set c0 up
ip -n c route add default via 10.9.3.1
ip route add 10.9.3.0/24 via 10.9.2.2
ip netns exec b sh -c "echo 1 >/proc/sys/net/ipv4/ip_forward"
kill $server
wait $server 2>/dev/null
ip netns exec c python3 $peer serve $work >$work/server 2>&1 &
server=$!
token=%{$(printf %0200d 0 | tr 0 x)}
start $IPQ filter --on FORWARD --json "rewrite /$token/%/g tcp dst port 7008" 'rewrite /a/aaaa/g udp'
wait_for_rule FORWARD
client path 10.9.3.2 edited >$work/path &
path=$!
tries=250
until [ -e $work/result.half ] || [ $((tries -= 1)) = 0 ]; do sleep 0.02; done
sleep 0.5
ip -n b link set to-c mtu 1300
touch $work/go
wait $path
expect_text "an MTU that falls" "good, good" cat $work/path

# A datagram becomes longer than the MTU: the sender gets an ICMP error, and the datagram is counted.
expect "a datagram that becomes longer than the MTU is answered with an error" ip netns exec a python3 -c '
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
s.connect(("10.9.2.2", 9))
s.send(b"a" * 1400)
for _ in range(100):
    error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        break
    time.sleep(0.02)
assert error == 90, error'
stop INT
expect "it is counted" grep -q '"not_edited_by_reason":{.*},"beyond_mtu":1}' $log
kill $server
wait $server 2>/dev/null
ip netns exec b python3 $peer serve $work >$work/server 2>&1 &
server=$!

# BIG TCP: both hosts and the router merge and split packets of up to 180 KB.
if python3 $peer raise-limits $work to-a to-b && ip netns exec a python3 $peer raise-limits $work a0 &&
	ip netns exec b python3 $peer raise-limits $work b0; then
	# If text may grow, the segment size is lowered, so that long packets are rare.
	start $IPQ filter --on FORWARD 'rewrite /~/=/g tcp dst port 7006' 'rewrite /%{}/%/g tcp src port 7006'
	wait_for_rule FORWARD
	for to in 10.9.2.2 fd09:2::2; do
		expect_text "BIG TCP to $to" "good, good" client big $to edited
	done
	stop INT
else
	echo "not looked at: no BIG TCP here"
fi
kill $server
wait $server 2>/dev/null

# Loopback, with an MTU of 65536.
python3 $peer serve $work >$work/server 2>&1 &
server=$!
start $IPQ filter --on INPUT,OUTPUT "$grow" "$shrink"
wait_for_rule OUTPUT
expect_text "loopback" "good, good" timeout 30 python3 $peer tcp $work 127.0.0.1 edited
expect_text "loopback over IPv6" "good, good" timeout 30 python3 $peer tcp $work ::1 edited
stop INT
kill $server
finish
