# SPDX-License-Identifier: LGPL-2.1-or-later
# A stolen packet does not arrive, and does not wait either.
queue OUTPUT -p udp --dport 7000
start $CLIENT
wait_for_queue
expect_text "a stolen packet does not arrive" "(nothing)" $TRAFFIC say -w 300 7000 "secret plans"
expect_text "another packet arrives" "weather report" $TRAFFIC say 7000 "weather report"
expect_text "another stolen packet does not arrive" "(nothing)" $TRAFFIC say -w 300 7000 "secret"
expect_column "none waits in the queue" 3 0
