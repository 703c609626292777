#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""filter_model.py IPQ PACKETS RULES [SEED]: random rules decide random packets, in `ipq filter` and in a model.

Packets are IPv4 with options and IPv6 with extension headers, fragments, authentication headers and packets that end
within their transport header. Rules are random expressions. The model below is written from the manual alone; no
packet may be decided differently.
"""
import os
import random
import struct
import subprocess
import sys
import tempfile

TCP, UDP, ICMP, ICMP6, SCTP, ESP, AH = 6, 17, 1, 58, 132, 50, 51
HOP, ROUTING, FRAGMENT, DEST = 0, 43, 44, 60
NAMES = {'tcp': TCP, 'udp': UDP, 'sctp': SCTP, 'esp': ESP, 'ah': AH}


# ---- packets ----------------------------------------------------------------------------------------------------

class Packet:
    """The properties of a packet besides its bytes. The model uses only these."""

    def __init__(self, rng):
        self.version = rng.choice((4, 6))
        self.source = rng.choice((1, 2, 3))
        self.destination = rng.choice((1, 2, 3))
        self.protocol = rng.choice((TCP, TCP, UDP, UDP, ICMP, ICMP6, SCTP, ESP, 99))
        self.ports = (rng.randint(20, 25), rng.randint(20, 25))
        self.flags = rng.choice((2, 16, 18, 4))
        self.first = None  # the protocol in the network header
        self.seen = set()  # the extension headers in the chain that count as protocols
        self.later = False
        self.transport = self.make_transport(rng)
        self.data = self.make_ipv4(rng) if self.version == 4 else self.make_ipv6(rng)

    def make_transport(self, rng):
        s, d = self.ports
        payload = bytes(rng.randrange(256) for _ in range(rng.choice((0, 1, 8, 100))))
        if self.protocol == TCP:
            data = struct.pack('>HHIIBBHHH', s, d, 1, 2, 0x50, self.flags, 1000, 0, 0) + payload
        elif self.protocol == UDP:
            data = struct.pack('>HHHH', s, d, 8 + len(payload), 0) + payload
        elif self.protocol == SCTP:
            data = struct.pack('>HHII', s, d, 7, 0) + payload
        else:
            data = struct.pack('>BBHHH', rng.choice((0, 8, 128, 129)), 0, 0, 1, 1) + payload
        return data[:rng.choice((0, 1))] if rng.random() < 0.05 else data

    def make_ah(self, protocol):
        self.seen.add(AH)
        return struct.pack('>BBHII', protocol, 4, 0, 1, 1) + bytes(12)

    def make_ipv4(self, rng):
        options = bytes([1] * rng.choice((0, 0, 4, 40)))
        fragment = rng.choice((0, 0, 0, 0x2000, 0x2003, 0x0005))
        self.later = fragment & 0x1fff != 0
        body, self.first = self.transport, self.protocol
        if not self.later and rng.random() < 0.1:
            body, self.first = self.make_ah(self.protocol) + body, AH
        length = 20 + len(options) + len(body)
        return struct.pack('>BBHHHBBH4s4s', 0x45 + len(options) // 4, 0, length, 1, fragment, 64, self.first, 0,
                           bytes((10, 0, 0, self.source)), bytes((10, 0, 0, self.destination))) + options + body

    def make_ipv6(self, rng):
        kinds = [rng.choice((HOP, ROUTING, DEST, FRAGMENT, AH)) for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))]
        if FRAGMENT in kinds:
            self.later = rng.random() < 0.4
        if self.later:
            kinds = kinds[:kinds.index(FRAGMENT) + 1]
        body, protocol = self.transport, self.protocol
        for kind in reversed(kinds):
            if kind == FRAGMENT:
                offset = 8 * rng.randint(1, 9) if self.later and FRAGMENT not in self.seen else 0
                body = struct.pack('>BBHI', protocol, 0, offset | rng.choice((0, 1)), 77) + body
                self.seen.add(FRAGMENT)
            elif kind == AH:
                body = self.make_ah(protocol) + body
            else:
                units = rng.choice((0, 0, 1, 5))
                # the content may be malformed as options, which has no effect
                body = struct.pack('>BB', protocol, units) + bytes(rng.randrange(256) for _ in range(6 + 8 * units)) + body
            protocol = kind
        self.first = protocol
        address = [bytes([0xfd]) + bytes(14) + bytes([n]) for n in (self.source, self.destination)]
        return struct.pack('>IHBB', 6 << 28, len(body), protocol, 64) + address[0] + address[1] + body

    def has_protocol(self, number):
        return number == self.first or number == self.protocol or number in self.seen

    def has_ports(self, protocols=(TCP, UDP, SCTP)):
        return not self.later and self.protocol in protocols and len(self.transport) >= 8


# ---- expressions ------------------------------------------------------------------------------------------------

def leaf(rng):
    """Returns the text of a predicate, and a function that evaluates it for a packet."""
    kind = rng.randrange(14)
    n = rng.randint(20, 25)
    if kind == 0:
        name = rng.choice(tuple(NAMES))
        return name, lambda p: p.has_protocol(NAMES[name])
    if kind == 1:
        number = rng.choice((TCP, UDP, FRAGMENT, AH, ESP, 99))
        return f'proto {number}', lambda p: p.has_protocol(number)
    if kind == 2:
        return 'icmp', lambda p: p.version == 4 and p.has_protocol(ICMP)
    if kind == 3:
        return 'icmp6', lambda p: p.version == 6 and p.has_protocol(ICMP6)
    if kind == 4:
        return f'port {n}', lambda p: p.has_ports() and n in p.ports
    if kind == 5:
        name, number = rng.choice((('tcp', TCP), ('udp', UDP)))
        side = rng.randrange(2)
        return f'{name} {("src", "dst")[side]} port {n}', lambda p: p.has_ports((number,)) and p.ports[side] == n
    if kind == 6:
        return f'portrange {n}-{n + 2}', lambda p: p.has_ports() and any(n <= q <= n + 2 for q in p.ports)
    if kind == 7:
        return f'port {n} or {n + 1}', lambda p: p.has_ports() and (n in p.ports or n + 1 in p.ports)
    if kind == 8:
        a = rng.randint(1, 3)
        return f'src host 10.0.0.{a}', lambda p: p.version == 4 and p.source == a
    if kind == 9:
        a = rng.randint(1, 3)
        return f'dst host fd00::{a}', lambda p: p.version == 6 and p.destination == a
    if kind == 10:
        length = rng.choice((40, 60, 100))
        return f'greater {length}', lambda p: len(p.data) >= length
    if kind == 11:
        length = rng.choice((40, 60, 100))
        return f'length {length}-{length + 40}', lambda p: length <= len(p.data) <= length + 40
    if kind == 12:
        return 'tcp[tcpflags] & tcp-syn != 0', lambda p: p.has_ports((TCP,)) and p.flags & 2 != 0
    version = rng.choice((4, 6))
    return ('ip', 'ip6')[version == 6], lambda p: p.version == version


def expression(rng, depth):
    what = rng.randrange(4) if depth else 0
    if what == 0:
        text, test = leaf(rng)
        return ('(' + text + ')', test) if ' or ' in text else (text, test)
    left, first = expression(rng, depth - 1)
    if what == 1:
        return f'not ({left})', lambda p: not first(p)
    right, second = expression(rng, depth - 1)
    if what == 2:
        return f'({left} and {right})', lambda p: first(p) and second(p)
    return f'({left} or {right})', lambda p: first(p) or second(p)


def rules(rng):
    result = []
    for _ in range(rng.randint(1, 8)):
        action = rng.choice(('drop', 'drop', 'accept', 'count', 'mark 7'))
        text, test = expression(rng, rng.randint(0, 3))
        result.append((action, f'{action} {rng.choice(("", "if "))}{text}', test))
    return result


def decide(rule_list, packet):
    for action, _, test in rule_list:
        if action in ('drop', 'accept') and test(packet):
            return action
    return 'accept'


# ---- comparing --------------------------------------------------------------------------------------------------

def write(path, packets):
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
        for i, p in enumerate(packets):
            f.write(struct.pack('<IIII', i, 0, len(p.data), len(p.data)) + p.data)


def passed(path):
    """Returns the times of packets in a file; each time is the number of its packet."""
    with open(path, 'rb') as f:
        data = f.read()
    at, numbers = 24, set()
    while at < len(data):
        numbers.add(struct.unpack_from('<I', data, at)[0])
        at += 16 + struct.unpack_from('<I', data, at + 8)[0]
    return numbers


def main():
    ipq, packet_count, rule_count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 32)
    rng = random.Random(seed)
    print(f'seed {seed}')
    packets = [Packet(rng) for _ in range(packet_count)]
    dropped = sets = impossible = 0
    with tempfile.TemporaryDirectory() as work:
        source, out = os.path.join(work, 'in.pcap'), os.path.join(work, 'out.pcap')
        write(source, packets)
        while sets < rule_count:
            rule_list = rules(rng)
            command = [ipq, 'filter', '--quiet', '--source', f'pcap:{source},{out}'] + [r[1] for r in rule_list]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if done.returncode == 2 and 'no packet can match' in done.stderr:
                impossible += 1
                if any(test(p) for (_, text, test) in rule_list for p in packets if f'  {text}\n' in done.stderr):
                    sys.exit(f'refused, although a packet matches: {done.stderr}')
                continue
            if done.returncode != 0:
                sys.exit(f'{command}: status {done.returncode}: {done.stderr}')
            sets += 1
            numbers = passed(out)
            for i, p in enumerate(packets):
                expected = decide(rule_list, p)
                dropped += expected == 'drop'
                if (i in numbers) != (expected == 'accept'):
                    sys.exit(f'packet {i} is not decided as in the model, {expected}: {p.data.hex()}\n' +
                             '\n'.join(r[1] for r in rule_list))
    print(f'{sets} sets of rules, {len(packets)} packets each, {dropped} of {sets * len(packets)} dropped, '
          f'{impossible} sets refused')
    if not sets * len(packets) / 10 < dropped < sets * len(packets) * 9 / 10:
        sys.exit('too many packets were decided the same way')


main()
