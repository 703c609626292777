#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Connections whose text is rewritten survive reloads, forged segments, loss, and several queues.
. "$IPQ_LIVE/lib.sh"
command -v python3 >/dev/null || skip "no python3"

cat >$work/tcp.py <<'END'
import os, random, signal, socket, struct, subprocess, sys, threading, time

def server(port):
    listener = socket.create_server(('127.0.0.1', port))
    received = bytearray()
    def serve():
        connection, _ = listener.accept()
        while data := connection.recv(65536):
            received.extend(data)
    threading.Thread(target=serve, daemon=True).start()
    client = socket.create_connection(('127.0.0.1', port), 10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, received

def wait_until(done, seconds):
    end = time.time() + seconds
    while not done() and time.time() < end:
        time.sleep(0.02)

def wait_for(received, length, seconds=10):
    wait_until(lambda: len(received) >= length, seconds)

def rules_in_force(log):
    with open(log) as f:
        return f.read().count('in force')

def dropped():
    rules = subprocess.run([os.environ['IPTABLES'], '-w', '-vnxL', 'INPUT'], stdout=subprocess.PIPE, text=True, check=True)
    return any(' DROP ' in line and int(line.split()[0]) > 0 for line in rules.stdout.splitlines()[2:])

def checksum(data):
    total = sum(struct.unpack('!%dH' % ((len(data) + 1) // 2), data + b'\0' * (len(data) % 2)))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff

def forge(source, destination, flags, sequence, acknowledgement, text=b''):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    header = struct.pack('!HHIIBBHHH', source, destination, sequence, acknowledgement, 5 << 4, flags, 1000, 0, 0)
    pseudo = socket.inet_aton('127.0.0.1') * 2 + struct.pack('!BBH', 0, 6, len(header) + len(text))
    value = checksum(pseudo + header + text)
    raw.sendto(header[:16] + struct.pack('!H', value) + header[18:] + text, ('127.0.0.1', 0))

# reload PORT PID LOG FILE RULE EXPECTED: the filter is reloaded after the second line, which is lost after the
# filter, and is retransmitted under the new rules
def reload(port, pid, log, path, rule, expected):
    client, received = server(int(port))
    drop = [os.environ['IPTABLES'], '-w', '', 'INPUT', '-p', 'tcp', '--dport', port, '-j', 'DROP']
    client.sendall(b'hello 1\n')
    wait_until(lambda: b'\n' in received, 10)
    time.sleep(0.1)  # wait for the acknowledgement
    subprocess.run(drop[:2] + ['-A'] + drop[3:], check=True)
    client.sendall(b'hello 2\n')
    wait_until(dropped, 10)
    with open(path + '.new', 'w') as f:
        f.write(rule + '\n')
    os.rename(path + '.new', path)
    os.kill(int(pid), signal.SIGHUP)
    wait_until(lambda: rules_in_force(log) >= 2, 10)
    subprocess.run(drop[:2] + ['-D'] + drop[3:], check=True)
    wanted = expected.encode().decode('unicode_escape').encode()
    wait_for(received, wanted.rindex(b'\n', 0, -1) + 1)
    client.sendall(b'hello 3\n')
    wait_for(received, len(wanted))
    time.sleep(0.2)
    assert bytes(received) == wanted, bytes(received)

# forged PORT: sends forged segments of all kinds between the lines
def forged(port):
    client, received = server(int(port))
    source = client.getsockname()[1]
    for i in range(200):
        client.sendall(b'hello %05d\n' % i)
        if i % 20 == 10:
            for flags in 2, 18, 4, 20, 16, 17:
                far = random.getrandbits(31) + (1 << 28)
                forge(source, int(port), flags, far, far, b'hello' if flags in (16, 18) else b'')
                forge(int(port), source, flags, far, far)
        time.sleep(0.002)
    wait_for(received, 200 * 15, 20)
    wanted = b''.join(b'goodbye! %05d\n' % i for i in range(200))
    assert received.count(b'\n') == 200, received.count(b'\n')
    assert received.replace(b'hello', b'goodbye!') == wanted, bytes(received[:300])

# stream PORT NEW PERCENT: sends a long stream in pieces; at least this percentage of the texts must be replaced
def stream(port, new, percent):
    client, received = server(int(port))
    random.seed(int(port))
    sent = b''.join(random.choice([b'evil', b'ev', b'il ', b'good ', b'x' * 50]) for _ in range(40000))
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    total, delta = sent.count(b'evil'), len(new) - 4
    end = time.time() + 40
    while time.time() < end and received.replace(new.encode(), b'evil') != sent:
        time.sleep(0.1)
    assert received.replace(new.encode(), b'evil') == sent, 'the stream is torn'
    changed = received.count(new.encode())
    print('%d of %d texts replaced' % (changed, total))
    assert changed >= total * int(percent) / 100, (changed, total)

# split PORT NEW: both sides send small pieces at the same time. Every text must be replaced, with at most two
# exceptions: if this machine stops for a while, a sender retransmits a held segment, and then the filter releases it.
def split(port, new):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # on several processors, segments would overtake each other
    listener = socket.create_server(('127.0.0.1', int(port)))
    ends = [socket.create_connection(('127.0.0.1', int(port)), 10), listener.accept()[0]]
    random.seed(int(port))
    sent = [b''.join(random.choice([b'evil', b'ev', b'il ', b'xe', b'good ']) for _ in range(1500)) for _ in ends]
    received = [bytearray(), bytearray()]
    def send(i):
        at = 0
        while at < len(sent[i]):
            n = random.choice([1, 2, 3, 7])
            ends[i].sendall(sent[i][at:at + n])
            at += n
        ends[i].shutdown(socket.SHUT_WR)
    def receive(i):
        while data := ends[i].recv(65536):
            received[1 - i].extend(data)
    for end in ends:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.settimeout(20)
    threads = [threading.Thread(target=f, args=(i,)) for i in (0, 1) for f in (send, receive)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for i in 0, 1:
        missed = received[i].count(b'evil')
        assert missed <= 2, missed
        assert received[i].replace(b'evil', new.encode()) == sent[i].replace(b'evil', new.encode()), 'the stream is torn'

# pause PORT: sends the second half of a text too late
def pause(port):
    client, received = server(int(port))
    client.sendall(b'an ev')
    wait_for(received, 5)
    assert received == b'an ev', 'the first half waited for the second'
    time.sleep(0.1)
    client.sendall(b'il, e')
    client.sendall(b'vil')
    wait_for(received, 13)
    assert received == b'an evil, good', bytes(received)

# many PORT PID: sends more segments than the filter holds. They reach it at once, because it is stopped meanwhile.
def many(port, pid):
    os.kill(int(pid), signal.SIGSTOP)
    for i in range(300):
        forge(20000 + i, int(port), 16, 1, 1, b'an ev')
    os.kill(int(pid), signal.SIGCONT)
    time.sleep(1)

globals()[sys.argv[1]](*sys.argv[2:])
END
export IPTABLES=$iptables

# reload_with PORT FIRST SECOND EXPECTED: starts a filter with the rule FIRST and reloads it with SECOND
reload_with() {
	echo "$2" >$work/rules
	start $IPQ filter --on INPUT,OUTPUT -f $work/rules
	wait_for_rule OUTPUT
	expect "'$2' becomes '$3': what was sent stays" \
		timeout 30 python3 $work/tcp.py reload $1 $started $log $work/rules "$3" "$4"
	stop
}

reload_with 7101 'rewrite /hello/goodbye!/ tcp port 7101' 'rewrite /hello/bye/ tcp port 7101' \
	'goodbye! 1\ngoodbye! 2\nbye 3\n'
reload_with 7102 'rewrite /hello/goodbye!/ tcp port 7102' 'accept tcp port 7102' 'goodbye! 1\ngoodbye! 2\nhello 3\n'
reload_with 7103 'rewrite /hello/bye/ tcp port 7103' 'drop udp port 9' 'bye 1\nbye 2\nhello 3\n'
reload_with 7104 'rewrite /hello/HELLO/ tcp port 7104' 'rewrite /hello/greet/ tcp port 7104' \
	'HELLO 1\nHELLO 2\ngreet 3\n'

start $IPQ filter --on INPUT,OUTPUT 'rewrite /hello/goodbye!/g tcp port 7110'
wait_for_rule OUTPUT
expect "forged segments do not change a rewritten connection" timeout 60 python3 $work/tcp.py forged 7110
stop

start $IPQ filter --on INPUT,OUTPUT --queues 20-23 'rewrite /evil/WONDERFUL/g tcp dst port 7120'
wait_for_rule OUTPUT
expect "several queues share a connection" timeout 60 python3 $work/tcp.py stream 7120 WONDERFUL 90
stop

# In OUTPUT, this machine's TCP would delay small segments while one is held (tcp_autocorking).
start $IPQ filter --on INPUT --hold 1s --queues 20-21 'rewrite /evil/WONDERFUL/g tcp port 7121' \
	'rewrite /evil/#/g tcp port 7122'
wait_for_rule INPUT
expect "text across segments is replaced in both directions" timeout 60 python3 $work/tcp.py split 7121 WONDERFUL
expect "also by shorter text" timeout 60 python3 $work/tcp.py split 7122 '#'
stop
start $IPQ filter --on INPUT 'rewrite /evil/good/g tcp dst port 7123'
wait_for_rule INPUT
expect "a segment waits for the next one, but not long" timeout 30 python3 $work/tcp.py pause 7123
stop
expect "a next segment that comes too late is counted" \
	grep -q "held segments: 2; next segment too late: 1; texts rewritten across segments: 1" $log

start $IPQ filter --on INPUT --hold 1s 'rewrite /evil/good/g tcp dst port 7124'
wait_for_rule INPUT
timeout 30 python3 $work/tcp.py many 7124 $started
stop
expect "256 segments wait, and later ones pass" \
	grep -q "held segments: 256; next segment too late: 300" $log
expect "all arrive" grep -q "^300 packets: 300 accepted, 0 dropped" $log

# Segments are lost between the two hooks: the filter on INPUT sees gaps and retransmissions.
start $IPQ filter --on INPUT,OUTPUT 'rewrite /evil/WONDERFUL/g tcp dst port 7130' 'accept tcp'
wait_for_rule OUTPUT
$iptables -w -t raw -A PREROUTING -p tcp --dport 7130 -m statistic --mode nth --every 50 --packet 9 -j DROP
expect "loss on the way leaves the stream whole" timeout 60 python3 $work/tcp.py stream 7130 WONDERFUL 80
stop
expect_text "nothing was dropped" "0 dropped" grep -o "[0-9]* dropped" $log
finish
