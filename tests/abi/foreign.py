#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""foreign.py LIBRARY HEADER... : checks that a foreign-function interface needs no C compiler. Every call that the
headers declare must be a symbol of the library, not only a macro or an inline function. And a Python program that
uses only the layout of the structures must decide packets like newprogram.cc, with a wake in between."""
import ctypes as c
import errno
import re
import sys
import tempfile


class Packet(c.Structure):
    _fields_ = [(n, c.c_uint32) for n in ('present', 'flags', 'id')] + [
        ('family', c.c_uint8), ('hook', c.c_uint8), ('hw_protocol', c.c_uint16),
        ('payload', c.POINTER(c.c_uint8)), ('payload_len', c.c_uint32), ('full_len', c.c_uint32),
        ('timestamp', c.c_int64)] + [(n, c.c_uint32) for n in (
            'mark', 'indev', 'outdev', 'physindev', 'physoutdev', 'uid', 'gid', 'priority', 'cgroup')] + [
        ('vlan_proto', c.c_uint16), ('vlan_tci', c.c_uint16), ('hw_addr', c.c_uint8 * 8),
        ('hw_addr_len', c.c_uint8), ('reserved1', c.c_uint8), ('link_header_len', c.c_uint16),
        ('link_header', c.c_void_p), ('security_context', c.c_void_p), ('security_context_len', c.c_uint16),
        ('conntrack_len', c.c_uint16), ('conntrack_info', c.c_uint32), ('conntrack', c.c_void_p),
        ('expectation', c.c_void_p), ('expectation_len', c.c_uint16), ('reserved2', c.c_uint16 * 3),
        ('reserved3', c.c_uint64 * 6)]


class Options(c.Structure):
    _fields_ = [('size', c.c_size_t)] + [(n, c.c_uint32) for n in (
        'flags', 'copy_range', 'queue_length', 'receive_buffer', 'spin_usec', 'reserved')] + [
        ('error', c.c_char_p), ('error_size', c.c_size_t)]


class Stats(c.Structure):
    _fields_ = [('size', c.c_size_t)] + [(n, c.c_uint64) for n in (
        'received', 'accepted', 'dropped', 'other', 'replaced', 'refused', 'lost', 'queue_dropped', 'malformed',
        'waiting', 'receives', 'sends')]


def declared(header):
    with open(header, encoding='utf-8') as f:
        text = re.sub(r'/\*.*?\*/', '', f.read(), flags=re.S)
    return re.findall(r'^[a-z][\w \*]*?\b(ipq_\w+)\(', text, re.M)


def main(library, *headers):
    lib = c.CDLL(library)
    names = [name for header in headers for name in declared(header)]
    assert len(names) > 40, names
    for name in names:
        getattr(lib, name)

    q, packet = c.c_void_p, c.c_void_p
    lib.ipq_queue_recv.argtypes = [q, packet, c.c_uint, c.c_int]
    lib.ipq_queue_stats.argtypes = [q, c.c_void_p]
    lib.ipq_accept.argtypes = lib.ipq_drop.argtypes = [q, packet]
    lib.ipq_queue_wake.argtypes = lib.ipq_queue_close.argtypes = lib.ipq_queue_error.argtypes = [q]
    lib.ipq_queue_error.restype = c.c_char_p

    # Three packets of raw IPv4, in pcap with this machine's byte order.
    ip = bytes.fromhex('450000200000000040117ccb7f0000017f000001') + bytes.fromhex('1f901f90000c0000') + b'text'
    record = b''.join(n.to_bytes(4, sys.byteorder) for n in (1, 0, len(ip), len(ip))) + ip
    head = b''.join(n.to_bytes(size, sys.byteorder)
                    for n, size in ((0xa1b2c3d4, 4), (2, 2), (4, 2), (0, 4), (0, 4), (65535, 4), (101, 4)))
    with tempfile.NamedTemporaryFile() as capture:
        capture.write(head + 3 * record)
        capture.flush()
        words = c.create_string_buffer(320)
        options = Options(c.sizeof(Options), error=c.cast(words, c.c_char_p), error_size=len(words))
        q = c.c_void_p()
        assert lib.ipq_queue_open(c.byref(q), b'nowhere:', c.byref(options)) == -errno.EINVAL
        assert b'nowhere' in words.value, words.value
        assert lib.ipq_queue_open(c.byref(q), b'pcap:' + capture.name.encode(), c.byref(options)) == 0, words.value
        packets = (Packet * 64)()
        assert lib.ipq_queue_wake(q) == 0
        assert lib.ipq_queue_recv(q, packets, 64, -1) == -errno.ECANCELED
        assert lib.ipq_queue_recv(q, packets, 64, -1) == 3
        for i in range(3):
            p = packets[i]
            assert p.present & 1 << 7 and p.family == 2 and p.full_len == len(ip)
            assert c.string_at(p.payload, p.payload_len) == ip
            assert (lib.ipq_drop if i == 1 else lib.ipq_accept)(q, c.byref(p)) == 0
        assert lib.ipq_accept(q, c.byref(packets[0])) == -errno.ENOENT
        assert b'already decided' in lib.ipq_queue_error(q)
        assert lib.ipq_queue_recv(q, packets, 64, -1) == -errno.ENODATA
        stats = Stats(c.sizeof(Stats))
        assert lib.ipq_queue_stats(q, c.byref(stats)) == 0
        assert (stats.received, stats.accepted, stats.dropped) == (3, 2, 1)
        lib.ipq_queue_close(q)
    print(f'ok: {len(names)} calls are there, and Python decides by them')


if __name__ == '__main__':
    main(*sys.argv[1:])
