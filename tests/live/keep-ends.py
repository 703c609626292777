#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How programs under `ipq keep` end and start again, one at a time: which process is killed,
when, and what happens to the waiting packets. tests/live/keep.py has the tests under load."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
import keep
from keep import CLASSIC, IPQ, Keep, PORT, arrives, queue_row, report, until


SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
# Enough time for two starts, which are slow with a sanitizer or an emulator.
PATIENCE = '10s' if keep.INTERVAL >= 0.5 else '4s'


def rows():
    """Returns the number of packets that wait in queue 0 and its spare queues."""
    return sum((queue_row(number) or [0] * 3)[2] for number in (0, 32768, 49152))


def sockets(count=0, size=100):
    """Creates a receiver and a sender, and sends this number of datagrams."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    receiver.bind(('127.0.0.1', PORT))
    receiver.settimeout(10)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 256 << 20)
    sender.connect(('127.0.0.1', PORT))
    for _ in range(count):
        sender.send(bytes(size))
    return receiver, sender


def received(receiver, count, wait=10):
    receiver.settimeout(wait)
    n = 0
    try:
        while n < count:
            receiver.recv(65536)
            n += 1
    except OSError:
        pass
    return n


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as f:
            return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


def lines(path):
    with open(path, encoding='ascii') as f:
        return f.read().splitlines()


def test_statuses():
    for program, options, expected in ((['true'], [], 0), (['/nonexistent'], [], 127), (['/etc/passwd'], [], 126),
                                       (['sh', '-c', 'exit ${NOTIFY_SOCKET:+7}'], ['--restart', 'no'], 0),
                                       (['sh', '-c', 'kill -KILL $$'], ['--restart', 'no'], 137),
                                       (['sh', '-c', 'kill -TERM $$'], ['--restart', 'no'], 143)):
        p = subprocess.run([IPQ, 'keep', *options, '--', *program], capture_output=True, text=True, timeout=60,
                           check=False, env={**os.environ, 'NOTIFY_SOCKET': '/nonexistent'})
        report(p.returncode == expected and 'starting it again' not in p.stderr,
               f'{program} ends ipq keep with {p.returncode}')


def test_delays():
    """The program is started again after 0, 10, 20, 40 and 80 ms."""
    began = time.monotonic()
    p = subprocess.run([IPQ, 'keep', '--restart-limit', '6', 'false'], capture_output=True, text=True, timeout=60,
                       check=False)
    seconds = time.monotonic() - began
    report(p.returncode == 1 and .15 <= seconds < 4, f'six starts of a program that fails take {seconds:.2f} s')


def test_patience_of_failing_programs():
    # The patience is longer than the pause between two starts.
    keeper = Keep(['false'], '--patience', '1s', '--restart-limit', '0')
    report(until(lambda: any('packets are dropped' in line for line in keeper.text)),
           'starts of a program that fails do not prolong the patience')
    keeper.end()


def test_patience_of_programs_that_work():
    for name, program in {'classic': [CLASSIC, 'accept'], 'modern': [keep.MODERN],
                          'ipq filter': [IPQ, 'filter', '--quiet', '--queue', '0', 'accept'],
                          'ipq run': [IPQ, 'run', '--', CLASSIC, 'accept']}.items():
        keeper = Keep(program, '--patience', '1500ms')
        began = time.monotonic()
        report(until(arrives), f'{name}: packets arrive')
        # Now the policy would apply if the patience did not begin again.
        time.sleep(max(0, began + 1.7 - time.monotonic()))
        report(arrives(), f'{name}: also when the patience would be over')
        text = keeper.end()[1]
        report('packets are dropped' not in text, f'{name}: the keeper knows that it has the queue {text}')


def test_what_waits():
    """The policy applies to waiting packets, including those that a predecessor has read."""
    with tempfile.TemporaryDirectory() as directory:
        flag = f'{directory}/flag'
        hold = f"{IPQ} filter --quiet --queue 0 'delay 100s'"
        program = ['sh', '-c', f'if mkdir {flag}1 2>/dev/null; then exec sleep 60; fi; '
                   f'if mkdir {flag}2 2>/dev/null; then exec {hold}; fi; exec sleep 60']
        for option, expected, word in ('--closed', 0, 'dropped'), ('--open', 20, 'accepted'):
            keeper = Keep(program, '--patience', PATIENCE, option)
            receiver, _ = sockets(20)
            report(until(lambda: os.path.exists(f'{flag}1') and rows() == 20), f'{option}: packets wait')
            keeper.kill(signal.SIGKILL)
            report(until(lambda: (queue_row(49152) or [0] * 3)[2] == 20), f'{option}: a program has read them')
            keeper.kill(signal.SIGKILL)
            report(until(lambda: rows() == 0, 20), f'{option}: after the patience none waits')
            n = received(receiver, expected + 1, 1)
            report(n == expected, f'{option}: {n} of 20 arrived')
            receiver.close()
            text = keeper.end()[1]
            report(f'packets are {word}' in text, f'{option}: the keeper names what it did')
            os.rmdir(f'{flag}1')
            os.rmdir(f'{flag}2')


def test_many_wait():
    """A signal arrives before the first program starts."""
    keeper = Keep(['sh', '-c', f'sleep 0.5; exec {CLASSIC} accept'])
    receiver, _ = sockets(4000)
    n = received(receiver, 4000)
    report(n == 4000, f'{n} of 4000 packets that wait for the first program arrive')
    receiver.close()
    keeper.end()


def test_grace():
    """A program has limited time to end."""
    with tempfile.TemporaryDirectory() as directory:
        log = f'{directory}/log'
        slow = ['sh', '-c', f'trap "echo asked >>{log}; sleep 0.5; echo ended >>{log}; exit 0" TERM; echo runs >>{log}; '
                'while :; do sleep 0.05; done']
        keeper = Keep(slow)
        until(lambda: os.path.exists(log))
        keeper.process.terminate()
        until(lambda: 'asked' in lines(log))
        keeper.process.terminate()
        status = keeper.process.wait(30)
        report(status == 0 and lines(log) == ['runs', 'asked', 'ended'],
               f'a program that takes half a second to end is asked once, and ends: {lines(log)}, status {status}')
        keeper.end()
        os.unlink(log)
        keeper = Keep(['sh', '-c', f'trap "" TERM; echo runs >>{log}; while :; do sleep 0.05; done'], '--grace', '500ms')
        until(lambda: os.path.exists(log))
        began = time.monotonic()
        while keeper.process.poll() is None and time.monotonic() < began + 20:
            keeper.process.terminate()
            time.sleep(0.2)
        seconds = time.monotonic() - began
        status = keeper.end()[0]
        report(status == 137 and seconds < 15, f'one that ignores the signal is killed after {seconds:.1f} s')


def test_daemon_asked_early():
    """A daemon gets the signal to end while the process that started it still runs."""
    keeper = Keep(['sh', '-c', f'trap "" TERM; setsid {CLASSIC} accept & sleep 0.7; exit 0'], '--grace', '20s')
    report(until(arrives), 'a daemon gets packets before the process that started it ends')
    began = time.monotonic()
    status = keeper.end()[0]
    seconds = time.monotonic() - began
    report(status == 0 and seconds < 15, f'and ends when it is asked to: status {status} after {seconds:.1f} s')


def test_children():
    """The processes of a program end with it."""
    with tempfile.TemporaryDirectory() as directory:
        log = f'{directory}/log'
        keeper = Keep(['sh', '-c', f'{CLASSIC} accept & echo $! >>{log}; wait'])
        report(until(arrives), 'a child of a program gets packets')
        child = int(lines(log)[-1])
        keeper.kill(signal.SIGKILL)
        report(until(lambda: len(lines(log)) > 1) and not alive(child), 'a successor starts when the child has ended')
        report(until(arrives), 'and gets packets')
        keeper.end()
        report(not alive(int(lines(log)[-1])), 'no child is left')


def test_failure_with_a_child():
    """A program fails while its child has the queue: the child is not a daemon."""
    keeper = Keep(['sh', '-c', f'{CLASSIC} accept & sleep 0.3; exit 3'])
    report(until(lambda: sum('status 3; starting' in line for line in keeper.text) > 1),
           'a program that fails is started again')
    keeper.end()


def test_starts_leave_nothing():
    keeper = Keep([CLASSIC, 'accept'], '--restart-limit', '0')
    counts = []
    for _ in range(12):
        until(arrives)
        counts.append(len(os.listdir(f'/proc/{keeper.process.pid}/fd')))
        pid = keeper.program()
        keeper.kill(signal.SIGKILL)
        until(lambda: keeper.program() not in (0, pid))
    report(counts[-1] == counts[1], f'the keeper has {counts[-1]} descriptors after 12 starts, {counts[1]} before')
    keeper.end()


def test_replaced():
    """The new version takes the queue when the old one has ended."""
    keeper = Keep([CLASSIC, 'accept'])
    until(arrives)
    old = keeper.program()
    keeper.process.send_signal(signal.SIGHUP)
    report(until(lambda: keeper.program() not in (0, old)) and not alive(old), 'a new version takes over')
    report(arrives(), 'and gets packets')
    keeper.end()


def test_executed():
    """The new program has no connection to the keeper: it must be killed, and the program started again."""
    with tempfile.TemporaryDirectory() as directory:
        flag = f'{directory}/flag'
        keeper = Keep(['sh', '-c', f'mkdir {flag} 2>/dev/null && exec {keep.PROGRAM} classic; '
                       f'exec {CLASSIC} accept'])
        report(until(arrives), 'a program gets packets')
        first = keeper.program()
        keeper.kill(signal.SIGUSR2)
        report(until(lambda: keeper.program() not in (0, first)) and until(arrives),
               'a program that executes another one is started again')
        report('closed its descriptors' in keeper.end()[1], 'the keeper names the reason')


def test_watchdog():
    keeper = Keep([CLASSIC, 'accept'], '--watchdog', '300ms')
    until(arrives)
    pid = keeper.program()
    sender = subprocess.Popen([keep.KEEP_TRAFFIC, '200', '1', '1', str(PORT)], stdout=subprocess.PIPE, text=True)
    sender.communicate()
    time.sleep(0.7)
    report(sender.returncode == 0 and keeper.program() == pid and arrives(),
           'the watchdog leaves a program alone that decides, or has nothing to decide')
    report(not keeper.end()[1], 'and the keeper has nothing to report')


def while_packets_come(name, size, count, *options):
    """The watchdog must notice a stopped program even if packets arrive, or are lost, all the time."""
    keeper = Keep([CLASSIC, 'accept'], '--watchdog', '500ms', *options)
    until(arrives)
    keeper.kill(signal.SIGSTOP)
    receiver, sender = sockets(count, size)
    ended = threading.Event()

    def send():
        while not ended.is_set():
            sender.send(bytes(size))
            time.sleep(0.005)
    thread = threading.Thread(target=send)
    thread.start()
    report(until(lambda: any('has decided nothing' in line for line in keeper.text)), f'{name}: the watchdog kills it')
    ended.set()
    thread.join()
    receiver.close()
    keeper.end()


def test_keeper_killed():
    """The program of a killed keeper continues. When the program ends too, nothing is left."""
    keeper = Keep(['sleep', '60'], '--patience', '60s')
    receiver, sender = sockets(1)
    report(until(lambda: rows() == 1), 'a packet waits for a program')
    pid = keeper.program()
    keeper.process.kill()
    keeper.process.wait()
    os.kill(pid, signal.SIGKILL)
    report(until(lambda: queue_row() is None), 'nothing is left of the keeper, the program and the queue')
    receiver.close()
    sender.close()
    keeper = Keep(['sh', '-c', f'sleep 0.7; exec {CLASSIC} accept'])
    pid = keeper.program()
    keeper.process.kill()
    keeper.process.wait()
    report(until(arrives), 'a program that opens its queue afterwards gets packets')
    os.kill(pid, signal.SIGKILL)
    until(lambda: queue_row() is None)
    with tempfile.TemporaryDirectory() as directory:
        flag = f'{directory}/flag'
        keeper = Keep(['sh', '-c', f'mkdir {flag} 2>/dev/null && exec {CLASSIC} accept; mkdir {flag}2; sleep 0.5; '
                       f'exec {CLASSIC} accept'])
        until(arrives)
        old = keeper.program()
        keeper.process.send_signal(signal.SIGHUP)
        until(lambda: os.path.exists(f'{flag}2'))
        new = max(keep.children(keeper.process.pid), key=lambda pid: pid != old)
        keeper.process.kill()
        keeper.process.wait()
        report(until(lambda: not alive(new)), 'a new version that has not taken the queue ends')
        report(alive(old) and arrives(), 'the old one continues')
        os.kill(old, signal.SIGKILL)
        report(until(lambda: queue_row() is None), 'then nothing is left')


def main():
    keep.find_iptables()
    test_statuses()
    test_delays()
    test_patience_of_failing_programs()
    test_patience_of_programs_that_work()
    test_what_waits()
    test_many_wait()
    test_grace()
    test_daemon_asked_early()
    test_children()
    test_failure_with_a_child()
    test_starts_leave_nothing()
    test_replaced()
    test_executed()
    test_watchdog()
    while_packets_come('a program is stopped while packets come', 100, 0)
    while_packets_come('a program is stopped while packets are lost', 60000, 1500)
    test_keeper_killed()
    return 0 if all(keep.results) else 1


if __name__ == '__main__':
    sys.exit(main())
