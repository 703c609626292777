#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""capture_model.py IPQ FILES [SECONDS]: random capture files of every format and link type through `ipq filter`.

A file that is accepted must be written byte for byte as it was. After a rewrite, with the same and with another length,
the text must be gone, the file must have as many packets as before, and every IPv4 and UDP checksum must be right.
The files are made here from the specifications of pcap, pcapng and the link types, without the code under test.
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

IPQ, FILES = sys.argv[1], int(sys.argv[2])
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 60
MACS = bytes.fromhex('020000000001020000000009')
SNAP = bytes.fromhex('aaaa03000000')
UNREAD = [147, 195, 249]


def total(data):
    data += b'\0' * (len(data) % 2)
    value = sum(struct.unpack(f'>{len(data) // 2}H', data))
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return value


def udp(payload, addresses):
    header = struct.pack('>HHHH', 5000, 5001, 8 + len(payload), 0)
    check = 0xffff - total(addresses + struct.pack('>II', 8 + len(payload), 17) + header + payload) or 0xffff
    return header[:6] + struct.pack('>H', check) + payload


def ip_packet(payload, version):
    if version == 6:
        addresses = bytes(15) + b'\1' + bytes(15) + b'\2'
        return struct.pack('>IHBB', 0x60000000, 8 + len(payload), 17, 64) + addresses + udp(payload, addresses)
    addresses = bytes([10, 0, 0, 1, 10, 0, 0, 2])
    header = struct.pack('>BBHHHBBH', 0x45, 0, 28 + len(payload), 1, 0, 64, 17, 0) + addresses
    return header[:10] + struct.pack('>H', 0xffff - total(header)) + header[12:] + udp(payload, addresses)


