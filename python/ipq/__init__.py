# SPDX-License-Identifier: LGPL-2.1-or-later
"""User-space packet queueing: decide about packets that a firewall rule queues.

    import ipq

    with ipq.Queue(0) as queue:
        for packet in queue:
            packet.accept()

The rule that feeds it: iptables -A INPUT -p icmp -j NFQUEUE --queue-num 0. Queue("pcap:in.pcap,out.pcap") reads a
capture file instead and needs no privilege.

A Queue belongs to one thread at a time, but any thread may decide its packets and call Queue.wake(). Waiting releases
the GIL. Ctrl-C ends the wait. Verdicts are sent together when the last packet of a batch is decided. They are sent
earlier if a verdict has waited for a millisecond when the program asks for the next packet or decides it. Queue.flush()
sends them at once.

Errors are raised as OSError with a text of cause and remedy: PermissionError without CAP_NET_ADMIN, and errno EBUSY if
another program owns the queue.
"""
import asyncio
import threading

from ._ipq import (ACCEPT, CHECKSUM_NETWORK_WRONG, CHECKSUM_TRANSPORT_WRONG, DROP, QUEUE, REPEAT, STOP, Conntrack, Edit,
                   FlowStats, Packet, Stats, Tuple, checksum_complete, checksum_verify)
from ._ipq import Queue as _Queue

__all__ = ['ACCEPT', 'CHECKSUM_NETWORK_WRONG', 'CHECKSUM_TRANSPORT_WRONG', 'DROP', 'QUEUE', 'REPEAT', 'STOP',
           'Conntrack', 'Edit', 'FlowStats', 'Group', 'Packet', 'Queue', 'Stats', 'Tuple', 'checksum_complete',
           'checksum_verify']


class Queue(_Queue):
    """Queue(source="nfqueue:0", *, meta_only=False, fail_open=False, segment=False, conntrack=False, owner=False,
    security_context=False, timestamp=False, best_effort=False, copy_range=0, queue_length=0, receive_buffer=0,
    spin_usec=0, batch=64, flows=False, flow_mask=0, flow_mark=0, flow_max=0)

    source is a queue number, or a name: "nfqueue:N", "nflog:N", "pcap:IN[,OUT]". The options are those of
    ipq_queue_open(3). batch is the maximum number of packets that one receive returns.
    """

    __slots__ = ('_waiting', '__weakref__')

    def __aiter__(self):
        return self._packets()

    async def _packets(self):
        while packets := await self._receive():
            for packet in packets:
                yield packet
            if self.closed:
                break
            self.flush()

    async def _receive(self):
        try:
            return await self.recv_async()
        except EOFError:
            return []

    async def recv_async(self):
        """Wait for packets in an asyncio event loop and return them as a list.

        The list is empty after wake() and close(). One task at a time may wait.
        """
        fd = self.fileno()
        while not self.closed:
            woken = self._woken
            packets = self.recv(0)
            if packets or woken:
                return packets
            if fd < 0:
                await asyncio.sleep(0)
                continue
            self.flush()
            await self._readable(fd)
        return []

    async def _readable(self, fd):
        """Wait until the descriptor is readable or the queue is closed."""
        if getattr(self, '_waiting', None) is not None:
            raise RuntimeError('another task waits for packets of this queue')
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        self._waiting = loop, fd, ready
        loop.add_reader(fd, self._end_waiting)
        try:
            await ready
        finally:
            self._end_waiting()

    def _end_waiting(self):
        waiting, self._waiting = getattr(self, '_waiting', None), None
        if waiting is not None:
            loop, fd, ready = waiting
            loop.remove_reader(fd)
            if not ready.done():
                ready.set_result(None)

    def close(self):
        """Send pending verdicts and close the queue. The kernel drops the packets that still wait.

        Another thread, another task and a signal handler may call it, too: then a blocked recv() returns an empty list,
        and an iteration ends.
        """
        waiting = getattr(self, '_waiting', None)
        if waiting is not None and asyncio._get_running_loop() is waiting[0]:
            self._end_waiting()
        try:
            super().close()
        finally:
            if waiting is not None and not waiting[0].is_closed():
                waiting[0].call_soon_threadsafe(self._end_waiting)


class Group:
    """Several queues with consecutive numbers and a thread for each, for rules with --queue-balance.

    handler(queue, packets) decides a list of packets; it runs in the queue's thread. The options are those of Queue.
    Use the group as a context manager, or call start() and stop().
    """

    def __init__(self, first, count, handler, **options):
        if count < 1:
            raise ValueError('count must be at least 1')
        self._handler = handler
        self._stopping = False
        self._error = None
        self._threads = []
        self.queues = []
        try:
            for number in range(first, first + count):
                self.queues.append(Queue(number, **options))
        except BaseException:
            self._close()
            raise

    def _close(self):
        for queue in self.queues:
            queue.close()

    def _run(self, queue):
        try:
            while not self._stopping:
                packets = queue.recv()
                if packets:
                    self._handler(queue, packets)
                    queue.flush()
        except BaseException as error:  # pylint: disable=broad-except
            if self._error is None:
                self._error = error
            self._stopping = True
            for other in self.queues:
                other.wake()

    def start(self):
        """Start the threads."""
        if self._threads:
            raise RuntimeError('the group runs already')
        for queue in self.queues:
            thread = threading.Thread(target=self._run, args=(queue,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self):
        """End the threads and close the queues. Raises the exception that ended a handler.

        A handler may also call it: then the threads end, and wait() closes the queues and returns.
        """
        self._stopping = True
        for queue in self.queues:
            queue.wake()
        if threading.current_thread() not in self._threads:
            self.wait()

    def wait(self):
        """Wait until the group ends, because of stop() in another thread or because of an exception."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.5)
        self._threads = []
        self._close()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()
