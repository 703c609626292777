#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The soak must detect a reader that leaks 16 KiB or one descriptor each time it closes.
. "$IPQ_LIVE/lib.sh"
find_iptables ip6tables || skip "no ip6tables here that can queue packets"

# notices WHAT PATTERN: with this leak the soak must fail, and print PATTERN.
notices() {
	log=$work/$1
	SOAK_LEAK=$1 sh "$SOAK_DIR/soak.sh" >"$log" 2>&1
	expect_text "a leak of $1 fails the soak" 1 echo $?
	expect "the leak is reported" grep -q "^VIOLATION: .* lane, .*: the reader, when all is closed: $2" "$log"
	expect_text "and nothing else is wrong" "" sh -c \
		"grep ^VIOLATION: '$log' | grep -v 'the reader, when all is closed: $2'"
}
notices memory "[0-9]* bytes in use, [0-9]* before"
notices descriptors "[0-9]* descriptors, [0-9]* before"
finish
