#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two handles in one process, one per family, on one queue of the kernel: no packet is lost or read
# twice, in any order of opening and closing. Then the same programs on a capture file.
. "$IPQ_LIVE/lib.sh"

queue OUTPUT -p udp --dport 7000
queue6 OUTPUT -p udp --dport 7006
# A quarter of the packets, including the undecided ones, must fit into one window of the sender.
packets=${IPQ_PACKETS:+400}
packets=${packets:-1200}

# port_of FAMILY, address_of FAMILY: print the port or the address that the test uses.
port_of() { echo 700$(($1 == 6 ? 6 : 0)); }
address_of() { [ "$1" = 6 ] && echo ::1 || echo 127.0.0.1; }

# send FAMILY COUNT: sends datagrams; all must arrive.
send() {
	$TRAFFIC udp -a "$(address_of "$1")" -n "$2" -s 0-2000 "$(port_of "$1")"
}

# ends WHAT: the program must have read every packet, and end by itself.
ends() {
	wait $started
	expect_text "$1: ends in order" 0 echo $?
	expect_text "$1: has seen every packet once" "$packets IPv4 and $packets IPv6 packets" tail -n 1 "$log"
	started=
}

# both_at_once WHAT: sends packets of both families at the same time.
both_at_once() {
	send 6 $packets >$work/six &
	six=$!
	expect "$1: IPv4 arrives" send 4 $packets
	wait $six
	expect_text "$1: IPv6 arrives" 0 echo $?
}

for order in 46 64; do
	first=${order%?}
	second=${order#?}
	for how in select epoll threads; do
		start timeout 60 $FAMILIES $how $order $packets
		wait_for_queue
		[ $how = threads ] && sleep 0.3 || wait_for_line "both are open"
		both_at_once "$how $order"
		ends "$how $order"
	done

	for how in late reopen; do
		start timeout 60 $FAMILIES $how $order $packets
		wait_for_queue
		send "$first" $packets >$work/first &
		sender=$!
		wait_for_line "both are open"
		expect "$how $order: the second one's packets arrive" send "$second" $packets
		wait $sender
		expect_text "$how $order: the first one's packets arrive" 0 echo $?
		ends "$how $order"
	done

	# ThreadSanitizer confuses a thread of a forked child with the parent's, and ends the program.
	for source in $([ "$IPQ_SANITIZER" = thread ] || echo nfqueue:0 engine:nfqueue:0); do
		start env IPQ_SOURCE=$source timeout 60 $FAMILIES daemon $order $packets
		wait $started
		started=
		wait_for_line "both are open"
		both_at_once "daemon $order on $source"
		wait_for_line packets
		expect_text "daemon $order on $source: has seen every packet" "$packets IPv4 and $packets IPv6 packets" \
			tail -n 1 "$log"
		expect "daemon $order on $source: leaves no queue" wait_for_no_queue
	done

	start env IPQ_SOURCE=engine:nfqueue:0 timeout 60 $FAMILIES peek $order $packets
	wait_for_queue
	wait_for_line "both are open"
	both_at_once "reading h->fd oneself, $order"
	ends "reading h->fd oneself, $order"
done

start $FAMILIES select 46 1000000
wait_for_queue
wait_for_line "both are open"
send 4 200 >$work/four
stop KILL
expect "killed: leaves no queue" wait_for_no_queue

command -v python3 >/dev/null || skip "no python3 to make capture files with"
python3 "$IPQ_LIVE/capture.py" $work/both.pcap $((2 * packets)) 4 6
for how in select epoll threads; do
	for order in 46 64; do
		rm -f $work/out.pcap
		expect_text "$how $order on a capture file: each family gets all of its packets" \
			"$packets IPv4 and $packets IPv6 packets" sh -c \
			"IPQ_SOURCE=pcap:$work/both.pcap,$work/out.pcap timeout 30 $FAMILIES $how $order $packets | tail -n 1"
		expect_text "$how $order on a capture file: the output is complete, though nothing was closed" \
			"$(stat -c %s $work/both.pcap)" stat -c %s $work/out.pcap
	done
done
finish
