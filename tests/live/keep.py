#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of `ipq keep`: every datagram arrives once and in the order of its flow, whatever happens to the program.

IPQ_ROUNDS: how often each program is killed (3). IPQ_INTERVAL: mean time between two kills (0.1 s). IPQ_RATE: datagrams
a second (4000). IPQ_CONNECTIONS, IPQ_BYTES: TCP connections (5) and bytes through each (10 million).
"""
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

ROUNDS = int(os.environ.get('IPQ_ROUNDS', 3))
RATE = os.environ.get('IPQ_RATE', '4000')
SANITIZER = os.environ.get('IPQ_SANITIZER', 'none') != 'none'
CRASH = signal.SIGABRT if SANITIZER else signal.SIGSEGV  # a sanitizer handles SIGSEGV and exits with its own status
INTERVAL = float(os.environ.get('IPQ_INTERVAL', '0.5' if SANITIZER else '0.1'))  # a sanitizer slows starts
IPQ, KEEP_TRAFFIC, PROGRAM = (os.environ[n] for n in ('IPQ', 'KEEP_TRAFFIC', 'KEEP_PROGRAM'))
CLASSIC, MODERN = (os.environ[n] for n in ('DECIDE', 'EXAMPLE_ACCEPT'))
TRAFFIC = os.environ['IPQ_TRAFFIC']
CONNECTIONS = int(os.environ.get('IPQ_CONNECTIONS', 5))
BYTES = os.environ.get('IPQ_BYTES', '10000000')
PORT = 7000
results = []


def report(good, what):
    results.append(good)
    print(f'{"ok" if good else "FAILED"}: {what}', flush=True)


def find_iptables():
    rule = f'OUTPUT -p udp --dport {PORT} -j NFQUEUE --queue-num 0'.split()
    for tool in 'iptables-legacy', 'iptables':
        if shutil.which(tool) and subprocess.run([tool, '-w', '-A'] + rule, stderr=subprocess.DEVNULL,
                                                 check=False).returncode == 0:
            return tool
    print('skipped: no iptables here that can queue packets')
    sys.exit(77)


def children(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
        return [int(child) for child in f.read().split()]


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def queue_row(number=0):
    with open('/proc/net/netfilter/nfnetlink_queue', encoding='ascii') as f:
        rows = [[int(x) for x in line.split()] for line in f]
    return next((row for row in rows if row[0] == number), None)


class Keep:
    """A keeper with its program."""

    def __init__(self, program, *options):
        self.process = subprocess.Popen([IPQ, 'keep', *options, '--'] + program, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.text = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        until(self.program)

    def read(self):
        for line in self.process.stderr:
            self.text.append(f'{time.time() * 1000:.0f} {line}')

    def program(self):
        """Returns the pid of the program; 0: it does not run."""
        return next(iter(children(self.process.pid)), 0) if self.process.poll() is None else 0

    def kill(self, number):
        pid = self.program()
        if pid:
            os.kill(pid, number)

    def end(self):
        """Ends the keeper and its program. Returns the status and the keeper's output."""
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(30)
        self.reader.join()
        return status, ''.join(self.text)


def under_load(name, program, action, *options, rounds=ROUNDS, each=INTERVAL):
    keeper = Keep(program, '--patience', '60s', *options)
    seconds = rounds * each + 0.3
    sender = subprocess.Popen([KEEP_TRAFFIC, RATE, str(seconds), '4', str(PORT)], stdout=subprocess.PIPE, text=True)
    for _ in range(rounds):
        time.sleep(random.random() * 2 * each if rounds > 1 else each / 2)
        action(keeper)
    output = sender.communicate()[0].strip()
    status, text = keeper.end()
    # the last program may have been about to end
    good = sender.returncode == 0 and ' order 0 ' in output and status in (0, 128 + CRASH, 128 + signal.SIGKILL)
    report(good, f'{name}, {rounds} times: {output}, status {status}')
    if not good:
        print(text)
    return text


