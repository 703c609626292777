#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers DNS questions for one name with Scapy: drops the question and sends the answer itself.

    iptables -A OUTPUT -p udp --dport 53 -j NFQUEUE --queue-num 0
    python3 scapy_dns.py NAME ADDRESS

For a test network only. Other questions pass.
"""
import socket
import sys

import ipq
from scapy.layers.dns import DNS, DNSRR
from scapy.layers.inet import IP, UDP

name, address = sys.argv[1].rstrip('.').encode() + b'.', sys.argv[2]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
with ipq.Queue(0) as queue:
    for packet in queue:
        ip = IP(bytes(packet.payload))
        question = ip[DNS].qd if DNS in ip else None
        if question is None or question.qname.lower() != name.lower() or question.qtype != 1:
            packet.accept()
            continue
        packet.drop()
        answer = (IP(src=ip.dst, dst=ip.src) / UDP(sport=ip[UDP].dport, dport=ip[UDP].sport) /
                  DNS(id=ip[DNS].id, qr=1, aa=1, qd=question, an=DNSRR(rrname=question.qname, rdata=address)))
        raw.sendto(bytes(answer), (ip.src, 0))
