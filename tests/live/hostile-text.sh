#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whatever others chose, a packet's bytes or the name of a process, an interface or a file: a terminal gets
# printable ASCII.
. "$IPQ_LIVE/lib.sh"
evil=$(printf 'q\033[2J\302\233m\177')
mkdir -p $work/text
said=$work/text/said

# harmless WHAT: the file $said has something, and nothing in it that a terminal would obey.
harmless() {
	expect "$1: printable" sh -c "[ -s $said ] && ! LC_ALL=C grep -q '[^ -~	]' $said"
}

# says WHAT COMMAND...: what it prints is harmless.
says() {
	what=$1
	shift
	timeout 20 "$@" >$said 2>&1
	harmless "$what"
}

cp "$(command -v "$IPQ")" "$work/text/$evil"
start "$work/text/$evil" watch --queue 0
wait_for_queue
says "who owns a queue, in an error" $IPQ watch --queue 0
says "who owns a queue, in the table" $IPQ status
says "in JSON" $IPQ status --json
says "in OpenMetrics" $IPQ status --openmetrics
says "in a diagnosis" $IPQ doctor
if [ -n "$(cat $queue_table 2>/dev/null)" ]; then
	$IPQ status >$said
	expect "and can be read" grep -qF 'q\x1b[2J' $said
	$IPQ watch --queue 0 2>$said
	expect "in the error, too" grep -qF 'q?[2J' $said
fi
stop INT

if ip netns add other && ip link add "$evil" type veth peer name other netns other 2>/dev/null &&
	ip address add 10.7.7.1/24 dev "$evil" && ip link set "$evil" up &&
	ip -n other address add 10.7.7.2/24 dev other && ip -n other link set other up; then
	for format in -x --json; do
		start $IPQ watch --on OUTPUT $format -w $work/text/record udp dst port 7001
		wait_for_rule OUTPUT
		$FLOW say -N other -a 10.7.7.2 -w 300 7001 "$evil" >/dev/null
		stop INT
		cp "$log" $said
		harmless "a packet and its interface with $format"
		expect "they were seen" grep -q '10.7.7.2' $said
	done
else
	echo "not tested: names of interfaces, none could be made"
fi

newline=$work/text/$(printf 'rules\n\033[2J')
printf 'drop udp prot \033[2J\233\n' >"$newline"
says "a rule with a mistake" $IPQ filter -f "$newline" --source pcap:/dev/null
says "a rule on the command line" $IPQ filter --source pcap:/dev/null "drop $evil"
says "a filter" $IPQ watch --source pcap:/dev/null "$evil"
says "a file of rules that is not there" $IPQ filter -f "$work/text/no$evil" --source pcap:/dev/null
says "a capture that is not there" $IPQ watch --source "pcap:$work/text/no$evil"
says "a record that cannot be" $IPQ watch --source pcap:/dev/null -w "$work/no/$evil"
says "a hook" $IPQ watch --on "$evil"
says "an option" $IPQ status "--$evil"
says "a command" $IPQ "$evil"
says "a program that is not there" $IPQ run --source pcap:/dev/null "/$evil"
says "a source" $IPQ run --source "$evil" true
says "a log that cannot be" $IPQ run --log "$work/no/$evil" true
printf '\324\303\262\241\2\0\4\0\0\0\0\0\0\0\0\0\377\377\0\0\145\0\0\0' >$work/empty.pcap
says "a log" $IPQ run --source pcap:$work/empty.pcap --log - "$work/text/$evil" --version
says "the counters of a rule" $IPQ filter --source pcap:$work/empty.pcap "rewrite /$evil/x/ udp"
finish
