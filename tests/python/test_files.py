# SPDX-License-Identifier: LGPL-2.1-or-later
"""The module ipq on capture files: no privilege, no kernel."""
import os
import struct
import tempfile
import threading
import time
import unittest
import weakref

import ipq


def udp(text, port=53):
    """Builds an IPv4 datagram with right checksums."""
    packet = bytearray(struct.pack('>BBHHHBBH4s4sHHHH', 0x45, 0, 28 + len(text), 0, 0, 64, 17, 0, bytes([10, 0, 0, 1]),
                                   bytes([10, 0, 0, 2]), 4000, port, 8 + len(text), 0) + text)
    ipq.checksum_complete(packet)
    return bytes(packet)


def write(path, *packets):
    with open(path, 'wb') as f:
        f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for i, packet in enumerate(packets):
            f.write(struct.pack('<IIII', 1000 + i, 250000, len(packet), len(packet)) + packet)


def read(path):
    with open(path, 'rb') as f:
        data = f.read()[24:]
    packets = []
    while data:
        length = struct.unpack('<I', data[8:12])[0]
        packets.append(data[16:16 + length])
        data = data[16 + length:]
    return packets


class Files(unittest.TestCase):
    def setUp(self):
        work = tempfile.TemporaryDirectory()
        self.addCleanup(work.cleanup)
        self.input, self.output = work.name + '/in.pcap', work.name + '/out.pcap'
        self.source = f'pcap:{self.input},{self.output}'

    def test_iteration_ends_with_the_file(self):
        packets = [udp(b'%d' % i) for i in range(200)]
        write(self.input, *packets)
        with ipq.Queue(self.source) as queue:
            self.assertEqual(queue.fileno() >= 0 or queue.fileno() == -1, True)
            for packet in queue:
                packet.accept()
        self.assertEqual(read(self.output), packets)

    def test_recv_raises_eoferror_at_the_end(self):
        write(self.input, udp(b'one'))
        with ipq.Queue(self.source) as queue:
            queue.accept(queue.recv())
            with self.assertRaises(EOFError):
                queue.recv()

    def test_values_beyond_their_range_are_refused(self):
        write(self.input, udp(b'one'))
        with ipq.Queue(self.source) as queue:
            packet, = queue.recv()
            for timeout in -1, float('nan'):
                with self.assertRaises(ValueError):
                    queue.recv(timeout)
            for mark in -1, 1 << 32:
                with self.assertRaises(OverflowError):
                    packet.accept(mark=mark)
            with self.assertRaises(ValueError):
                packet.accept(conntrack_labels=b'15 bytes of 16.')
            packet.accept(mark=0xffffffff)

    def test_wake_ends_one_receive(self):
        write(self.input, *[udp(b'%d' % i) for i in range(2)])
        with ipq.Queue(self.source, batch=1, queue_length=1) as queue:
            packet, = queue.recv()
            queue.wake()
            self.assertEqual(queue.recv(), [])
            self.assertFalse(queue._woken)  # pylint: disable=protected-access
            began = time.monotonic()
            self.assertEqual(queue.recv(0.05), [])
            self.assertGreaterEqual(time.monotonic() - began, 0.05)
            packet.accept()

    def test_attributes(self):
        write(self.input, udp(b'one'))
        with ipq.Queue(self.source) as queue:
            packet, = queue.recv()
            self.assertEqual((packet.timestamp, packet.timestamp_ns), (1000.25, 1000250000000))
            self.assertEqual((packet.hook, packet.full_len, len(packet)), (1, 31, 31))
            self.assertEqual((packet.uid, packet.conntrack, packet.vlan, packet.truncated), (None, None, None, False))
            self.assertEqual(bytes(packet), udp(b'one'))

    def test_vlan_tag(self):
        frame = bytes(12) + struct.pack('>HHH', 0x8100, 0x2005, 0x0800) + udp(b'one')
        with open(self.input, 'wb') as f:
            f.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
            f.write(struct.pack('<IIII', 1000, 0, len(frame), len(frame)) + frame)
        with ipq.Queue(self.source) as queue:
            packet, = queue.recv()
            self.assertEqual(packet.vlan, (0x8100, 0x2005))
            packet.accept()

    def test_only_metadata(self):
        write(self.input, udp(b'one'))
        with ipq.Queue(self.source, meta_only=True) as queue:
            packet, = queue.recv()
            self.assertEqual((len(packet), packet.full_len, bytes(packet)), (0, 31, b''))
            packet.accept()

    def test_edit_keeps_checksums_right(self):
        write(self.input, udp(b'hello world'))
        with ipq.Queue(self.source) as queue:
            for packet in queue:
                edit = packet.edit()
                edit.source = '192.0.2.7'
                edit.destination_port = 5353
                edit.ttl = 9
                edit.payload = b'a longer text than before'
                packet.accept(payload=edit)
        out, = read(self.output)
        self.assertEqual(ipq.checksum_verify(out), 0)
        self.assertEqual((out[12:16], out[22:24], out[8], out[28:]),
                         (bytes([192, 0, 2, 7]), b'\x14\xe9', 9, b'a longer text than before'))

    def test_bad_values_raise(self):
        write(self.input, udp(b'one'))
        with ipq.Queue(self.source) as queue:
            packet, = queue.recv()
            edit = packet.edit()
            for name, value, error in [('ttl', 256, OverflowError), ('ttl', -1, OverflowError), ('dscp', 64, OverflowError),
                                       ('source', 'nowhere', ValueError), ('source', '::1', OSError),
                                       ('tcp_window', 1, OSError), ('payload', 'text', TypeError)]:
                with self.subTest(name=name, value=value), self.assertRaises(error):
                    setattr(edit, name, value)
            with self.assertRaises(TypeError):
                packet.accept(colour=1)
            with self.assertRaises(OverflowError):
                packet.accept(mark=1 << 32)
            with self.assertRaises(TypeError):
                packet.accept(7)
            packet.accept()

    def test_closed_queue_is_refused(self):
        write(self.input, udp(b'one'), udp(b'two'))
        queue = ipq.Queue(self.source)
        packet = next(queue)
        queue.close()
        self.assertTrue(queue.closed)
        self.assertEqual(bytes(packet), udp(b'one'))
        for call in queue.recv, queue.flush, queue.stats, queue.fileno, packet.accept, queue.__enter__:
            with self.assertRaises(ValueError):
                call()
        queue.close()

    def test_missing_file_names_itself(self):
        with self.assertRaises(FileNotFoundError) as caught:
            ipq.Queue('pcap:/nonexistent/in.pcap')
        self.assertIn('/nonexistent/in.pcap', str(caught.exception))

    def test_unknown_source_and_options_are_refused(self):
        with self.assertRaisesRegex(OSError, 'nfqueue'):
            ipq.Queue('nonsense:1')
        for arguments in {'batch': 0}, {'batch': 65}:
            with self.assertRaises(ValueError):
                ipq.Queue(self.source, **arguments)
        with self.assertRaises(TypeError):
            ipq.Queue(self.source, colour=True)
        with self.assertRaises(TypeError):
            ipq.Queue(1.5)
        with self.assertRaises(TypeError):
            ipq.Packet()

    def test_queue_lives_as_long_as_its_packets(self):
        write(self.input, *(udp(b'%d' % i) for i in range(100)))
        queue = ipq.Queue(self.source)
        gone = weakref.ref(queue)
        packets = [next(queue) for _ in range(100)]
        del queue
        self.assertIsNotNone(gone())
        for packet in packets:
            packet.accept()
        del packet, packets
        self.assertIsNone(gone())
        self.assertEqual(len(read(self.output)), 100)

    def test_packets_of_decided_flows_are_not_returned(self):
        write(self.input, *(udp(b'%d' % i, port=53 + i % 3) for i in range(300)))
        seen = []
        with ipq.Queue(self.source, batch=1) as queue:
            for packet in queue:
                seen.append(packet.payload[23] - 53)
                if seen[-1] == 1:
                    packet.drop_flow()
                else:
                    packet.accept_flow(after=2)
            stats = queue.flow_stats()
        self.assertEqual(sorted(seen), [0, 0, 0, 1, 2, 2, 2])
        self.assertEqual((stats.keeper, stats.decided, stats.packets), ('library', 3, 293))
        self.assertEqual(stats.why, 'this source has no firewall rules')
        self.assertEqual(len(read(self.output)), 200)

    def test_forgotten_flows_are_returned(self):
        write(self.input, *(udp(b'%d' % i) for i in range(4)))
        with ipq.Queue(self.source, batch=1) as queue:
            seen = 0
            for packet in queue:
                seen += 1
                packet.accept_flow()
                queue.forget_flows()
        self.assertEqual(seen, 4)

    def test_forgotten_packets_are_dropped_and_counted(self):
        write(self.input, *(udp(b'%d' % i) for i in range(3)))
        with ipq.Queue(self.source) as queue:
            first, second, third = queue.recv()
            first.accept()
            del second
            third.accept()
            # The last packet of the batch is decided: all verdicts are sent.
            stats = queue.stats()
            self.assertEqual((stats.accepted, stats.dropped, stats.forgotten, stats.waiting), (2, 1, 1, 0))
        self.assertEqual(len(read(self.output)), 2)

    def test_verdicts_of_another_thread_are_sent_while_one_waits(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        write(self.input, *(udp(b'%d' % i) for i in range(3)))
        with open(self.input, 'rb') as f, open(writer, 'wb') as pipe:
            pipe.write(f.read())
            pipe.flush()
            with ipq.Queue(f'pcap:/proc/self/fd/{reader},{self.output}') as queue:
                packets = queue.recv()
                waiting = threading.Thread(target=queue.recv)
                waiting.start()
                time.sleep(0.1)
                for i, packet in enumerate(packets):
                    packet.accept(payload=udp(b'%d' % (i + 7)))
                for _ in range(100):
                    if len(read(self.output)) == 3:
                        break
                    time.sleep(0.05)
                self.assertEqual(read(self.output), [udp(b'%d' % (i + 7)) for i in range(3)])
                queue.wake()
                waiting.join()

    def test_edit_of_bytes(self):
        edit = ipq.Edit(udp(b'one two one'))
        self.assertEqual(edit.substitute(b'one', b'three'), 2)
        self.assertEqual(edit.payload, b'three two three')
        self.assertEqual(ipq.checksum_verify(edit), 0)
        with memoryview(edit) as view:
            self.assertTrue(view.readonly)
            with self.assertRaises(BufferError):
                edit.payload = b''
        edit.payload = b''
        self.assertEqual(len(edit), 28)


if __name__ == '__main__':
    unittest.main()
