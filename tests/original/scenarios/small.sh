# SPDX-License-Identifier: LGPL-2.1-or-later
# The program accepts all packets. A packet larger than its buffer ends the program, because the original library
# reports an error.
queue OUTPUT -p udp --dport 7000
queue OUTPUT -p tcp --dport 7001
start $CLIENT
wait_for_queue
expect "small datagrams arrive" $TRAFFIC udp -n 300 -s 0-64 7000
expect "datagrams up to the MTU of an Ethernet arrive" $TRAFFIC udp -n 300 -s 0-1472 7000
expect "a packet too large for the program does not arrive" $TRAFFIC udp -n 1 -e 0 -w 300 -s 3000-3000 7000
expect_text "and ends it as it always did" "page: Received message truncated" cat "$log"
wait $started
expect_text "with its own status" 1 echo $?
started=
expect "nothing of it is left" wait_for_no_queue
expect "packets are lost without an owner" $TRAFFIC udp -n 10 -e 0 -w 200 7000
