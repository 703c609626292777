#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program under `ipq keep` dies at random moments, in every way, while datagrams and TCP connections pass its queue.

Every datagram must arrive once and in the order of its flow, and the connections must live. The longest time without an
arrival after each death is the time without decisions.

IPQ_KILLS: how many deaths (12). IPQ_INTERVAL: mean time between two (0.2 s). IPQ_DEATHS: the kinds of deaths, such as
killed,replaced (all of WAYS). IPQ_RATE: datagrams per second (5000). IPQ_CONNECTIONS: TCP connections (3). IPQ_API:
modern, classic, or run: classic under ipq run (with IPQ_DEATHS=killed,replaced). IPQ_SEED: seed of the random moments.
IPQ_P99: fail if the 99th percentile of the time without decisions is longer, in ms (no limit).

The whole scenario, three minutes on two processors that do nothing else:

    IPQ_KILLS=300 IPQ_RATE=100000 IPQ_CONNECTIONS=50 IPQ_INTERVAL=0.5 IPQ_P99=50 IPQ_TEST_TIMEOUT=400 \\
        meson test -C build -t 4 -v keep-kills

Replaces a program 100 times; no packet should wait more than 20 ms:

    IPQ_DEATHS=replaced IPQ_KILLS=100 IPQ_RATE=50000 IPQ_INTERVAL=0.12 IPQ_P99=20 meson test -C build -v keep-kills
"""
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
import keep

KILLS = int(os.environ.get('IPQ_KILLS', 12))
RATE = int(os.environ.get('IPQ_RATE', 5000))
CONNECTIONS = int(os.environ.get('IPQ_CONNECTIONS', 3))
API = os.environ.get('IPQ_API', 'modern')
SEED = int(os.environ.get('IPQ_SEED', random.randrange(10000)))
P99 = float(os.environ.get('IPQ_P99', 'inf'))
WATCHDOG = int(os.environ.get('IPQ_WATCHDOG', 200))  # the watchdog's time in ms
WAYS = {'killed': signal.SIGKILL, 'crashed': signal.SIGSEGV, 'out of memory': signal.SIGUSR1,
        'executed': signal.SIGUSR2, 'replaced': signal.SIGHUP, 'stopped': signal.SIGSTOP}
PAUSE = {'stopped': WATCHDOG / 1000 * 1.25}  # time until the watchdog notices a stopped program
EACH = float(os.environ.get('IPQ_INTERVAL', 0.2))


def echo(connection):
    with connection, contextlib.suppress(OSError):
        while data := connection.recv(4096):
            connection.sendall(data)


class MemoryGroup:
    """A control group whose processes the kernel kills when they use more memory than this. None: not possible on
    this machine."""

    LIMIT = '8388608'

    def __init__(self):
        self.path = None
        with open('/proc/self/cgroup', encoding='ascii') as f:
            own = [line.rstrip('\n').split(':', 2)[1:] for line in f]
        for controllers, path in own:
            if controllers == 'memory':
                self.create(f'/sys/fs/cgroup/memory{path}', 'memory.limit_in_bytes', 'memory.swappiness')
            elif controllers == '':
                self.create(f'/sys/fs/cgroup{os.path.dirname(path)}', 'memory.max', 'memory.swap.max')
            if self.path:
                return

    def create(self, parent, limit, swap):
        path = f'{parent.rstrip("/")}/ipq-keep-kills-{os.getpid()}-{time.time_ns()}'
        try:
            os.mkdir(path)
        except OSError:
            return
        try:
            self.write(path, limit, self.LIMIT)
            with contextlib.suppress(FileNotFoundError):  # the kernel may have no swap accounting
                self.write(path, swap, '0')
            self.path = path
        except OSError:
            os.rmdir(path)

    @staticmethod
    def write(path, file, text):
        with open(f'{path}/{file}', 'r+', encoding='ascii') as f:
            f.write(text)

    def add(self, pid):
        self.write(self.path, 'cgroup.procs', str(pid))
        with open(f'/proc/{pid}/oom_score_adj', 'w', encoding='ascii') as f:
            f.write('0')

    def killed(self):
        """The number of processes in the group that the kernel has killed; '' if it does not count them."""
        for file in 'memory.events', 'memory.oom_control':
            with contextlib.suppress(OSError), open(f'{self.path}/{file}', encoding='ascii') as f:
                return next((line.split()[1] for line in f if line.startswith('oom_kill ')), '')
        return ''

    def remove(self):
        keep.until(lambda: not self.processes())
        os.rmdir(self.path)

    def processes(self):
        with open(f'{self.path}/cgroup.procs', encoding='ascii') as f:
            return f.read()


class Connections:
    """TCP connections through the queue in both directions. Each sends a line, and waits until the line has come
    back."""

    def __init__(self, count):
        self.ended, self.failed, self.lines = False, [], 0
        listener = socket.create_server(('127.0.0.1', 7100), backlog=count + 1)
        self.threads = []
        for number in range(count):
            client = socket.create_connection(('127.0.0.1', 7100), timeout=20)
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
            self.threads.append(threading.Thread(target=self.talk, args=(client, number), daemon=True))
        for thread in self.threads:
            thread.start()

    def talk(self, client, number):
        try:
            turn = 0
            while not self.ended:
                line = f'{number} {turn}'.encode().ljust(64)
                client.sendall(line)
                answer = b''
                while len(answer) < len(line):
                    piece = client.recv(len(line))
                    if not piece:
                        raise OSError('closed')
                    answer += piece
                if answer != line:
                    raise OSError('other bytes came back')
                turn += 1
                self.lines += 1
                time.sleep(0.1)
        except OSError as e:
            self.failed.append(f'{number}: {e}')

    def end(self):
        self.ended = True
        for thread in self.threads:
            thread.join(25)
        return self.failed + ['a thread did not end'] * sum(thread.is_alive() for thread in self.threads)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0


def die(keeper, way, group):
    """Returns the time of the death, in ms."""
    keep.until(keeper.program)
    if way == 'out of memory' and group.path:
        with contextlib.suppress(OSError):  # the process may have just ended
            group.add(keeper.program())
    at = time.time() * 1000
    if way == 'replaced':
        keeper.process.send_signal(signal.SIGHUP)
    else:
        keeper.kill(WAYS[way])
    return at


def longest_after(gaps, at, until):
    return max((length for begin, length in gaps if at < begin + length <= until), default=0)


def report_times(deaths, gaps):
    """Prints the times of each kind of death. Returns all times, without the watchdog's share for stopped programs."""
    times = {way: [] for way in WAYS}
    ends = [at for _, at in deaths[1:]] + [float('inf')]
    for (way, at), until in zip(deaths, ends):
        times[way].append(longest_after(gaps, at, until))
    for way, t in times.items():
        if t:
            print(f'note: {way} {len(t)} times, without decisions: median {percentile(t, .5):.1f} ms, '
                  f'p99 {percentile(t, .99):.1f} ms, longest {max(t):.1f} ms')
    return [max(0, t - (WATCHDOG * 1.25 if way == 'stopped' else 0)) for way in WAYS for t in times[way]]


