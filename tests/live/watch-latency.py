#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Other traffic is not delayed by the rule of a watch whose reader stops, under a flood through the same rule.

Runs in private namespaces. argv: the command. IPQ_STALL_SECONDS: how long the reader stops (3).
"""
import os
import re
import signal
import socket
import subprocess
import sys
import time

IPQ = sys.argv[1]
SECONDS = int(os.environ.get('IPQ_STALL_SECONDS', '3'))
LIMIT_MS = 10
UDP_SEGMENT = 103
failures = 0


def check(what, ok, detail=''):
    global failures
    failures += not ok
    print(('ok: ' if ok else 'FAILED: ') + what, detail, flush=True)


def flood():
    """Starts a process that sends datagrams as fast as it can. Returns its pid."""
    pid = os.fork()
    if pid == 0:
        os.nice(5)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(('127.0.0.1', 7001))
        sender.connect(('127.0.0.1', 7001))
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 5)
        while True:
            sender.send(b'flood' * 64)
    return pid


def packets():
    """The number of packets that loopback has carried."""
    with open('/proc/net/dev') as f:
        return int(f.read().split('lo:')[1].split()[1])


def p99():
    """Pings for SECONDS. Returns the 99th percentile in ms, how many pings had no answer, and packets per second."""
    n, before, began = SECONDS * 100, packets(), time.monotonic()
    out = subprocess.run(['ping', '-c', str(n), '-i', '0.01', '-W', '1', '127.0.0.1'], capture_output=True, text=True).stdout
    rate = (packets() - before) / (time.monotonic() - began)
    times = sorted(float(t) for t in re.findall(r'time=([\d.]+)', out))
    return times[int(len(times) * 0.99)], n - len(times), f'{rate:.0f} packets/s'


# The 64 datagrams of one send are split before the hook INPUT, so one processor sends several 100,000 per second.
subprocess.run(['ip', 'link', 'set', 'lo', 'gso_max_segs', '1'])

# Measures a flood without any rule, for comparison: on a busy machine a ping waits for the processor.
pid = flood()
without, lost, rate_without = p99()
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)

reader, writer = os.pipe()
errors = open('/run/errors', 'w+')
watch = subprocess.Popen([IPQ, 'watch', '--on', 'OUTPUT,INPUT', 'udp port 7001 or icmp'], stdout=writer, stderr=errors)
os.close(writer)
time.sleep(1)
check('watch runs', watch.poll() is None)
pid = flood()
slowest, lost, rate = p99()
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
check(f'p99 of pings is below {LIMIT_MS} ms', slowest < max(LIMIT_MS, 3 * without), f'{slowest} ms at {rate}, without watch {without} ms at {rate_without}')
check('every ping is answered', lost == 0, lost)
began = time.monotonic()
watch.send_signal(signal.SIGINT)
watch.wait(20)
check('SIGINT ends watch within a second', time.monotonic() - began < 1 or os.environ.get('IPQ_SANITIZER', 'none') != 'none',
      time.monotonic() - began)
errors.seek(0)
text = errors.read()
dropped = re.search(r'(\d+) lines were dropped\n', text)
shown = re.search(r'(\d+) packets shown, (\d+) received, (\d+) lost', text)
check('dropped lines are counted', dropped is not None and int(dropped[1]) > 1000, text)
check('lines shown and dropped are the packets received', shown is not None and dropped is not None and
      int(shown[1]) + int(dropped[1]) == int(shown[2]), text)
sys.exit(failures != 0)
