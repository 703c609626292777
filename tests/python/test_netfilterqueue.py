# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface of the NetfilterQueue package."""
import asyncio
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings
import weakref

import ipq.netfilterqueue
from ipq.netfilterqueue import COPY_META, COPY_NONE, COPY_PACKET, NetfilterQueue
from support import HEADERS, Receiver, udp

# A program in another network namespace. It passes a netlink socket to the test, then sends datagrams to itself until
# the test ends it.
OTHER_NAMESPACE = """
import os, socket, sys
sys.path[:0] = os.environ['PYTHONPATH'].split(':')
from support import Receiver
channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
channel.connect(sys.argv[1])
queues = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
socket.send_fds(channel, [b'fd'], [queues.fileno()])
queues.close()
receiver = Receiver()
while command := channel.recv(1):
    if command == b's':
        receiver.send(b'one', b'two')
        channel.send(b'k')
    else:
        channel.send(b'%d' % len(receiver.received()))
"""


class Interface(unittest.TestCase):
    def setUp(self):
        self.receiver = Receiver()
        self.queue = NetfilterQueue()
        self.packets = []
        self.addCleanup(self.receiver.close)
        self.addCleanup(self.queue.unbind)

    def bind(self, callback, number=0, **settings):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)
            self.queue.bind(number, callback, **settings)

    def accept(self, packet):
        self.packets.append(packet.get_payload()[HEADERS:])
        packet.accept()

    def accept_and_keep(self, packet):
        self.packets.append(packet)
        packet.accept()

    def keep(self, packet):
        packet.retain()
        self.packets.append(packet)

    def test_run_without_blocking_handles_what_waits(self):
        self.bind(self.accept)
        self.receiver.send(b'one', b'two')
        self.queue.run(block=False)
        self.assertEqual(self.packets, [b'one', b'two'])
        self.assertEqual(self.receiver.received(), [b'one', b'two'])

    def test_run_ends_when_the_callback_raises_and_goes_on_later(self):
        def callback(packet):
            self.accept(packet)
            if len(self.packets) == 1:
                raise ValueError('callback')

        self.bind(callback)
        self.receiver.send(b'one', b'two')
        with self.assertRaisesRegex(ValueError, 'callback'):
            self.queue.run()
        self.queue.run(block=False)
        self.assertEqual(self.packets, [b'one', b'two'])

    def test_callback_may_unbind(self):
        def callback(packet):
            self.accept(packet)
            self.queue.unbind()

        self.bind(callback)
        self.receiver.send(b'one', b'two')
        self.queue.run()
        self.assertEqual(self.packets, [b'one'])
        self.assertEqual(self.receiver.received(), [b'one'])

    def test_run_socket_ends_after_the_timeout(self):
        self.bind(self.accept)
        self.receiver.send(b'one')
        with socket.socket(fileno=os.dup(self.queue.get_fd())) as s:
            s.settimeout(0.3)
            self.queue.run_socket(s)
        self.assertEqual(self.packets, [b'one'])

    def test_descriptor_is_readable_when_a_packet_waits(self):
        self.bind(self.accept)
        self.assertEqual(select.select([self.queue.get_fd()], [], [], 0)[0], [])
        self.receiver.send(b'one')
        self.assertEqual(select.select([self.queue.get_fd()], [], [], 2)[0], [self.queue.get_fd()])

    def test_payload_is_replaced(self):
        def callback(packet):
            packet.set_payload(packet.get_payload()[:HEADERS - 2] + b'\0\0' + b'TWO')
            self.assertEqual(packet.get_payload_len(), HEADERS + 3)
            packet.accept()

        self.bind(callback)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.assertEqual(self.receiver.received(), [b'TWO'])

    def test_repeated_packet_comes_again_with_its_mark(self):
        marks = []

        def callback(packet):
            marks.append(packet.get_mark())
            if len(marks) == 3:
                packet.accept()
            else:
                packet.set_mark(len(marks))
                packet.repeat()

        self.bind(callback)
        self.receiver.send(b'one')
        for _ in range(3):
            self.queue.run(block=False)
        self.assertEqual(marks, [0, 1, 2])
        self.assertEqual(self.receiver.received(), [b'one'])

    def test_payload_after_the_callback_needs_retain(self):
        kept = []

        def callback(packet):
            kept.append(packet)
            if len(kept) == 2:
                packet.retain()

        self.bind(callback)
        self.receiver.send(b'one', b'two')
        self.queue.run(block=False)
        with self.assertRaisesRegex(RuntimeError, 'no longer available'):
            kept[0].get_payload()
        self.assertEqual(kept[1].get_payload()[HEADERS:], b'two')
        kept[1].accept()
        kept[0].accept()
        self.queue.flush()
        self.assertEqual(sorted(self.receiver.received()), [b'one', b'two'])

    def test_undecided_packets_fill_the_queue(self):
        self.bind(lambda packet: self.packets.append(1), max_len=2)
        self.receiver.send(b'1', b'2', b'3', b'4')
        self.queue.run(block=False)
        self.queue.run(block=False)
        self.assertEqual(len(self.packets), 2)

    def test_verdict_twice_and_after_unbind_is_refused(self):
        kept = []

        def callback(packet):
            kept.append(packet)
            if len(kept) == 1:
                packet.accept()

        self.bind(callback)
        self.receiver.send(b'one', b'two')
        self.queue.run(block=False)
        with self.assertRaises(RuntimeWarning):
            kept[0].accept()
        self.queue.unbind()
        with self.assertRaisesRegex(RuntimeError, 'unbound'):
            kept[1].accept()

    def test_bind_refuses_wrong_values_and_a_later_bind_works(self):
        for name, value, error in [('queue_num', -1, OverflowError), ('queue_num', 65536, OverflowError),
                                   ('queue_num', '0', TypeError), ('queue_num', 0.0, TypeError), ('mode', 3, ValueError),
                                   *((name, value, error) for name in ('max_len', 'range', 'sock_len') for value, error in
                                     [(-1, OverflowError), (1 << 32, OverflowError), ('9', TypeError), (1.5, TypeError)])]:
            with self.subTest(name=name, value=value), self.assertRaisesRegex(error, name if error != TypeError else ''):
                self.queue.bind(**{'queue_num': 0, 'user_callback': self.accept, name: value})
        self.bind(self.accept)

    def test_second_bind_is_refused(self):
        self.bind(self.accept)
        with self.assertRaisesRegex(RuntimeError, 'already bound'):
            self.queue.bind(1, self.accept)
        other = NetfilterQueue()
        with self.assertRaisesRegex(OSError, 'Failed to create queue'):
            other.bind(0, self.accept)

    def test_deleted_object_releases_the_queue(self):
        queue = NetfilterQueue()
        queue.bind(3, self.accept)
        del queue
        NetfilterQueue().bind(3, self.accept)

    def test_attributes(self):
        def callback(packet):
            self.packets.append((packet.hook, packet.hw_protocol, packet.mark, packet.indev, packet.get_hw(), str(packet),
                                 packet.outdev == socket.if_nametoindex('lo'), packet.id > 0))
            packet.accept()

        self.bind(callback)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.assertEqual(self.packets, [(3, 0x800, 0, 0, None, 'UDP packet, 31 bytes', True, True)])

    def test_attributes_of_an_incoming_packet(self):
        receiver = Receiver(4)
        self.addCleanup(receiver.close)
        lo = socket.if_nametoindex('lo')
        self.bind(self.accept_and_keep, 4)
        receiver.send(b'one')
        now = time.time()
        self.queue.run(block=False)
        packet, = self.packets
        self.assertEqual((packet.hook, packet.hw_protocol, packet.indev, packet.outdev, packet.physindev,
                          packet.physoutdev, packet.get_hw()), (1, 0x800, lo, 0, 0, 0, bytes(6)))
        self.assertAlmostEqual(packet.get_timestamp(), now, delta=5)
        self.assertIsInstance(packet.get_timestamp(), float)

    def test_outgoing_packet_has_no_timestamp(self):
        self.bind(self.accept_and_keep)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.assertEqual(self.packets[0].get_timestamp(), 0.0)

    def test_ids_count_from_1(self):
        self.bind(self.accept_and_keep)
        self.receiver.send(b'one', b'two', b'three')
        self.queue.run(block=False)
        self.assertEqual([packet.id for packet in self.packets], [1, 2, 3])

    def test_text_of_a_packet_is_the_same_after_the_callback(self):
        self.bind(self.accept_and_keep)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.assertEqual(str(self.packets[0]), 'UDP packet, 31 bytes')

    def test_packets_without_payload_are_accepted_but_have_no_bytes(self):
        texts = []

        def callback(packet):
            with self.assertRaisesRegex(RuntimeError, 'payload'):
                packet.get_payload()
            packet.retain()
            texts.append(str(packet))
            self.accept_and_keep(packet)

        for mode in COPY_META, COPY_NONE:
            self.bind(callback, mode=mode)
            self.receiver.send(b'one')
            self.queue.run(block=False)
            self.queue.unbind()
        self.assertEqual([packet.get_payload_len() for packet in self.packets], [0, 0])
        self.assertEqual([packet.hook for packet in self.packets], [3, 3])
        self.assertEqual(texts, ['Packet, 0 bytes'] * 2)
        self.assertEqual(self.receiver.received(), [b'one'] * 2)

    def test_range_limits_the_payload_and_the_packet_passes_whole(self):
        def callback(packet):
            self.packets.append((packet.get_payload_len(), len(packet.get_payload())))
            packet.accept()

        self.bind(callback, range=20)
        self.receiver.send(b'x' * 1000)
        self.queue.run(block=False)
        self.assertEqual(self.packets, [(20, 20)])
        self.assertEqual(self.receiver.received(), [b'x' * 1000])

    def test_constants_are_also_in_the_class(self):
        self.assertEqual((NetfilterQueue.COPY_NONE, NetfilterQueue.COPY_META, NetfilterQueue.COPY_PACKET),
                         (COPY_NONE, COPY_META, COPY_PACKET))

    def test_large_packets_are_not_cut(self):
        self.bind(self.accept)
        self.receiver.send(b'x' * 60000)
        self.queue.run(block=False)
        self.assertEqual(self.packets, [b'x' * 60000])

    def test_large_receive_buffer_warns_when_it_is_not_given(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            self.queue.bind(0, self.accept, sock_len=1 << 30)
            size = socket.socket(fileno=os.dup(self.queue.get_fd())).getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.assertEqual(len([w for w in caught if 'rcvbuf limit' in str(w.message)]), size < 1 << 30)

    def test_callback_may_be_given_by_name(self):
        for name in 'callback', 'user_callback':
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', RuntimeWarning)
                self.queue.bind(queue_num=0, **{name: self.accept})
            self.receiver.send(b'one')
            self.queue.run(block=False)
            self.queue.unbind()
        self.assertEqual(self.packets, [b'one'] * 2)
        with self.assertRaises(TypeError):
            self.queue.bind(0)

    def test_new_payload_may_be_longer_and_is_returned_afterwards(self):
        new = udp(b'x' * 1200)

        def callback(packet):
            packet.set_payload(new)
            self.assertEqual(packet.get_payload(), new)
            self.accept_and_keep(packet)

        self.bind(callback)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.assertEqual(self.packets[0].get_payload(), new)
        self.assertEqual(self.receiver.received(), [b'x' * 1200])

    def test_new_payload_must_be_bytes(self):
        def callback(packet):
            for wrong in 'text', 3, None:
                with self.assertRaises(TypeError):
                    packet.set_payload(wrong)
            self.accept(packet)

        self.bind(callback)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.assertEqual(self.receiver.received(), [b'one'])

    def test_repeated_packet_keeps_new_payload_and_mark(self):
        def callback(packet):
            self.packets.append((packet.get_payload()[HEADERS:], packet.mark))
            if packet.mark == 7:
                packet.accept()
                return
            packet.set_payload(udp(b'changed'))
            packet.set_mark(7)
            self.assertEqual((packet.mark, packet.get_mark()), (0, 7))
            packet.repeat()

        self.bind(callback)
        self.receiver.send(b'one')
        for _ in range(2):
            self.queue.run(block=False)
        self.assertEqual(self.packets, [(b'one', 0), (b'changed', 7)])
        self.assertEqual(self.receiver.received(), [b'changed'])

    def test_mark_must_have_32_bits(self):
        def callback(packet):
            packet.set_mark(0xffffffff)
            for wrong, error in ((-1, OverflowError), (1 << 32, OverflowError), ('7', TypeError), (1.5, TypeError)):
                with self.assertRaises(error):
                    packet.set_mark(wrong)
            with self.assertRaises(AttributeError):
                packet.mark = 3
            self.assertEqual(packet.get_mark(), 0xffffffff)
            self.accept_and_keep(packet)

        self.bind(callback)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.assertEqual((self.packets[0].get_mark(), self.packets[0].mark), (0xffffffff, 0))

    def test_kept_packets_are_reordered(self):
        self.bind(self.keep)
        self.receiver.send(*(b'%d' % i for i in range(5)))
        self.queue.run(block=False)
        for packet in reversed(self.packets):
            packet.accept()
        self.assertEqual(self.receiver.received(), [b'%d' % i for i in reversed(range(5))])

    def test_verdict_after_the_callback_is_sent_at_once(self):
        self.bind(self.keep)
        self.receiver.send(b'1', b'2', b'3', b'4')
        self.queue.run(block=False)
        for packet in self.packets[:3]:
            packet.accept()
        self.assertEqual(self.receiver.received(), [b'1', b'2', b'3'])

    def test_verdict_of_another_thread_is_sent_while_run_waits(self):
        self.bind(self.keep)
        thread = threading.Thread(target=self.queue.run)
        thread.start()
        self.receiver.send(b'one')
        while not self.packets:
            time.sleep(0.01)
        self.packets[0].accept()
        self.assertEqual(self.receiver.received(2), [b'one'])
        self.queue.unbind()
        thread.join(10)
        self.assertFalse(thread.is_alive())

    def test_verdicts_before_an_exception_are_sent(self):
        def callback(packet):
            self.accept(packet)
            if len(self.packets) == 2:
                raise ValueError('callback')

        self.bind(callback)
        self.receiver.send(b'1', b'2', b'3', b'4')
        with self.assertRaises(ValueError):
            self.queue.run()
        self.assertEqual(self.receiver.received(), [b'1', b'2'])

    def test_other_packets_are_announced_after_an_exception(self):
        def callback(packet):
            self.accept(packet)
            raise ValueError('callback')

        self.bind(callback)
        self.receiver.send(*(b'%d' % i for i in range(100)))
        raised = 0
        while select.select([self.queue.get_fd()], [], [], 0.3)[0]:
            try:
                self.queue.run(block=False)
            except ValueError:
                raised += 1
        self.assertEqual(raised, 100)
        self.assertEqual(self.packets, [b'%d' % i for i in range(100)])

    def test_run_after_an_exception_handles_all_that_wait(self):
        def callback(packet):
            self.accept(packet)
            if len(self.packets) == 1:
                raise ValueError('callback')

        self.bind(callback)
        self.receiver.send(*(b'%d' % i for i in range(200)))
        with self.assertRaises(ValueError):
            self.queue.run()
        self.queue.run(block=False)
        self.assertEqual(len(self.packets), 200)

    def test_asyncio_program_polls_the_descriptor(self):
        async def main():
            loop = asyncio.get_running_loop()
            loop.add_reader(self.queue.get_fd(), self.queue.run, False)
            for i in range(20):
                self.receiver.send(b'%d' % i)
                await asyncio.sleep(0.005)
            while len(self.packets) < 20:
                await asyncio.sleep(0.01)
            loop.remove_reader(self.queue.get_fd())

        self.bind(self.accept)
        asyncio.run(asyncio.wait_for(main(), 20))
        self.assertEqual(self.receiver.received(), [b'%d' % i for i in range(20)])

    def test_run_socket_ends_when_it_would_block(self):
        self.bind(self.accept)
        self.receiver.send(b'one')
        s = socket.fromfd(self.queue.get_fd(), socket.AF_NETLINK, socket.SOCK_RAW)
        with s:
            s.setblocking(False)
            self.queue.run_socket(s)
        self.assertEqual(self.packets, [b'one'])
        self.assertEqual(self.receiver.received(), [b'one'])

    def test_exception_of_the_callback_ends_run_socket(self):
        def callback(packet):
            self.accept(packet)
            raise ValueError('callback')

        self.bind(callback)
        self.receiver.send(b'one')
        with socket.socket(fileno=os.dup(self.queue.get_fd())) as s, self.assertRaisesRegex(ValueError, 'callback'):
            self.queue.run_socket(s)

    def test_unbind_twice_and_bind_again(self):
        for number in 2, 1:
            other = Receiver(number)
            self.bind(self.accept, number)
            other.send(b'%d' % number)
            self.queue.run(block=False)
            self.queue.unbind()
            self.queue.unbind()
            other.close()
        self.assertEqual(self.packets, [b'2', b'1'])

    def test_unbound_queue_drops_and_calls_no_callback(self):
        self.bind(self.accept)
        self.receiver.send(b'one')
        self.queue.unbind()
        self.receiver.send(b'two')
        self.assertEqual(self.packets, [])
        self.assertEqual(self.receiver.received(), [])
        for call in self.queue.get_fd, self.queue.run:
            with self.assertRaises(RuntimeError):
                call()

    def test_packet_of_an_earlier_binding_is_refused(self):
        self.bind(self.keep)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.queue.unbind()
        self.bind(self.keep)
        with self.assertRaisesRegex(RuntimeError, 'unbound'):
            self.packets[0].accept()

    def test_packet_does_not_keep_the_queue(self):
        queue = NetfilterQueue()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)
            queue.bind(0, self.keep)
        self.receiver.send(b'one')
        queue.run(block=False)
        gone = weakref.ref(queue)
        del queue
        gc.collect()
        self.assertIsNone(gone())
        with self.assertRaisesRegex(RuntimeError, 'unbound'):
            self.packets[0].accept()
        self.assertEqual(self.packets[0].get_payload()[HEADERS:], b'one')

    def test_program_object_with_queue_and_callback_is_collected(self):
        class Program:
            def __init__(self):
                self.queue = NetfilterQueue()
                with warnings.catch_warnings():
                    warnings.simplefilter('ignore', RuntimeWarning)
                    self.queue.bind(0, self.callback)

            def callback(self, packet):
                packet.accept()

        gone = weakref.ref(Program())
        gc.collect()
        self.assertIsNone(gone())
        self.bind(self.accept)

    def test_packet_is_deleted_without_a_verdict_and_stays_queued(self):
        self.bind(lambda packet: None)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.assertEqual(self.receiver.received(), [])

    def test_unbind_in_another_thread_ends_run(self):
        self.bind(self.accept)
        thread = threading.Thread(target=self.queue.run)
        thread.start()
        self.receiver.send(b'one')
        self.assertEqual(self.receiver.received(1), [b'one'])
        self.queue.unbind()
        thread.join(10)
        self.assertFalse(thread.is_alive())
        self.bind(self.accept)

    def test_two_queues_in_two_threads(self):
        queues, receivers, threads = [], [self.receiver, Receiver(1)], []
        for number, receiver in enumerate(receivers):
            queue = NetfilterQueue()
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', RuntimeWarning)
                queue.bind(number, lambda packet: packet.accept())
            queues.append(queue)
            threads.append(threading.Thread(target=queue.run))
            threads[-1].start()
        for receiver in receivers:
            receiver.send(*(b'%d' % i for i in range(300)))
        self.assertEqual([len(receiver.received(1)) for receiver in receivers], [300, 300])
        for queue in queues:
            queue.unbind()
        for thread in threads:
            thread.join(10)
            self.assertFalse(thread.is_alive())
        receivers[1].close()

    def test_signal_handler_unbinds(self):
        self.bind(self.accept)
        before = signal.signal(signal.SIGUSR1, lambda *_: self.queue.unbind())
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        self.queue.run()
        timer.join()

    def test_signal_handler_that_returns_does_not_end_run(self):
        calls = []

        def handler(*_):
            calls.append(1)
            if len(calls) == 2:
                raise InterruptedError('enough')

        self.bind(self.accept)
        before = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        with self.assertRaisesRegex(InterruptedError, 'enough'):
            self.queue.run()
        self.assertEqual(len(calls), 2)

    def test_ctrl_c_ends_run_and_unbind_works(self):
        self.bind(self.accept)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with self.assertRaises(KeyboardInterrupt):
            self.queue.run()
        timer.join()
        self.queue.unbind()

    def test_child_of_fork_goes_on(self):
        self.bind(self.accept)
        pid = os.fork()
        if pid == 0:
            try:
                self.queue.run()
            finally:
                os._exit(1)
        self.receiver.send(b'one')
        self.assertEqual(self.receiver.received(3), [b'one'])
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(os.waitpid(pid, 0)[1], signal.SIGTERM)
        self.receiver.send(b'two')
        self.queue.run(block=False)
        self.assertEqual(self.packets, [b'two'])

    def test_socket_of_another_namespace(self):
        with tempfile.TemporaryDirectory() as work:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.addCleanup(listener.close)
            listener.bind(work + '/socket')
            listener.listen()
            script = ('ip link set lo up && $iptables -w -A OUTPUT -p udp --dport 7000 -j NFQUEUE --queue-num 0 && '
                      'exec "$0" "$@"')
            child = subprocess.Popen(['unshare', '-n', 'sh', '-c', script, sys.executable, '-c', OTHER_NAMESPACE,
                                      work + '/socket'])
            self.addCleanup(child.wait)
            listener.settimeout(20)
            channel = listener.accept()[0]
        self.addCleanup(channel.close)
        fd, = socket.recv_fds(channel, 2, 1)[1]
        self.addCleanup(os.close, fd)
        self.queue = NetfilterQueue(sockfd=fd)
        # The queue in this namespace is a different one.
        here = NetfilterQueue()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)
            here.bind(0, self.accept)
        for _ in range(2):
            self.bind(self.accept_and_keep)
            channel.send(b's')
            self.assertEqual(channel.recv(1), b'k')
            self.queue.run(block=False)
            self.assertEqual([packet.id for packet in self.packets], [1, 2])
            channel.send(b'r')
            self.assertEqual(channel.recv(9), b'2')
            self.packets.clear()
            self.queue.unbind()
            # No process owns the queue now.
            channel.send(b's')
            self.assertEqual(channel.recv(1), b'k')
            channel.send(b'r')
            self.assertEqual(channel.recv(9), b'0')
        here.run(block=False)
        self.assertEqual(self.packets, [])
        here.unbind()

    def test_module_has_the_documented_names(self):
        for name in 'NetfilterQueue', 'Packet', 'COPY_NONE', 'COPY_META', 'COPY_PACKET', 'PROTOCOLS':
            self.assertTrue(hasattr(ipq.netfilterqueue, name))

    def test_thread_runs_while_the_program_sends(self):
        self.bind(self.accept)
        thread = threading.Thread(target=self.queue.run)
        thread.start()
        self.receiver.send(*(b'%d' % i for i in range(500)))
        self.assertEqual(len(self.receiver.received()), 500)
        self.queue._queue.wake()
        self.queue._callback = lambda packet: (packet.accept(), self.queue.unbind())
        self.receiver.send(b'last')
        thread.join(5)
        self.assertFalse(thread.is_alive())


if __name__ == '__main__':
    unittest.main()
