#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual page's own example, to the letter, where the kernel has no queue handler.
. "$IPQ_LIVE/lib.sh"
said=$($ABSENT 2>&1)
[ $? -ne 77 ] || skip "$said"
expect_text "set_mode fails in the words of the manual page" \
	"myapp: Failed to send netlink message: Connection refused" sh -c "$ABSENT 2>&1"
finish
