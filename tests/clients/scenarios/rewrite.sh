# SPDX-License-Identifier: LGPL-2.1-or-later
# Texts are replaced by longer, shorter and equally long ones; the receiving socket verifies the checksum.
queue OUTPUT -p udp --dport 7000
start $CLIENT
wait_for_queue
expect_text "a replacement of the same length arrives" "the dog sat" $TRAFFIC say 7000 "the cat sat"
expect_text "a shorter replacement arrives" "an ox ran" $TRAFFIC say 7000 "an horse ran"
expect_text "a longer replacement arrives" "one rhinoceros crept" $TRAFFIC say 7000 "one ant crept"
expect_text "a packet dropped with a payload does not arrive" "(nothing)" $TRAFFIC say -w 300 7000 "none of this"
expect_text "a packet without replacement is unchanged" "a bird flew" $TRAFFIC say 7000 "a bird flew"
expect "datagrams that are not replaced arrive" $TRAFFIC udp -n 200 -s 0-1400 7000
# These datagrams are larger than the program's buffer: it reads only their beginning, and continues.
expect "datagrams larger than the buffer arrive whole" $TRAFFIC udp -n 60 -s 1400-65507 7000
expect_text "replacing still works" "dog" $TRAFFIC say 7000 "cat"
