#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A process that cannot have the queue gets an error immediately. There are two reasons, which have different
# messages.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000

start $DECIDE accept
wait_for_queue
expect_text "a queue that another process owns is EBUSY" "Device or resource busy" \
	sh -c "timeout ${IPQ_PATIENCE:-5} $DECIDE accept 2>&1 | sed 's/.*: //'"
expect "the owner still receives every packet" $TRAFFIC udp -n 100 7000
stop

command -v setpriv >/dev/null || skip "no setpriv"
expect_text "a missing capability is EPERM" "Operation not permitted" sh -c \
	"timeout ${IPQ_PATIENCE:-5} setpriv --bounding-set -all --inh-caps -all --ambient-caps -all $DECIDE accept 2>&1 | sed 's/.*: //'"
finish
