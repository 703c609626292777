#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every request of ipq_ctl works as documented: on the queue's own socket, in batches, through the engine.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000
six=
if find_iptables ip6tables; then
	queue6 OUTPUT -p udp --dport 7006
	six=six
fi
for how in strict batch engine; do
	case $how in
	strict) setting=IPQ_BATCH=0 ;;
	batch) setting=IPQ_BATCH=32 ;;
	engine) setting=IPQ_SOURCE=engine:nfqueue:0 ;;
	esac
	log=$work/$how
	env $setting "$CTL" $how $six >"$log" 2>&1
	expect_text "every request of ipq_ctl works ($how)" 0 echo $?
	look_for_findings
	cat "$log"
done
$iptables -w -D OUTPUT -p udp --dport 7000 -j $queue_target
$iptables -w -A OUTPUT -p udp --dport 7000 -j NFQUEUE --queue-num 3
for batch in 0 8; do
	log=$work/again-$batch
	env IPQ_SOURCE=nfqueue:3 IPQ_BATCH=$batch "$CTL" again >"$log" 2>&1
	expect_text "NF_QUEUE returns a packet to its own queue (IPQ_BATCH=$batch)" 0 echo $?
	look_for_findings
	cat "$log"
done
$iptables -w -D OUTPUT -p udp --dport 7000 -j NFQUEUE --queue-num 3
queue OUTPUT -p udp --dport 7000
for how in ${six:+foreign foreign-timeout}; do
	log=$work/$how
	# Tries twice, because a reader that another process has preempted looks like one that slept.
	"$CTL" $how >"$log" 2>&1 || "$CTL" $how >>"$log" 2>&1
	expect_text "a packet of the other family is dropped and not read ($how)" 0 echo $?
	look_for_findings
	cat "$log"
done
finish
