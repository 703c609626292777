#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A router rejects packets of two other hosts, duplicates them, and matches its interfaces.
. "$IPQ_LIVE/lib.sh"
command -v python3 >/dev/null || skip "no python3"

. "$IPQ_LIVE/router-lib.sh"
number_hosts
number_hosts_6

cat >$work/peer.py <<'END'
# peer.py connect|ask|errors|count ADDRESS PORT: prints what the peer observes
import select, socket, struct, subprocess, sys, time
what, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
if what == 'receive':  # prints how many datagrams arrive before a pause
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind(('', port))
    print('bound', flush=True)
    n = 0
    while select.select([s], [], [], 2)[0]:
        s.recv(100)
        n += 1
    print(n)
    sys.exit()
s = socket.socket(family, socket.SOCK_STREAM if what == 'connect' else socket.SOCK_DGRAM)
s.settimeout(2)
if what == 'send':
    for i in range(50):
        s.sendto(b'%d' % i, (address, port))
        time.sleep(0.001)
    sys.exit()
if what == 'errors':  # prints the source address of an ICMP error
    level, option = (socket.IPPROTO_IP, 11) if family == socket.AF_INET else (socket.IPPROTO_IPV6, 25)
    s.setsockopt(level, option, 1)
try:
    s.connect((address, port))
    if what == 'connect':
        print('connected')
    else:
        s.send(b'x')
        time.sleep(0.3)
        if what == 'errors':
            extra = s.recvmsg(100, 500, 0x2000)[1][0][2]
            print(socket.inet_ntop(family, extra[20:24] if family == socket.AF_INET else extra[24:40]))
        else:
            s.recv(100)
except ConnectionRefusedError:
    print('refused')
except TimeoutError:
    print('silence')
END
from_a() {
	ip netns exec a python3 $work/peer.py "$@"
}

start $IPQ filter --on FORWARD 'reject in to-a and dst port 7001' 'duplicate udp dst port 7003' 'drop out to-a and udp'
wait_for_rule FORWARD
for to in 10.9.2.2 fd09:2::2; do
	expect_text "a connection to $to is refused by the router" refused from_a connect $to 7001
	expect_text "a datagram to $to is refused by the router" refused from_a ask $to 7001
	expect_text "another connection to $to is refused by the host" refused from_a connect $to 7002
	ip netns exec b python3 $work/peer.py receive $to 7003 >$work/received &
	receiver=$!
	until grep -q bound $work/received; do sleep 0.05; done
	from_a send $to 7003
	wait $receiver
	expect_text "each datagram to $to arrives twice" 100 tail -n 1 $work/received
done
expect_text "the router's answer comes from its own address" 10.9.1.1 from_a errors 10.9.2.2 7001
expect_text "the router's answer over IPv6 comes from its own address" fd09:1::1 from_a errors fd09:2::2 7001
stop
finish
