#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-captures.sh IPQ: tests capture files as input and output. If all packets are accepted, the output is the same
# file; unread frames are reported; a recording keeps the metadata of its packets.
set -u
ipq=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() {
	what=$1
	shift
	"$@" || { echo "FAILED: $what"; failed=1; }
}

# A pcapng file with one IP packet, two frames of USBPCAP (249) and one frame of USER0 (147).
cat >"$work/base64" <<'END'
Cg0NChwAAABNPCsaAQAAAP//////////HAAAAAEAAAAUAAAA+QAAAAAAAAAUAAAAAQAAABQAAABlAAAAAAAAABQAAAABAAAAFAAAAJMAAAAAAA
AAFAAAAAYAAAAkAAAAAAAAAAAABgAHAAAABAAAAAQAAAB1c2IxJAAAAAYAAAA8AAAAAQAAAAAABgAHAAAAHAAAABwAAABFAAAcAAAAAEARAAAK
AAABCgAAAgAAAAAAAAAAPAAAAAYAAAAkAAAAAAAAAAAABgAHAAAABAAAAAQAAAB1c2IyJAAAAAYAAAAkAAAAAgAAAAAABgAHAAAABAAAAAQAAA
B1c2VyJAAAAA==
END
base64 -d "$work/base64" >"$work/in.pcapng"

"$ipq" filter --source "pcap:$work/in.pcapng,$work/out.pcapng" 'drop tcp' >"$work/log" 2>&1
check 'an accepted file is the same, byte for byte' cmp "$work/in.pcapng" "$work/out.pcapng"
check 'frames that are not read are named by type and number' grep -q \
	'2 of link type 249 USBPCAP, 1 of link type 147 USER0 were not read' "$work/log"
{
	printf '%s' "ipq filter: $work/in.pcapng ends after 4 packets; "
	echo '2 of link type 249 USBPCAP, 1 of link type 147 USER0 were not read'
	echo '   #      packets          bytes  rule'
	echo '   1            0              0  drop tcp'
	echo '   -            1             28  no rule decided: accepted'
	echo '1 packet: 1 accepted, 0 dropped, 0 sent elsewhere; 0 with new payload'
} >"$work/expected"
check 'the report has only what happened' cmp "$work/expected" "$work/log"
"$ipq" watch --source "pcap:$work/in.pcapng" udp 2>"$work/log" >"$work/lines"
check 'watch udp shows the packet' test "$(wc -l <"$work/lines")" -eq 1
check 'and reports two lines' test "$(sed 's/:.*//; s/,.*//' "$work/log" | tr '\n' ' ')" = 'ipq watch 1 packets shown '
"$ipq" filter --json --source "pcap:$work/in.pcapng" 'count udp' 'drop tcp' >"$work/json" 2>/dev/null
counts='"dropped":0,"rewritten":0,"not_edited":0}'
{
	printf '%s' '{"rules":[{"rule":"count udp","packets":1,"bytes":28,'"$counts,"
	printf '%s' '{"rule":"drop tcp","packets":0,"bytes":0,'"$counts"'],'
	echo '"no_rule":{"packets":1,"bytes":28,'"$counts"',"not_edited_by_reason":{},"beyond_mtu":0}'
} >"$work/expected"
check 'counters in JSON are complete' cmp "$work/expected" "$work/json"
"$ipq" filter --source "pcap:$work/in.pcapng" 'log udp' >/dev/full 2>"$work/log"
check 'filter fails if its output cannot be written' test $? -eq 1
check 'and reports it in its name' grep -q '^ipq filter: standard output was not written completely: ' "$work/log"
"$ipq" watch --source "pcap:$work/in.pcapng" >/dev/full 2>"$work/log"
check 'watch fails as well' test $? -eq 1
check 'and reports it in its name' grep -q '^ipq watch: standard output was not written completely: ' "$work/log"
"$ipq" watch --source "pcap:$work/in.pcapng" >"$work/log" 2>&1
check 'watch names them as well' grep -q '1 of link type 147 USER0 were not read' "$work/log"
"$ipq" watch --quiet --source "pcap:$work/in.pcapng" >"$work/log" 2>&1
check 'but not when it is quiet' sh -c "! grep -q 'not read' '$work/log'"

