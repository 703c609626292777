#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who may not have the queue is told at once, in words that tell the two reasons apart.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000

start $DECIDE accept
wait_for_queue
expect_text "a queue that another owns" "Device or resource busy" \
	sh -c "timeout ${IPQ_PATIENCE:-5} $DECIDE accept 2>&1 | sed 's/.*: //'"
expect "its owner did not notice" $FLOW udp -n 100 7000
stop

command -v setpriv >/dev/null || skip "no setpriv"
expect_text "no capability" "Operation not permitted" sh -c \
	"timeout ${IPQ_PATIENCE:-5} setpriv --bounding-set -all --inh-caps -all --ambient-caps -all $DECIDE accept 2>&1 | sed 's/.*: //'"
finish
