# SPDX-License-Identifier: LGPL-2.1-or-later
# The program reads the descriptor itself: linked with our library, it needs IPQ_SOURCE.
queue OUTPUT -p udp --dport 7000
[ "$CLIENT" != "$PROGRAM" ] || export IPQ_SOURCE=engine:nfqueue:0
start $CLIENT
wait_for_queue
expect "datagrams arrive" $TRAFFIC udp -n 200 -s 0-1400 -w 300 7000
