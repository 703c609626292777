#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-captures.sh IPQ: capture files in and out. An accepted file is the same file, frames that are not read are named,
# a recording keeps what was known of its packets.
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

# pcapng: one IP packet, two frames of USBPCAP (249), one of USER0 (147).
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
"$ipq" watch --source "pcap:$work/in.pcapng" >"$work/log" 2>&1
check 'watch names them as well' grep -q '1 of link type 147 USER0 were not read' "$work/log"
"$ipq" watch --quiet --source "pcap:$work/in.pcapng" >"$work/log" 2>&1
check 'but not when it is quiet' sh -c "! grep -q 'not read' '$work/log'"

# What was recorded is read back.
"$ipq" filter --quiet --source "pcap:$work/in.pcapng,hook=FORWARD,indev=eth7,outdev=wan" -w "$work/rec.pcapng" \
	'drop udp' >"$work/log" 2>&1
"$ipq" watch --json --source "pcap:$work/rec.pcapng" >"$work/json" 2>/dev/null
check 'a recording has hook and interfaces' grep -q '"hook":"FORWARD","indev":"eth7","outdev":"wan"' "$work/json"
check 'and its verdict' grep -q '"verdict":"drop"' "$work/json"
"$ipq" filter --quiet --source "pcap:$work/rec.pcapng,$work/again.pcapng" 'drop tcp' >"$work/log" 2>&1
check 'a recording that passes is the same' cmp "$work/rec.pcapng" "$work/again.pcapng"
exit $failed
