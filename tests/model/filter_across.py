#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""filter_across.py IPQ STREAMS [SEED]: text that is split between TCP segments is replaced as in the whole stream.

A capture file has connections whose streams are cut at random, in both directions, with acknowledgements,
retransmitted segments, and other packets between them. The stream in the output of `ipq filter` must be the stream in
which Python has replaced the text.
"""
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile

SYN, FIN, ACK = 2, 1, 16
PAIRS = ((b'evil', b'good'), (b'evil', b'WONDERFUL'), (b'evil', b'#'), (b'evil', b''), (b'abcdefgh', b'1234567'),
         (b'\r\n', b'<br>'), (b'xy', b'Z'))


def tcp(side, port, sequence, acknowledgement, flags, text=b''):
    hosts = [socket.inet_aton('10.0.0.1'), socket.inet_aton('10.0.0.2')]
    ports = [port, 80]
    body = struct.pack('>HHIIBBHHH', ports[side], ports[1 - side], sequence & 0xffffffff, acknowledgement & 0xffffffff,
                       5 << 4, flags, 65535, 0, 0) + text
    return struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(body), 1, 0, 64, 6, 0, hosts[side], hosts[1 - side]) + body


class Connection:
    """streams: those of both sides. begins: for each stream, the offsets at which a segment must begin."""

    sizes = (1, 1, 2, 3, 10, 100)

    def __init__(self, rng, port, streams, begins=((), ())):
        self.rng, self.port, self.stream, self.begins = rng, port, streams, begins
        self.isn = [rng.getrandbits(32), rng.getrandbits(32)]
        self.at = [0, 0]
        self.packets = self.make()

    def next(self, side):
        return self.isn[side] + 1 + self.at[side]

    def make(self):
        yield tcp(0, self.port, self.isn[0], 0, SYN)
        yield tcp(1, self.port, self.isn[1], self.isn[0] + 1, SYN | ACK)
        yield tcp(0, self.port, self.isn[0] + 1, self.isn[1] + 1, ACK)
        while any(self.at[side] < len(self.stream[side]) for side in (0, 1)):
            side = self.rng.randrange(2)
            at, length = self.at[side], self.rng.choice(self.sizes)
            end = min([at + length] + [b for b in self.begins[side] if b > at])
            text = self.stream[side][at:end]
            if not text:
                continue
            packet = tcp(side, self.port, self.next(side), self.next(1 - side), ACK, text)
            self.at[side] += len(text)
            yield packet
            if self.rng.random() < 0.1:
                yield packet
            if self.rng.random() < 0.5:
                yield tcp(1 - side, self.port, self.next(1 - side), self.next(side), ACK)
        for side in (0, 1):
            yield tcp(side, self.port, self.next(side), self.next(1 - side), ACK | FIN)


def received(packets, connection, side):
    """Returns the stream as the receiver gets it. It must have no gap."""
    stream, first = {}, None
    for data in packets:
        header = (data[0] & 15) * 4
        source, destination, sequence = struct.unpack_from('>HHI', data, header)
        if (source, destination) != ((connection.port, 80), (80, connection.port))[side]:
            continue
        if data[header + 13] & SYN:
            first = sequence + 1
        for i, byte in enumerate(data[header + (data[header + 12] >> 4) * 4:]):
            at = (sequence + i - first) & 0xffffffff
            assert stream.setdefault(at, byte) == byte, 'text that is sent again differs'
    assert sorted(stream) == list(range(len(stream))), 'the stream has a gap'
    return bytes(stream[i] for i in range(len(stream)))


def mixed(rng, connections):
    """Returns the packets of all connections, some of which exist at the same time."""
    packets, waiting = [], [c.packets for c in connections]
    while waiting:
        some = rng.choice(waiting[:3])
        packet = next(some, None)
        if packet is None:
            waiting.remove(some)
        else:
            packets.append(packet)
    return packets


def filtered(ipq, rule, packets):
    """Returns the packets that passed, and the output of ipq."""
    with tempfile.TemporaryDirectory() as work:
        source, out = os.path.join(work, 'in'), os.path.join(work, 'out')
        with open(source, 'wb') as f:
            f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
            for i, data in enumerate(packets):
                f.write(struct.pack('<IIII', 1 + i // 1000, i % 1000 * 1000, len(data), len(data)) + data)
        run = subprocess.run([ipq, 'filter', '--source', f'pcap:{source},{out}', rule], timeout=100,
                             stderr=subprocess.PIPE, text=True, check=True)
        with open(out, 'rb') as f:
            data = f.read()
    at, passed = 24, []
    while at < len(data):
        length = struct.unpack_from('<I', data, at + 8)[0]
        passed.append(data[at + 16:at + 16 + length])
        at += 16 + length
    assert len(passed) == len(packets), (len(passed), len(packets))
    return passed, run.stderr


def compare(passed, connection, expected, what):
    for side in (0, 1):
        got = received(passed, connection, side)
        if got != expected[side]:
            print(f'{what}, connection {connection.port}, side {side}\nsent     {connection.stream[side]}\n'
                  f'received {got}\nexpected {expected[side]}')
            sys.exit(1)


def escaped(text):
    return ''.join(f'\\x{byte:02x}' for byte in text)


def streams(rng, ipq, count, seed):
    texts = 0
    for old, new in PAIRS:
        words = (old, old[:1], old[:-1], old[1:], b'good ', b'x' * rng.randint(1, 30))
        connections = [Connection(rng, 1000 + i, [b''.join(rng.choice(words) for _ in range(rng.randint(0, 60)))
                                                  for _ in (0, 1)]) for i in range(max(1, count // len(PAIRS)))]
        passed, _ = filtered(ipq, f'rewrite /{escaped(old)}/{escaped(new)}/g tcp', mixed(rng, connections))
        for c in connections:
            compare(passed, c, [s.replace(old, new) for s in c.stream], f'seed {seed}: {old} to {new}')
            texts += sum(s.count(old) for s in c.stream)
    print(f'seed {seed}: {texts} texts replaced')


def message(rng, old, new, request):
    """Returns an HTTP message and the expected result."""
    body = b''.join(rng.choice((old, old[:-1], b'<p>', b'word ')) for _ in range(rng.randint(0, 40)))
    fields = [b'Host: ' + old, b'X: ' + b'y' * rng.randint(0, 50)]
    line = b'POST /' + old + b' HTTP/1.1' if request else b'HTTP/1.1 200 OK'
    kind = rng.choice(('plain',) * 5 + ('chunked', 'gzip'))
    if kind == 'chunked':
        fields.append(b'transfer-encoding: chunked')
        body = b'%x\r\n%s\r\n0\r\n\r\n' % (len(body), body) if body else b'0\r\n\r\n'
    if kind == 'gzip':
        fields.append(b'Content-Encoding: gzip')

    def whole(text):
        length = [] if kind == 'chunked' else [rng.choice((b'Content-Length: ', b'content-length:')) + b'%d' % len(text)]
        return fields + length, text
    state = rng.getstate()
    plain_fields, _ = whole(body)
    rng.setstate(state)
    changed_fields, changed = whole(body.replace(old, new) if kind == 'plain' else body)
    order = rng.sample(range(len(plain_fields)), len(plain_fields))
    return tuple(b'\r\n'.join([line] + [some[i] for i in order]) + b'\r\n\r\n' + text
                 for some, text in ((plain_fields, body), (changed_fields, changed)))


def messages(rng, ipq, count, seed):
    changed = 0
    for old, new in ((b'evil', b'WONDERFUL'), (b'evil', b'good'), (b'word', b''), (b'<p>', b'<div class="paragraph">')):
        connections, expected = [], []
        for i in range(max(1, count // 4)):
            made = [[message(rng, old, new, side == 0) for _ in range(rng.randint(1, 3))] for side in (0, 1)]
            begins = [[sum(len(m[0]) for m in some[:j]) for j in range(len(some))] for some in made]
            connections.append(Connection(rng, 1000 + i, [b''.join(m[0] for m in some) for some in made], begins))
            expected.append([b''.join(m[1] for m in some) for some in made])
            changed += sum(m[0] != m[1] for some in made for m in some)
        for c in connections:
            c.sizes = (40, 100, 300)
        passed, output = filtered(ipq, f'rewrite http /{escaped(old)}/{escaped(new)}/g', mixed(rng, connections))
        for c, wanted in zip(connections, expected):
            compare(passed, c, wanted, f'seed {seed}: http {old} to {new}\n{output}')
    print(f'seed {seed}: {changed} HTTP messages changed')


def main():
    ipq, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    rng = random.Random(seed)
    streams(rng, ipq, count, seed)
    messages(rng, ipq, count, seed)


main()
