#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Any user runs an old program over a capture file: no root, no namespace, no queue.
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

# capture FILE PACKETS FAMILY...: raw IP, one UDP packet after the other of each family in turn
cat >"$work/capture.py" <<'X'
import struct, sys
def packet(family, n):
    udp = struct.pack('>HHHH', 1000 + n % 1000, 7000, 8 + n % 97, 0) + bytes(n % 97)
    if family == '6':
        return struct.pack('>IHBB', 6 << 28, len(udp), 17, 64) + bytes(15) + b'\1' + bytes(15) + b'\1' + udp
    return struct.pack('>BBHHHBBH', 0x45, 0, 20 + len(udp), n % 65536, 0, 64, 17, 0) + bytes((127, 0, 0, 1)) * 2 + udp
with open(sys.argv[1], 'wb') as f:
    f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
    for n in range(int(sys.argv[2])):
        p = packet(sys.argv[3 + n % len(sys.argv[3:])], n)
        f.write(struct.pack('<IIII', 1000000 + n, n, len(p), len(p)) + p)
X
python3 "$work/capture.py" "$work/four.pcap" 3000 4
python3 "$work/capture.py" "$work/both.pcap" 3000 4 6
chmod a+r "$work"/*.pcap
run="$as_user timeout 30 $work/ipq run"

for client in $clients; do
	name=$(basename "$client")
	expect_text "$name: reads all packets, then the end" "3000 packets" \
		"$($run --source "pcap:$work/four.pcap,$work/out.pcap" -- "$client" accept)"
	cmp -s "$work/four.pcap" "$work/out.pcap"
	expect_text "$name: what it accepts is in the output, to the byte" 0 $?
	expect_text "$name: what it drops is seen" "3000 packets" \
		"$($run --log "$work/log" --source "pcap:$work/four.pcap,$work/none.pcap" -- "$client" drop)"
	expect_text "$name: and is not in the output" 24 "$(stat -c %s "$work/none.pcap")"
	expect_text "$name: and the log counts it" 1 "$(grep -c "IPv4: 3000 packets, 0 accepted.*3000 dropped" "$work/log")"
	rm -f "$work/log"
	# Packets of a family that nobody has asked for yet are dropped: only the first thread gets all of its.
	expect_text "$name: two threads, each its family" 1 \
		"$($run --source "pcap:$work/both.pcap" -- "$client" both | grep -cE '^(1500 IPv4 and .*|.* and 1500) IPv6 packets$')"
	expect_text "$name: stops before the end" "10 packets" \
		"$(IPQ_SOURCE="pcap:$work/four.pcap" $run -- "$client" accept 10)"
	expect_text "$name: gets netlink's answers" "netlink's answers" \
		"$($run --source "pcap:$work/four.pcap" -- "$client" probe)"
done
$run --source "pcap:$work/missing.pcap" -- true 2>"$work/said"
expect_text "a missing file is an error before the program starts" 125 $?
expect_text "that names the file" 1 "$(grep -c missing.pcap "$work/said")"
[ $failures -eq 0 ]
