#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# capture.py FILE PACKETS FAMILY...: writes a capture file of raw IP, with UDP packets of each family (4, 6) in turn
import struct
import sys


def packet(family, n):
    udp = struct.pack('>HHHH', 1000 + n % 1000, 7000, 8 + n % 97, 0) + bytes(n % 97)
    if family == '6':
        return struct.pack('>IHBB', 6 << 28, len(udp), 17, 64) + bytes(15) + b'\1' + bytes(15) + b'\1' + udp
    return struct.pack('>BBHHHBBH', 0x45, 0, 20 + len(udp), n % 65536, 0, 64, 17, 0) + bytes((127, 0, 0, 1)) * 2 + udp


with open(sys.argv[1], 'wb') as f:
    f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
    for n in range(int(sys.argv[2])):
        p = packet(sys.argv[3 + n % len(sys.argv[3:])], n)
        f.write(struct.pack('<IIII', 1000000 + n, n, len(p), len(p)) + p)
