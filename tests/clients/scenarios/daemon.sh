# SPDX-License-Identifier: LGPL-2.1-or-later
# The program that was started has ended; its child decides packets.
queue OUTPUT -p udp --dport 7000
start $CLIENT
wait $started
expect "the parent has ended well" test $? = 0
wait_for_queue
expect "datagrams arrive" $TRAFFIC udp -n 200 -s 0-1400 7000
started=
# the test must end the daemons, because they are not its children
for pid in $(pidof "$PROGRAM"); do kill $pid; done
expect "nothing of it is left" wait_for_no_queue
