#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes packets with Scapy and returns them: sets the TTL of everything that queue 0 gets to 42.

    iptables -A OUTPUT -p icmp -j NFQUEUE --queue-num 0
    python3 scapy_ttl.py [SOURCE]

SOURCE is a queue number or a name such as pcap:in.pcap,out.pcap.
"""
import sys

import ipq
from scapy.layers.inet import IP

source = sys.argv[1] if len(sys.argv) > 1 else '0'
with ipq.Queue(int(source) if source.isdigit() else source) as queue:
    for packet in queue:
        ip = IP(bytes(packet.payload))
        if ip.version != 4:
            packet.accept()
            continue
        ip.ttl = 42
        del ip.chksum  # Scapy computes it again
        packet.accept(payload=bytes(ip))