# A pcapng file with two sections in both byte orders, each with two UDP packets (IP identification 0 and 1).
cat >"$work/base64" <<'END'
Cg0NChwAAABNPCsaAQAAAP//////////HAAAAAEAAAAoAAAAZQAAAAAAAAACAAMAb25lAAkAAQAJAAAAAAAAACgAAAAGAAAAPAAAAAAAAAACAAAAAOQLVB
wAAAAcAAAARQAAHAAAAABAEWbPCgAAAQoAAAIABwAJAAgAADwAAAAGAAAAPAAAAAAAAAACAAAAAGjjaxwAAAAcAAAARQAAHAABAABAEWbOCgAAAQoAAAIA
BwAJAAgAADwAAAAKDQ0KAAAAHBorPE0AAQAA//////////8AAAAcAAAAAQAAACgAZQAAAAAAAAACAAN0d28AAAkAAQYAAAAAAAAAAAAAKAAAAAYAAAA8AA
AAAAAAAAAAob5AAAAAHAAAABxFAAAcAAAAAEARZs8KAAABCgAAAgAHAAkACAAAAAAAPAAAAAYAAAA8AAAAAAAAAAAAp9jAAAAAHAAAABxFAAAcAAEAAEAR
Zs4KAAABCgAAAgAHAAkACAAAAAAAPA==
END
base64 -d "$work/base64" >"$work/two.pcapng"
"$ipq" filter --quiet --source "pcap:$work/two.pcapng,$work/out.pcapng" 'delay 1s udp and ip[5] = 0' >"$work/log" 2>&1
"$ipq" watch --quiet --json --source "pcap:$work/out.pcapng" >"$work/json" 2>/dev/null
check 'a packet that is delayed into the next section keeps clock and interface' test \
	"$(sed 's/.*"time":\([0-9.]*\),.*"indev":"\([a-z]*\)".*/\1 \2/' "$work/json" | tr '\n' ' ')" = \
	'10.400000000 one 11.000000000 two 11.000000000 one 11.600000000 two '

"$ipq" filter --quiet --source "pcap:$work/two.pcapng,$work/out.pcapng" 'delay 10s, repeat 3' 'delay 5s mark 3' >"$work/log" 2>&1
"$ipq" watch --source "pcap:$work/out.pcapng" >"$work/lines" 2>"$work/log"
check 'packets that are delayed beyond the end, and then repeated, are not lost' test "$(wc -l <"$work/lines")" -eq 4

for count in 1 3 4 5; do
	"$ipq" watch -c $count --source "pcap:$work/two.pcapng" >"$work/lines" 2>"$work/log"
	n=$((count < 4 ? count : 4))
	check "watch -c $count shows $n of 4 packets" test "$(wc -l <"$work/lines")" -eq $n
	check "watch -c $count says so" grep -q "^$n packets\{0,1\} shown" "$work/log"
done

# A pcapng file with two UDP packets, 8.5 and 8.2 seconds before 1970.
cat >"$work/base64" <<'END'
Cg0NChwAAABNPCsaAQAAAP//////////HAAAAAEAAAAkAAAAZQAAAAAAAAAOAAgA9v////////8AAAAAJAAAAAYAAAA8AAAAAAAAAAAAAABg4xYAHAAAAB
wAAABFAAAcAAEAAEARZs4KAAABCgAAAg+gAFEACNvqPAAAAAYAAAA8AAAAAAAAAAAAAABAdxsAHAAAABwAAABFAAAcAAEAAEARZs4KAAABCgAAAg+gAFEA
CNvqPAAAAA==
END
base64 -d "$work/base64" >"$work/early.pcapng"
"$ipq" filter --quiet --source "pcap:$work/early.pcapng,$work/out.pcapng" 'rate 1/s udp' 'delay 1s udp' >"$work/log" 2>&1
"$ipq" watch --quiet --json --source "pcap:$work/out.pcapng" >"$work/json" 2>/dev/null
check 'rate and delay count from the first packet, also before 1970' test \
	"$(sed 's/.*"time":\([-0-9.]*\),.*/\1/' "$work/json")" = -7.500000000

# Metadata that was recorded is read back.
"$ipq" filter --quiet --source "pcap:$work/in.pcapng,hook=FORWARD,indev=eth7,outdev=wan" -w "$work/rec.pcapng" \
	'drop udp' >"$work/log" 2>&1
"$ipq" watch --json --source "pcap:$work/rec.pcapng" >"$work/json" 2>/dev/null
check 'a recording has hook and interfaces' grep -q '"hook":"FORWARD","indev":"eth7","outdev":"wan"' "$work/json"
check 'and its verdict' grep -q '"verdict":"drop"' "$work/json"
check 'the comment of a record ends with the rule' sh -c "tr '\\0' '\\n' <'$work/rec.pcapng' | grep -aqx 'drop: drop udp'"
"$ipq" filter --quiet --source "pcap:$work/rec.pcapng,$work/again.pcapng" 'drop tcp' >"$work/log" 2>&1
check 'a recording that passes is the same' cmp "$work/rec.pcapng" "$work/again.pcapng"

