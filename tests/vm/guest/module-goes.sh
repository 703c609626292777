#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Removing the module while a program runs: the kernel keeps the module while a queue is bound. After it was removed,
# programs get the same errors as if it had never been loaded.
. "$IPQ_LIVE/lib.sh"
refused="myapp: Failed to send netlink message: Connection refused"

# A closed queue releases the module after a grace period: waits at most 5 s.
module_goes() {
	tries=250
	until rmmod nfnetlink_queue 2>/dev/null; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { lsmod | grep nfnetlink; cat /proc/net/netfilter/nfnetlink_queue; ps; return 1; }
		sleep 0.02
	done
}

queue OUTPUT -p udp --dport 7000
start $DECIDE accept
wait_for_queue
expect "the module of a queue in use stays" sh -c '! rmmod nfnetlink_queue 2>/dev/null'
expect "and the queue works on" $TRAFFIC udp -n 100 7000
stop
expect_text "the program ended well" 0 echo $status
wait_for_no_queue
expect "the module of no queue goes" module_goes
expect "packets are lost without the module" $TRAFFIC udp -n 10 -e 0 -w 300 7000
expect_text "a program that comes later is refused" "$refused" sh -c "$ABSENT kernel 2>&1"

# A handle is opened first. Its mode is set only after the module was loaded and removed again, and must be refused.
start $ABSENT kernel $work/go
tries=250
until [ -e $work/go.created ] || [ $tries = 0 ]; do sleep 0.02; tries=$((tries - 1)); done
insmod /vm/modules/nfnetlink_queue.ko
$DECIDE accept >/dev/null &
other=$!
wait_for_queue
expect "the module comes back and packets go through again" $TRAFFIC udp -n 100 7000
kill $other
wait $other
wait_for_no_queue
expect "and away once more" module_goes
: >$work/go
wait $started
started=
expect_text "an old handle gets the same error" "$refused" cat "$log"
insmod /vm/modules/nfnetlink_queue.ko
start $DECIDE accept
wait_for_queue
expect "a new program works" $TRAFFIC udp -n 100 7000
finish
