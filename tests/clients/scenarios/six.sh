# SPDX-License-Identifier: LGPL-2.1-or-later
# IPv6 packets arrive. IPv4 packets in the same queue, whose family no program opened, are dropped and delay nothing.
queue6 OUTPUT -p udp --dport 7000
queue OUTPUT -p udp --dport 7000
start $CLIENT
wait_for_queue
expect "IPv6 datagrams arrive" $TRAFFIC udp -a ::1 -n 200 -s 0-1400 7000
expect "IPv4 datagrams are dropped" $TRAFFIC udp -n 10 -e 0 -w 300 7000
expect "IPv6 datagrams still arrive" $TRAFFIC udp -a ::1 -n 200 -s 0-60000 7000
