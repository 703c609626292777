# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both ends of TCP connections of several kinds. Each end compares all bytes that it receives with the expected text.

filter-sockets.py serve DIRECTORY          listens on the port of each kind
filter-sockets.py KIND DIRECTORY ADDRESS edited|as-sent

The client's "~" becomes "[tilde]", and the server's "%" disappears. A text of one
byte is never split between segments.
With long packets (kind big), "~" becomes "=", and "%{}" becomes "%". On a path whose MTU changes (kind path),
only the client's "%{xx...x}" becomes "%".
"""
import fcntl
import hashlib
import os
import random
import select
import socket
import struct
import sys
import threading
import time

PORTS = {'tcp': 7001, 'multipath': 7002, 'signed': 7003, 'fast-open': 7004, 'urgent': 7005, 'big': 7006,
         'old-multipath': 7007, 'path': 7008}
AMOUNT = {'big': 6000000, 'fast-open': 20000, 'path': 400000}
TOKEN = {'big': b'%{}', 'path': b'%{' + b'x' * 200 + b'}'}
MULTIPATH, FAST_OPEN, SIGNATURE = 262, 23, 14
OUT_OF_BAND_AT = 3001
directory = sys.argv[2]


def text_of(who, port, amount):
    # The replaced texts of all segments in flight must fit into the memory for a connection.
    letters = b'abcdefgh ijklmnop' * (100 if port == PORTS['big'] else 5) + b'~%'
    block = bytes(random.Random(f'{who} {port}').choices(letters, k=50000))
    for kind, token in TOKEN.items():
        if port == PORTS[kind]:
            block = block.replace(b'%', token)
    text = (block * (amount // len(block) + 1))[:amount]
    # On the path whose MTU decreases, segments of the second half keep their length.
    return text if port != PORTS['path'] else text[:amount // 2] + b'abcdefgh' * (amount // 16)


def expected(who, kind, text):
    if kind == 'path':
        return text if who == 'server' else text.replace(TOKEN[kind], b'%')
    if kind == 'big':
        return text.replace(b'%{}', b'%') if who == 'server' else text.replace(b'~', b'=')
    return text.replace(b'%', b'') if who == 'server' else text.replace(b'~', b'[tilde]')


def new_socket(kind, family, peer):
    s = socket.socket(family, socket.SOCK_STREAM, MULTIPATH if 'multipath' in kind else 0)
    if kind == 'signed':
        address = struct.pack('!2xH4s120x', 0, socket.inet_aton(peer))
        address = struct.pack('=H', socket.AF_INET) + address[2:]
        s.setsockopt(socket.IPPROTO_TCP, SIGNATURE, address + struct.pack('=BBHi80s', 0, 0, 6, 0, b'secret'))
    return s


def read_all(s, kind):
    """Returns all bytes, and the position of the urgent byte."""
    received, mark = bytearray(), None
    if kind == 'urgent':
        s.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    while True:
        if kind == 'urgent':
            select.select([s], [], [], 20)  # the position of the urgent mark is known when its byte has arrived
        if kind == 'urgent' and mark is None and struct.unpack('i', fcntl.ioctl(s, 0x8905, b'\0' * 4))[0]:  # SIOCATMARK
            mark = len(received)
        data = s.recv(1 << 20)
        if not data:
            return bytes(received), mark
        received += data


def talk(s, kind, me, other, edited):
    """Sends and receives at the same time. Returns a description of the error, or "good"."""
    port, result = PORTS[kind], {}
    amount = AMOUNT.get(kind, 100000)
    theirs = text_of(other, port, amount)
    mine = text_of(me, port, amount)
    reader = threading.Thread(target=lambda: result.update(zip(('bytes', 'mark'), read_all(s, kind))), daemon=True)
    s.settimeout(20)
    reader.start()
    if kind == 'urgent' and me == 'client':
        s.sendall(mine[:OUT_OF_BAND_AT])
        s.send(mine[OUT_OF_BAND_AT:OUT_OF_BAND_AT + 1], socket.MSG_OOB)
        mine = mine[OUT_OF_BAND_AT + 1:]
    elif kind == 'fast-open' and me == 'client':
        mine = mine[1000:]  # the first 1000 bytes were sent in the SYN
    elif kind == 'path' and me == 'client':
        s.sendall(mine[:200000])
        report('half', '')
        wait_for('go')
        mine = mine[200000:]
    s.sendall(mine)
    s.shutdown(socket.SHUT_WR)
    reader.join(25)
    wanted = expected(other, kind, theirs) if edited else theirs
    got = result.get('bytes', b'')
    # Some texts may arrive unchanged: those in segments that were overtaken, whose length must not change, and those
    # that were split between segments. They are replaced here.
    if kind in TOKEN and len(got) < len(theirs):
        got = expected(other, kind, got)
    if hashlib.sha256(got).digest() != hashlib.sha256(wanted).digest():
        at = next((i for i, pair in enumerate(zip(got, wanted)) if pair[0] != pair[1]), min(len(got), len(wanted)))
        return f'{me}: {len(got)} bytes instead of {len(wanted)}, wrong from {at}: {got[at:at + 20]} {wanted[at:at + 20]}'
    if kind == 'urgent' and me == 'server':
        where = len(expected(other, kind, theirs[:OUT_OF_BAND_AT]) if edited else theirs[:OUT_OF_BAND_AT])
        if result['mark'] not in (where, None) or result['mark'] is None:
            return f'urgent data at {result["mark"]} instead of {where}'
    return 'good'


def report(kind, text):
    path = f'{directory}/result.{kind}'
    with open(path + '.new', 'w', encoding='ascii') as f:
        f.write(text)
    os.rename(path + '.new', path)


def wait_for(name):
    path, end = f'{directory}/{name}', time.monotonic() + 20
    while not os.path.exists(path):
        assert time.monotonic() < end, name
        time.sleep(0.02)
    with open(path, encoding='ascii') as f:
        text = f.read()
    os.unlink(path)
    return text


def serve(kind):
    # A TCP-MD5 signature is bound to the address family.
    family = socket.AF_INET if kind == 'signed' else socket.AF_INET6
    listener = new_socket(kind, family, '10.9.1.2')
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == 'fast-open':
        listener.setsockopt(socket.IPPROTO_TCP, FAST_OPEN, 16)
    listener.bind(('', PORTS[kind]))
    listener.listen()
    while True:
        s, _ = listener.accept()
        if kind == 'old-multipath':
            s.sendall(b'.')
        report(kind, talk(s, kind, 'server', 'client', edited(kind)))
        s.close()


def edited(kind):
    if len(sys.argv) > 3:
        return sys.argv[4] == 'edited'
    return kind not in ('signed', 'old-multipath')


def most_bytes(result):
    """Returns the length of the longest frame that this machine receives."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    while True:
        result[0] = max(result[0], s.recv_into(bytearray(1), 1, socket.MSG_TRUNC))


