#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Everything that can fail fails once, with real packets in flight.
. "$IPQ_LIVE/lib.sh"

queue OUTPUT -p udp --dport 7000
for api in new classic classic6; do
	log=$work/$api
	timeout 100 "$FAULTS" $api live >"$log" 2>&1
	status=$?
	cat "$log"
	look_for_findings
	expect "no wrong verdict and no dead queue, whatever fails ($api)" [ $status -eq 0 ]
done
finish