def arrives(wait=0.5):
    """Returns whether a datagram arrives."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(('127.0.0.1', PORT))
    receiver.settimeout(wait)
    receiver.connect(('127.0.0.1', PORT))
    try:
        receiver.send(b'datagram')
        return receiver.recv(100) == b'datagram'
    except OSError:
        return False
    finally:
        receiver.close()


def stop_at_work(keeper):
    """Stops the program when it has decided packets."""
    until(lambda: queue_row()[7] > queue_row()[2] + 20, 30)
    keeper.kill(signal.SIGSTOP)


def test_load():
    for name, program in {'classic': [CLASSIC, 'accept'], 'modern': [MODERN],
                          'ipq filter': [IPQ, 'filter', '--queue', '0', 'accept'],
                          'ipq run': [IPQ, 'run', '--', CLASSIC, 'accept']}.items():
        under_load(f'{name} is killed', program, lambda k: k.kill(signal.SIGKILL))
    under_load('a program crashes', [CLASSIC, 'accept'], lambda k: k.kill(CRASH))
    under_load('a shell starts the program', ['sh', '-c', f'{CLASSIC} accept; exit 9'],
               lambda k: [os.kill(pid, signal.SIGKILL) for pid in children(k.program())])
    for name, program in {'classic': [CLASSIC, 'accept'], 'modern': [MODERN]}.items():
        text = under_load(f'{name} is replaced', program, lambda k: k.process.send_signal(signal.SIGHUP))
        report('killed' not in text, f'{name}: the old version ended as it was asked to')
    text = under_load('a stopped program is killed', [CLASSIC, 'accept'], stop_at_work, '--watchdog', '500ms', rounds=1,
                      each=0.8)
    report('decided nothing for 500 ms' in text, 'the keeper names the watchdog')


def test_tcp(iptables):
    """Sends bytes over connections through the queue, in both directions, while the program is killed."""
    for port in '--dport', '--sport':
        subprocess.run(f'{iptables} -w -A OUTPUT -p tcp {port} 7100:7199 -j NFQUEUE --queue-num 0'.split(), check=True)
    keeper = Keep([MODERN], '--restart-limit', '0')
    flows = [subprocess.Popen([TRAFFIC, 'tcp', '-n', BYTES, '-w', '20000', str(7100 + i)], stdout=subprocess.PIPE,
                              text=True) for i in range(CONNECTIONS)]
    kills = 0
    while kills < 100 and any(flow.poll() is None for flow in flows):
        keeper.kill(signal.SIGKILL)
        kills += 1
        time.sleep(random.random() * 2 * INTERVAL)
    failed = [flow.communicate()[0].strip() for flow in flows if flow.wait() != 0]
    status, text = keeper.end()
    report(kills > 0 and not failed and status in (0, 128 + signal.SIGKILL), f'{CONNECTIONS} TCP connections of {BYTES} bytes live through {kills} kills')
    if failed:
        print(failed[:3], text)


def test_policy():
    for option, expected in ('--closed', False), ('--open', True):
        keeper = Keep(['sleep', '60'], '--patience', '1500ms', option)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.sendto(b'waits', ('127.0.0.1', PORT))
        report(until(lambda: (queue_row() or [0, 0, 0])[2] == 1), f'{option}: packets wait')
        report(until(lambda: queue_row()[2] == 0), f'{option}: but no longer than the patience')
        report(arrives() == expected, f'{option}: then they are {"accepted" if expected else "dropped"}')
        status = keeper.end()[0]
        report(status == 0 and queue_row() is None, f'{option}: nothing is left, status {status}')
    keeper = Keep(['sh', '-c', f'sleep 0.6; exec {CLASSIC} accept'], '--patience', '200ms')
    report(until(arrives), 'a program that comes after the patience gets the packets')
    keeper.end()


def capabilities(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        return next(int(line.split()[1], 16) for line in f if line.startswith('CapPrm'))


def environment_of(pid):
    with open(f'/proc/{pid}/environ', encoding='ascii') as f:
        return dict(line.split('=', 1) for line in f.read().split('\0') if '=' in line)


def descriptor(pid, fd):
    try:
        return os.readlink(f'/proc/{pid}/fd/{fd}')
    except FileNotFoundError:  # the dynamic linker may have closed the descriptor already
        return ''


def test_rights():
    keeper = Keep(['sleep', '60'])
    until(lambda: capabilities(keeper.process.pid) == 1 << 12 | 1 << 5, 5)
    report(capabilities(keeper.process.pid) == 1 << 12 | 1 << 5, 'the keeper has CAP_NET_ADMIN and CAP_KILL only')
    own = capabilities('self')
    report(until(lambda: capabilities(keeper.program()) == own), 'the program has all capabilities that root has')
    pid = keeper.program()
    until(lambda: os.readlink(f'/proc/{pid}/exe').endswith('/sleep') and environment_of(pid))
    environment = environment_of(pid)
    names = environment['LISTEN_FDNAMES'].split(':')
    links = [os.readlink(f'/proc/{pid}/fd/{3 + i}') for i in range(len(names))]
    more = [fd for fd in os.listdir(f'/proc/{pid}/fd') if int(fd) > 5 and descriptor(pid, fd).startswith('socket:')]
    report(len(names) == 3 and environment['LISTEN_FDS'] == '3' and environment['LISTEN_PID'] == str(pid) and
           all(link.startswith('socket:') for link in links) and len(set(links)) == 3 and not more,
           f'the program has each socket by its name, and no other: {names} {links} {more}')
    keeper.end()


def test_daemon():
    """The program becomes a daemon after it has started: its first process ends with 0."""
    program = ['sh', '-c', f'setsid {CLASSIC} accept & exit 0']
    keeper = Keep(program)
    report(until(arrives), 'a daemon gets packets')
    first = keeper.program()
    os.kill(first, signal.SIGKILL)
    report(until(lambda: keeper.program() not in (0, first)) and until(arrives), 'a killed daemon is started again')
    status = keeper.end()[0]
    report(status == 0 and queue_row() is None, f'nothing is left of the daemon, status {status}')


def test_start_hangs():
    keeper = Keep(['sleep', '60'], '--watchdog', '100ms', '--patience', '200ms', '--restart-limit', '2')
    report(until(lambda: keeper.process.poll() is not None), 'programs that open no queue are killed')
    status, text = keeper.end()
    report(status == 1 and text.count('opened no queue') == 2, f'each after the patience, status {status}')


def test_filter_on():
    """A restarted filter takes over the rules of its predecessor; a second filter at the same time cannot."""
    keeper = Keep([IPQ, 'filter', '--queue', '0', '--on', 'INPUT', f'drop udp dst port {PORT + 1}'])
    report(until(lambda: arrives()), 'ipq filter --on accepts packets')
    first = keeper.program()
    keeper.kill(signal.SIGKILL)
    report(until(lambda: keeper.program() not in (0, first)) and until(arrives), 'and again after it was killed')
    second = keeper.program()
    keeper.process.send_signal(signal.SIGHUP)
    report(until(lambda: any('before it took a queue' in line for line in keeper.text)), 'a version beside it ends')
    report(arrives() and not until(lambda: keeper.program() != second, 0.2), 'the old one continues')
    status, text = keeper.end()
    report(status == 0 and 'cannot have its own rules' in text, f'the reason is printed, status {status}')


def test_filter_on_killed():
    """Each packet passes the filter's own rules once, including packets that the filter accepts before its rules
    replace the old ones."""
    port = PORT + 2
    keeper = Keep([IPQ, 'filter', '--queue', '0', '--on', 'OUTPUT', f'mark 7 udp dst port {port}'], '--patience', '60s')
    until(lambda: any('in force' in line for line in keeper.text))
    sender = subprocess.Popen([KEEP_TRAFFIC, '1000', '1', '2', str(port)], stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        time.sleep(random.uniform(0.1, 0.3))
        keeper.kill(signal.SIGKILL)
    output = sender.communicate()[0].strip()
    text = keeper.end()[1]
    report(sender.returncode == 0 and ' order 0 ' in output and 'were queued again' not in text,
           f'ipq filter --on is killed: {output} {[line for line in text.splitlines() if "were queued again" in line]}')


def test_filter_beside():
    """Waiting packets continue to wait while an ipq filter checks which kind of firewall works."""
    keeper = Keep(['sleep', '60'], '--patience', '60s')
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(b'waits', ('127.0.0.1', PORT))
    report(until(lambda: (queue_row() or [0, 0, 0])[2] == 1), 'a packet waits')
    beside = subprocess.Popen([IPQ, 'filter', '--queue', '5', '--on', 'INPUT', f'drop udp dst port {PORT + 1}'],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    beside.stderr.readline()
    report(queue_row(5) is not None and queue_row()[2] == 1, 'also after ipq filter --on has started beside it')
    beside.terminate()
    beside.communicate()
    keeper.end()


def test_keeper_killed():
    keeper = Keep([CLASSIC, 'accept'])
    until(lambda: (queue_row() or [0] * 5)[3] == 2 and keeper.program())
    pid = keeper.program()
    report(arrives(), 'packets pass before the keeper is killed')
    keeper.process.kill()
    keeper.process.wait()
    report(arrives(), 'the program continues when the keeper is killed')
    os.kill(pid, signal.SIGKILL)
    report(until(lambda: queue_row() is None), 'nothing is left after the program')


def test_usage():
    for words, error in ((['--queue', '70000', 'true'], 'queue'), (['--patience', 'x', 'true'], 'patience'),
                         (['--restart', 'x', 'true'], 'restart'), (['--watchdog', '0', 'true'], 'watchdog'),
                         (['--length', '0', 'true'], 'length'), (['--length', '65537', 'true'], 'length'), (['--nonsense', 'true'], 'nonsense'), ([], 'program to run')):
        p = subprocess.run([IPQ, 'keep'] + words, capture_output=True, text=True, timeout=30, check=False)
        report(p.returncode == 2 and error in p.stderr, f'usage: {words}: {p.stderr.strip().splitlines()[:1]}')
    for program, expected in (['true'], 0), (['sh', '-c', 'exit 7'], 7), (['/nonexistent'], 127), (['/etc/passwd'], 126):
        p = subprocess.run([IPQ, 'keep', '--restart', 'no'] + program, capture_output=True, text=True, timeout=30,
                           check=False)
        report(p.returncode == expected, f'{program}: status {p.returncode}')
    p = subprocess.run([IPQ, 'keep', '--restart-limit', '3', 'false'], capture_output=True, text=True, timeout=30,
                       check=False)
    report(p.returncode == 1 and 'giving up' in p.stderr, f'a program that always fails: status {p.returncode}')


def main():
    iptables = find_iptables()
    test_usage()
    test_policy()
    test_rights()
    test_daemon()
    test_start_hangs()
    test_filter_on()
    test_filter_on_killed()
    test_filter_beside()
    test_keeper_killed()
    test_load()
    test_tcp(iptables)
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())
