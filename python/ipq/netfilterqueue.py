# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface of the NetfilterQueue package (1.1) on libipq: a program changes one import.

    from ipq.netfilterqueue import NetfilterQueue

Packets are received in batches, and the verdicts of a batch are sent together. Call NetfilterQueue.flush(), which is
an addition, to send them before a callback that takes long ends.
"""
import errno as _errno
import os as _os
import socket as _socket
import warnings as _warnings

from . import Queue as _Queue

__all__ = ['COPY_META', 'COPY_NONE', 'COPY_PACKET', 'NetfilterQueue', 'PROTOCOLS', 'Packet', 'VERSION', '__version__']

COPY_NONE = 0
COPY_META = 1
COPY_PACKET = 2

VERSION = (1, 1, 0)
__version__ = '1.1.0'

# Assigned Internet protocol numbers.
PROTOCOLS = {
    0: 'HOPOPT', 1: 'ICMP', 2: 'IGMP', 3: 'GGP', 4: 'IP', 5: 'ST', 6: 'TCP', 8: 'EGP', 9: 'IGP', 12: 'PUP', 17: 'UDP',
    22: 'XNS-IDP', 27: 'RDP', 29: 'ISO-TP4', 33: 'DCCP', 36: 'XTP', 37: 'DDP', 38: 'IDPR-CMTP', 41: 'IPv6',
    43: 'IPv6-Route', 44: 'IPv6-Frag', 45: 'IDRP', 46: 'RSVP', 47: 'GRE', 50: 'ESP', 51: 'AH', 57: 'SKIP',
    58: 'IPv6-ICMP', 59: 'IPv6-NoNxt', 60: 'IPv6-Opts', 73: 'RSPF', 81: 'VMTP', 88: 'EIGRP', 89: 'OSPFIGP',
    93: 'AX.25', 94: 'IPIP', 97: 'ETHERIP', 98: 'ENCAP', 103: 'PIM', 108: 'IPCOMP', 112: 'VRRP', 115: 'L2TP',
    124: 'ISIS', 132: 'SCTP', 133: 'FC', 135: 'Mobility', 136: 'UDPLite', 137: 'MPLS-in-IP', 138: 'manet', 139: 'HIP',
    140: 'Shim6', 141: 'WESP', 142: 'ROHC',
}

_MAX_MARK = 0xffffffff
_SOCK_LEN = 1024 * 4096 // 4


class Packet:
    """A packet, passed to the callback of NetfilterQueue.bind()."""

    __slots__ = ('_packet', '_parent', '_in_callback', '_retained', '_payload', '_mark', '_decided', '__weakref__')

    def __init__(self, *args):
        if len(args) != 2:
            raise TypeError('a Packet cannot be created by a program')
        self._packet, self._parent = args
        self._in_callback = True
        self._retained = False
        self._decided = False
        self._payload = None
        self._mark = None

    def __str__(self):
        payload = self._bytes()
        if not payload:
            return f'Unknown packet, {self.get_payload_len()} bytes'
        number = payload[9] if payload[0] >> 4 == 4 else payload[6]
        return f'{PROTOCOLS.get(number, "Unknown protocol")} packet, {self.get_payload_len()} bytes'

    def _bytes(self):
        if not self._in_callback and not self._retained:
            raise RuntimeError('Payload data is no longer available. You must call retain() within the callback '
                               'in order to use it after the callback returns')
        return self._packet.payload

    def _verdict(self, give):
        if self._decided:
            raise RuntimeWarning('Verdict already given for this packet')
        if self._parent._queue is None:
            raise RuntimeError('Parent queue has already been unbound')
        if self._mark is None and self._payload is None:
            give()
        else:
            give(mark=self._mark, payload=self._payload)
        self._decided = True

    def accept(self):
        """Accept the packet."""
        self._verdict(self._packet.accept)

    def drop(self):
        """Drop the packet."""
        self._payload = None
        self._verdict(self._packet.drop)

    def repeat(self):
        """Send the packet through the same hook again."""
        self._verdict(self._packet.repeat)

    def retain(self):
        """Keep the payload for use after the callback returns."""
        if not self._retained:
            self._bytes()
            self._packet.keep()
            self._retained = True

    def get_payload(self):
        """Return the packet as bytes, from the IP header on."""
        return self._payload if self._payload is not None else bytes(self._bytes())

    def get_payload_len(self):
        """Return the length of the packet in bytes."""
        return len(self._payload if self._payload is not None else self._packet)

    def set_payload(self, payload):
        """Replace the packet by these bytes in the verdict."""
        self._payload = bytes(payload)

    def get_mark(self):
        """Return the packet's mark."""
        return self._mark if self._mark is not None else self._packet.mark or 0

    def set_mark(self, mark):
        """Give the packet this mark in the verdict."""
        mark = mark.__index__()
        if not 0 <= mark <= _MAX_MARK:
            raise OverflowError('mark must be from 0 to 0xffffffff')
        self._mark = mark

    mark = property(get_mark, set_mark, doc='The packet\'s mark.')

    def get_hw(self):
        """Return the link-layer source address as 8 bytes, padded with zeros, or None."""
        address = self._packet.hw_addr
        return None if address is None else address.ljust(8, b'\0')

    def get_timestamp(self):
        """Return the time of arrival in seconds since 1970; 0.0 when it is not known."""
        return self._packet.timestamp or 0.0

    id = property(lambda self: self._packet.id, doc='The number of the packet in its queue.')
    hook = property(lambda self: self._packet.hook, doc='The number of the netfilter hook.')
    hw_protocol = property(lambda self: self._packet.hw_protocol, doc='The EtherType.')
    indev = property(lambda self: self._packet.indev or 0, doc='Index of the input interface, or 0.')
    outdev = property(lambda self: self._packet.outdev or 0, doc='Index of the output interface, or 0.')
    physindev = property(lambda self: self._packet.physindev or 0, doc='Index of the input bridge port, or 0.')
    physoutdev = property(lambda self: self._packet.physoutdev or 0, doc='Index of the output bridge port, or 0.')