# A TCP packet, then packets of two UDP flows in turn; each third packet has the reverse direction.
octets() {
	for octet; do
		printf "\\$(printf %03o "$octet")"
	done
}
packet() { # packet PROTOCOL SOURCE DESTINATION NUMBER: SOURCE and DESTINATION are the last bytes of addresses and ports.
	octets $4 0 0 0 0 0 0 0 48 0 0 0 48 0 0 0 69 0 0 48 0 $4 0 0 64 $1 0 0 10 0 0 $2 10 0 0 $3
	octets 7 $2 7 $3 0 28 0 0 0 0 0 0 80 0 0 0 0 0 0 0 0 0 0 0 0 0 0 $4
}
{
	octets 212 195 178 161 2 0 4 0 0 0 0 0 0 0 0 0 255 255 0 0 101 0 0 0
	packet 6 1 2 1
	for number in 2 5 8 11; do
		packet 17 1 2 $number
		packet 17 3 4 $((number + 1))
		packet 17 2 1 $((number + 2))
	done
} >"$work/flows.pcap"
flows() {
	rm -f "$work/out.pcap"
	"$ipq" filter --source "pcap:$work/flows.pcap,$work/out.pcap" "$@" >"$work/log" 2>&1 || cat "$work/log"
}
flows 'accept flow after 2 udp' 'drop udp'
check 'a flow is accepted after two packets: the output is the input, in order' cmp "$work/flows.pcap" "$work/out.pcap"
check 'rules see two packets of each flow and the deciding one' grep -q '^ *1  *6  *288  accept flow after 2 udp$' "$work/log"
check 'the other packets of decided flows are counted' grep -q ' 2 flows decided: 6 more packets, 288 bytes' "$work/log"
check 'the summary has all packets' grep -q '^13 packets: 13 accepted, 0 dropped' "$work/log"
flows --json 'drop flow udp and src host 10.0.0.1'
check 'a flow is dropped in both directions' grep -q '"flows":{"decided":1,"packets":7,"bytes":336}' "$work/log"
check 'packets of other flows pass' test "$(wc -c <"$work/out.pcap")" -eq $((24 + 5 * 64))
flows 'accept flow after 8 udp port 1794' 'drop udp'
check 'rules decide packets that belong to no decided flow' grep -q '^13 packets: 9 accepted, 4 dropped' "$work/log"
{
	head -c 24 "$work/flows.pcap"
	for block in $(seq 100); do
		tail -c +25 "$work/flows.pcap"
	done
} >"$work/many.pcap"
mv "$work/many.pcap" "$work/flows.pcap"
flows 'accept flow udp'
check 'packets of decided flows and others keep their order' cmp "$work/flows.pcap" "$work/out.pcap"
check 'packets of each receive are counted' grep -q ' 2 flows decided: 1198 more packets' "$work/log"

# UDP and TCP packets in turn, one per second. The rules get packets in batches of 64.
packet 17 1 2 0 >"$work/udp"
packet 6 1 2 0 >"$work/tcp"
{
	head -c 24 "$work/flows.pcap"
	for number in $(seq 1 2 140); do
		octets $number && tail -c +2 "$work/udp"
		octets $((number + 1)) && tail -c +2 "$work/tcp"
	done
} >"$work/delays.pcap"
"$ipq" filter --quiet --source "pcap:$work/delays.pcap,$work/out.pcap" 'delay 500ms tcp' >"$work/log" 2>&1
"$ipq" watch --quiet --json --source "pcap:$work/out.pcap" | sed 's/.*"time":\([0-9.]*\),.*/\1/' >"$work/times"
check 'all delayed packets are in the output' test "$(wc -l <"$work/times")" -eq 140
check 'and time does not go back' sort -n -C "$work/times"

# A FIFO whose writer never opens it, writes nothing, writes a part of the header, or stops within the last of four
# packets.
has_ended() {
	! kill -0 $1 2>/dev/null || grep -q '^State:.*zombie' /proc/$1/status 2>/dev/null
}

# soon COMMAND...: the command must succeed within 20 s.
soon() {
	tries=400
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.05
	done
}

mkfifo "$work/fifo"
for bytes in none 0 20 28 $(($(wc -c <"$work/two.pcapng") - 10)); do
	for signal in INT TERM; do
		writer=
		if [ $bytes != none ]; then
			(head -c $bytes "$work/two.pcapng" && exec sleep 100) >"$work/fifo" &
			writer=$!
		fi
		"$ipq" watch -r "$work/fifo" >"$work/lines" 2>"$work/log" &
		pid=$!
		sleep 0.2
		kill -$signal $pid
		check "SIG$signal ends the reading of a FIFO ($bytes bytes)" soon has_ended $pid
		kill -KILL $pid 2>/dev/null
		[ -z "$writer" ] || kill $writer
		wait
	done
done
for command in "filter -f $work/fifo --check" "watch -r $work/two.pcapng -w $work/fifo"; do
	"$ipq" $command >"$work/log" 2>&1 &
	pid=$!
	sleep 0.2
	kill -INT $pid
	check "SIGINT ends: $command" soon has_ended $pid
	kill -KILL $pid 2>/dev/null
	wait
done
exit $failed
