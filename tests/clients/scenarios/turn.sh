# SPDX-License-Identifier: LGPL-2.1-or-later
# The letters of each datagram are rotated by 13; the receiving socket verifies the checksum.
queue OUTPUT -p udp --dport 7000
start $CLIENT
wait_for_queue
for i in 1 2 3 4 5; do
	expect_text "text $i arrives turned" "Uryyb $i" $TRAFFIC say 7000 "Hello $i"
done
long=$(head -c 1400 /dev/zero | tr '\0' n)
expect_text "so does a long one" "$(echo "$long" | tr n a)" $TRAFFIC say 7000 "$long"
expect_text "nothing is changed that is no letter" "12 34." $TRAFFIC say 7000 "12 34."
