# SPDX-License-Identifier: LGPL-2.1-or-later
"""Functions of the live tests: datagrams go to 127.0.0.1, port 7000 + N, and the kernel queues them to queue N."""
import socket
import struct

import ipq

HEADERS = 28  # bytes of the headers of IPv4 and UDP


class Receiver:
    """Sends datagrams to itself through a queue, and receives the accepted ones."""

    def __init__(self, queue=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(('127.0.0.1', 7000 + queue))
        self.port = 7000 + queue
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, *texts):
        for text in texts:
            self.sender.sendto(text, ('127.0.0.1', self.port))

    def received(self, wait=0.3):
        """Receives until no datagram arrives for `wait` seconds. Returns all datagrams."""
        self.socket.settimeout(wait)
        texts = []
        try:
            while True:
                texts.append(self.socket.recv(65536))
        except TimeoutError:
            return texts

    def close(self):
        self.socket.close()
        self.sender.close()


def udp(data, port=7000):
    """Builds a datagram to the receiver, with correct checksums."""
    address = bytes([127, 0, 0, 1])
    packet = bytearray(struct.pack('>BBHHHBBH4s4sHHHH', 0x45, 0, HEADERS + len(data), 0, 0, 64, 17, 0, address, address,
                                   4000, port, 8 + len(data), 0) + data)
    ipq.checksum_complete(packet)
    return bytes(packet)


def text(packet):
    """Returns the datagram inside a packet."""
    return bytes(packet.payload[HEADERS:])
