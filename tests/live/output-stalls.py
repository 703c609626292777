#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reader that stalls delays no packet and no signal: pipe, FIFO, stopped terminal, full disk.

Runs in private namespaces. argv: the command, the traffic tool.
"""
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import termios
import time

IPQ, TRAFFIC = sys.argv[1], sys.argv[2]
SLOW = 5 if os.environ.get('IPQ_SANITIZER', 'none') != 'none' else 1
failures = 0


def check(what, ok, detail=''):
    global failures
    failures += not ok
    print(('ok: ' if ok else 'FAILED: ') + what, detail if not ok else '', flush=True)


def ping():
    """Returns the time of the slowest of five pings in ms, or None if one had no answer."""
    out = subprocess.run(['ping', '-c', '5', '-i', '0.05', '-W', '2', '127.0.0.1'], capture_output=True, text=True).stdout
    times = re.findall(r'time=([\d.]+)', out)
    return max(map(float, times)) if len(times) == 5 else None


def flood(n):
    subprocess.run([TRAFFIC, 'udp', '-n', str(n), '-e', '0', '-w', '1', '7009'], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=60)


def rules():
    out = ''
    for tool in ('iptables-legacy', 'iptables-nft', 'iptables'):
        try:
            out += subprocess.run([tool, '-w', '-t', 'mangle', '-S'], capture_output=True, text=True).stdout
        except FileNotFoundError:
            pass
    try:
        out += subprocess.run(['nft', 'list', 'ruleset'], capture_output=True, text=True).stdout
    except FileNotFoundError:
        pass
    return re.findall(r'.*ipq[-_].*', out)


def wait_for_rule():
    for _ in range(250):
        if rules():
            time.sleep(0.3)
            return
        time.sleep(0.02)
    check('a rule is set', False)


def interrupt(process, what):
    """SIGINT must end the command within a second."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    took = time.monotonic() - began
    check(f'{what}: SIGINT ends it within a second', took < 1 * SLOW and process.returncode >= 0,
          f'{took:.2f} s, status {process.returncode}')
    check(f'{what}: no rule is left', rules() == [], rules())


def stalled(what, arguments, stdout, stderr, packets=30000):
    process = subprocess.Popen([IPQ] + arguments, stdout=stdout, stderr=stderr)
    wait_for_rule()
    flood(packets)
    slowest = ping()
    check(f'{what}: packets pass', slowest is not None)
    return process


WATCH = ['watch', '--on', 'OUTPUT', 'udp port 7009 or icmp']
FILTER_LOG = ['filter', '--on', 'OUTPUT', 'log udp port 7009', 'log icmp', 'accept icmp']
work = tempfile.mkdtemp()

# A pipe that no process reads, as standard output and as standard error.
for command in WATCH, WATCH[:1] + ['--json'] + WATCH[1:], FILTER_LOG:
    reader, writer = os.pipe()
    p = stalled(f'{command[0]} to a full pipe', command, writer, writer)
    os.close(writer)
    interrupt(p, f'{command[0]} to a full pipe')
    os.close(reader)

# A reader stalls and continues: lines are dropped, and their number is printed when the reader continues and at the
# end.
reader, writer = os.pipe()
error = open(os.path.join(work, 'error'), 'w+')
p = stalled('watch with a reader that pauses', WATCH, writer, error)
os.close(writer)
lines = 0
with os.fdopen(reader) as f:
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_NONBLOCK)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        try:
            lines += os.read(reader, 65536).count(b'\n')
        except BlockingIOError:
            time.sleep(0.01)
    text = open(error.name).read()
    recovered = re.search(r'ipq watch: (\d+) lines were dropped: the output is slower', text)
    check('the number of dropped lines is shown when the reader goes on', recovered is not None, text)
    p.send_signal(signal.SIGINT)
    while True:
        try:
            data = os.read(reader, 65536)
            if not data:
                break
            lines += data.count(b'\n')
        except BlockingIOError:
            time.sleep(0.01)
    p.wait(10)
text = open(error.name).read()
end = re.search(r'(\d+) packets shown.*\n.*ipq watch: (\d+) lines were dropped\n', text)
check('shown lines are those that were written', end is not None and int(end[1]) == lines, f'{lines} lines, {text}')

# A FIFO, to which ipq records.
fifo = os.path.join(work, 'fifo')
os.mkfifo(fifo)
reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
p = stalled('recording to a FIFO', WATCH[:1] + ['-w', fifo] + WATCH[1:], subprocess.DEVNULL, subprocess.DEVNULL)
interrupt(p, 'recording to a FIFO')
os.close(reader)

# A terminal that was stopped with Ctrl-S; it gets the error messages, too.
for command in WATCH, ['filter', '--counters'] + FILTER_LOG[1:]:
    main, terminal = pty.openpty()
    p = subprocess.Popen([IPQ] + command, stdin=terminal, stdout=terminal, stderr=terminal)
    wait_for_rule()
    termios.tcflow(terminal, termios.TCOOFF)
    flood(5000)
    time.sleep(1.2)  # counters are printed every second
    check(f'{command[0]} on a stopped terminal: packets pass', ping() is not None)
    interrupt(p, f'{command[0]} on a stopped terminal')
    os.close(main)
    os.close(terminal)

# The disk is full: recording stops, but filtering continues.
disk = os.path.join(work, 'disk')
os.mkdir(disk)
subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], check=True)
error = open(os.path.join(work, 'error'), 'w+')
p = subprocess.Popen([IPQ, 'filter', '--on', 'INPUT', '-w', os.path.join(disk, 'record'), 'drop udp port 7010', 'count udp'],
                     stdout=subprocess.DEVNULL, stderr=error)
wait_for_rule()
flood(2000)
time.sleep(0.3)
check('a full disk does not end the filter', p.poll() is None)
arrived = subprocess.run([TRAFFIC, 'udp', '-n', '10', '-e', '0', '-w', '300', '7010'], capture_output=True, text=True)
check('a full disk opens nothing', arrived.returncode == 0, arrived.stdout + arrived.stderr)
interrupt(p, 'filter with a full disk')
text = open(error.name).read()
check('a full disk is reported once, with the number of packets', text.count('No space left on device') == 1 and
      re.search(r'ipq filter: \d+ packets were not recorded\n', text) is not None, text)
check('a full disk is an exit status', p.returncode == 1, p.returncode)

sys.exit(failures != 0)
