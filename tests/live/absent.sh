#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The example of the manual page on a kernel without a queue handler.
. "$IPQ_LIVE/lib.sh"
said=$($ABSENT 2>&1)
[ $? -ne 77 ] || skip "$said"
expect_text "ipq_set_mode fails with the message in the manual page" \
	"myapp: Failed to send netlink message: Connection refused" sh -c "$ABSENT 2>&1"
for source in nflog:5 engine:nflog:5; do
	expect_text "the same with copies from $source" \
		"myapp: Failed to send netlink message: Connection refused" sh -c "IPQ_SOURCE=$source timeout 20 $ABSENT 2>&1"
done
finish
