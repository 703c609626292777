# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface of the NetfilterQueue package (1.1) on libipq. A program for that package changes one import:

    from ipq.netfilterqueue import NetfilterQueue

Packets are received in batches, and the verdicts of a batch are sent together. A callback that takes long can call
NetfilterQueue.flush(), which is an addition, to send them earlier. A verdict outside of a callback is sent at once.

There are further additions: any thread or signal handler may call unbind(), a child of fork may call run(), and packets
are not truncated to 4,096 bytes.
"""
import errno as _errno
import os as _os
import socket as _socket
import struct as _struct
import warnings as _warnings
from operator import index as _index
from operator import length_hint as _length_hint

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

_MAX = 0xffffffff
# Enough for max_len (1,024) packets of 1,500 bytes: the kernel charges 2,304 bytes for each.
_SOCK_LEN = 1024 * 4096


def _number(value, most, name):
    value = _index(value)
    if not 0 <= value <= most:
        raise OverflowError(f'{name} must be from 0 to {most}')
    return value


class Packet:
    """A packet, passed to the callback of NetfilterQueue.bind()."""

    __slots__ = ('_packet', '_in_callback', '_retained', '_payload', '_mark', '_decided', '__weakref__')

    def __init__(self, packet):
        self._packet = packet
        self._in_callback = True
        self._retained = False
        self._decided = False
        self._payload = None
        self._mark = None

    def __str__(self):
        payload = self._packet.payload if self._payload is None else self._payload
        if len(payload) < 20:
            return f'Packet, {len(payload)} bytes'
        number = payload[9] if payload[0] >> 4 == 4 else payload[6]
        return f'{PROTOCOLS.get(number, "Unknown protocol")} packet, {len(payload)} bytes'

    def _bytes(self):
        if not self._in_callback and not self._retained:
            raise RuntimeError('Payload data is no longer available. You must call retain() within the callback '
                               'in order to use it after the callback returns')
        if len(self._packet) == 0:
            raise RuntimeError('Packet has no payload: the mode of the queue is not COPY_PACKET')
        return self._packet.payload

    def _verdict(self, give, payload):
        if self._decided:
            raise RuntimeWarning('Verdict already given for this packet')
        if self._packet.queue.closed:
            raise RuntimeError('Parent queue has already been unbound')
        if self._mark is None and payload is None:
            give()
        else:
            give(mark=self._mark, payload=payload)
        self._decided = True

    def accept(self):
        """Accept the packet."""
        self._verdict(self._packet.accept, self._payload)

    def drop(self):
        """Drop the packet."""
        self._verdict(self._packet.drop, None)

    def repeat(self):
        """Send the packet through the same hook again."""
        self._verdict(self._packet.repeat, self._payload)

    def retain(self):
        """Keep the payload for use after the callback returns."""
        if not self._retained and len(self._packet) > 0:
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
        self._payload = bytes(memoryview(payload))

    def get_mark(self):
        """Return the mark of set_mark(), or else the mark with which the packet arrived."""
        return self._mark if self._mark is not None else self.mark

    def set_mark(self, mark):
        """Give the packet this mark in the verdict."""
        self._mark = _number(mark, _MAX, 'mark')

    def get_hw(self):
        """Return the link-layer source address, on Ethernet 6 bytes, or None."""
        return self._packet.hw_addr

    def get_timestamp(self):
        """Return the time of arrival in seconds since 1970; 0.0 in OUTPUT and POSTROUTING."""
        return self._packet.timestamp or 0.0

    id = property(lambda self: self._packet.id, doc='The number of the packet in its queue.')
    hook = property(lambda self: self._packet.hook, doc='The number of the netfilter hook.')
    hw_protocol = property(lambda self: self._packet.hw_protocol, doc='The EtherType.')
    mark = property(lambda self: self._packet.mark or 0, doc='The mark with which the packet arrived.')
    indev = property(lambda self: self._packet.indev or 0, doc='Index of the input interface, or 0.')
    outdev = property(lambda self: self._packet.outdev or 0, doc='Index of the output interface, or 0.')
    physindev = property(lambda self: self._packet.physindev or 0, doc='Index of the input bridge port, or 0.')
    physoutdev = property(lambda self: self._packet.physoutdev or 0, doc='Index of the output bridge port, or 0.')


def _remove(queue, number):
    """Removes a queue whose socket stays open, because another descriptor refers to it."""
    config, unbind = 3 << 8 | 2, 2  # NFNL_SUBSYS_QUEUE and NFQNL_MSG_CONFIG; NFQNL_CFG_CMD_UNBIND
    message = (_struct.pack('=IHHII', 28, config, 1, 0, 0) + _struct.pack('>BBH', 0, 0, number) +
               _struct.pack('=HH', 8, 1) + _struct.pack('>BBH', unbind, 0, 0))
    with _socket.socket(fileno=_os.dup(queue.fileno())) as s:
        s.send(message)


class NetfilterQueue:
    """A queue whose packets are passed to a callback."""

    COPY_NONE, COPY_META, COPY_PACKET = COPY_NONE, COPY_META, COPY_PACKET

    def __init__(self, *, af=_socket.AF_INET, sockfd=None):
        self.af = af
        self._sockfd = sockfd
        self._queue = None
        self._number = None
        self._callback = None
        self._pending = iter(())
        self._woken = False

    def bind(self, queue_num, user_callback=None, max_len=1024, mode=COPY_PACKET, range=65535, sock_len=_SOCK_LEN,
             *, callback=None):
        """Take over a queue of the kernel and call the callback for each of its packets.

        Pass the callback as the second argument, or by the name callback or user_callback.
        """
        user_callback = callback if user_callback is None else user_callback
        if not callable(user_callback):
            raise TypeError('the callback must be callable')
        if self._queue is not None:
            raise RuntimeError('A queue is already bound; call unbind() first')
        queue_num = _number(queue_num, 65535, 'queue_num')
        max_len, sock_len = _number(max_len, _MAX, 'max_len'), _number(sock_len, _MAX, 'sock_len')
        range = _number(range, _MAX, 'range')
        if mode not in (COPY_NONE, COPY_META, COPY_PACKET):
            raise ValueError('mode must be COPY_NONE, COPY_META or COPY_PACKET')
        source = f'nfqueue:{queue_num}' + ('' if self._sockfd is None else f',fd={self._sockfd}')
        try:
            self._queue = _Queue(source, meta_only=mode != COPY_PACKET, segment=True, timestamp=True, best_effort=True,
                                 copy_range=min(range, 65535), queue_length=max_len, receive_buffer=sock_len)
        except OSError as error:
            raise OSError(error.errno, f'Failed to create queue {queue_num}: {error.strerror}') from None
        self._number = queue_num
        self._callback = user_callback
        with _socket.socket(fileno=_os.dup(self._queue.fileno())) as s:
            size = s.getsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF)
        if size < sock_len:
            _warnings.warn(f'Socket rcvbuf limit is now {size}, requested {sock_len}.', RuntimeWarning, stacklevel=2)

    def unbind(self):
        """Remove the queue. The kernel drops the packets that have no verdict. A run() in another thread returns."""
        queue, self._queue = self._queue, None
        if queue is None:
            return
        self._pending = iter(())
        if self._sockfd is not None:
            queue.flush()
            _remove(queue, self._number)
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
        queue = self._queue
        if queue is not None and not queue.closed:
            queue.flush()

    def _handle(self):
        """Calls the callback for the packets received. After an exception the others stay for the next call."""
        callback, queue = self._callback, self._queue
        for raw in self._pending:
            if self._queue is not queue:
                break
            packet = Packet(raw)
            try:
                callback(packet)
            except BaseException:
                # The program waits for the descriptor: make it readable for the packets that are left.
                if self._queue is not None and _length_hint(self._pending) > 0:
                    self._woken = True
                    self._queue.wake()
                raise
            finally:
                packet._in_callback = False
                if not packet._decided:
                    raw._leave()

    def _receive(self, timeout):
        """Receives packets, unless packets of the last receive are left. Returns whether there are packets."""
        self._handle()
        queue = self._queue
        if queue is None:
            return False
        try:
            packets = queue.recv(timeout)
            if not packets and self._woken:
                self._woken = False
                packets = queue.recv(timeout)
        except ValueError:
            if self._queue is queue:
                raise
        # In the meantime another thread or a signal handler may have unbound the queue.
        if self._queue is not queue:
            return False
        self._pending = iter(packets)
        return bool(packets)

    def run(self, block=True):
        """Handle packets. If block is true, continue until unbind() is called; else handle only those that wait."""
        if self._queue is None:
            raise RuntimeError('No queue is bound')
        self._queue._inherit()
        timeout = None if block else 0
        try:
            while (self._receive(timeout) or block) and self._queue is not None:
                self._handle()
        finally:
            self.flush()

    def run_socket(self, s):
        """Handle packets until s.recv() times out or would block. s is a socket with the descriptor of get_fd()."""
        if self._queue is None:
            raise RuntimeError('No queue is bound')
        while self._queue is not None:
            try:
                s.recv(1, _socket.MSG_PEEK)
            except (BlockingIOError, TimeoutError):
                return
            except OSError as error:
                if error.errno != _errno.ENOBUFS:
                    raise
            self.run(block=False)
