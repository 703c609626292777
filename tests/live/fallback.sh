#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# On a kernel with ip_queue and without nfnetlink_queue (emulated by ipq run), programs receive their packets
# from ip_queue without a setting. Without both, the message is that of the manual page.
. "$IPQ_LIVE/lib.sh"

command -v python3 >/dev/null || skip "no python3 to make capture files with"
python3 "$IPQ_LIVE/capture.py" $work/four.pcap 500 4 || fail "no capture file"
python3 "$IPQ_LIVE/capture.py" $work/six.pcap 500 6 || fail "no capture file"
run="timeout 30 $IPQ run --source pcap:$work"
for when in apart together; do
	expect_text "handles opened $when: IPv4 comes from ip_queue" "500 and 0 packets" \
		$run/four.pcap,$work/out.pcap -- "$FALLBACK" $when
	expect "handles opened $when: and their verdicts count" cmp $work/four.pcap $work/out.pcap
	expect_text "handles opened $when: IPv6 comes from ip6_queue" "0 and 500 packets" \
		$run/six.pcap,$work/out.pcap -- "$FALLBACK" $when
	expect "handles opened $when: and its verdicts count" cmp $work/six.pcap $work/out.pcap
	expect_text "handles opened $when: neither is there" \
		"fallback: Failed to send netlink message: Connection refused" sh -c "$FALLBACK $when 2>&1"
done
finish
