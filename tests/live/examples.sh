#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each program of examples/ must handle real packets as its first lines describe. The test of many_cores is
# many-cores.sh.
. "$IPQ_LIVE/lib.sh"
queue OUTPUT -p udp --dport 7000:7099

# expect_end WHAT: SIGTERM must end the program with status 0.
expect_end() {
	stop
	expect "$1" [ "$status" -eq 0 ]
}

start $EXAMPLE_ACCEPT
wait_for_queue
expect "accept accepts every packet" $TRAFFIC udp -n 300 7000
expect_end "accept exits with 0 on SIGTERM"
expect_text "accept counts the packets" "300 received, 300 accepted, 0 lost" tail -n 1 "$log"
expect_text "accept names the owner of a taken queue" "accept: queue 0 is taken" sh -c \
	"timeout 10 $EXAMPLE_ACCEPT >/dev/null & sleep 0.3; timeout 10 $EXAMPLE_ACCEPT 2>&1 | cut -c 1-24; kill \$!"
wait_for_no_queue

start $EXAMPLE_FILTER 7001
wait_for_queue
expect "filter accepts other ports" $TRAFFIC udp -n 100 7000
expect "filter drops its port" $TRAFFIC udp -n 20 -e 0 -w 300 7001
expect_end "filter exits with 0 on SIGTERM"

start $EXAMPLE_REWRITE http gopher
wait_for_queue
expect_text "rewrite makes packets longer" "gopher://gopher" $TRAFFIC say 7000 http://http
expect_text "rewrite does not change other packets" "ftp" $TRAFFIC say 7000 ftp
stop
start $EXAMPLE_REWRITE secret ""
wait_for_queue
expect_text "rewrite makes packets shorter" "a !" $TRAFFIC say 7000 "a secret!"
expect_end "rewrite exits with 0 on SIGTERM"

# A connection, and a recording, whose text becomes longer.
cat >$work/resize.py <<'END'
import socket, struct, subprocess, sys, threading
if sys.argv[1] == 'live':
    listener = socket.create_server(('127.0.0.1', 7200))
    def serve():
        connection, _ = listener.accept()
        while data := connection.recv(65536):
            connection.sendall(data)
    threading.Thread(target=serve, daemon=True).start()
    client = socket.create_connection(('127.0.0.1', 7200), 10)
    client.settimeout(10)
    received = b''
    for i in range(50):
        client.sendall(b'say evil %d\n' % i)
    wanted = b''.join(b'say goodness %d\n' % i for i in range(50))
    while len(received) < len(wanted):
        received += client.recv(65536)
    sys.exit(received != wanted)
def packet(side, sequence, acknowledgement, text):
    ports = (80, 4000) if side else (4000, 80)
    addresses = b'\12\0\0\2\12\0\0\1' if side else b'\12\0\0\1\12\0\0\2'
    tcp = struct.pack('!HHIIBBHHH', *ports, sequence, acknowledgement, 0x50, 16, 9000, 0, 0) + text
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + addresses + tcp
    return struct.pack('<IIII', 0, 0, len(ip), len(ip)) + ip
with open('in.pcap', 'wb') as f:
    f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
    f.write(packet(0, 101, 501, b'a evil b') + packet(1, 501, 109, b''))
subprocess.run([sys.argv[2], 'evil', 'goodness', 'pcap:in.pcap,out.pcap'], check=True)
data = open('out.pcap', 'rb').read()
assert b'a goodness b' in data
assert struct.unpack('!I', data[-12:-8])[0] == 113, data[-20:]
END
if command -v python3 >/dev/null; then
	queue OUTPUT -p tcp --dport 7200
	queue OUTPUT -p tcp --sport 7200
	start $EXAMPLE_RESIZE evil goodness
	wait_for_queue
	expect "resize changes the length of TCP payload" timeout 30 python3 $work/resize.py live
	expect_end "resize exits with 0 on SIGTERM"
	expect "resize changes a recording" timeout 30 sh -c "cd $work && python3 resize.py recorded $EXAMPLE_RESIZE"
fi

start $EXAMPLE_HOLD_AND_RELEASE 400
wait_for_queue
expect_text "hold_and_release holds packets" "(nothing)" $TRAFFIC say -w 200 7000 early
sleep 0.5
expect_text "hold_and_release releases packets" "late" $TRAFFIC say -w 2000 7000 late
expect "hold_and_release loses no packet" $TRAFFIC udp -n 200 -w 1000 7000
expect_end "hold_and_release exits with 0 on SIGTERM"

if $IPQ rules --flows --on OUTPUT -- -p tcp --dport 8000 | $iptables-restore -n 2>/dev/null; then
	start $EXAMPLE_LEAVE_FLOWS evil.example
	wait_for_queue
	expect_text "leave_flows drops connections with the name" "(nothing)" $TRAFFIC say -t -w 500 8000 "Host: evil.example"
	expect_text "leave_flows leaves others" "Host: good.example" $TRAFFIC say -t 8000 "Host: good.example"
	expect "leave_flows does not inspect later packets" $TRAFFIC tcp -n 3000000 8000
	expect_end "leave_flows exits with 0 on SIGTERM"
	expect "leave_flows leaves flows to the kernel" grep -q "^[2-9] flows decided, kept by the kernel" "$log"
fi

start $EXAMPLE_CLASSIC
wait_for_queue
expect_text "classic accepts packets" "hello" $TRAFFIC say 7000 hello
expect "classic prints them" grep -q "^packet [0-9]*: 33 bytes, in -, out lo, mark 0\$" "$log"
stop TERM 143 # the example does not handle the signal
finish
