# SPDX-License-Identifier: LGPL-2.1-or-later
"""filter-counters.py IPQ [PACKETS RULES SEED]: random rules count random packets as iptables and ip6tables count them.

Packets enter through a
tun device: IPv4 with options, IPv6 with extension headers, fragments of both. The same rules are in
the table raw and in `ipq filter`, both in PREROUTING. Each rule must have counted the same packets.
"""
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
NAMES = {TCP: 'tcp', UDP: 'udp', ICMP: 'icmp', ICMP6: 'icmp6', SCTP: 'sctp', 99: 'proto 99'}
HOP, ROUTING, FRAGMENT, DEST = 0, 43, 44, 60
HOSTS = {4: ['198.51.100.%d' % i for i in (1, 2, 3)], 6: ['2001:db8::%d' % i for i in (1, 2, 3)]}
PORTS = range(20, 26)


def skip(why):
    print(f'skipped: {why}')
    sys.exit(77)


def checksum(data):
    total = sum(struct.unpack(f'>{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def transport(rng, protocol):
    ports = rng.choice(PORTS), rng.choice(PORTS)
    payload = bytes(rng.choice((0, 1, 8, 100)))
    if protocol == TCP:
        return struct.pack('>HHIIBBHHH', *ports, 1, 2, 5 << 4, rng.choice((2, 16, 18, 4)), 1000, 0, 0) + payload
    if protocol == SCTP:
        return struct.pack('>HHII', *ports, 7, 0) + payload
    return struct.pack('>HHHH', *ports, 8 + len(payload), 0) + payload


def ipv4(rng):
    protocol = rng.choice((TCP, TCP, UDP, UDP, ICMP, SCTP, 99))
    body, options = transport(rng, protocol), bytes([1]) * rng.choice((0, 0, 4, 40))
    fragment = rng.choice((0, 0, 0, 0x2000, 0x2005, 0x0005))
    a, b = (socket.inet_aton(rng.choice(HOSTS[4])) for _ in (0, 1))
    header = struct.pack('>BBHHHBBH4s4s', 0x40 | 5 + len(options) // 4, 0, 20 + len(options) + len(body), 1, fragment,
                         64, protocol, 0, a, b) + options
    return header[:10] + struct.pack('>H', checksum(header)) + header[12:] + body


def ipv6(rng):
    protocol = rng.choice((TCP, TCP, UDP, UDP, ICMP6, SCTP, 99))
    body, kinds = transport(rng, protocol), []
    for kind, share in ((HOP, 0.2), (DEST, 0.2), (ROUTING, 0.2), (FRAGMENT, 0.4), (DEST, 0.2)):
        if rng.random() < share:
            kinds.append(kind)
    fragment = rng.choice((0, 1, 5 << 3 | 1, 5 << 3))
    if fragment >> 3 and FRAGMENT in kinds:
        kinds = kinds[:kinds.index(FRAGMENT) + 1]  # the first fragment has the headers that follow
    data, following = body, protocol
    for kind in reversed(kinds):
        if kind == FRAGMENT:
            data = struct.pack('>BBHI', following, 0, fragment, 7) + data
        elif kind == ROUTING:
            data = struct.pack('>BBBBI', following, 0, 4, 0, 0) + data
        else:
            size = rng.choice((1, 2, 4)) * 8
            data = struct.pack('>BBBB', following, size // 8 - 1, 1, size - 4) + bytes(size - 4) + data
        following = kind
    a, b = (socket.inet_pton(socket.AF_INET6, rng.choice(HOSTS[6])) for _ in (0, 1))
    return struct.pack('>IHBB16s16s', 6 << 28, len(data), following, 64, a, b) + data


def negated(rng, ours, theirs):
    return ('not ' + ours, ['!'] + theirs) if rng.random() < 0.3 else (ours, theirs)


def rule(rng):
    """Returns an address family, and the same condition in the syntax of ipq and of iptables."""
    family = rng.choice((4, 6))
    ours, theirs = [{4: 'ip', 6: 'ip6'}[family]], []
    protocol = rng.choice((TCP, TCP, UDP, UDP, {4: ICMP, 6: ICMP6}[family], SCTP, 99, None))
    if protocol in (TCP, UDP) and rng.random() < 0.7:
        side, low = rng.choice(('src', 'dst')), rng.choice(PORTS)
        high = rng.choice([p for p in PORTS if p >= low])
        ports = f'portrange {low}-{high}' if high > low else f'port {low}'
        ours.append(f'{NAMES[protocol]} {side} {ports}')
        theirs += ['-p', str(protocol), f'--{side[0]}port', f'{low}:{high}']
    elif protocol == TCP and rng.random() < 0.7:
        ours.append('tcp[13] & 18 = 2')
        theirs += ['-p', 'tcp', '--tcp-flags', 'SYN,ACK', 'SYN']
    elif protocol:
        mine, other = negated(rng, NAMES[protocol], ['-p', str(protocol)])
        ours.append(mine)
        theirs += other
    choices = [(f'{side} host {host}', ['-' + side[0], host])
               for side in ('src', 'dst') for host in [rng.choice(HOSTS[family])] if rng.random() < 0.3]
    if rng.random() < 0.2:
        name = rng.choice((('tun0', 'tun0'), ('eth0', 'eth0'), ('tu*', 'tu+')))
        choices.append((f'in {name[0]}', ['-i', name[1]]))
    if family == 4 and rng.random() < 0.1:
        choices.append(('ip[6:2] & 0x1fff != 0', ['-f']))
    for mine, other in choices:
        mine, other = negated(rng, mine, other)
        ours.append(mine)
        theirs += other
    if rng.random() < 0.3:
        low = rng.randrange(40, 150)
        high = low + rng.randrange(100)
        ours.append(f'length {low}-{high}')
        theirs += ['-m', 'length', '--length', f'{low}:{high}']
    return family, ' and '.join(ours), theirs


def table_of(name):
    for command in (name + '-legacy', name, name + '-nft'):
        path = shutil.which(command, path=os.environ['PATH'] + ':/usr/sbin:/sbin')
        if path and subprocess.run([path, '-t', 'raw', '-A', 'PREROUTING', '-m', 'length', '--length', '0:1'],
                                   stderr=subprocess.DEVNULL).returncode == 0:
            return path
    return skip(f'no {name} with the table raw')


def open_tun():
    try:
        tun = os.open('/dev/net/tun', os.O_RDWR)
        fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH', b'tun0', 0x1001))  # IFF_TUN | IFF_NO_PI
    except OSError as e:
        skip(f'no tun device: {e}')
    subprocess.run(['ip', 'link', 'set', 'tun0', 'up'], check=True)
    return tun


def main():
    ipq = sys.argv[1]
    packets, count = (int(a) for a in (sys.argv[2:4] + ['3000', '60'][len(sys.argv[2:4]):]))
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 32)
    rng = random.Random(seed)
    tables, tun = {4: table_of('iptables'), 6: table_of('ip6tables')}, open_tun()
    rules = [rule(rng) for _ in range(count)]
    for family, _, theirs in rules:
        subprocess.run([tables[family], '-t', 'raw', '-A', 'PREROUTING', *theirs], check=True)
    run = subprocess.Popen([ipq, 'filter', '--on', 'PREROUTING', '--json'] + ['count ' + ours for _, ours, _ in rules],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if 'in force' not in run.stderr.readline():
        sys.exit(f'ipq filter did not start:\n{run.communicate()}')
    for i in range(packets):
        os.write(tun, (ipv4 if rng.random() < 0.5 else ipv6)(rng))
        if i % 64 == 63:
            time.sleep(0.005)
    time.sleep(0.3)
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate(timeout=20)
    ours = [r['packets'] for r in json.loads(out.splitlines()[-1])['rules']]
    theirs = {4: [], 6: []}
    for family, counts in theirs.items():
        lines = subprocess.run([tables[family], '-t', 'raw', '-nvxL', 'PREROUTING'], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.splitlines()
        counts += [int(line.split()[0]) for line in lines[3:]]  # the first rule is the one in table_of()
    wrong = 0
    for (family, condition, words), mine in zip(rules, ours):
        other = theirs[family].pop(0)
        if mine != other:
            wrong += 1
            print(f'seed {seed}: "{condition}" counted {mine}, {" ".join(words)} {other}')
    print(f'seed {seed}: {count} rules, {packets} packets, {sum(ours)} matches, {wrong} rules differ')
    if wrong or sum(ours) == 0:
        print(err)
        sys.exit(1)


main()
