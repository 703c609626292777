#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Any user can run an old program on a capture file: no root, no namespace, no queue.
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

skip() {
	echo "skipped: $*"
	exit 77
}

expect_text() {
	if [ "$2" = "$3" ]; then echo "ok: $1"; else
		failures=$((failures + 1))
		echo "FAILED: $1: expected «$2», got «$3»"
	fi
}

command -v python3 >/dev/null || skip "no python3 to make capture files with"
. "$IPQ_LIVE/run-lib.sh"
cp "$IPQ" "$work/ipq"
as_user=
if [ "$(id -u)" = 0 ]; then
	as_user="setpriv --reuid 65534 --regid 65534 --clear-groups"
	$as_user true || skip "cannot become an ordinary user"
	chown -R 65534:65534 "$work"
fi

python3 "$IPQ_LIVE/capture.py" "$work/four.pcap" 3000 4
python3 "$IPQ_LIVE/capture.py" "$work/both.pcap" 3000 4 6
chmod a+r "$work"/*.pcap
run="$as_user timeout 30 $work/ipq run"

for client in $clients; do
	name=$(basename "$client")
	expect_text "$name: reads all packets, then the end" "3000 packets" \
		"$($run --source "pcap:$work/four.pcap,$work/out.pcap" -- "$client" accept)"
	cmp -s "$work/four.pcap" "$work/out.pcap"
	expect_text "$name: accepted packets are in the output, unchanged" 0 $?
	expect_text "$name: dropped packets are read" "3000 packets" \
		"$($run --log "$work/log" --source "pcap:$work/four.pcap,$work/none.pcap" -- "$client" drop)"
	expect_text "$name: and is not in the output" 24 "$(stat -c %s "$work/none.pcap")"
	expect_text "$name: and the log counts it" 1 "$(grep -c "IPv4: 3000 packets, 0 accepted.*3000 dropped" "$work/log")"
	rm -f "$work/log"
	expect_text "$name: two threads, each its family" "1500 IPv4 and 1500 IPv6 packets" \
		"$($run --source "pcap:$work/both.pcap" -- "$client" both)"
	expect_text "$name: stops before the end" "10 packets" \
		"$(IPQ_SOURCE="pcap:$work/four.pcap" $run -- "$client" accept 10)"
	expect_text "$name: gets netlink's answers" "netlink's answers" \
		"$($run --source "pcap:$work/four.pcap" -- "$client" probe)"
done
head -c -3 "$work/four.pcap" >"$work/cut.pcap"
expect_text "a truncated file is read up to its end" "2999 packets" \
	"$($run --source "pcap:$work/cut.pcap,$work/out.pcap" -- "$RAW" accept 2>"$work/said")"
expect_text "the packets before it are in the output" "$(stat -c %s "$work/out.pcap")" \
	"$(grep -o 'packet 3000 begins at byte [0-9]*' "$work/said" | grep -o '[0-9]*$')"
expect_text "the library reports that the file is truncated" "classic: Received EOF on netlink socket: Bad message" \
	"$(IPQ_SOURCE="pcap:$work/cut.pcap" timeout 30 "$EXAMPLE_CLASSIC" 2>&1 >"$work/said")"
rm "$work/out.pcap" # if this test runs as root, it could not write to the file of another user
timeout 30 env IPQ_SOURCE="pcap:$work/four.pcap,$work/out.pcap" "$IPQ" run -- "$EXAMPLE_CLASSIC" >"$work/said" 2>&1
cmp -s "$work/four.pcap" "$work/out.pcap"
expect_text "a program with the new library uses the emulated ip_queue" 0 $?
$run --source "pcap:$work/four.pcap,$work/four.pcap" -- true 2>"$work/said"
expect_text "output to the input file fails before the program starts" 125 $?
$run --source "pcap:$work/missing.pcap" -- true 2>"$work/said"
expect_text "a missing file fails before the program starts" 125 $?
expect_text "the error names the file" 1 "$(grep -c missing.pcap "$work/said")"
[ $failures -eq 0 ]