class NetfilterQueue:
    """A queue whose packets are passed to a callback."""

    def __init__(self, *, af=_socket.AF_INET, sockfd=None):
        if sockfd:
            raise NotImplementedError('libipq opens the socket itself: leave out sockfd')
        self.af = af
        self._queue = None
        self._callback = None
        self._pending = iter(())

    def bind(self, queue_num, user_callback, max_len=1024, mode=COPY_PACKET, range=65535, sock_len=_SOCK_LEN):
        """Take over a queue of the kernel and call user_callback for each of its packets."""
        if self._queue is not None:
            raise RuntimeError('A queue is already bound; call unbind() first')
        if not 0 <= queue_num <= 65535:
            raise OverflowError('queue_num must be from 0 to 65535')
        if mode not in (COPY_NONE, COPY_META, COPY_PACKET):
            raise ValueError('mode must be COPY_NONE, COPY_META or COPY_PACKET')
        try:
            self._queue = _Queue(queue_num, meta_only=mode != COPY_PACKET, segment=True, best_effort=True,
                                 copy_range=min(range, 65535), queue_length=max_len, receive_buffer=sock_len)
        except OSError as error:
            raise OSError(error.errno, f'Failed to create queue {queue_num}: {error.strerror}') from error
        self._callback = user_callback
        with _socket.socket(fileno=_os.dup(self._queue.fileno())) as s:
            size = s.getsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF)
        if size < sock_len:
            _warnings.warn(f'Socket rcvbuf limit is now {size}, requested {sock_len}.', RuntimeWarning, stacklevel=2)

    def unbind(self):
        """Close the queue. The kernel drops the packets that have no verdict."""
        queue, self._queue = self._queue, None
        self._pending = iter(())
        if queue is not None:
            queue.close()

    def __del__(self):
        if getattr(self, '_queue', None) is not None:
            self.unbind()

    def get_fd(self):
        """Return the descriptor of the queue's socket."""
        if self._queue is None:
            raise RuntimeError('No queue is bound')
        return self._queue.fileno()

    def flush(self):
        """Send pending verdicts now (an addition to the interface)."""
        if self._queue is not None:
            self._queue.flush()

    def _handle(self):
        """Calls the callback for the packets received. After an exception the others stay for the next call."""
        callback = self._callback
        for raw in self._pending:
            packet = Packet(raw, self)
            try:
                callback(packet)
            finally:
                packet._in_callback = False
                if not packet._decided:
                    raw._leave()

    def _receive(self, timeout):
        """Receives unless packets of the last receive are left. Whether there is one."""
        self._handle()
        if self._queue is None:
            return False
        packets = self._queue.recv(timeout)
        self._pending = iter(packets)
        return bool(packets)

    def run(self, block=True):
        """Handle packets: until unbind() is called if block is true, else those that wait."""
        if self._queue is None:
            raise RuntimeError('No queue is bound')
        timeout = None if block else 0
        while (self._receive(timeout) or block) and self._queue is not None:
            self._handle()
        self.flush()

    def run_socket(self, s):
        """Handle packets, waiting with s.recv(), until it times out or would block. s shares get_fd()."""
        while self._queue is not None:
            try:
                s.recv(1, _socket.MSG_PEEK)
            except (BlockingIOError, TimeoutError):
                return
            except OSError as error:
                if error.errno != _errno.ENOBUFS:
                    raise
            while self._receive(0):
                self._handle()
            self.flush()
