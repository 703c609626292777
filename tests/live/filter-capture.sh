#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A capture file is filtered and edited by rules, without privileges and in constant memory.
. "$IPQ_LIVE/lib.sh"
command -v python3 >/dev/null || skip "no python3"

cat >$work/make.py <<'END'
import struct, sys
# make.py FILE COUNT: UDP datagrams to ports 53, 80, 443 and 5000 in turn, 100 a second
def checksum(b):
    s = sum(struct.unpack('>10H', b))
    s = (s & 0xffff) + (s >> 16)
    return ~((s & 0xffff) + (s >> 16)) & 0xffff
with open(sys.argv[1], 'wb') as f:
    f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
    for i in range(int(sys.argv[2])):
        text = b'the evil word, number %07d' % i
        ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 28 + len(text), i & 65535, 0, 64, 17, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
        ip = ip[:10] + struct.pack('>H', checksum(ip)) + ip[12:]
        p = ip + struct.pack('>HHHH', 4000, (53, 80, 443, 5000)[i % 4], 8 + len(text), 0) + text
        f.write(struct.pack('<IIII', 1700000000 + i // 100, i % 100 * 10000, len(p), len(p)) + p)
END
cat >$work/read.py <<'END'
import struct, sys
# read.py FILE: destination port and text of each packet
b, at = open(sys.argv[1], 'rb').read(), 24
while at < len(b):
    n = struct.unpack_from('<I', b, at + 8)[0]
    p = b[at + 16:at + 16 + n]
    print(struct.unpack_from('>H', p, 22)[0], p[28:].decode())
    at += 16 + n
END
python3 $work/make.py $work/in.pcap 4000
python3 $work/read.py $work/in.pcap >$work/in.txt

# filtered RULE...: filters the capture file and prints the contents of the output. Runs ipq as the user nobody, if
# possible.
filtered() {
	rm -f $work/out.pcap
	setpriv --reuid 65534 --clear-groups true 2>/dev/null && as="setpriv --reuid 65534 --clear-groups"
	chmod 1777 $work
	${as:-} $IPQ filter --quiet --source pcap:$work/in.pcap,$work/out.pcap "$@" && python3 $work/read.py $work/out.pcap
}

# same WHAT: out.txt and expected.txt must be the same.
same() {
	if cmp $work/out.txt $work/expected.txt; then ok "$1"; else fail "$1"; fi
}

filtered accept >$work/out.txt
cp $work/in.txt $work/expected.txt
same "accepting everything copies the file"
filtered 'drop port 53 or port 443' >$work/out.txt
grep -vE '^(53|443) ' $work/in.txt >$work/expected.txt
same "dropped packets are not in the output file"
filtered 'rewrite /evil/excellent/ dst port 80' >$work/out.txt
sed '/^80 /s/evil/excellent/' $work/in.txt >$work/expected.txt
same "a word is another in the packets of one port, and only there"
filtered 'rate 5/s burst 1 dst port 5000' >$work/out.txt
expect "rate uses the timestamps of the packets" [ $(($(grep -c '^5000 ' $work/out.txt) / 5)) -eq 40 ]
filtered 'delay 20ms dst port 53' >$work/out.txt
head -n 6 $work/out.txt | cut -d ' ' -f 1 | tr '\n' ' ' >$work/order
expect "delay uses the timestamps of the packets: two others pass one that waits" grep -q '^80 443 53 5000 ' $work/order
sort $work/out.txt >$work/sorted
sort $work/in.txt | cmp -s - $work/sorted && ok "delay loses no packet" || fail "delay loses no packet"

expect "watch shows every packet" [ "$($IPQ watch --quiet --source pcap:$work/in.pcap dst port 53 | wc -l)" = 1000 ]
expect "watch --json shows every packet" python3 -c "
import json, subprocess
lines = subprocess.run(['$IPQ', 'watch', '--quiet', '--json', '--source', 'pcap:$work/in.pcap'], capture_output=True, text=True).stdout.splitlines()
assert len(lines) == 4000 and sum(json.loads(l)['destination_port'] == 443 for l in lines) == 1000"
expect "a missing file is named and exits with 1" sh -c \
	"$IPQ filter --source pcap:$work/none.pcap accept 2>$work/error; [ \$? = 1 ] && grep -q none.pcap $work/error"
expect "a wrong rule exits with 2" sh -c "$IPQ filter --source pcap:$work/in.pcap dorp 2>/dev/null; [ \$? = 2 ]"

# Not with the sanitizers, which set IPQ_PACKETS: most of the memory would be theirs.
if [ -z "${IPQ_PACKETS:-}" ]; then
	python3 $work/make.py $work/in.pcap 600000
	$IPQ filter --quiet --source pcap:$work/in.pcap,/dev/null 'drop port 53' 'rewrite /evil/excellent/' &
	pid=$!
	peak=0
	while size=$(awk '/VmHWM/ { print $2 }' /proc/$pid/status 2>/dev/null) && [ -n "$size" ]; do
		peak=$size
		sleep 0.02
	done
	wait $pid
	expect "a file of 43 MB is filtered in less than 12 MB of memory ($peak KB)" [ $peak -gt 0 -a $peak -lt 12000 ]
fi
finish
