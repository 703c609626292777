# SPDX-License-Identifier: LGPL-2.1-or-later
# Each packet is queued twice, once by the rule and once by the verdict, and arrives once.
queue OUTPUT -p udp --dport 7000
start $CLIENT
wait_for_queue
expect "datagrams arrive once" $TRAFFIC udp -n 100 -s 100-1000 7000
expect_text "the rule has queued each once" 100 queued OUTPUT
# The queue's own counter of packets: the 100 packets are counted again at the second pass.
expect_column "and the verdict once more" 8 200
