#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The source nflog:N gets copies of the packets that rules log. Verdicts of its reader have no effect.
. "$IPQ_LIVE/lib.sh"

log_to() {
	group=$1
	shift
	$iptables -w -A "$@" -j NFLOG --nflog-group "$group" || skip "no NFLOG here"
}

group_is_taken() {
	awk -v n="$1" '$1 == n { found = 1 } END { exit !found }' /proc/net/netfilter/nfnetlink_log 2>/dev/null
}

wait_for_group() {
	tries=100
	until group_is_taken "$1" || [ $tries -le 0 ]; do
		tries=$((tries - 1))
		sleep 0.02
	done
	sleep 0.2
}

log_to 5 OUTPUT -p udp --dport 7001
log_to 5 INPUT -p udp --dport 7001
log_to 6 OUTPUT -p udp --dport 7001

start $IPQ watch --source nflog:5 -w $work/seen.pcapng
wait_for_group 5
expect "logged packets pass" $TRAFFIC udp -n 20 -s 100 7001
sleep 0.2
stop INT
expect_text "a line for each copy, with interface, length and user" "20 20" sh -c \
	"echo \$(grep -c ' out  lo udp 127.0.0.1:.* > 127.0.0.1:7001 len 128 uid 0' $log) \
		\$(grep -c ' in   lo udp 127.0.0.1:.* > 127.0.0.1:7001 len 128' $log)"
expect "the summary counts them" grep -q '^40 packets shown, 40 received, 0 lost$' $log

# Verdicts have no effect: neither those of a filter that drops all packets, nor those of a program of 2001 that drops
# all packets.
start $IPQ filter --source nflog:5,batch=1 'drop udp'
wait_for_group 5
expect "dropped copies are packets that pass" $TRAFFIC udp -n 20 7001
sleep 0.2
stop INT
expect "drops are counted" grep -q '^40 packets: 0 accepted, 40 dropped' $log
for source in nflog:5 engine:nflog:5; do
	log=$work/log.$source
	IPQ_SOURCE=$source timeout 20 $CLASSIC_LOOP libipq >$log 2>&1 &
	started=$!
	wait_for_group 5
	expect "with a classic program on $source packets pass" $TRAFFIC udp -n 20 7001
	$TRAFFIC say 7001 'the end' >/dev/null
	wait $started
	expect_text "the classic program has read the last one" 0 echo $?
	started=
	look_for_findings
done

# Copies report the packet's length, for packets of any size, complete or truncated.
start $IPQ watch --source nflog:6 udp
wait_for_group 6
$TRAFFIC udp -n 1 -s 30000 7001 >/dev/null
sleep 0.2
stop INT
expect "a truncated packet has its full length" grep -q ' len 30028 ' $log

# A group can have only one reader; error messages state cause and remedy.
start $IPQ watch --source nflog:5
wait_for_group 5
expect "a group has one reader" sh -c \
	"! timeout 5 $IPQ watch --source nflog:5 2>$work/error && grep -q 'group 5 is taken by another program' $work/error"
stop INT
expect "a group that is no number is refused" sh -c \
	"! $IPQ watch --source nflog:x 2>$work/error && grep -q 'a group from 0 to 65535' $work/error"
if command -v setpriv >/dev/null; then
	expect "without the capability the error names it" sh -c \
		"! timeout 5 setpriv --bounding-set -net_admin --inh-caps -net_admin $IPQ watch --source nflog:5 2>$work/error &&
			grep -q 'group 5 needs CAP_NET_ADMIN' $work/error"
fi

# The calls of ipq.h, including overruns.
log_to 7 OUTPUT -p udp --dport 7000
log=$work/log.calls
$NFLOG >$log 2>&1
expect "the new calls read copies" [ $? = 0 ]
look_for_findings
finish
