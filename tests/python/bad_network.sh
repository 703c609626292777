#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The example bad_network.py: datagrams are delayed, and a few are dropped.
. "$IPQ_LIVE/lib.sh"
$iptables -w -A OUTPUT -p udp --dport 7000 -j NFQUEUE --queue-num 0
start env --default-signal=INT $PYTHON -B "$EXAMPLES/bad_network.py"
wait_for_queue
expect "delayed datagrams arrive, most of them" $PYTHON -c '
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 7000))
s.settimeout(2)
began = time.monotonic()
for i in range(200):
    s.sendto(b"x", ("127.0.0.1", 7000))
arrived = 1
s.recv(9)
assert time.monotonic() - began > 0.02
try:
    while arrived < 200:
        s.recv(9)
        arrived += 1
except TimeoutError:
    pass
assert 150 < arrived < 200, arrived
'
stop INT 0
expect "counters are printed at the end" grep -q "received=200" "$log"
finish
