#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ten decisions of bench/filter.c in Python, on libnetfilter_queue by ctypes: Debian 12 has no package
of a Python binding. One packet per callback and one verdict per packet, as in the bindings."""
import ctypes
import os
import socket
from ctypes import CFUNCTYPE, POINTER, byref, c_char, c_int, c_uint32, c_void_p

SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 32 << 20
DROP, ACCEPT = 0, 1

lib = ctypes.CDLL('libnetfilter_queue.so.1', use_errno=True)
CALLBACK = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_void_p)
for name, result, arguments in (
        ('nfq_open', c_void_p, []),
        ('nfq_create_queue', c_void_p, [c_void_p, ctypes.c_uint16, CALLBACK, c_void_p]),
        ('nfq_set_mode', c_int, [c_void_p, ctypes.c_uint8, c_uint32]),
        ('nfq_set_queue_maxlen', c_int, [c_void_p, c_uint32]),
        ('nfq_fd', c_int, [c_void_p]),
        ('nfq_handle_packet', c_int, [c_void_p, c_void_p, c_int]),
        ('nfq_get_msg_packet_hdr', c_void_p, [c_void_p]),
        ('nfq_get_payload', c_int, [c_void_p, POINTER(c_void_p)]),
        ('nfq_set_verdict', c_int, [c_void_p, c_uint32, c_uint32, c_uint32, c_void_p]),
        ('nfq_set_verdict2', c_int, [c_void_p, c_uint32, c_uint32, c_uint32, c_uint32, c_void_p])):
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments


def decide(p):
    """Returns (verdict, mark) for the bytes of an IPv4 packet. The benchmark sends only IPv4."""
    protocol = p[9]
    source = p[12:16]
    tcp = udp = False
    source_port = destination_port = 0
    if (p[6] & 0x1f | p[7]) == 0 and protocol in (6, 17):
        at = (p[0] & 15) * 4
        source_port = p[at] << 8 | p[at + 1]
        destination_port = p[at + 2] << 8 | p[at + 3]
        tcp, udp = protocol == 6, protocol == 17
    if tcp and destination_port == 23:
        return DROP, None
    if udp and destination_port == 9010:
        return DROP, None
    if protocol == 1:
        return DROP, None
    if source[:3] == b'\xc0\x00\x02':
        return DROP, None
    if tcp and destination_port == 25 and source[0] != 10:
        return DROP, None
    if udp and source_port == 53 and len(p) >= 1000:
        return DROP, None
    if tcp and destination_port == 8080 and p[at + 13] & 2:
        return DROP, None
    if udp and destination_port == 9011:
        return ACCEPT, 7
    if p[16:20] == b'\xcb\x00\x71\x09':
        return DROP, None
    return ACCEPT, None


payload = c_void_p()


@CALLBACK
def handle(queue, _message, packet, _data):
    header = lib.nfq_get_msg_packet_hdr(packet)
    number = int.from_bytes(ctypes.string_at(header, 4), 'big')
    length = lib.nfq_get_payload(packet, byref(payload))
    verdict, mark = decide(ctypes.string_at(payload, length))
    if mark is None:
        return lib.nfq_set_verdict(queue, number, verdict, 0, None)
    return lib.nfq_set_verdict2(queue, number, verdict, mark, 0, None)


def main():
    h = lib.nfq_open()
    queue = lib.nfq_create_queue(h, 0, handle, None) if h else None
    if not queue:
        raise SystemExit(f'consume_filter.py: {os.strerror(ctypes.get_errno())}')
    lib.nfq_set_queue_maxlen(queue, 8192)
    lib.nfq_set_mode(queue, 2, 0xffff)
    s = socket.socket(fileno=lib.nfq_fd(h))
    try:
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    buffer = bytearray(65536 + 4096)
    address = (c_char * len(buffer)).from_buffer(buffer)
    while True:
        n = s.recv_into(buffer)
        lib.nfq_handle_packet(h, address, n)


main()
