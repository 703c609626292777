#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# faults.sh API: each call that can fail is made to fail once, while real packets pass.
. "$IPQ_LIVE/lib.sh"

queue OUTPUT -p udp --dport 7000
log=$work/faults
timeout 100 "$FAULTS" "$1" live >"$log" 2>&1
status=$?
cat "$log"
look_for_findings
expect "no wrong verdict and no dead queue, whatever fails" [ $status -eq 0 ]
finish
