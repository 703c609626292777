# SPDX-License-Identifier: LGPL-2.1-or-later
"""Wrong calls, wrong values and calls at wrong times: each must raise an exception, and nothing may crash."""
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import ipq
from test_files import read, udp, write

def tcp(data=b''):
    """A SYN with right checksums."""
    packet = bytearray(udp(data))
    packet[9] = 6
    packet[20:28] = bytes([0, 53, 0, 53, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 1, 0, 0, 0, 0, 0, 2, 4, 5, 180])
    packet[2:4] = len(packet).to_bytes(2, 'big')
    ipq.checksum_complete(packet)
    return bytes(packet)


class Misuse(unittest.TestCase):
    def setUp(self):
        work = tempfile.TemporaryDirectory()
        self.addCleanup(work.cleanup)
        self.work, self.input = work.name, work.name + '/in.pcap'
        write(self.input, *(udp(b'%d' % i) for i in range(3)))
        self.source = f'pcap:{self.input},{work.name}/out.pcap'

    def open_unwritable(self):
        """A queue whose output is a pipe without a reader."""
        os.mkfifo(self.work + '/pipe')
        reader = os.open(self.work + '/pipe', os.O_RDONLY | os.O_NONBLOCK)
        queue = ipq.Queue(f'pcap:{self.input},{self.work}/pipe')
        os.close(reader)
        return queue

    def test_queue_without_init_is_closed(self):
        queue = ipq.Queue.__new__(ipq.Queue)
        self.assertEqual((queue.closed, queue.source), (True, None))
        for call in (queue.recv, queue.flush, queue.stats, queue.flow_stats, queue.forget_flows, queue.fileno,
                     queue.__enter__, queue.__next__, lambda: queue.interface(1), lambda: queue.flags):
            with self.assertRaises(ValueError):
                call()
        queue.wake()
        queue.close()

    def test_queue_is_opened_only_once(self):
        queue = ipq.Queue(self.source)
        packet = next(queue)
        with self.assertRaisesRegex(ValueError, 'only once'):
            queue.__init__(self.source)
        queue.close()
        with self.assertRaisesRegex(ValueError, 'only once'):
            queue.__init__(self.source)
        with self.assertRaisesRegex(ValueError, 'closed'):
            packet.accept()

    def test_init_after_a_failed_one_opens(self):
        queue = ipq.Queue.__new__(ipq.Queue)
        with self.assertRaises(FileNotFoundError):
            queue.__init__('pcap:/nonexistent')
        with self.assertRaises(TypeError):
            queue.__init__(1.5)
        queue.__init__(self.source)
        self.assertEqual(len(list(queue)), 3)

    def test_numbers_out_of_range_are_refused(self):
        with ipq.Queue(self.source) as queue:
            packet, edit = next(queue), ipq.Edit(tcp())
            calls = [lambda value, name=name: ipq.Queue(self.source, **{name: value}) for name in (
                'copy_range', 'queue_length', 'receive_buffer', 'spin_usec', 'flow_mask', 'flow_mark', 'flow_max', 'batch')]
            calls += [lambda value, name=name: packet.accept(**{name: value})
                      for name in ('mark', 'priority', 'conntrack_mark', 'conntrack_mask')]
            calls += [queue.interface, packet.to_queue, packet.edit, edit.clamp_mss, lambda value: ipq.Edit(b'', value),
                      lambda value: packet.accept_flow(after=value), lambda value: packet.accept_flow(timeout=value),
                      lambda value: packet.accept_flow(mark=value), lambda value: packet.drop_flow(after=value),
                      lambda value: edit.clear_tcp_option(value), lambda value: edit.set_tcp_option(value, b'')]
            for number, call in enumerate(calls):
                for value, error in (-1, OverflowError), (1 << 32, OverflowError), (1 << 80, OverflowError), \
                        (1.5, TypeError), ('1', TypeError):
                    with self.subTest(number=number, value=value), \
                            self.assertRaises((error, ValueError) if number == 7 else error):
                        call(value)
            self.assertFalse(packet.decided)
            self.assertTrue(edit.clamp_mss(1000))
            for value in 65536, 1 << 16 | 500:
                with self.assertRaises(OverflowError):
                    edit.clamp_mss(value)

    def test_source_with_a_zero_byte_is_refused(self):
        with self.assertRaisesRegex(ValueError, 'null'):
            ipq.Queue(self.source + '\0.pcap')
        edit = ipq.Edit(udp(b''))
        with self.assertRaisesRegex(ValueError, 'address'):
            edit.source = '10.0.0.9\0x'

    def test_error_names_a_file_that_is_not_utf8(self):
        with self.assertRaises(FileNotFoundError) as caught:
            ipq.Queue('pcap:/nonexistent/\udcff')
        self.assertIn('/nonexistent/', str(caught.exception))

    def test_exception_passes_although_a_deleted_packet_cannot_be_dropped(self):
        queue = self.open_unwritable()
        with self.assertRaises(KeyError):
            try:
                for packet in queue.recv():
                    packet.accept()
                    raise KeyError  # the exception deletes the list with the other packets
            except BrokenPipeError:
                pass

    def test_views_stay_valid_if_closing_fails(self):
        queue = self.open_unwritable()
        packets = queue.recv()
        views = [packet.payload for packet in packets[:2]]
        for packet in packets:
            packet.accept()
            if packet is packets[1]:
                break
        with self.assertRaises(BrokenPipeError):
            queue.close()
        self.assertTrue(queue.closed)
        self.assertEqual([bytes(view[28:]) for view in views], [b'0', b'1'])
        self.assertEqual([bytes(packet)[28:] for packet in packets], [b'0', b'1', b'2'])
        del packets, packet, queue
        self.assertEqual([bytes(view[28:]) for view in views], [b'0', b'1'])

    def test_close_reports_verdicts_that_are_lost(self):
        queue = self.open_unwritable()
        next(queue).accept()
        with self.assertRaises(BrokenPipeError):
            queue.close()
        queue.close()

    def test_edit_refuses_itself_as_its_new_bytes(self):
        edit = ipq.Edit(udp(b'0123456789'))
        option = ipq.Edit(tcp())
        before = bytes(edit)
        with memoryview(edit) as view:
            part = view[28:32]
            for change in (lambda: edit.replace(0, 1, part), lambda: edit.substitute(b'0', part),
                           lambda: edit.substitute(part, b''), lambda: setattr(edit, 'payload', part)):
                with self.assertRaises(BufferError):
                    change()
            part.release()
        for change in (lambda: edit.replace(0, 1, edit), lambda: edit.substitute(edit, b''),
                       lambda: setattr(edit, 'payload', edit), lambda: option.set_tcp_option(2, memoryview(option)[20:22])):
            with self.assertRaises(BufferError):
                change()
        self.assertEqual(bytes(edit), before)
        edit.payload = bytes(edit)
        self.assertEqual(edit.payload, before)

    def test_signal_handler_runs_while_a_fifo_is_opened(self):
        fifo, seen = self.work + '/fifo', []
        os.mkfifo(fifo)

        def handler(*_):
            seen.append(1)
            threading.Thread(target=write, args=(fifo, udp(b'one'))).start()

        before = signal.signal(signal.SIGALRM, handler)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with ipq.Queue('pcap:' + fifo) as queue:
            self.assertEqual([bytes(packet) for packet in queue], [udp(b'one')])
        self.assertEqual(seen, [1])

    def test_close_of_a_queue_that_a_thread_reads_does_not_wait_for_it_at_exit(self):
        os.mkfifo(self.work + '/fifo')
        program = ('import ipq, os, sys, threading, time\n'
                   'class Program:\n'
                   '    def __init__(self):\n'
                   '        self.fifo = open(sys.argv[1], "r+b", 0)\n'
                   '        self.fifo.write(open(sys.argv[2], "rb").read(24))\n'
                   '        self.queue = ipq.Queue("pcap:" + sys.argv[1])\n'
                   '        threading.Thread(target=self.queue.recv, daemon=True).start()\n'
                   '        time.sleep(0.2)\n'
                   '    def __del__(self):\n'
                   '        self.queue.close()\n'
                   '        os.write(1, b"closed")\n'
                   'program = Program()\n')
        done = subprocess.run([sys.executable, '-c', program, self.work + '/fifo', self.input], capture_output=True,
                              timeout=20, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b'closed', b''))

    def test_other_interpreters_are_refused(self):
        program = ('import ipq\n'
                   'try:\n    import _interpreters as i\nexcept ImportError:\n    import _xxsubinterpreters as i\n'
                   'code = "try:\\n    import ipq\\nexcept ImportError as e:\\n    print(e, flush=True)"\n'
                   'for _ in range(3):\n    one = i.create()\n    i.run_string(one, code)\n    i.destroy(one)\n'
                   'print(ipq.Edit)')
        done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=20, check=False)
        self.assertRegex(done.stdout, "^(.*interpreter.*\n){3}<class 'ipq._ipq.Edit'>\n$", done.stderr)

    def test_module_that_is_imported_again_has_the_same_types(self):
        types = ipq.Edit, ipq.Packet, ipq.Stats
        modules = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split('.')[0] == 'ipq'}
        try:
            again = __import__('ipq')
            self.assertEqual((again.Edit, again.Packet, again.Stats), types)
        finally:
            sys.modules.update(modules)

    def test_iteration_ends_when_the_queue_is_closed_meanwhile(self):
        queue, seen = ipq.Queue(self.source), []
        for packet in queue:
            seen.append(packet)
            packet.accept()
            thread = threading.Thread(target=queue.close)
            thread.start()
            thread.join()
        self.assertEqual(len(seen), 1)
        self.assertEqual(read(self.work + '/out.pcap'), [udp(b'0')])


if __name__ == '__main__':
    unittest.main()
