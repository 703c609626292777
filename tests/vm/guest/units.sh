#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A service of the guest's systemd: starts, kills and stops the unit files, and prints the effects on packets.
export PATH=/usr/bin LC_ALL=C
ip link set lo up
echo 16777216 >/proc/sys/net/core/rmem_max
iptables-legacy -A OUTPUT -p udp --dport 7000:7001 -j NFQUEUE --queue-num 5
iptables-legacy -A OUTPUT -p udp --dport 7002 -j NFQUEUE --queue-num 0
echo 'OPTIONS=--queue 5' >/etc/ipq/test.conf
echo 'drop udp dst port 7001' >/etc/ipq/test.rules

# expect WHAT COMMAND...: the command must succeed
expect() {
	what=$1
	shift
	if "$@" >/tmp/said 2>&1; then echo "ok: $what"; else
		sed 's/^/note: /' /tmp/said /run/errors
		echo "FAILED: $what: $*"
	fi
}

is() {
	[ "$(systemctl show -P "$2" "$1")" = "$3" ] || { systemctl show "$1" -p ActiveState,Result,NRestarts,ExecMainStatus; return 1; }
}

status_has() {
	grep -q "$2" "/proc/$(systemctl show -P MainPID "$1")/status"
}

filter=ipq-filter@test.service
expect "ipq-filter starts, and reports that it is ready" systemctl start $filter
expect "it is active" is $filter ActiveState active
expect "the kernel knows its queue" grep -q '^ *5 ' /proc/net/netfilter/nfnetlink_queue
expect "the manager keeps the socket of its queue" is $filter NFileDescriptorStore 1
expect "it has no privilege beyond three" status_has $filter '^CapBnd:.*0000000000003004$'
expect "it gains none" status_has $filter '^NoNewPrivs:.*1$'
expect "its system calls are filtered" status_has $filter '^Seccomp:.*2$'
expect "packets are accepted" traffic udp -n 100 -w 5000 7000
expect "packets are dropped by the rule" traffic udp -n 20 -e 0 7001
echo 'accept' >/etc/ipq/test.rules
expect "reload reads the rules again" systemctl reload $filter
sleep 1
expect "they are in force" traffic udp -n 20 -w 5000 7001

# kill_filter PORT: kills the filter three times, while packets to this port arrive
kill_filter() {
	traffic udp -o -n 1500 -r 150 -w 20000 "$1" >/tmp/traffic 2>&1 &
	for i in 1 2 3; do
		sleep 2
		kill -KILL "$(systemctl show -P MainPID $filter)"
	done
	wait $!
	status=$?
	sed 's/^/note: /' /tmp/traffic
	return $status
}

expect "killed three times: no packet is lost or repeated, and their order is kept" kill_filter 7000
expect "it was started again three times" is $filter NRestarts 3
expect "it stops" systemctl stop $filter
expect "it has ended well" is $filter Result success
expect "its queue is gone" sh -c "! grep '^ *5 ' /proc/net/netfilter/nfnetlink_queue"
expect "packets are dropped then" traffic udp -n 20 -e 0 -w 500 7000

# The filter has its own firewall rules, which its successor takes over with the queue.
echo 'OPTIONS=--queue 6 --on OUTPUT' >/etc/ipq/on.conf
printf '%s\n' 'mark 7 udp dst port 7003' 'drop udp dst port 7004' >/etc/ipq/on.rules
filter=ipq-filter@on.service
expect "a filter with rules of its own starts" systemctl start $filter
expect "the manager keeps its socket" is $filter NFileDescriptorStore 1
expect "killed three times: no packet is lost or repeated, and their order is kept" kill_filter 7003
expect "it was started again three times" is $filter NRestarts 3
expect "it is active again" systemctl start $filter
expect "its rules drop packets" traffic udp -n 20 -e 0 -w 500 7004
expect "it stops" systemctl stop $filter
expect "its rules are gone" traffic udp -n 20 -w 5000 7004

# kill_in_traffic PROGRAM: kills it twice, while packets to port 7002 arrive
kill_in_traffic() {
	traffic udp -o -n 600 -r 150 -w 20000 7002 >/tmp/traffic 2>&1 &
	for i in 1 2; do
		sleep 1
		kill -KILL $(pgrep "$1")
	done
	wait $!
	status=$?
	sed 's/^/note: /' /tmp/traffic
	return $status
}

program=packet-program.service
expect "a program of ip_queue starts" systemctl start $program
for i in 1 2 3 4 5 6 7 8 9 10; do
	traffic udp -n 1 -w 500 7002 >/tmp/traffic && break # repeat this, because the program does not report that it is ready
done
expect "it decides packets" traffic udp -n 100 -w 5000 7002
expect "the program killed twice: no packet is lost or repeated, and their order is kept" \
	kill_in_traffic packet-program
expect "the service was not started again for that" is $program NRestarts 0
expect "it stops" systemctl stop $program
expect "no program is left" sh -c '! pgrep packet-program'
program=packet-keep.service
expect "a program under ipq keep starts" systemctl start $program
for i in 1 2 3 4 5 6 7 8 9 10; do
	traffic udp -n 1 -w 500 7002 >/tmp/traffic && break
done
expect "the program killed twice: no packet is lost or repeated, and their order is kept" \
	kill_in_traffic packet-accept
expect "reload replaces it" systemctl reload $program
sleep 2
expect "the next one decides packets" traffic udp -n 100 -w 5000 7002
expect "the service was not started again for that" is $program NRestarts 0
expect "it stops" systemctl stop $program
expect "no program is left" sh -c '! pgrep packet-accept'
echo "note: systemd $(systemctl --version | head -n 1), Linux $(cat /proc/sys/kernel/osrelease)"
echo "the tests have ended"
