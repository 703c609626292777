# SPDX-License-Identifier: LGPL-2.1-or-later
# The program accepts all packets: every byte arrives, over UDP in all sizes and over TCP.
queue OUTPUT -p udp --dport 7000
queue OUTPUT -p tcp --dport 7001
start $CLIENT
wait_for_queue
expect "small datagrams arrive" $TRAFFIC udp -n 300 -s 0-64 7000
expect "datagrams up to the MTU of an Ethernet arrive" $TRAFFIC udp -n 300 -s 0-1472 7000
expect "large datagrams arrive" $TRAFFIC udp -n 60 -s 2000-65507 7000
expect "a TCP stream arrives" $TRAFFIC tcp -n 1000000 7001
stop
expect "nothing of it is left" wait_for_no_queue
expect "packets are lost without an owner" $TRAFFIC udp -n 10 -e 0 -w 200 7000
