#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""filter_across.py IPQ STREAMS [SEED]: text that is split between TCP segments is replaced as in the whole stream.

A capture file has connections whose streams are cut at random, in both directions, with acknowledgements, segments that
are sent again, and other packets between them. What `ipq filter` writes, put together again, must be the stream in
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
    def __init__(self, rng, port, old):
        self.rng, self.port, self.old = rng, port, old
        self.isn = [rng.getrandbits(32), rng.getrandbits(32)]
        words = (old, old[:1], old[:-1], old[1:], b'good ', b'x' * rng.randint(1, 30))
        self.stream = [b''.join(rng.choice(words) for _ in range(rng.randint(0, 60))) for _ in (0, 1)]
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
            at, length = self.at[side], self.rng.choice((1, 1, 2, 3, 10, 100))
            text = self.stream[side][at:at + length]
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
    """The stream that the receiver sees. It must have no gap."""
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


def main():
    ipq, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    rng = random.Random(seed)
    texts = 0
    for pair in range(len(PAIRS)):
        old, new = PAIRS[pair]
        connections = [Connection(rng, 1000 + i, old) for i in range(max(1, count // len(PAIRS)))]
        packets, waiting = [], [c.packets for c in connections]
        while waiting:
            some = rng.choice(waiting[:3])
            packet = next(some, None)
            if packet is None:
                waiting.remove(some)
            else:
                packets.append(packet)
        with tempfile.TemporaryDirectory() as work:
            source, out = os.path.join(work, 'in'), os.path.join(work, 'out')
            with open(source, 'wb') as f:
                f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
                for i, data in enumerate(packets):
                    f.write(struct.pack('<IIII', 1 + i // 1000, i % 1000 * 1000, len(data), len(data)) + data)
            escaped = ''.join(f'\\x{byte:02x}' for byte in old), ''.join(f'\\x{byte:02x}' for byte in new)
            run = subprocess.run([ipq, 'filter', '--source', f'pcap:{source},{out}', 'rewrite /%s/%s/g tcp' % escaped],
                                 timeout=100, stderr=subprocess.PIPE, text=True, check=True)
            with open(out, 'rb') as f:
                data = f.read()
        at, passed = 24, []
        while at < len(data):
            length = struct.unpack_from('<I', data, at + 8)[0]
            passed.append(data[at + 16:at + 16 + length])
            at += 16 + length
        assert len(passed) == len(packets), (len(passed), len(packets))
        for connection in connections:
            for side in (0, 1):
                got, expected = received(passed, connection, side), connection.stream[side].replace(old, new)
                texts += connection.stream[side].count(old)
                if got != expected:
                    print(f'seed {seed}: {old} to {new}, connection {connection.port}, side {side}\n{run.stderr}\n'
                          f'sent     {connection.stream[side]}\nreceived {got}\nexpected {expected}')
                    sys.exit(1)
    print(f'seed {seed}: {texts} texts replaced')


main()
