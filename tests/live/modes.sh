#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# While the copy mode changes, no packet may be read without the requested bytes.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 9
for setting in IPQ_BATCH=0 IPQ_BATCH=32; do
	log=$work/$setting
	env $setting "$MODES" 300 >"$log" 2>&1
	expect_text "packets have their bytes while the mode changes ($setting)" 0 echo $?
	look_for_findings
	cat "$log"
done
finish
