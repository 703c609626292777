# SPDX-License-Identifier: LGPL-2.1-or-later
"""The module ipq with packets of the kernel."""
import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

import ipq
from support import Receiver, text


class Live(unittest.TestCase):
    def setUp(self):
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)

    def test_accepted_packets_arrive_and_dropped_packets_do_not(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(*(b'%d' % i for i in range(200)))
            for packet in queue:
                if int(text(packet)) % 2 == 0:
                    packet.accept()
                else:
                    packet.drop()
                if int(text(packet)) == 199:
                    break
            stats = queue.stats()
        self.assertEqual(self.receiver.received(), [b'%d' % i for i in range(0, 200, 2)])
        self.assertEqual((stats.received, stats.accepted, stats.dropped, stats.forgotten), (200, 100, 100, 0))

    def test_views_stay_valid_after_later_receives_and_close(self):
        views, wanted = [], []
        with ipq.Queue(0) as queue:
            for i in range(20):
                self.receiver.send(b'packet %d' % i * 10)
                packet, = queue.recv(2)
                views.append(packet.payload[28:])
                wanted.append(b'packet %d' % i * 10)
                packet.accept()
        self.assertEqual([bytes(view) for view in views], wanted)
        self.assertEqual(self.receiver.received(), wanted)

    def test_kept_packets_are_decided_later_in_any_order(self):
        with ipq.Queue(0) as queue:
            kept = []
            for i in range(10):
                self.receiver.send(b'%d' % i)
                kept += queue.recv(2)
            self.assertEqual([text(packet) for packet in kept], [b'%d' % i for i in range(10)])
            for packet in reversed(kept):
                packet.accept()
                queue.flush()
            self.assertEqual(self.receiver.received(), [b'%d' % i for i in reversed(range(10))])

    def test_second_verdict_is_refused(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'one')
            packet, = queue.recv(2)
            packet.accept()
            with self.assertRaisesRegex(RuntimeError, 'verdict already'):
                packet.drop()

    def test_deleted_packet_is_dropped(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'one', b'two')
            for packet in queue:
                if text(packet) == b'two':
                    packet.accept()
                    break
            del packet
            self.assertEqual(self.receiver.received(), [b'two'])
            self.assertEqual(queue.stats().forgotten, 1)

    def test_packets_after_a_break_are_returned_by_the_next_loop(self):
        seen = []
        with ipq.Queue(0) as queue:
            self.receiver.send(*(b'%d' % i for i in range(10)))
            for packet in queue:
                packet.accept()
                break
            for packet in queue:
                seen.append(text(packet))
                packet.accept()
                if seen[-1] == b'9':
                    break
        self.assertEqual(seen, [b'%d' % i for i in range(1, 10)])
        self.assertEqual(len(self.receiver.received()), 10)

    def test_edit_changes_length_and_checksums(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'attack at dawn')
            packet, = queue.recv(2)
            edit = packet.edit()
            self.assertEqual((edit.source, edit.destination, edit.destination_port), ('127.0.0.1', '127.0.0.1', 7000))
            self.assertEqual(edit.substitute(b'dawn', b'midnight'), 1)
            packet.accept(payload=edit)
        self.assertEqual(self.receiver.received(), [b'attack at midnight'])

    def test_edit_in_place_is_sent_when_the_payload_is_given(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'abc', b'abc')
            for packet in queue.recv(2) + queue.recv(0):
                packet.payload[28:31] = b'xyz'
                ipq.checksum_complete(packet.payload)
                packet.accept(payload=packet.payload)
        self.assertEqual(self.receiver.received(), [b'xyz', b'xyz'])

    def test_mark_is_seen_by_the_next_queue(self):
        with ipq.Queue(0) as queue, ipq.Queue(3) as other:
            self.receiver.send(b'one')
            packet, = queue.recv(2)
            packet.to_queue(3, mark=0x1234)
            queue.flush()
            packet, = other.recv(2)
            self.assertEqual(packet.mark, 0x1234)
            packet.accept()
        self.assertEqual(self.receiver.received(), [b'one'])

    def test_other_thread_decides_while_the_owner_waits(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'one')
            packet, = queue.recv(2)
            thread = threading.Timer(0.2, packet.accept)
            thread.start()
            started = time.monotonic()
            self.assertEqual(queue.recv(1), [])
            self.assertGreater(time.monotonic() - started, 0.9)
            thread.join()
            self.assertEqual(self.receiver.received(), [b'one'])

    def test_wake_ends_a_waiting_loop(self):
        with ipq.Queue(0) as queue:
            threading.Timer(0.2, queue.wake).start()
            self.assertEqual(list(queue), [])

    def test_close_in_a_signal_handler_ends_the_loop(self):
        with ipq.Queue(0) as queue:
            before = signal.signal(signal.SIGUSR1, lambda *_: queue.close())
            self.addCleanup(signal.signal, signal.SIGUSR1, before)
            timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            self.assertEqual(list(queue), [])
            timer.join()
            self.assertTrue(queue.closed)
            with self.assertRaisesRegex(ValueError, 'closed'):
                queue.recv(0)
        with ipq.Queue(0):
            pass

    def test_wake_is_noticed_after_packets_that_came_before(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'one', b'two')
            queue.wake()
            seen, started = [], time.monotonic()
            while packets := queue.recv(10):
                seen += [text(packet) for packet in packets]
                del packets
            self.assertLess(time.monotonic() - started, 5)
            self.assertEqual(seen, [b'one', b'two'])
            started = time.monotonic()
            self.assertEqual(queue.recv(0.3), [])
            self.assertGreater(time.monotonic() - started, 0.2)

    def test_close_sends_verdicts_that_another_thread_gave(self):
        for _ in range(20):
            queue = ipq.Queue(0)
            self.receiver.send(b'one')
            packets = queue.recv(2)
            thread = threading.Thread(target=queue.recv)
            thread.start()
            while True:
                time.sleep(0.01)
                try:
                    queue.stats()
                except RuntimeError:
                    break
            packets[0].accept()
            del packets
            queue.close()
            thread.join(10)
            self.assertEqual(self.receiver.received(0.1), [b'one'])

    def test_close_in_another_thread_ends_a_wait(self):
        for wait in (lambda queue: queue.recv(), list):
            queue, results = ipq.Queue(0), []
            thread = threading.Thread(target=lambda: results.append(wait(queue)))
            thread.start()
            time.sleep(0.1)
            queue.close()
            thread.join(10)
            self.assertEqual(results, [[]])

    def test_receive_in_a_signal_handler_leaves_packets_intact(self):
        kept = []
        with ipq.Queue(0) as queue:
            def handler(*_):
                self.receiver.send(b'one')
                kept.extend(queue.recv(2))
                self.receiver.send(b'two')

            before = signal.signal(signal.SIGUSR1, handler)
            self.addCleanup(signal.signal, signal.SIGUSR1, before)
            timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            kept += queue.recv(5)
            timer.join()
            self.assertEqual([text(packet) for packet in kept], [b'one', b'two'])
            queue.accept(kept)

    def test_child_of_fork_closes_its_copy_only(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'one', b'two')
            packets = queue.recv(2)
            pid = os.fork()
            if pid == 0:
                queue.close()
                os._exit(0 if queue.closed and len(packets) > 0 else 1)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            queue.accept(packets)
        self.assertEqual(self.receiver.received(), [b'one', b'two'][:len(packets)])

    def test_timeout_returns_an_empty_list(self):
        with ipq.Queue(0) as queue:
            started = time.monotonic()
            self.assertEqual(queue.recv(0.3), [])
            self.assertAlmostEqual(time.monotonic() - started, 0.3, delta=0.25)

    def test_slow_program_does_not_hold_back_verdicts(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'1', b'2', b'3')
            time.sleep(0.1)
            arrived = []
            for packet in queue:
                last = text(packet) == b'3'
                packet.accept()
                time.sleep(0.05)
                arrived.append(len(self.receiver.received(0.01)))
                if last:
                    break
        # Only the first packet waits for the second one: afterwards the queue has detected that the program is slow.
        self.assertEqual(arrived, [0, 2, 1])

    def test_owned_queue_is_refused_with_the_owner(self):
        with ipq.Queue(0):
            with self.assertRaisesRegex(OSError, 'queue 0') as caught:
                ipq.Queue(0)
            self.assertEqual(caught.exception.errno, 16)

    def test_child_of_fork_cannot_use_the_queue(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'one')
            packet, = queue.recv(2)
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    packet.accept()
                except RuntimeError:
                    status = 0
                del packet
                os._exit(status)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            packet.accept()
        self.assertEqual(self.receiver.received(), [b'one'])

    def test_child_of_fork_neither_sends_nor_wakes(self):
        with ipq.Queue(0) as queue:
            self.receiver.send(b'1', b'2', b'3')
            time.sleep(0.1)
            packets = queue.recv(2)
            packets[0].accept()  # this verdict is pending
            pid = os.fork()
            if pid == 0:
                status = 0
                for call in queue.stats, queue.flush, packets[1].accept, lambda: queue.recv(0), lambda: next(queue):
                    try:
                        call()
                        status = 1
                    except RuntimeError:
                        pass
                queue.wake()
                os._exit(status)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            started = time.monotonic()
            self.assertEqual(queue.recv(0.3), [])
            self.assertGreater(time.monotonic() - started, 0.2)
            queue.accept(packets[1:])
        self.assertEqual(len(self.receiver.received()), 3)

    def test_async_for_returns_packets_while_other_tasks_run(self):
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        async def run():
            seen = []
            task = asyncio.create_task(tick())
            with ipq.Queue(0) as queue:
                asyncio.get_running_loop().call_later(0.3, self.receiver.send, b'a', b'b', b'c')
                async for packet in queue:
                    seen.append(text(packet))
                    packet.accept()
                    if len(seen) == 3:
                        break
            task.cancel()
            return seen

        self.assertEqual(asyncio.run(run()), [b'a', b'b', b'c'])
        self.assertGreater(ticks, 5)
        self.assertEqual(self.receiver.received(), [b'a', b'b', b'c'])

    def test_timers_decide_while_an_asyncio_program_waits(self):
        async def run():
            loop = asyncio.get_running_loop()
            with ipq.Queue(0) as queue:
                self.receiver.send(b'1', b'2', b'3')
                packets = await queue.recv_async()
                while len(packets) < 3:
                    packets += await queue.recv_async()
                waiting = asyncio.create_task(queue.recv_async())
                await asyncio.sleep(0.1)
                for packet in packets[:2]:
                    loop.call_soon(packet.accept)
                await asyncio.sleep(0.1)
                arrived = self.receiver.received()
                waiting.cancel()
            return arrived

        self.assertEqual(asyncio.run(run()), [b'1', b'2'])

    def test_close_and_wake_end_an_asyncio_program_that_waits(self):
        async def iterate(queue):
            return [text(packet) async for packet in queue]

        async def run(end):
            with ipq.Queue(0) as queue:
                tasks = [asyncio.create_task(iterate(queue)), asyncio.create_task(queue.recv_async())]
                await asyncio.sleep(0.1)
                with self.assertRaisesRegex(RuntimeError, 'another task'):
                    await tasks[1]
                end(queue)
                self.assertEqual(await asyncio.wait_for(tasks[0], 5), [])
            # the new queue gets the descriptor numbers of the closed queue
            with ipq.Queue(0) as queue:
                asyncio.get_running_loop().call_later(0.2, self.receiver.send, b'one')
                return [text(packet) for packet in await asyncio.wait_for(queue.recv_async(), 5)]

        for end in (ipq.Queue.close, ipq.Queue.wake, lambda queue: threading.Thread(target=queue.close).start(),
                    lambda queue: threading.Thread(target=queue.wake).start()):
            self.assertEqual(asyncio.run(run(end)), [b'one'])

    def test_handler_may_stop_its_group(self):
        def handler(queue, packets):
            queue.accept(packets)
            group.stop()

        group = ipq.Group(0, 2, handler)
        group.start()
        self.receiver.send(b'one')
        group.wait()
        self.assertEqual(self.receiver.received(), [b'one'])
        ipq.Queue(0).close()

    def test_group_decides_in_two_queues(self):
        other = Receiver(1)
        self.addCleanup(other.close)
        seen = set()

        def handler(queue, packets):
            seen.add(queue.source)
            queue.accept(packets)

        with ipq.Group(0, 2, handler):
            self.receiver.send(b'one')
            other.send(b'two')
            self.assertEqual(self.receiver.received() + other.received(), [b'one', b'two'])
        self.assertEqual(seen, {'nfqueue:0', 'nfqueue:1'})

    def test_exception_in_a_handler_ends_the_group(self):
        def handler(queue, packets):
            raise ZeroDivisionError

        group = ipq.Group(0, 2, handler)
        group.start()
        self.receiver.send(b'one')
        with self.assertRaises(ZeroDivisionError):
            group.wait()

    def test_ctrl_c_ends_a_waiting_program(self):
        program = 'import ipq\nprint("ready", flush=True)\nfor packet in ipq.Queue(0): pass'
        with subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(0.3)
            child.send_signal(signal.SIGINT)
            started = time.monotonic()
            error = child.communicate(timeout=10)[1]
        self.assertLess(time.monotonic() - started, 3)
        self.assertIn(b'KeyboardInterrupt', error)

    def test_interpreter_exit_with_an_open_queue_is_clean(self):
        program = ('import ipq, threading, time\nq = ipq.Queue(0)\n'
                   'threading.Thread(target=q.recv, daemon=True).start()\ntime.sleep(0.2)\nkept = q')
        done = subprocess.run([sys.executable, '-c', program], capture_output=True, timeout=20, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b''))

    def test_memory_does_not_grow(self):
        def resident():
            with open('/proc/self/statm', encoding='ascii') as f:
                return int(f.read().split()[1])

        with ipq.Queue(0) as queue:
            before = None
            for round_ in range(40):
                self.receiver.send(*(b'x' for _ in range(100)))
                left = 100
                while left > 0:
                    packets = queue.recv(2)
                    views = [packet.payload for packet in packets] if round_ % 2 else None
                    queue.accept(packets)
                    left -= len(packets)
                del packets, views
                if round_ == 10:
                    before = resident()
            self.assertLess(resident() - before, 600)


if __name__ == '__main__':
    unittest.main()
