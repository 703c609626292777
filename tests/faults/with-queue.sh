#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# with-queue.sh PROGRAM [ARGUMENT...]: runs the program while UDP to port 7000 is queued to queue 0.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000
log=$work/log
timeout 60 "$@" >"$log" 2>&1
status=$?
cat "$log"
[ $status -eq 77 ] && exit 77
look_for_findings
expect_text "the program found nothing wrong" 0 echo $status
finish
