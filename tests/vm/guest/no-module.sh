#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A kernel whose nfnetlink_queue was never loaded. The message must be that of the man page, and later attempts must
# work.
failures=0

expect_text() {
	if [ "$2" = "$3" ]; then echo "ok: $1"; else
		failures=$((failures + 1))
		echo "FAILED: $1: expected «$2», got «$3»"
	fi
}

expect_text "there is no module" 0 "$(grep -c nfnetlink_queue /proc/modules)"
expect_text "set_mode fails in the words of the manual page" \
	"myapp: Failed to send netlink message: Connection refused" "$($ABSENT kernel 2>&1)"
expect_text "for the second time as for the first" \
	"myapp: Failed to send netlink message: Connection refused" "$($ABSENT kernel 2>&1)"
[ $failures -eq 0 ]