def nflog(ip, version, order):
    def attribute(kind, value):
        return struct.pack(order + 'HH', 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return bytes([10 if version == 6 else 2, 0, 0, 7]) + attribute(1, b'\x08\0\3\0') + attribute(9, ip) + \
        attribute(10, b'prefix\0')


def frame(rng):
    """Returns a link type, and a frame of this link type."""
    version = rng.choice([4, 6])
    text = rng.choice([b'the cat sat', b'x' * rng.randrange(60) + b'cat', b'no such animal', bytes(rng.randrange(1200))])
    ip, kind = ip_packet(text, version), rng.randrange(14)
    ether, ppp = (b'\x08\0', b'\0\x21') if version == 4 else (b'\x86\xdd', b'\0\x57')
    padding = bytes(rng.choice([0, 0, 7]))
    wireless = bytes([0x88, 2, 0, 0]) + MACS + bytes(8) + bytes(2)
    return [
        (1, MACS + ether + ip + padding),
        (101, ip),
        (113, struct.pack('>HHH8s', 0, 1, 6, MACS[6:] + b'\0\0') + ether + ip),
        (276, ether + struct.pack('>HIHBB8s', 0, 3, 1, 0, 6, MACS[6:] + b'\0\0') + ip),
        (1, MACS + b'\x81\0\0\7' + ether + ip + padding),
        (1, MACS + b'\x88\x64\x11\0\0\7' + struct.pack('>H', len(ip) + 2) + ppp + ip),
        (1, MACS + b'\x88\x47\0\1\1\x40' + ip),
        (1, MACS + struct.pack('>H', len(ip) + 8) + SNAP + ether + ip),
        (9, b'\xff\x03' + ppp + ip),
        (239, nflog(ip, version, rng.choice('<>'))),
        (127, bytes([0, 0, 8, 0, 0, 0, 0, 0]) + wireless + SNAP + ether + ip),
        (0, struct.pack(rng.choice('<>') + 'I', 2 if version == 4 else 30) + ip),
        (104, b'\x0f\0' + ether + ip),
        (1, MACS + b'\x08\x06' + bytes(28)),
    ][kind]


def block(order, kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack(order + 'II', kind, len(body) + 12) + body + struct.pack(order + 'I', len(body) + 12)


def comments(order, rng):
    out = b''
    for _ in range(rng.randrange(3)):
        text = bytes(rng.randrange(32, 127) for _ in range(rng.randrange(30))).replace(b'cat', b'cow')
        out += struct.pack(order + 'HH', 1, len(text)) + text + bytes(-len(text) % 4)
    return out + bytes(4 if out else 0)


def packet_block(order, rng, index, data):
    padded, time_low = data + bytes(-len(data) % 4), rng.randrange(1 << 32)
    kind = rng.randrange(5)
    if kind == 0 and index == 0:
        return block(order, 3, struct.pack(order + 'I', len(data)) + padded)
    if kind == 1:
        return block(order, 2, struct.pack(order + 'HHIIII', index, 0, 0x60000, time_low, len(data), len(data)) + padded)
    return block(order, 6, struct.pack(order + 'IIIII', index, 0x60000, time_low, len(data), len(data)) + padded +
                 comments(order, rng))


def pcapng(rng):
    out = b''
    for _ in range(rng.randrange(1, 4)):
        order, types = rng.choice('<>'), []
        out += block(order, 0x0a0d0d0a, struct.pack(order + 'IHHq', 0x1a2b3c4d, 1, 0, -1) + comments(order, rng))
        for _ in range(rng.randrange(40)):
            if rng.random() < .1:
                out += block(order, rng.choice([4, 5, 10, 0xbad]), bytes(rng.randrange(200)))
            link, data = frame(rng) if rng.random() < .9 else (rng.choice(UNREAD), bytes(20))
            if link not in types:
                types.append(link)
                out += block(order, 1, struct.pack(order + 'HHI', link, 0, 0) + comments(order, rng))
            out += packet_block(order, rng, types.index(link), data)
    return out


def pcap(rng):
    order, link = rng.choice('<>'), frame(rng)[0]
    magic, minor, extra = rng.choice([(0xa1b2c3d4, 4, b''), (0xa1b23c4d, 4, b''), (0xa1b2cd34, 4, bytes(8)),
                                      (0xa1b2c3d4, 2, b'')])
    out = struct.pack(order + 'IHHIIII', magic, 2, minor, 0, 0, 65535, link)
    for _ in range(rng.randrange(40)):
        data = next(data for kind, data in iter(lambda: frame(rng), None) if kind == link)
        out += struct.pack(order + 'IIII', rng.randrange(1 << 32), rng.randrange(1000000), len(data), len(data))
        out += extra + data
    return out


def run(*arguments):
    return subprocess.run([IPQ, *arguments], capture_output=True, text=True, timeout=60, check=False)


def packets(path):
    out = run('watch', '--quiet', '--json', '-x', '--source', f'pcap:{path}').stdout
    return [bytes.fromhex(json.loads(line)['bytes']) for line in out.splitlines()]


def is_right(packet):
    if packet[0] >> 4 == 4:
        return total(packet[:20]) == 0xffff and \
            total(packet[12:20] + struct.pack('>HH', 17, len(packet) - 20) + packet[20:]) == 0xffff
    return total(packet[8:40] + struct.pack('>II', len(packet) - 40, 17) + packet[40:]) == 0xffff


def check_file(seed, work):
    rng = random.Random(seed)
    data = (pcapng if rng.random() < .7 else pcap)(rng)
    given, passed, changed = (os.path.join(work, name) for name in ('given', 'passed', 'changed'))
    with open(given, 'wb') as f:
        f.write(data)
    result = run('filter', '--quiet', '--source', f'pcap:{given},{passed}', 'drop udp port 9')
    with open(passed, 'rb') as f:
        if result.returncode != 0 or f.read() != data:
            return f'accepted file differs: {result.stderr}'
    count = len(packets(given))
    for rule in 'rewrite /cat/dog/g', 'rewrite /cat/tiger!/g':
        result = run('filter', '--quiet', '--source', f'pcap:{given},{changed}', rule)
        after = packets(changed)
        with open(changed, 'rb') as f:
            if result.returncode != 0 or b'cat' in f.read():
                return f'{rule}: text is left: {result.stderr}'
        if len(after) != count:
            return f'{rule}: {len(after)} packets, not {count}'
        if not all(is_right(packet) for packet in after):
            return f'{rule}: wrong checksum'
    return None


def check_large(work):
    """A UDP packet of 65,535 bytes, and a TCP packet of 100,000 bytes with length 0 (segmentation offload)."""
    given, changed = os.path.join(work, 'given'), os.path.join(work, 'changed')
    addresses = bytes([10, 0, 0, 1, 10, 0, 0, 2])
    header = struct.pack('>BBHHHBBH', 0x45, 0, 0, 1, 0, 64, 6, 0) + addresses
    header = header[:10] + struct.pack('>H', 0xffff - total(header)) + header[12:]
    segment = struct.pack('>HHIIBBHHH', 1, 2, 1, 1, 0x50, 0x18, 8192, 0, 0) + b'cat' + bytes(100000)
    check = 0xffff - total(addresses + struct.pack('>HI', 6, len(segment)) + segment)
    large = [ip_packet(b'cat' + bytes(65535 - 31), 4), header + segment[:16] + struct.pack('>H', check) + segment[18:]]
    with open(given, 'wb') as f:
        f.write(struct.pack('<IHHIIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
        for packet in large:
            f.write(struct.pack('<IIII', 1, 0, len(packet), len(packet)) + packet)
    result = run('filter', '--source', f'pcap:{given},{changed}', 'rewrite /cat/dog/')
    after = packets(changed)
    if [len(packet) for packet in after] != [65535, 100043] or b'cat' in after[0] + after[1]:
        return f'large packets are not rewritten: {result.stderr}'
    if not is_right(after[0]) or total(addresses + struct.pack('>HI', 6, len(after[1]) - 20) + after[1][20:]) != 0xffff:
        return 'wrong checksum of a large packet'
    result = run('filter', '--source', f'pcap:{given},{changed}', 'rewrite /cat/tiger/')
    if [len(packet) for packet in packets(changed)] != [65535, 100045] or '1 not edited: too long' not in result.stderr:
        return f'a packet over 65535 bytes is not counted: {result.stderr}'
    return None


def main():
    end, done = time.monotonic() + SECONDS, 0
    with tempfile.TemporaryDirectory() as work:
        problem = check_large(work)
        if problem:
            sys.exit(problem)
        for seed in range(FILES):
            if time.monotonic() > end:
                break
            problem = check_file(seed, work)
            if problem:
                sys.exit(f'file {seed}: {problem}')
            done += 1
    if done == 0:
        sys.exit('no file was checked')
    print(f'{done} files: accepted byte for byte, rewritten with right checksums')


main()