def connect(kind, address):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    s, longest = new_socket(kind, family, address), [0]
    if kind == 'big':
        threading.Thread(target=most_bytes, args=(longest,), daemon=True).start()
    if kind == 'fast-open':
        data = text_of('client', PORTS[kind], AMOUNT[kind])[:1000]
        assert s.sendto(data, socket.MSG_FASTOPEN, (address, PORTS[kind])) == 1000
    else:
        s.connect((address, PORTS[kind]))
    if kind == 'old-multipath':
        assert s.recv(1) == b'.'
        s.getsockopt(284, 1, 100)  # 284, 1: MPTCP_INFO, which fails for a connection that became plain TCP
        report('connected', '')
        wait_for('go')
    result = talk(s, kind, 'client', 'server', edited(kind))
    if kind == 'fast-open' and not s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 100)[5] & 32:
        result = 'no data was accepted in the SYN'
    if kind == 'big' and longest[0] <= 65536:
        result = f'no packet over 64 KiB: {longest[0]}'
    print(result, wait_for(f'result.{kind}'), sep=', ')


def raise_limits(names):
    """BIG TCP for IPv4 and IPv6: packets of up to 180 KB within this machine."""
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    for name in names:
        # IFLA_GSO_* and IFLA_GRO_* attributes.
        attributes = b''.join(struct.pack('=HHI', 8, kind, 180000) for kind in (41, 58, 63, 64))
        message = struct.pack('=BxHiII', 0, 0, socket.if_nametoindex(name), 0, 0) + attributes
        # 16, 5: RTM_NEWLINK with a request for an answer.
        s.send(struct.pack('=IHHII', 16 + len(message), 16, 5, 1, 0) + message)
        error = struct.unpack('=i', s.recv(4096)[16:20])[0]
        if error:
            sys.exit(f'{name}: {os.strerror(-error)}')


if sys.argv[1] == 'serve':
    for one in PORTS:
        threading.Thread(target=serve, args=(one,), daemon=True).start()
    time.sleep(120)
elif sys.argv[1] == 'raise-limits':
    raise_limits(sys.argv[3:])
else:
    connect(sys.argv[1], sys.argv[3])
