#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# ipq watch must show packets, let them pass, and record them in a file that other programs can read.
. "$IPQ_LIVE/lib.sh"

start $IPQ watch --on INPUT,OUTPUT -w $work/seen.pcapng 'udp dst port 7001'
wait_for_rule OUTPUT
expect "what is watched passes" $TRAFFIC udp -n 20 -s 100 7001
stop INT
expect_text "a line for each, where it goes out and where it comes in" "20 20" sh -c \
	"echo \$(grep -c ' out  lo udp 127.0.0.1:.* > 127.0.0.1:7001 len 128 uid 0' $log) \
		\$(grep -c ' in   lo udp 127.0.0.1:.* > 127.0.0.1:7001 len 128' $log)"
if command -v tshark >/dev/null; then
	expect_text "tshark reads the file and the interface, and no verdict" "40 lo" sh -c \
		"tshark -r $work/seen.pcapng -T fields -e frame.interface_name -e frame.comment 2>/dev/null |
			sort | uniq -c | awk '{ \$1 = \$1; print }'"
	expect_text "no packet in it looks damaged" "0" sh -c \
		"tshark -r $work/seen.pcapng -o udp.check_checksum:TRUE -Y 'udp.checksum.status == Bad' 2>/dev/null | wc -l"
fi

start $IPQ watch --on INPUT --json -x 'udp dst port 7001'
wait_for_rule INPUT
$TRAFFIC say 7001 'a "quoted" text' >/dev/null
stop INT
if command -v python3 >/dev/null; then
	expect_text "JSON is JSON" "INPUT lo udp 7001 17" python3 -c "
import json
for line in open('$log'):
    if line.startswith('{'):
        p = json.loads(line)
        assert len(p['bytes']) == 2 * p['length'] and b'quoted' in bytes.fromhex(p['bytes'])
        print(p['hook'], p['indev'], p['protocol_name'], p['destination_port'], p['protocol'])
"
fi

# Records dropped packets.
start $IPQ filter --on INPUT -w $work/dropped.pcapng --record drop 'drop udp dst port 7002' 'count udp'
wait_for_rule INPUT
$TRAFFIC udp -n 5 -e 0 -w 200 7002 >/dev/null
$TRAFFIC udp -n 5 7003 >/dev/null
stop INT
if command -v tshark >/dev/null; then
	expect_text "the record of drops has the drops, and says which rule it was" "5 drop: drop udp dst port 7002" sh -c \
		"tshark -r $work/dropped.pcapng -T fields -e frame.comment 2>/dev/null | sort | uniq -c | sed 's/^ *//'"
fi

expect "a full disk is an error, and ends in order" sh -c \
	"$IPQ watch --on INPUT -w /dev/full udp 2>$work/error; [ \$? = 1 ] && grep -q 'No space left' $work/error"
for n in 1 3; do
	start $IPQ watch --on INPUT -c $n 'udp dst port 7001'
	wait_for_rule INPUT
	expect "what comes after the last packet of watch -c $n passes as well" $TRAFFIC udp -n 20 7001
	expect "watch -c $n ends by itself" timeout 10 sh -c 'while grep -q . /proc/$0/cmdline; do sleep 0.05; done' $started
	expect_text "and has shown $n" $n grep -c ' in   lo udp ' "$log"
	stop
done
# Packets of a queue wait for ipq watch, including those that it does not show.
queue OUTPUT -p udp --dport 7001:7002
start $IPQ watch -q 0 'udp dst port 7001'
wait_for_queue
expect "what is shown of a queue passes" $TRAFFIC udp -n 20 7001
expect "what is not shown of a queue passes" $TRAFFIC udp -n 20 7002
stop
$iptables -w -F OUTPUT
expect_text "packets of a queue are shown" 20 grep -c ' lo udp .* > 127.0.0.1:7001 ' "$log"
# A watch without a condition. It must not use nftables, because the kernel drops waiting packets when a base chain is
# removed.
$IPQ filter --on OUTPUT --quiet 'delay 2s udp dst port 7005' &
holder=$!
wait_for_rule OUTPUT
$TRAFFIC udp -n 10 -w 5000 7005 >$work/held &
flow=$!
start $IPQ watch --on INPUT
wait_for_rule INPUT
stop
wait $flow
expect_text "packets that wait in other queues are not lost at the end" 0 echo $?
kill $holder
wait $holder
expect "watch | head ends when head does" timeout 10 sh -c \
	"$IPQ watch --on INPUT udp | head -n 1 >/dev/null & sleep ${IPQ_MOMENT:-0.7}; $TRAFFIC udp -n 50 7004 >/dev/null; wait"
expect_text "and leaves nothing" "" rules_of_ours
finish
