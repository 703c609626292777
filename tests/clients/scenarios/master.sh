# SPDX-License-Identifier: LGPL-2.1-or-later
# The program's workers own the queue, one after the other.
queue OUTPUT -p udp --dport 7000
workers() {
	tries=250
	while [ "$(grep -c worker "$log")" -lt "$1" ] && [ $tries -gt 0 ]; do
		tries=$((tries - 1))
		sleep 0.02
	done
	sleep 0.1 # time for the newest worker to set its mode
}
start $CLIENT
workers 1
expect "datagrams arrive" $TRAFFIC udp -n 100 -s 0-1400 -w 300 7000
kill -HUP $started
workers 2
expect "they do after a reload" $TRAFFIC udp -n 100 -s 0-1400 -w 300 7000
kill -KILL "$(sed -n 's/worker //p' "$log" | tail -n 1)" 2>/dev/null
workers 3
expect "they do after the worker was killed" $TRAFFIC udp -n 100 -s 0-1400 -w 300 7000
stop TERM 0
expect "nothing of it is left" wait_for_no_queue
