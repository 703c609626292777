# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface of the NetfilterQueue package."""
import os
import select
import socket
import threading
import unittest
import warnings

from ipq.netfilterqueue import COPY_META, NetfilterQueue
from support import HEADERS, Receiver


class Interface(unittest.TestCase):
    def setUp(self):
        self.receiver = Receiver()
        self.queue = NetfilterQueue()
        self.packets = []
        self.addCleanup(self.receiver.close)
        self.addCleanup(self.queue.unbind)

    def bind(self, callback, **settings):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)
            self.queue.bind(0, callback, **settings)

    def accept(self, packet):
        self.packets.append(packet.get_payload()[HEADERS:])
        packet.accept()

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
        self.receiver.send(b'one')
        self.queue.run()
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

    def test_meta_mode_has_no_payload(self):
        def callback(packet):
            self.packets.append(packet.get_payload_len())
            packet.accept()

        self.bind(callback, mode=COPY_META)
        self.receiver.send(b'one')
        self.queue.run(block=False)
        self.assertEqual(self.packets, [0])

    def test_large_receive_buffer_warns_when_it_is_not_given(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            self.queue.bind(0, self.accept, sock_len=1 << 30)
            size = socket.socket(fileno=os.dup(self.queue.get_fd())).getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.assertEqual(len([w for w in caught if 'rcvbuf limit' in str(w.message)]), size < 1 << 30)

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
