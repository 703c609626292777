# SPDX-License-Identifier: LGPL-2.1-or-later
# The program accepts both families, in groups and out of order. Linked with our library, it does so under ipq keep, too,
# where another process owns the queue's socket.
queue OUTPUT -p udp --dport 7000
queue6 OUTPUT -p udp --dport 7000
accepts_both() {
	way=$1
	shift
	start "$@"
	wait_for_line ready
	expect "$way: IPv4 datagrams arrive" $TRAFFIC udp -n 203 -s 0-60000 -w 500 7000
	expect "$way: IPv6 datagrams arrive" $TRAFFIC udp -a ::1 -n 201 -s 0-60000 -w 500 7000
	$TRAFFIC udp -a ::1 -n 202 -s 0-1400 -w 1000 7000 >$work/six &
	six=$!
	expect "$way: IPv4 datagrams arrive beside others" $TRAFFIC udp -n 202 -s 0-1400 -w 1000 7000
	wait $six
	expect_text "$way: IPv6 datagrams arrive beside others" 0 echo $?
}
if [ "$CLIENT" = "$PROGRAM" ]; then
	accepts_both "ipq keep" $IPQ keep -- $CLIENT
	stop TERM any
	wait_for_no_queue
fi
accepts_both "as it is" $CLIENT
