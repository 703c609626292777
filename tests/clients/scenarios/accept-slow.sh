# SPDX-License-Identifier: LGPL-2.1-or-later
# The program accepts all packets, but slowly.
queue OUTPUT -p udp --dport 7000
start $CLIENT
wait_for_queue
expect "datagrams arrive" $TRAFFIC udp -n 200 -s 0-1400 7000
expect "a number of datagrams that is no round one arrives" $TRAFFIC udp -n 13 7000
