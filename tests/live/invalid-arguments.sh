#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Invalid arguments to every call: the call must return an error and not crash, and the next packet must still arrive.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000
log=$work/log
$INVALID_ARGUMENTS >"$log" 2>&1
expect_text "invalid arguments to every call return errors without a crash" 0 echo $?
look_for_findings
cat "$log"
finish
