#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""filter_tasks.py IPQ: tests of tasks, described as users would describe them. One command of `ipq filter` must
solve each.

The first ones run on a capture file with one packet of each kind in PACKETS. The last ones need data that
only a kernel has: here they are only checked, and tests/live/filter-actions.sh and filter-flows.sh run such rules.
"""
import os
import socket
import struct
import subprocess
import sys
import tempfile

IPQ = sys.argv[1]
SYN_OPTIONS = bytes((2, 4, 5, 180, 4, 2, 1, 1))


def transport(protocol, ports, text, flags=16, options=b''):
    if protocol == 6:
        return struct.pack('>HHIIBBHHH', *ports, 1, 1, 5 + len(options) // 4 << 4, flags, 1000, 0, 0) + options + text
    if protocol == 17:
        return struct.pack('>HHHH', *ports, 8 + len(text), 0) + text
    return struct.pack('>BBHHH', ports[0], 0, 0, 1, 1) + text


def ip4(protocol, ports, text=b'', to='10.0.0.2', fragment=0, ttl=63, **more):
    body = transport(protocol, ports, text, **more)
    return struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(body), 1, fragment, ttl, protocol, 0,
                       socket.inet_aton('10.0.0.1'), socket.inet_aton(to)) + body


def ip6(protocol, ports, text=b'', extension=b''):
    body = extension + transport(protocol, ports, text)
    a, b = (socket.inet_pton(socket.AF_INET6, '2001:db8::%d' % i) for i in (1, 2))
    return struct.pack('>IHBB16s16s', 6 << 28, len(body), 60 if extension else protocol, 63, a, b) + body


PACKETS = {
    'telnet': ip4(6, (40000, 23)),
    'telnet6': ip6(6, (40000, 23)),
    'telnet6 hidden': ip6(6, (40000, 23), extension=bytes((6, 0, 1, 4, 0, 0, 0, 0))),
    'connect': ip4(6, (40000, 80), flags=2, options=SYN_OPTIONS),
    'connected': ip4(6, (80, 40000), flags=18, options=SYN_OPTIONS),
    'page': ip4(6, (80, 40000), b'an evil word'),
    'https': ip4(6, (40000, 443)),
    'quic': ip4(17, (40000, 443), b'x' * 1200),
    'dns': ip4(17, (40000, 53), b'question'),
    'dns6': ip6(17, (40000, 53), b'question'),
    'voice': ip4(17, (12000, 12002), b'sound'),
    'ping': ip4(1, (8, 0)),
    'pong': ip4(1, (0, 0)),
    'ping6': ip6(58, (128, 0)),
    'fragment': ip4(17, (40000, 9), fragment=0x2000),
    'other host': ip4(17, (40000, 9), to='192.0.2.7'),
}
NAMES = list(PACKETS)


def run(*arguments, packets=None, every_ms=1):
    """Returns the packets that passed, in a dict with lists of (time in ms, bytes) by name."""
    packets = packets or list(PACKETS.values())
    with tempfile.TemporaryDirectory() as work:
        source, out = os.path.join(work, 'in'), os.path.join(work, 'out')
        with open(source, 'wb') as f:
            f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
            for i, data in enumerate(packets):
                ms = 1000 + i * every_ms
                f.write(struct.pack('<IIII', ms // 1000, ms % 1000 * 1000, len(data), len(data)) + data)
        subprocess.run([IPQ, 'filter', '--quiet', '--source', f'pcap:{source},{out}', *arguments], check=True, timeout=60)
        with open(out, 'rb') as f:
            data = f.read()
    at, passed = 24, []
    while at < len(data):
        seconds, us, length = struct.unpack_from('<III', data, at)
        passed.append((seconds * 1000 + us // 1000, data[at + 16:at + 16 + length]))
        at += 16 + length
    return passed


def dropped(*arguments):
    passed = [data for _, data in run(*arguments)]
    return {name for name, data in PACKETS.items() if data not in passed}


def changed(*arguments):
    passed = run(*arguments)
    assert len(passed) == len(PACKETS), f'{len(passed)} packets'
    return {name: data for name, (_, data) in zip(NAMES, passed)
            if data[:10] + data[12:] != PACKETS[name][:10] + PACKETS[name][12:]}


def expect(task, got, expected):
    global failures
    if got != expected:
        failures += 1
        print(f'FAILED: {task}:\n  got      {got}\n  expected {expected}')


failures = 0
TELNET = {'telnet', 'telnet6', 'telnet6 hidden'}
for task, rules, expected in (
        ('block telnet, IPv6 too', ['drop tcp dst port 23'], TELNET),
        ('nobody may ping me, but I may ping', ['drop icmp[icmptype] = icmp-echo or icmp6[icmp6type] = icmp6-echo'],
         {'ping', 'ping6'}),
        ('only the web and name lookups, nothing else', ['accept port 53 or tcp port 80 or tcp port 443', 'drop'],
         set(NAMES) - {'dns', 'dns6', 'connect', 'connected', 'page', 'https'}),
        ('browsers must not use QUIC', ['drop udp port 443'], {'quic'}),
        ('no IPv6 at all', ['drop ip6'], {n for n in NAMES if '6' in n}),
        ('no new connections, answers stay', ['drop tcp[13] & 18 = 2'], {'connect'}),
        ('no large datagrams', ['drop udp and length 1000-65535'], {'quic'}),
        ('no fragments', ['drop ip[6:2] & 0x3fff != 0 or ip6 proto 44'], {'fragment'}),
        ('cut one host off', ['drop host 192.0.2.7'], {'other host'}),
        ('everything but one protocol', ['drop not icmp and not icmp6'], set(NAMES) - {'ping', 'pong', 'ping6'})):
    expect(task, dropped(*rules), expected)

for task, rules, expected in (
        ('use another name server', ['set dst 192.0.2.53 udp dst port 53 and ip'], {'dns'}),
        ('the web server is on another port now', ['set dst port 8080 tcp dst port 80', 'set src port 8080 tcp src port 80'],
         {'connect', 'connected', 'page'}),
        ('hide that I share the connection', ['set ttl 64 ip'], {n for n in NAMES if '6' not in n}),
        ('voice first', ['set dscp ef udp portrange 10000-20000'], {'voice'}),
        ('another word in pages', ['rewrite /evil/good/ tcp src port 80'], {'page'}),
        ('no selective acknowledgements', ['strip tcp option sackok'], {'connect', 'connected'})):
    expect(task, set(changed(*rules)), expected)

many = [PACKETS['voice']] * 1000
lost = 1000 - len(run('--seed', '1', 'drop 5% dst host 10.0.0.2', packets=many))
expect('5 % loss towards this host', 20 < lost < 90, True)
delays = [ms - 1000 - i for i, (ms, _) in enumerate(run('--seed', '1', 'delay 50ms dst host 10.0.0.2', packets=many))]
expect('50 ms of delay towards this host', set(delays), {50})
slow = len(run('rate 10kB/s burst 1kB if udp', packets=[PACKETS['quic']] * 1000, every_ms=10))
expect('10 kB a second for this program', 75 < slow < 85, True)
expect('send each packet twice', len(run('duplicate udp port 53')), len(PACKETS) + 2)
with tempfile.TemporaryDirectory() as directory:
    record = os.path.join(directory, 'r.pcapng')
    run('-w', record, '--record', 'drop', 'drop udp port 443')
    lines = subprocess.run([IPQ, 'watch', '--quiet', '--source', 'pcap:' + record], check=True, stdout=subprocess.PIPE, text=True)
    expect('keep what was dropped', lines.stdout.count('\n'), 1)

for task, arguments in (
        ('let one user out only', ['--on', 'OUTPUT', 'accept out lo or uid 1000', 'reject']),
        ('reject instead of silence', ['--on', 'INPUT', 'reject tcp dst port 25']),
        ('nothing new from outside', ['--on', 'INPUT', 'drop in eth0 and state new']),
        ('another route for this subnet', ['--on', 'PREROUTING', 'mark 7 src net 10.0.0.0/24']),
        ('the rest of a download need not be looked at', ['--on', 'FORWARD', 'accept flow after 8 tcp']),
        ('my own program decides about the mail', ['--on', 'INPUT', 'queue 5 tcp dst port 25'])):
    expect(task, subprocess.run([IPQ, 'filter', '--check', *arguments], stdout=subprocess.DEVNULL).returncode, 0)
sys.exit(failures > 0)
