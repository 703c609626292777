# SPDX-License-Identifier: LGPL-2.1-or-later
# The program first checks its timeouts, without traffic; then it accepts all packets.
start $CLIENT
wait_for_line "the clock works"
queue OUTPUT -p udp --dport 7000
expect "datagrams arrive" $TRAFFIC udp -n 300 -s 0-1400 7000