def main():
    if keep.SANITIZER:
        print('skipped: a sanitizer makes the start of a program longer than the time between two deaths')
        sys.exit(77)
    iptables = keep.find_iptables()
    for port in '--dport', '--sport':
        subprocess.run(f'{iptables} -w -A OUTPUT -p tcp {port} 7100 -j NFQUEUE --queue-num 0'.split(), check=True)
    chance = random.Random(SEED)
    ways = os.environ.get('IPQ_DEATHS', ','.join(WAYS)).split(',')
    plan = [ways[i % len(ways)] for i in range(KILLS)]
    chance.shuffle(plan)
    seconds = sum(EACH + PAUSE.get(way, 0) for way in plan) + 1
    length = min(65536, max(16384, RATE))
    group = MemoryGroup()
    program = [keep.PROGRAM, API, '0' if group.path else '12']
    if API == 'run':
        program = [keep.IPQ, 'run', '--', keep.PROGRAM, 'classic']
    keeper = keep.Keep(program, '--length', str(length), '--watchdog', f'{WATCHDOG}ms', '--patience', '60s',
                       '--restart-limit', '0')
    keep.until(keep.arrives)
    connections = Connections(CONNECTIONS)
    with tempfile.NamedTemporaryFile('r') as file:
        sender = subprocess.Popen([keep.KEEP_TRAFFIC, str(RATE), str(seconds), '4', str(keep.PORT), file.name],
                                  stdout=subprocess.PIPE, text=True)
        time.sleep(0.2)
        deaths = []
        for way in plan:
            pause = chance.uniform(0.5, 1.5) * EACH
            deaths.append((way, die(keeper, way, group)))
            time.sleep(pause + PAUSE.get(way, 0))
        output = sender.communicate()[0].strip()
        gaps = [tuple(map(float, line.split())) for line in file]
    failed = connections.end()
    row = keep.queue_row()
    status, text = keeper.end()
    if group.path:
        print(f'note: the kernel killed {group.killed()} for lack of memory')
        group.remove()
    else:
        print('note: no control group for memory here: an address space limit instead')
    good = sender.returncode == 0 and ' order 0 ' in output and status == 0
    keep.report(good, f'{KILLS} deaths at {RATE}/s, {API}, seed {SEED}: {output}, status {status}')
    keep.report(not failed, f'{CONNECTIONS} TCP connections live, {connections.lines} lines: {failed[:3]}')
    print(f'note: {row[5]} found the queue full, {row[6]} the socket')
    times = report_times(deaths, gaps)
    p99 = percentile(times, .99)
    keep.report(p99 <= P99, f'time without decisions: median {percentile(times, .5):.1f} ms, p99 {p99:.1f} ms')
    if not all(keep.results):
        events = [f'{at:.0f} death: {way}' for way, at in deaths] + text.splitlines()
        events += [f'{begin:.0f} {length:.0f} ms without decisions' for begin, length in gaps if length > 20]
        print(*sorted(events)[:2000], sep='\n')
    return 0 if all(keep.results) else 1


if __name__ == '__main__':
    sys.exit(main())
