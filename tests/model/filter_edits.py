#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""filter_edits.py IPQ: checks the output of `ipq filter` for small capture files, byte by byte and with timestamps."""
import os
import socket
import struct
import subprocess
import sys
import tempfile

IPQ = sys.argv[1]
failures = 0


def checksum(data):
    total = sum(struct.unpack(f'>{len(data + bytes(len(data) % 2)) // 2}H', data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def udp(text, source='10.0.0.1', destination='10.0.0.2', ports=(1000, 80), ttl=64, tos=0):
    a, b = socket.inet_aton(source), socket.inet_aton(destination)
    length = 8 + len(text)
    body = struct.pack('>HHHH', *ports, length, 0) + text
    body = body[:6] + struct.pack('>H', checksum(a + b + struct.pack('>BBH', 0, 17, length) + body)) + text
    ip = struct.pack('>BBHHHBBH4s4s', 0x45, tos, 20 + length, 1, 0, ttl, 17, 0, a, b)
    return ip[:10] + struct.pack('>H', checksum(ip)) + ip[12:] + body


def tcp(options, flags=2, sequence=1, text=b''):
    a, b = socket.inet_aton('10.0.0.1'), socket.inet_aton('10.0.0.2')
    length = 20 + len(options) + len(text)
    body = struct.pack('>HHIIBBHHH', 1000, 80, sequence, 0, (20 + len(options)) // 4 << 4, flags, 1000, 0, 0)
    body += options + text
    body = body[:16] + struct.pack('>H', checksum(a + b + struct.pack('>BBH', 0, 6, length) + body)) + body[18:]
    ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + length, 1, 0, 64, 6, 0, a, b)
    return ip[:10] + struct.pack('>H', checksum(ip)) + ip[12:] + body


def jumbogram(text):
    """A UDP jumbogram (RFC 2675) without checksum."""
    body = struct.pack('>HHHH', 1000, 80, 0, 0) + text + bytes(65536)
    extension = bytes((17, 0, 0xc2, 4)) + struct.pack('>I', 8 + len(body))
    return struct.pack('>IHBB', 6 << 28, 0, 0, 64) + bytes(32) + extension + body


def run(packets, rules, *options, link=101):
    """packets: (time in ms, bytes[, bytes that were sent]). Returns (time, bytes) of the packets that passed, and the
    exit status."""
    with tempfile.TemporaryDirectory() as work:
        source, out = os.path.join(work, 'in'), os.path.join(work, 'out')
        with open(source, 'wb') as f:
            f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, link))
            for ms, data, *sent in packets:
                f.write(struct.pack('<IIII', ms // 1000, ms % 1000 * 1000, len(data), *sent or (len(data),)) + data)
        status = subprocess.run([IPQ, 'filter', '--quiet', *options, '--source', f'pcap:{source},{out}', *rules],
                                timeout=60, stderr=subprocess.PIPE).returncode
        with open(out, 'rb') as f:
            data = f.read()
    at, result = 24, []
    while at < len(data):
        seconds, us, length, sent = struct.unpack_from('<IIII', data, at)
        result.append((seconds * 1000 + us // 1000, data[at + 16:at + 16 + length]) + (sent,) * (sent != length))
        at += 16 + length
    return result, status


def commented(packets, comment, rules):
    """Filters packets with a comment of this length in pcapng. Returns how many passed, and the exit status."""
    def block(kind, body):
        return struct.pack('<II', kind, 12 + len(body)) + body + struct.pack('<I', 12 + len(body))
    packet = udp(b'text')
    body = struct.pack('<IIIII', 0, 0, 1, len(packet), len(packet)) + packet
    body += struct.pack('<HH', 1, comment) + b'c' * comment
    with tempfile.TemporaryDirectory() as work:
        source, out = os.path.join(work, 'in'), os.path.join(work, 'out')
        with open(source, 'wb') as f:
            f.write(block(0x0a0d0d0a, struct.pack('<IHHq', 0x1a2b3c4d, 1, 0, -1)))
            f.write(block(1, struct.pack('<HHI', 101, 0, 0)) + block(6, body) * packets)
        status = subprocess.run([IPQ, 'filter', '--quiet', '--source', f'pcap:{source},{out}', *rules],
                                timeout=60, stderr=subprocess.PIPE).returncode
        with open(out, 'rb') as f:
            return f.read().count(struct.pack('<HH', 1, comment) + b'ccc'), status


def check(what, got, expected):
    global failures
    if got != expected:
        failures += 1
        print(f'FAILED: {what}:\n  got      {got}\n  expected {expected}')


def edited(what, before, rules, after, *options, status=0):
    check(what, run([(1000, before)], rules, *options), ([(1000, after)], status))


edited('two rewrites both apply', udp(b'one two'), ['rewrite /one/1/', 'rewrite /two/3333/ udp'], udp(b'1 3333'))
edited('a rewrite sees the one before it', udp(b'one'), ['rewrite /one/two/', 'rewrite /two/three/'], udp(b'three'))
edited('accept ends the way', udp(b'one two'), ['rewrite /one/1/, accept', 'rewrite /two/2/'], udp(b'1 two'))
edited('a rewrite that finds nothing changes nothing', udp(b'one'), ['rewrite /x/y/', 'rewrite /x/y/g'], udp(b'one'))
edited('set src', udp(b'x'), ['set src 192.0.2.7'], udp(b'x', source='192.0.2.7'))
edited('set dst', udp(b'x'), ['set dst 192.0.2.7'], udp(b'x', destination='192.0.2.7'))
edited('set ports', udp(b'x'), ['set src port 7, set dst port 9'], udp(b'x', ports=(7, 9)))
edited('set ttl', udp(b'x'), ['set ttl 3 if udp'], udp(b'x', ttl=3))
edited('set dscp by number', udp(b'x', tos=3), ['set dscp 46'], udp(b'x', tos=46 << 2 | 3))
edited('set dscp by name', udp(b'x'), ['set dscp af41'], udp(b'x', tos=34 << 2))
edited('strip tcp option', tcp(bytes((2, 4, 5, 180, 4, 2, 1, 1))), ['strip tcp option sackok'],
       tcp(bytes((2, 4, 5, 180, 1, 1, 1, 1))))
md5, padding = bytes((19, 18)) + bytes(16) + b'\1\1', b'\1' * 20
for rules in ['strip tcp option md5, rewrite /a/bbb/'], ['rewrite /a/bbb/, strip tcp option md5'], \
        ['rewrite /a/bbb/', 'strip tcp option md5']:
    edited('a signed segment is rewritten when its signature is stripped', tcp(md5, 24, 1, b'cat'), rules,
           tcp(padding, 24, 1, b'cbbbt'), '--strict')
edited('a signed segment is not rewritten', tcp(md5, 24, 1, b'cat'), ['rewrite /a/b/'], tcp(md5, 24, 1, b'cat'), '--strict',
       status=1)
edited('bytes after a jumbogram stay if nothing changes', jumbogram(b'cat') + b'tail', ['rewrite /x/y/'],
       jumbogram(b'cat') + b'tail')
edited('bytes after a jumbogram are no part of it', jumbogram(b'cat') + b'tail', ['rewrite /cat/dog/'], jumbogram(b'dog'))
edited('an IPv6 address for an IPv4 packet', udp(b'x'), ['set dst fd00::1'], udp(b'x'))
edited('--strict', udp(b'x'), ['set dst fd00::1'], udp(b'x'), '--strict', status=1)
edited('--strict without a refused edit', udp(b'x'), ['set ttl 9'], udp(b'x', ttl=9), '--strict')

# a datagram whose length field is wrong is not changed, whether it has the text or not
wrong = udp(b'QQQ')[:24] + b'\x0f\xff' + udp(b'QQQ')[26:]
edited('wrong UDP length, text not there', wrong, ['rewrite /X/R/g'], wrong)
edited('wrong UDP length, text there', wrong, ['rewrite /Q/RR/g'], wrong, '--strict', status=1)

# Text in an overtaken segment can only be replaced by text of the same length. Otherwise the failure is counted, even
# if other text of the segment is rewritten.
overtaken = [(1000, tcp(b'', 16, 1, b'a')), (1001, tcp(b'', 16, 5, b'e')), (1002, tcp(b'', 16, 2, b'b%%de%g'))]
check('text that was overtaken, with text that was not', run(overtaken, ['rewrite /%//g'], '--strict'),
      (overtaken[:2] + [(1002, tcp(b'', 16, 2, b'b%%deg'))], 1))

# Only the first bytes were captured: text is not rewritten, but header fields and sequence numbers are.
def cut(packet, length=50):
    return (1000, packet[:length], len(packet))


before, after = tcp(b'', 24, 1, b'cat'), tcp(b'', 24, 1, b'horse')
check('numbers of packets that were cut', run([(1000, before), cut(tcp(b'', 24, 4, b'a cat with text'))],
                                              ['rewrite /cat/horse/'], '--strict'),
      ([(1000, after), cut(tcp(b'', 24, 6, b'a cat with text'))], 1))
check('set ttl of a packet that was cut', run([cut(udp(b'a long text', ttl=9), 30)], ['set ttl 3'], '--strict'),
      ([cut(udp(b'a long text', ttl=3), 30)], 0))
check('set dst of a packet that was cut, also repeated',
      run([cut(udp(b'a long text'), 30)], ['set dst 192.0.2.7, repeat 7'], '--strict'),
      ([cut(udp(b'a long text', destination='192.0.2.7'), 30)], 0))
pppoe = b'\x11\x00\x00\x01' + struct.pack('>H', 2 + 39) + b'\x00\x21'
check('length of PPPoE before a packet that was cut', run([cut(pppoe + udp(b'a long text'), 38)], ['set ttl 3'], link=51)[0],
      [cut(pppoe + udp(b'a long text', ttl=3), 38)])

many = [(1000 + 10 * i, udp(b'%d' % i, ports=(1000, 50 + i % 2))) for i in range(10)]
check('a delayed packet gets the time at which it leaves, and time does not run backwards',
      run(many, ['delay 25ms dst port 50'])[0],
      sorted([(t + 25 * (i % 2 == 0), p) for i, (t, p) in enumerate(many)], key=lambda record: record[0]))
crowd = [(1000, udp(b'%d' % i)) for i in range(9000)]
check('very many packets are delayed', run(crowd, ['delay 25ms']), ([(1025, p) for _, p in crowd], 0))
# A packet waits for a later one, and there are very many frames without IP, or bytes of comments, between the two.
ethernet, arp = bytes(12) + b'\x08\x00', bytes(12) + b'\x08\x06' + bytes(28)
between = [(1000, ethernet + udp(b'a'))] + [(1001, arp)] * 9000 + [(2000, ethernet + udp(b'b'))]
out, status = run(between, ['delay 25ms'], link=1)
check('very many frames without IP', (sorted(out), status),
      ([(1001, arp)] * 9000 + [(1025, between[0][1]), (2025, between[-1][1])], 0))
split = [(1000, ethernet + tcp(b'', 16, 1, b'ca'))] + [(1001, arp)] * 9000 + [(2000, ethernet + tcp(b'', 16, 3, b't'))]
out, status = run(split, ['rewrite /cat/dog/'], link=1)
check('very many frames without IP between the parts of a text', (sorted(out), status),
      (sorted([(1000, ethernet + tcp(b'', 16, 1, b'do')), (2000, ethernet + tcp(b'', 16, 3, b'g'))] + split[1:-1]), 0))
check('packets with much memory are delayed', commented(1100, 64000, ['delay 25ms']), (1100, 0))
check('delay and edit together', run(many[:1], ['delay 25ms', 'rewrite /0/zero/'])[0],
      [(1025, udp(b'zero', ports=(1000, 50)))])
check('duplicate writes a packet twice', run(many[:2], ['duplicate dst port 51'])[0],
      [many[0], many[1], many[1]])
check('reject drops', run(many[:2], ['reject dst port 51'])[0], many[:1])
lots = [(1000 + i, udp(b'%d' % i)) for i in range(4000)]
passed = len(run(lots, ['drop 25%'], '--seed', '3')[0])
if not 2900 <= passed <= 3100:
    check('three quarters pass drop 25%', passed, 3000)
check('the same seed, the same packets', run(lots, ['drop 25%'], '--seed', '3')[0], run(lots, ['drop 25%'], '--seed', '3')[0])
held = [t for t, p in run(lots, ['reorder 10% 50ms'], '--seed', '3')[0] if t != 1000 + int(p[28:])]
if not 300 <= len(held) <= 500:
    check('a tenth is held back', len(held), 400)
waits = [t - 1000 - int(p[28:]) for t, p in run(lots, ['delay 50ms jitter 10ms'], '--seed', '3')[0]]
if min(waits) < 40 or max(waits) > 60 or len(set(waits)) < 15:
    check('delays are spread over 40 to 60 ms', (min(waits), max(waits)), (40, 60))
rate = sum(len(p) for _, p in run(lots, ['rate 80kbit/s burst 1kB'])[0])
if not 38000 <= rate <= 42500:  # 10 kB/s for four seconds, plus the burst
    check('a rate in bits', rate, 41000)
sys.exit(failures > 0)
