#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Text from other users (bytes of packets, names of processes, interfaces and files) is printed as printable ASCII only.
. "$IPQ_LIVE/lib.sh"
evil=$(printf 'q\033[2J\302\233m\177')
mkdir -p $work/text
said=$work/text/said

# harmless WHAT: the file $said must not be empty, and must have only printable ASCII.
harmless() {
	expect "$1: printable" sh -c "[ -s $said ] && ! LC_ALL=C grep -q '[^ -~	]' $said"
}

# says WHAT COMMAND...: the command's output must be harmless.
says() {
	what=$1
	shift
	timeout 20 "$@" >$said 2>&1
	harmless "$what"
}

cp "$(command -v "$IPQ")" "$work/text/$evil"
start "$work/text/$evil" watch --queue 0
wait_for_queue
says "owner of a queue in an error" $IPQ watch --queue 0
says "owner of a queue in the table of status" $IPQ status
says "owner of a queue in JSON" $IPQ status --json
says "owner of a queue in OpenMetrics" $IPQ status --openmetrics
says "owner of a queue in doctor" $IPQ doctor
if [ -n "$(cat $queue_table 2>/dev/null)" ]; then
	$IPQ status >$said
	expect "its name is escaped" grep -qF 'q\x1b[2J' $said
	$IPQ watch --queue 0 2>$said
	expect "the error shows it escaped" grep -qF 'q?[2J' $said
fi
stop INT

if ip netns add other && ip link add "$evil" type veth peer name other netns other 2>/dev/null &&
	ip address add 10.7.7.1/24 dev "$evil" && ip link set "$evil" up &&
	ip -n other address add 10.7.7.2/24 dev other && ip -n other link set other up; then
	for format in -x --json; do
		start $IPQ watch --on OUTPUT $format -w $work/text/record udp dst port 7001
		wait_for_rule OUTPUT
		$TRAFFIC say -N other -a 10.7.7.2 -w 300 7001 "$evil" >/dev/null
		stop INT
		cp "$log" $said
		harmless "a packet and its interface with $format"
		expect "the packet was shown" grep -q '10.7.7.2' $said
	done
else
	echo "not tested: names of interfaces: none could be created"
fi

newline=$work/text/$(printf 'rules\n\033[2J')
printf 'drop udp prot \033[2J\233\n' >"$newline"
says "a wrong rule in a file" $IPQ filter -f "$newline" --source pcap:/dev/null
says "a wrong rule on the command line" $IPQ filter --source pcap:/dev/null "drop $evil"
says "a wrong filter" $IPQ watch --source pcap:/dev/null "$evil"
says "a missing file of rules" $IPQ filter -f "$work/text/no$evil" --source pcap:/dev/null
says "a missing capture file" $IPQ watch --source "pcap:$work/text/no$evil"
says "a recording that cannot be written" $IPQ watch --source pcap:/dev/null -w "$work/no/$evil"
says "an unknown hook" $IPQ watch --on "$evil"
says "an unknown option" $IPQ status "--$evil"
says "an unknown command" $IPQ "$evil"
says "a missing program" $IPQ run --source pcap:/dev/null "/$evil"
says "an unknown source" $IPQ run --source "$evil" true
says "a log that cannot be written" $IPQ run --log "$work/no/$evil" true
printf '\324\303\262\241\2\0\4\0\0\0\0\0\0\0\0\0\377\377\0\0\145\0\0\0' >$work/empty.pcap
says "the log of ipq run" $IPQ run --source pcap:$work/empty.pcap --log - "$work/text/$evil" --version
says "the counters of filter" $IPQ filter --source pcap:$work/empty.pcap "rewrite /$evil/x/ udp"
finish
