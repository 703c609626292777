#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A TCP stream whose text grows or shrinks arrives completely, even with packet loss on both sides.
. "$IPQ_LIVE/lib.sh"
command -v python3 >/dev/null || skip "no python3"

# stream PORT NEW: sends text full of "evil", and replaces NEW in the received text by "evil".
cat >$work/stream.py <<'END'
import random, socket, sys, threading
port, new = int(sys.argv[1]), sys.argv[2].encode()
random.seed(port)
sent = b''.join(random.choice([b'evil', b'ev', b'il ', b'good ', b'x' * 50]) for _ in range(60000))
server = socket.create_server(('127.0.0.1', port))
def serve():
    connection, _ = server.accept()
    connection.sendall(sent)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass
threading.Thread(target=serve, daemon=True).start()
client = socket.create_connection(('127.0.0.1', port), 10)
client.settimeout(20)
received = b''
while chunk := client.recv(65536):
    received += chunk
total, changed, left = sent.count(b'evil'), received.count(new), received.count(b'evil')
assert received.replace(new, b'evil') == sent, 'the stream is torn'
assert changed > total * 0.9 and changed + left == total, (total, changed, left)
END

start $IPQ filter --on INPUT,OUTPUT 'rewrite /evil/WONDERFUL/g tcp src port 7001' 'rewrite /evil/#/g tcp src port 7002' \
	'rewrite /evil/EVEN-LONGER-TEXT/g tcp src port 7003'
wait_for_rule OUTPUT
expect "a stream whose text grows is complete" timeout 30 python3 $work/stream.py 7001 WONDERFUL
expect "a stream whose text shrinks is complete" timeout 30 python3 $work/stream.py 7002 '#'
$iptables -w -A INPUT -p tcp --sport 7003 -m statistic --mode nth --every 40 --packet 7 -j DROP
$iptables -w -t raw -A OUTPUT -p tcp --dport 7003 -m statistic --mode nth --every 30 --packet 5 -j DROP
expect "a stream with losses is complete" timeout 60 python3 $work/stream.py 7003 EVEN-LONGER-TEXT
stop

# The same word is replaced in a reply of a web server.
mkdir -p $work/www
echo "the evil word" >$work/www/index.html
(cd $work/www && exec timeout 30 python3 -m http.server 7080 --bind 127.0.0.1) >/dev/null 2>&1 &
server=$!
start $IPQ filter --on OUTPUT 'rewrite /evil/good/ tcp src port 7080'
wait_for_rule OUTPUT
got() {
	timeout 10 python3 -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:7080/").read().decode().strip())'
}
sleep 0.5
expect_text "a word in an HTTP reply is rewritten" "the good word" got
stop
# The server sends header and body separately.
start $IPQ filter --on INPUT --hold 500ms 'rewrite http /evil/wonderful/ tcp src port 7080'
wait_for_rule INPUT
expect_text "with http the length of the body follows" "the wonderful word" got
stop
kill $server
finish
